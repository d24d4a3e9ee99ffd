"""Tools and their calls between the model and its endpoint, without the service around it."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.agents.answering import answering
from services.agents.errors import ModelFailed
from services.agents.events import Completed, Delta, ModelCalled
from services.agents.models import CallsWanted, Message, ModelRequest, Usage, WantedCall
from services.agents.openai_model import OpenAIModel
from services.agents.openai_refusals import KEPT_SECONDS
from services.agents.tokens import estimate_message, estimate_prompt
from services.agents.tools.tool import ToolSpec
from tests.agents.endpoints import Pauses, answer, asking, events, odd_endpoint, refusing, whole
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
READ = ToolSpec("read_file", "Read a file.", "read", SCHEMA)
CALL = {"tool": "read_file", "arguments": {"path": "é"}}
HEAD = {"index": 0, "id": "x", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}


@pytest.fixture
async def endpoint(model: FakeModel) -> AsyncIterator[OpenAIModel]:
    made = OpenAIModel("key", model.url, "m", 30, 1, Pauses(), lambda: 1.0)
    yield made
    await made.close()


def offering(script: Script | None = None, *turns: Message, **changed: Any) -> ModelRequest:
    request = asking(script)
    return replace(request, messages=(*request.messages, *turns), tools=(READ,), **changed)


async def pieces_of(endpoint: OpenAIModel, request: ModelRequest) -> list[Any]:
    return [piece async for piece in endpoint.stream(request)]


def turn(calls: Sequence[WantedCall], *results: str) -> tuple[Message, ...]:
    told = [Message("tool", result, call_id=call.id) for call, result in zip(calls, results, strict=True)]
    return (Message("assistant", "", calls=tuple(calls)), *told)


async def test_tools_are_offered_as_openai_wants_them(endpoint: OpenAIModel, model: FakeModel) -> None:
    await answer(endpoint, offering())
    await answer(endpoint, offering(may_call=False))
    await answer(endpoint, asking())
    may, may_not, without = (exchange.body for exchange in model.exchanges())
    function = {"name": "read_file", "description": "Read a file.", "parameters": SCHEMA}
    assert may["tools"] == may_not["tools"] == [{"type": "function", "function": function}]
    assert ["tool_choice" in may, may_not["tool_choice"]] == [False, "none"]
    assert {"tools", "tool_choice"}.isdisjoint(without)


async def test_calls_come_after_the_text_and_before_the_usage(endpoint: OpenAIModel) -> None:
    script = Script(calls=[[CALL, {"tool": "no_such_tool", "raw": "{broken", "id": "own"}]], before="Let me see.")
    *text, wanted, usage = await pieces_of(endpoint, offering(script))
    assert "".join(text) == "Let me see."
    assert wanted == CallsWanted(
        (WantedCall("call_0_0", "read_file", '{"path": "\\u00e9"}'), WantedCall("own", "no_such_tool", "{broken"))
    )
    assert usage.completion_tokens == 6


async def test_results_are_told_and_the_model_goes_on(endpoint: OpenAIModel) -> None:
    script = Script(calls=[[CALL, CALL], [CALL]], answer="Done: {results}")
    turns: tuple[Message, ...] = ()
    for results in (["one", ""], ["three"]):
        wanted, _ = await pieces_of(endpoint, offering(script, *turns))
        turns += turn(wanted.calls, *results)
    assert (await answer(endpoint, offering(script, *turns)))[0] == "Done: one\n\nthree"


async def test_ids_of_calls_differ_from_those_of_earlier_turns(endpoint: OpenAIModel) -> None:
    script = Script(calls=[[{**CALL, "id": "same"}], [{**CALL, "id": "same"}]])
    [first, _] = await pieces_of(endpoint, offering(script))
    [second, _] = await pieces_of(endpoint, offering(script, *turn(first.calls, "result")))
    assert first.calls[0].id == "same"
    assert second.calls[0].id not in ("", "same")


async def test_calls_that_break_off_are_asked_for_again(endpoint: OpenAIModel, model: FakeModel) -> None:
    script = Script(calls=[[CALL]], fault="reset", after_chunks=2, times=1, token_seconds=0.01)
    [wanted, usage] = await pieces_of(endpoint, offering(script))
    assert [call.tool for call in wanted.calls] == ["read_file"]
    assert (usage.model_calls, len(model.exchanges())) == (2, 2)


@pytest.mark.parametrize(
    "chunks",
    [
        [({"tool_calls": [HEAD]}, "tool_calls")],
        [({"tool_calls": [HEAD]}, None), ({"content": ""}, "stop")],
        [({"tool_calls": [{"function": {**HEAD["function"], "arguments": {"path": "a"}}}]}, "stop")],  # type: ignore[dict-item]
        [({"function_call": HEAD["function"]}, None), ({}, "function_call")],
    ],
    ids=["in one chunk", "stop", "without index and id", "legacy"],
)
async def test_odd_streams_of_calls_are_read(chunks: list[tuple[dict[str, Any], str | None]]) -> None:
    told = [{"choices": [{"delta": delta, "finish_reason": reason}]} for delta, reason in chunks]
    async with odd_endpoint(lambda _: whole(*told), 30) as endpoint:
        [wanted, usage] = await pieces_of(endpoint, offering())
    assert [(call.tool, json.loads(call.arguments)) for call in wanted.calls] == [("read_file", {"path": "a"})]
    assert wanted.calls[0].id
    assert usage == Usage(0, 0, 1)


async def test_arguments_without_end_end_the_turn() -> None:
    def part(arguments: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}}]}

    head = {"choices": [{"delta": {"tool_calls": [{**HEAD, "function": {"name": "read_file"}}]}}]}
    # The stream has no end: whoever waited for it would fail for its silence.
    async with odd_endpoint(lambda _: events(head, *[part("a" * 10_000)] * 11), 30) as endpoint:
        [wanted, _] = await pieces_of(endpoint, offering())
    assert len(wanted.calls[0].arguments) == 100_001


async def test_calls_nobody_offered_are_no_answer() -> None:
    called = {"choices": [{"delta": {"tool_calls": [HEAD]}, "finish_reason": "tool_calls"}]}
    async with odd_endpoint(lambda _: whole(called), 30) as endpoint:
        with pytest.raises(ModelFailed, match="empty"):
            await pieces_of(endpoint, asking())


# Endpoints and models that take no tools


def saying(text: str) -> bytes:
    return whole({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]})


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "m does not support tools"), (500, "tools param requires --jinja flag"), (400, "tool_choice must be named")],
)
async def test_model_that_takes_no_tools_answers_without_and_is_offered_them_again_after_a_while(
    status: int, message: str
) -> None:
    offered: list[bool] = []
    now = 0.0

    def respond(request: dict[str, Any]) -> bytes:
        offered.append("tools" in request)
        return refusing(status, {"error": {"message": message}}) if offered[-1] else saying("Hi.")

    async with odd_endpoint(respond, 30, lambda: now) as endpoint:
        for moment, calls in ((0.0, 2), (KEPT_SECONDS - 1, 1), (KEPT_SECONDS, 2), (2 * KEPT_SECONDS - 1, 1)):
            now = moment
            assert await answer(endpoint, offering()) == ("Hi.", Usage(0, 0, calls))
    assert offered == [True, False, False, True, False, False]


async def test_other_models_of_the_endpoint_are_still_offered_tools(endpoint: OpenAIModel, model: FakeModel) -> None:
    script = Script(calls=[[CALL]], answer="Without.", refuses="tools")
    assert (await answer(endpoint, offering(script)))[0] == "Without."
    [wanted, _] = await pieces_of(endpoint, offering(Script(calls=[[CALL]]), model="other"))
    assert isinstance(wanted, CallsWanted)
    assert ["tools" in exchange.body for exchange in model.exchanges()] == [True, False, True]


async def test_results_are_told_as_text_to_a_model_that_takes_no_tools(endpoint: OpenAIModel, model: FakeModel) -> None:
    script = Script(refuses="tools", answer="Done: {results}")
    text, _ = await answer(endpoint, offering(script, *turn([WantedCall("x", "read_file", "{}")], "the result")))
    assert text.startswith("Done: # What your tools gave")
    assert '{"tool": "read_file", "arguments": "{}", "result": "the result"}' in text
    assert [each["role"] for each in model.exchanges()[-1].body["messages"]] == ["user", "assistant", "user"]


async def test_results_are_told_as_text_where_there_are_no_tools_any_more(endpoint: OpenAIModel) -> None:
    script = Script(answer="{results}")
    request = offering(script, *turn([WantedCall("x", "read_file", "{}")], "the result"))
    assert (await answer(endpoint, replace(request, tools=())))[0].startswith("# What your tools gave")


async def test_choice_that_is_refused_leaves_the_tools_to_later_turns(endpoint: OpenAIModel, model: FakeModel) -> None:
    script = Script(calls=[[CALL]], answer="Enough.", refuses="tool_choice")
    assert (await answer(endpoint, offering(script, may_call=False)))[0] == "Enough."
    [wanted, _] = await pieces_of(endpoint, offering(script))
    assert isinstance(wanted, CallsWanted)
    told = [[name in exchange.body for name in ("tools", "tool_choice")] for exchange in model.exchanges()]
    assert told == [[True, True], [False, False], [True, False]]


@pytest.mark.parametrize("said", ["", "\n"])
async def test_model_that_calls_what_it_may_not_is_asked_without_tools(said: str) -> None:
    called = {"choices": [{"delta": {"content": said, "tool_calls": [HEAD]}, "finish_reason": "tool_calls"}]}
    async with odd_endpoint(lambda body: whole(called) if "tools" in body else saying("Enough."), 30) as endpoint:
        text, usage = await answer(endpoint, offering(may_call=False))
        assert (text.strip(), usage.model_calls) == ("Enough.", 2)
        assert (await answer(endpoint, offering(may_call=False)))[1].model_calls == 1


async def test_text_beside_calls_that_may_not_be_made_is_the_answer() -> None:
    called = {"choices": [{"delta": {"content": "Enough.", "tool_calls": [HEAD]}, "finish_reason": "tool_calls"}]}
    async with odd_endpoint(lambda _: whole(called), 30) as endpoint:
        assert await answer(endpoint, offering(may_call=False)) == ("Enough.", Usage(0, 0, 1))


# Answering


async def test_answering_passes_calls_on_and_counts_them_and_the_tools_where_the_model_does_not(
    endpoint: OpenAIModel,
) -> None:
    request = offering(Script(calls=[[CALL]], usage=False))
    called, wanted, completed = [event async for event in answering(endpoint, request)]
    assert called == ModelCalled(estimate_prompt(request.messages, request.tools))
    assert called.prompt_tokens > estimate_prompt(request.messages) + 40
    assert isinstance(wanted, CallsWanted)
    assert isinstance(completed, Completed)
    said = Message("assistant", "", calls=wanted.calls)
    assert completed == Completed("", Usage(called.prompt_tokens, estimate_message(said), 1))
    assert completed.usage.completion_tokens > 8


async def test_answering_counts_deltas_before_calls(endpoint: OpenAIModel) -> None:
    request = offering(Script(calls=[[CALL]], before="abc", chunks=1))
    _, delta, wanted, completed = [event async for event in answering(endpoint, request)]
    assert (delta, type(wanted), type(completed)) == (Delta(0, "abc"), CallsWanted, Completed)
