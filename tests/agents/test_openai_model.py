"""The model behind the openai client, without the service around it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

import httpx2
import openai
import pytest

from services.agents.errors import ModelFailed, ModelRefused, ModelUnavailable
from services.agents.models import AnswerFormat, ModelRequest, Throttled, Usage
from services.agents.openai_chunks import PieceReader, usage_of
from services.agents.openai_client import OPENAI_URL
from services.agents.openai_failures import Failure, failure_of
from services.agents.openai_model import OpenAIModel
from tests.agents.endpoints import Pauses, answer, asking, events, odd_endpoint, refusing
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def endpoint(model: FakeModel, pauses: Pauses) -> AsyncIterator[OpenAIModel]:
    made = OpenAIModel("sk-secret", model.url, "default-model", 0.5, 4, pauses, lambda: 1.0)
    yield made
    await made.close()


async def throttles(endpoint: OpenAIModel, script: Script) -> list[float]:
    """For how long less should be asked, of every refusal; whatever comes of the call."""
    told: list[float] = []
    with suppress(ModelUnavailable, ModelRefused):
        async for piece in endpoint.stream(asking(script)):
            if isinstance(piece, Throttled):
                told.append(piece.seconds)
    return told


async def test_answer_comes_in_pieces_and_usage_last(endpoint: OpenAIModel) -> None:
    text, usage = await answer(endpoint, asking())
    assert text == DEFAULT_ANSWER
    assert usage == Usage(1, len(DEFAULT_ANSWER.split()), 1)


async def test_refusal_is_the_answer(endpoint: OpenAIModel) -> None:
    text, _ = await answer(endpoint, asking(Script(answer="I must not.", refusal="policy")))
    assert text == "I must not."


async def test_client_that_failed_to_load_is_loaded_by_the_next_caller(
    endpoint: OpenAIModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as meanwhile:
        # As it looks while another thread imports it.
        meanwhile.setitem(sys.modules, "httpx", ModuleType("httpx"))
        with pytest.raises(AttributeError, match="httpx"):
            await answer(endpoint, asking())
    assert (await answer(endpoint, asking()))[0] == DEFAULT_ANSWER


async def test_callers_that_come_while_the_client_loads_share_it(endpoint: OpenAIModel, model: FakeModel) -> None:
    first = asyncio.create_task(answer(endpoint, asking()))
    await asyncio.sleep(0)
    first.cancel()
    answers = await asyncio.gather(*(answer(endpoint, asking()) for _ in range(3)))
    assert [text for text, _ in answers] == [DEFAULT_ANSWER] * 3


async def test_endpoint_that_was_never_asked_closes(model: FakeModel) -> None:
    await OpenAIModel("", model.url, "m", 1.0, 0).close()


async def test_key_is_sent_and_its_absence_is_no_obstacle(endpoint: OpenAIModel, model: FakeModel) -> None:
    await answer(endpoint, asking())
    keyless = OpenAIModel("", model.url, "m", 1.0, 0)
    await answer(keyless, asking())
    await keyless.close()
    assert [exchange.headers["authorization"] for exchange in model.exchanges()] == ["Bearer sk-secret", "Bearer none"]


async def test_pauses_between_calls_double_up_to_four_seconds(endpoint: OpenAIModel, pauses: Pauses) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        await answer(endpoint, asking(Script(status=500)))
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    assert "HTTP 500" in raised.value.detail


async def test_endpoints_own_wish_decides_the_pause(endpoint: OpenAIModel, pauses: Pauses) -> None:
    _, usage = await answer(endpoint, asking(Script(status=429, times=2, retry_after=3)))
    assert pauses == [3.25, 3.25]
    assert usage.model_calls == 3


async def test_wish_beyond_reason_is_passed_on_at_once(endpoint: OpenAIModel, pauses: Pauses) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        await answer(endpoint, asking(Script(status=429, retry_after=600)))
    assert (pauses, raised.value.retry_after) == ([], 600)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (Script(status=429, times=2), [30, 30]),
        (Script(status=429), [30] * 5),
        (Script(status=429, times=1, retry_after=14), [30]),
        (Script(status=429, retry_after=600), [600]),
        (Script(status=429, retry_after=1e300), [3600]),
        (Script(status=500, times=1), []),
        (Script(status=401), []),
    ],
    ids=lambda value: value.directive() if isinstance(value, Script) else None,
)
async def test_every_call_that_is_refused_for_load_is_told_with_the_time_to_ask_less(
    endpoint: OpenAIModel, script: Script, told: list[float]
) -> None:
    assert await throttles(endpoint, script) == told


async def test_refused_credentials_are_no_reason_to_repeat(endpoint: OpenAIModel, pauses: Pauses) -> None:
    with pytest.raises(ModelRefused, match="OPENAI_API_KEY") as raised:
        await answer(endpoint, asking(Script(status=401)))
    assert pauses == []
    assert "sk-secret" not in str(raised.value)


async def test_unknown_model_is_named(endpoint: OpenAIModel) -> None:
    with pytest.raises(ModelRefused, match="no-such-model"):
        await answer(endpoint, asking(Script(status=404), model="no-such-model"))


@pytest.mark.parametrize("finish_reason", ["length", "content_filter", "stop"])
async def test_empty_answer_fails_and_says_why(endpoint: OpenAIModel, finish_reason: str) -> None:
    advice = {"length": "max_tokens", "content_filter": "content filter", "stop": "empty answer"}
    with pytest.raises(ModelFailed, match=advice[finish_reason]):
        await answer(endpoint, asking(Script(answer=" ", finish_reason=finish_reason)))


async def test_answer_that_is_cut_by_max_tokens_is_an_answer(endpoint: OpenAIModel) -> None:
    text, _ = await answer(endpoint, asking(Script(answer="Once upon a", finish_reason="length")))
    assert text == "Once upon a"


# What endpoints are known to do and the scripted one does not


async def test_finished_answer_is_kept_when_the_stream_does_not_end() -> None:
    whole = {"choices": [{"index": 0, "delta": {"content": "All of it."}, "finish_reason": "stop"}]}
    async with odd_endpoint(lambda _: events(whole)) as endpoint:
        assert await answer(endpoint, asking()) == ("All of it.", Usage(0, 0, 1))


async def test_model_with_a_temperature_of_its_own_is_asked_without_one() -> None:
    asked: list[bool] = []

    def respond(body: dict[str, Any]) -> bytes:
        asked.append("temperature" in body)
        if not asked[-1]:
            return events({"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]})
        return refusing(400, {"error": {"message": "no", "param": "temperature", "code": "unsupported_value"}})

    async with odd_endpoint(respond) as endpoint:
        assert await answer(endpoint, asking()) == ("Hi.", Usage(0, 0, 2))
        assert await answer(endpoint, asking()) == ("Hi.", Usage(0, 0, 1))
    assert asked == [True, False, False]


@pytest.mark.parametrize(
    ("url", "name"),
    [("", "max_completion_tokens"), (OPENAI_URL, "max_completion_tokens"), ("http://m/v1", "max_tokens")],
)
def test_most_tokens_of_an_answer_have_the_name_that_the_endpoint_knows(url: str, name: str) -> None:
    assert OpenAIModel("key", url, "m", 1.0, 0).parameters(asking(), "m")[name] == 100


# Formats

OBJECT = AnswerFormat("object", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})


def formatted(script: Script | None = None, model: str = "") -> ModelRequest:
    return replace(asking(script, model), answer_format=OBJECT)


def formats(model: FakeModel) -> list[bool]:
    return ["response_format" in exchange.body for exchange in model.exchanges()]


async def test_format_is_asked_for_as_openai_wants_it(endpoint: OpenAIModel, model: FakeModel) -> None:
    await answer(endpoint, formatted())
    described = {"name": "object", "schema": OBJECT.schema, "strict": True}
    assert model.exchanges()[0].body["response_format"] == {"type": "json_schema", "json_schema": described}


@pytest.mark.parametrize("plainly", [False, True])
async def test_model_that_knows_no_formats_is_asked_without_and_so_is_it_the_next_time(
    model: FakeModel, endpoint: OpenAIModel, plainly: bool
) -> None:
    script = Script(answer="{}", refuses="response_format", refuses_plainly=plainly)
    for _ in range(2):
        text, usage = await answer(endpoint, formatted(script))
        assert text == "{}"
    assert usage.model_calls == 1
    await answer(endpoint, formatted(script, "another-model"))
    assert formats(model) == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("status", "body", "parameter"),
    [
        (400, {"message": "This response_format type is unavailable now", "param": None}, "response_format"),
        (400, {"message": "invalid value: `json_schema`", "param": "response_format.type"}, "response_format"),
        (400, "'response_format.json_schema.schema' must be an object", "response_format"),
        (422, {"message": "Failed to deserialize: response_format: unknown variant"}, "response_format"),
        (400, {"message": "Structured outputs are not supported by this backend"}, "response_format"),
        (400, {"message": "json_schema is odd", "param": "messages"}, "messages"),
        (400, {"message": "This model's maximum context length is 8192 tokens"}, None),
        (400, {"message": "odd", "param": ["odd"]}, None),
        (
            422,
            {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]},
            "response_format",
        ),
        (422, {"detail": [{"loc": ["body", "seed"], "msg": "no", "input": "what is response_format?"}]}, None),
        (404, {"message": "there is no such response_format"}, None),
    ],
)
def test_refused_format_is_known_however_it_is_worded(status: int, body: Any, parameter: str | None) -> None:
    assert failure(status_error(status, body)).refused_parameter == parameter


@pytest.mark.parametrize(
    "script", [Script(answer="I must not.", refusal="policy"), Script(answer='{"tas', finish_reason="content_filter")]
)
async def test_refusal_is_no_answer_where_a_format_is_asked_for(endpoint: OpenAIModel, script: Script) -> None:
    with pytest.raises(ModelRefused, match="refuses to answer"):
        await answer(endpoint, formatted(script))


# Reading chunks


def chunk(text: str | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}]}


@pytest.mark.parametrize(
    "shapeless",
    [
        *(None, "text", 7, [], {}, {"choices": None}, {"choices": {"a": 1}}, {"choices": [None]}),
        *({"choices": [{"delta": None}]}, {"choices": [{"delta": {"content": 7}}]}, {"usage": None}),
    ],
    ids=repr,
)
def test_chunk_of_any_shape_is_read_as_nothing(shapeless: object) -> None:
    reader = PieceReader()
    assert reader.read(shapeless) == ""
    assert usage_of(shapeless) is None
    with pytest.raises(ModelFailed):
        reader.end()


def test_character_in_two_halves_is_put_together() -> None:
    reader = PieceReader()
    texts = [reader.read(chunk("a\ud834")), reader.read(chunk("\udd1e")), reader.read(chunk("b", "stop")), reader.end()]
    assert texts == ["a", "\U0001d11e", "b", ""]


def test_half_a_character_is_replaced() -> None:
    reader = PieceReader()
    texts = [reader.read(chunk("\udd1ea")), reader.read(chunk("b\ud834", "stop")), reader.end()]
    assert texts == ["\ufffda", "b", "\ufffd"]


def test_nul_is_replaced() -> None:
    assert PieceReader().read(chunk("a\0b")) == "a\ufffdb"


def test_usage_that_is_no_number_counts_nothing() -> None:
    for odd in ("many", -3, True, 2.5, 10**30):
        assert str(usage_of({"usage": {"prompt_tokens": odd, "completion_tokens": odd}})) == str(Usage(0, 0))


# Failures


def status_error(status: int, body: object = None) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://model")
    kind = openai.BadRequestError if status == 400 else openai.APIStatusError
    return kind("the driver's text", response=httpx2.Response(status, request=request), body=body)


def failure(error: Exception) -> Failure:
    found = failure_of(error, "m", said=False, silence_seconds=60)
    assert found is not None
    assert "driver" not in found.error.detail
    return found


def test_used_up_quota_is_not_overload() -> None:
    found = failure(status_error(429, {"code": "insufficient_quota"}))
    assert isinstance(found.error, ModelRefused)
    assert not found.passing
    assert found.throttled_seconds is None, "asking less would not help"


def test_code_is_shown_only_if_it_is_a_name() -> None:
    assert "context_length_exceeded" in failure(status_error(400, {"code": "context_length_exceeded"})).error.detail
    assert "prompt" not in failure(status_error(400, {"code": "your prompt was: secret"})).error.detail


def test_unforeseen_exception_is_nobodys_failure() -> None:
    assert failure_of(ZeroDivisionError(), "m", said=False, silence_seconds=1) is None
