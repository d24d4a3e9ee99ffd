"""Embeddings of an endpoint behind the openai client, and the choice between them and those of one's own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding.choice import embedder_of
from services.agents.memory.embedding.hashing import HashingEmbedder
from services.agents.memory.embedding.minilm import MiniLmEmbedder
from services.agents.memory.embedding.openai_answer import vectors_in
from services.agents.memory.embedding.openai_embedder import OpenAIEmbedder
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Fault, Script
from tests.fakes.openai_server import FakeModel
from tests.fakes.openai_vectors import vector_of


class Pauses(list[float]):
    """Takes the pauses between calls down, instead of pausing."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def endpoint(model: FakeModel, pauses: Pauses) -> AsyncIterator[OpenAIEmbedder]:
    made = OpenAIEmbedder("sk-secret", model.url, "embed-test", 0.5, 2, pauses, lambda: 1.0)
    yield made
    await made.close()


def scripted(text: str = "Hello.", **script: Any) -> str:
    """A text of which the beginning is its script, so that it survives if the text is shortened."""
    return f"{Script(**script).directive()}\n{text}"


def asked(model: FakeModel) -> list[list[str]]:
    """The texts of each request."""
    return [exchange.body["input"] for exchange in model.embeddings()]


# What is asked for


async def test_vectors_are_the_endpoints_in_the_order_of_the_texts(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    texts = ["the parser fails", "green tea", "the parser fails"]
    assert await endpoint.embed(texts) == [pytest.approx(vector_of(text)) for text in texts]
    [exchange] = model.embeddings()
    assert exchange.body == {"model": "embed-test", "input": texts, "encoding_format": "float"}


async def test_answer_in_another_order_is_put_right(endpoint: OpenAIEmbedder) -> None:
    texts = ["one", "two", scripted(fault="backwards")]
    assert await endpoint.embed(texts) == [pytest.approx(vector_of(text)) for text in texts]


async def test_no_texts_ask_nobody(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    assert await endpoint.embed([]) == []
    assert asked(model) == []


async def test_many_texts_are_several_requests(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    texts = [f"number {number}" for number in range(70)]
    assert await endpoint.embed(texts) == [pytest.approx(vector_of(text)) for text in texts]
    assert [len(each) for each in asked(model)] == [32, 32, 6]


async def test_long_texts_are_few_in_one_request(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    texts = [f"{number} {'word ' * 10_000}" for number in range(20)]
    assert await endpoint.embed(texts) == [pytest.approx(vector_of(text[:24_000])) for text in texts]
    assert [len(each) for each in asked(model)] == [8, 8, 4]


async def test_text_is_cut_between_characters(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    await endpoint.embed(["a" + "𝄞" * 10_000])
    assert asked(model) == [["a" + "𝄞" * 5_999]]


@pytest.mark.parametrize("blank", ["", " ", "\n"])
async def test_text_of_nothing_is_sent_as_something(endpoint: OpenAIEmbedder, model: FakeModel, blank: str) -> None:
    [vector] = await endpoint.embed([blank])
    assert any(vector)
    assert asked(model) == [["(nothing)"]]


async def test_model_that_reads_less_gets_less_from_then_on(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    long = scripted("word " * 4_000, most_words=300)
    await endpoint.embed([long, "short"])
    lengths = [len(texts[0].encode()) for texts in asked(model)]
    assert lengths == [len(long), len(long) // 2, len(long) // 4, len(long) // 8, len(long) // 16]
    await endpoint.embed([long])
    assert len(asked(model)[-1][0]) == lengths[-1]
    assert len(asked(model)) == len(lengths) + 1


async def test_refusal_that_is_not_for_length_shortens_nothing(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    with pytest.raises(EmbeddingRefused, match="EMBEDDING_MODEL"):
        await endpoint.embed([scripted("word " * 1_000, status=400)])
    assert len(asked(model)) < 8
    await endpoint.embed(["x" * 30_000])
    assert len(asked(model)[-1][0]) == 24_000


async def test_key_is_sent_and_its_absence_is_no_obstacle(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    await endpoint.embed(["Hello."])
    keyless = OpenAIEmbedder("", model.url, "m", 1.0, 0)
    keyless.warm()
    await keyless.embed(["Hello."])
    await keyless.close()
    sent = [exchange.headers["authorization"] for exchange in model.embeddings()]
    assert sent == ["Bearer sk-secret", "Bearer none"]


# Failures


@pytest.mark.parametrize(("status", "said"), [(429, "is overloaded"), (500, "fails"), (503, "fails"), (408, "fails")])
async def test_endpoint_that_fails_is_asked_again_and_then_unavailable(
    endpoint: OpenAIEmbedder, pauses: Pauses, status: int, said: str
) -> None:
    with pytest.raises(EmbeddingUnavailable, match=rf"{said} \(HTTP {status}\)") as raised:
        await endpoint.embed([scripted(status=status)])
    assert pauses == [0.25, 0.5]
    assert "script" not in str(raised.value)


async def test_endpoint_that_is_back_in_time_is_no_failure(
    endpoint: OpenAIEmbedder, model: FakeModel, pauses: Pauses
) -> None:
    text = scripted(status=503, times=2)
    assert await endpoint.embed([text]) == [pytest.approx(vector_of(text))]
    assert (len(asked(model)), len(pauses)) == (3, 2)


async def test_endpoints_own_wish_decides_the_pause(endpoint: OpenAIEmbedder, pauses: Pauses) -> None:
    await endpoint.embed([scripted(status=429, times=1, retry_after=3)])
    assert pauses == [3.25]


async def test_wish_beyond_reason_is_passed_on_at_once(endpoint: OpenAIEmbedder, pauses: Pauses) -> None:
    with pytest.raises(EmbeddingUnavailable) as raised:
        await endpoint.embed([scripted(status=429, retry_after=600)])
    assert (pauses, raised.value.retry_after) == ([], 600)


async def test_broken_connection_is_tried_again(endpoint: OpenAIEmbedder, pauses: Pauses) -> None:
    text = scripted(fault="reset", after_chunks=0, times=1)
    assert await endpoint.embed([text]) == [pytest.approx(vector_of(text))]
    assert pauses == [0.25]


async def test_endpoint_that_is_not_there_is_unavailable(
    endpoint: OpenAIEmbedder, model: FakeModel, pauses: Pauses
) -> None:
    model.stop()
    with pytest.raises(EmbeddingUnavailable, match="OPENAI_BASE_URL"):
        await endpoint.embed(["Hello."])
    assert len(pauses) == 2
    model.start()
    assert await endpoint.embed(["Hello."]) == [pytest.approx(vector_of("Hello."))]


async def test_silent_endpoint_is_unavailable(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    with pytest.raises(EmbeddingUnavailable, match=r"0\.5 seconds.*CODELAB_MODEL_TIMEOUT_SECONDS"):
        await endpoint.embed([scripted(fault="hang")])
    await eventually(lambda: [each.outcome for each in model.embeddings()] == ["closed_by_client"])


@pytest.mark.parametrize(
    ("status", "setting"),
    [
        *((401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (400, "EMBEDDING_MODEL"), (422, "EMBEDDING_MODEL")),
        *((404, "EMBEDDING_MODEL"), (404, "OPENAI_BASE_URL")),
    ],
)
async def test_refusal_names_the_setting_and_is_not_repeated(
    endpoint: OpenAIEmbedder, model: FakeModel, status: int, setting: str
) -> None:
    with pytest.raises(EmbeddingRefused, match=setting) as raised:
        await endpoint.embed([scripted(status=status)])
    assert len(asked(model)) == 1
    assert f"HTTP {status}" in str(raised.value)
    assert "sk-secret" not in str(raised.value)
    assert "script" not in str(raised.value)


@pytest.mark.parametrize(
    "fault",
    [
        *("garbage_body", "data_null", "vector_missing", "vector_twice", "vector_short", "vector_empty", "vector_zero"),
        *("vector_huge", "vector_base64", "vector_null"),
    ],
)
async def test_answer_that_is_none_is_refused(endpoint: OpenAIEmbedder, model: FakeModel, fault: Fault) -> None:
    with pytest.raises(EmbeddingRefused, match="OPENAI_BASE_URL"):
        await endpoint.embed(["Hello.", scripted(fault=fault)])
    assert len(asked(model)) == 1


async def test_dimension_that_changes_between_two_requests_is_refused(endpoint: OpenAIEmbedder) -> None:
    with pytest.raises(EmbeddingRefused, match="EMBEDDING_MODEL"):
        await endpoint.embed([*["Hello."] * 32, scripted(dimension=65)])


async def test_cancelled_call_ends_its_request(endpoint: OpenAIEmbedder, model: FakeModel) -> None:
    call = asyncio.create_task(endpoint.embed([scripted(gate="never")]))
    await eventually(model.embeddings)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    await eventually(lambda: [each.outcome for each in model.embeddings()] == ["closed_by_client"])


async def test_endpoint_that_was_never_asked_closes(model: FakeModel) -> None:
    await OpenAIEmbedder("", model.url, "m", 1.0, 0).close()


# Reading answers


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 7, "text", [], {}, {"data": {}}, {"data": []}, {"data": [None]}, {"data": [{}]}),
        *(
            {"data": [{"embedding": each}]}
            for each in (None, "AACA", {}, [], [0, 0.0], [1e-30], [True], ["1"], [[1]], [None])
        ),
        *({"data": [{"embedding": [1], "index": each}]} for each in (1, -1, "0", True, 0.0)),
    ],
    ids=repr,
)
def test_answer_of_any_other_shape_is_a_value_error(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"^not "):
        vectors_in(json.dumps(answer).encode(), 1)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 400, "-1e39"])
def test_number_that_is_none_is_a_value_error(number: str) -> None:
    with pytest.raises(ValueError, match=r"not a vector|unexpected|infinity"):
        vectors_in(b'{"data": [{"embedding": [1.5, %b]}]}' % number.encode(), 1)


def test_answer_without_indexes_is_in_order() -> None:
    assert vectors_in(b'{"data": [{"embedding": [1, 2]}, {"embedding": [0.5, -3], "index": null}]}', 2) == [
        [1.0, 2.0],
        [0.5, -3.0],
    ]


# The choice


def settings(**environ: str) -> Settings:
    return Settings.load(environ)


async def test_bundled_model_is_the_default() -> None:
    for chosen in (embedder_of(settings()), embedder_of(settings(OPENAI_API_KEY="key"))):
        assert isinstance(chosen, MiniLmEmbedder)
        assert chosen.model == "minilm"
        await chosen.close()


async def test_hashing_is_chosen_by_name() -> None:
    chosen = embedder_of(settings(EMBEDDING_MODEL="hashing", OPENAI_API_KEY="key"))
    assert isinstance(chosen, HashingEmbedder)
    assert chosen.model == "hashing"


async def test_any_other_name_is_a_model_of_the_endpoint(model: FakeModel) -> None:
    chosen = embedder_of(settings(EMBEDDING_MODEL="nomic-embed-text", OPENAI_BASE_URL=model.url))
    assert chosen.model == "nomic-embed-text"
    assert len(await chosen.embed(["Hello."])) == 1
    assert model.embeddings()[0].body["model"] == "nomic-embed-text"
    await chosen.close()


async def test_key_alone_means_openai_itself() -> None:
    chosen = embedder_of(settings(EMBEDDING_MODEL="text-embedding-3-small", OPENAI_API_KEY="key"))
    assert isinstance(chosen, OpenAIEmbedder)
    await chosen.close()


def test_choosing_loads_nothing_that_is_slow_to_load() -> None:
    code = (
        "import sys; from services.agents.memory.embedding.choice import embedder_of;"
        " from services.runtime.settings import Settings; embedder_of(Settings.load({}));"
        " print({'numpy', 'openai', 'tokenizers', 'safetensors'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, timeout=30).stdout
    assert printed.decode().strip() == "set()"


def test_name_without_an_endpoint_stops_the_start_and_says_what_to_set() -> None:
    with pytest.raises(StartupError) as caught:
        embedder_of(settings(EMBEDDING_MODEL="text-embedding-3-small"))
    line = str(caught.value)
    assert all(word in line for word in ("EMBEDDING_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "minilm", "hashing"))
    assert "\n" not in line
