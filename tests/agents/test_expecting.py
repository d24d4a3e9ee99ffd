"""Embedding beforehand what will be asked for."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.agents.errors import EmbeddingUnavailable
from services.agents.memory.embedding.expecting import ExpectingEmbedder
from services.agents.memory.model import Vector
from services.agents.planning_prompt import instructions_in
from tests.e2e.polling import eventually


class GatedEmbedder:
    """Makes a vector of a text's length, once the gate is open; fails while it is `away`."""

    model = "gated"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.away = False
        self.closed = False

    def warm(self) -> None:
        pass

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked.append(list(texts))
        await self.gate.wait()
        if self.away:
            raise EmbeddingUnavailable("away")
        return [[float(len(text))] for text in texts]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def gated() -> GatedEmbedder:
    return GatedEmbedder()


@pytest.fixture
async def embedder(gated: GatedEmbedder) -> AsyncIterator[ExpectingEmbedder]:
    embedder = ExpectingEmbedder(gated, most_kept=3)
    yield embedder
    await embedder.close()
    assert gated.closed


async def test_what_is_expected_is_embedded_once_and_before_it_is_asked_for(
    embedder: ExpectingEmbedder, gated: GatedEmbedder
) -> None:
    gated.gate.set()
    embedder.expect(["a", "bb"])
    await eventually(lambda: gated.asked == [["a"], ["bb"]])
    assert await embedder.embed(["bb", "ccc", "a"]) == [[2.0], [3.0], [1.0]]
    assert gated.asked == [["a"], ["bb"], ["ccc"]]


async def test_what_was_used_is_embedded_again(embedder: ExpectingEmbedder, gated: GatedEmbedder) -> None:
    gated.gate.set()
    embedder.expect(["a"])
    assert [await embedder.embed(["a"]) for _ in range(2)] == [[[1.0]], [[1.0]]]
    assert gated.asked == [["a"], ["a"]]


async def test_nobody_waits_behind_what_is_only_expected(embedder: ExpectingEmbedder, gated: GatedEmbedder) -> None:
    embedder.expect(["a", "bb", "ccc"])
    await eventually(lambda: gated.asked == [["a"]])
    asking = asyncio.create_task(embedder.embed(["ccc"]))
    await eventually(lambda: gated.asked == [["a"], ["ccc"]])
    gated.gate.set()
    assert await asking == [[3.0]]
    await eventually(lambda: gated.asked == [["a"], ["ccc"], ["bb"]])


async def test_who_asks_for_what_is_being_made_waits_for_it_and_may_leave(
    embedder: ExpectingEmbedder, gated: GatedEmbedder
) -> None:
    embedder.expect(["a"])
    await eventually(lambda: gated.asked == [["a"]])
    leaving = asyncio.create_task(embedder.embed(["a"]))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    gated.gate.set()
    assert await embedder.embed(["a"]) == [[1.0]]


async def test_what_could_not_be_made_beforehand_is_asked_for_again(
    embedder: ExpectingEmbedder, gated: GatedEmbedder
) -> None:
    gated.gate.set()
    gated.away = True
    embedder.expect(["a", "bb"])
    await eventually(lambda: gated.asked == [["a"]])
    with pytest.raises(EmbeddingUnavailable):
        await embedder.embed(["bb"])
    gated.away = False
    assert await embedder.embed(["a", "bb"]) == [[1.0], [2.0]]


async def test_only_so_much_is_kept_that_nobody_asks_for(embedder: ExpectingEmbedder, gated: GatedEmbedder) -> None:
    gated.gate.set()
    embedder.expect(["a", "bb", "ccc", "dddd"])
    await eventually(lambda: len(gated.asked) == 4)
    await embedder.embed(["a"])
    await embedder.embed(["dddd"])
    assert gated.asked[4:] == [["a"]]


@pytest.mark.parametrize(
    ("answer", "instructions"),
    [
        ('{"tasks": [{"instruction": "a"}, {"title": "b"}, 3, {"instruction": 4}, {"instruction": "c"}]}', ["a", "c"]),
        ("Here is the plan: {}", []),
        ('[{"instruction": "a"}]', []),
        ('{"tasks": {"instruction": "a"}}', []),
        ("[" * 40_000, []),
        ('{"tasks": [{"instruction": "' + "a" * 50_000 + '"}]}', []),
    ],
    ids=["some good ones", "prose", "a list", "no list", "nested too deeply", "too long to be read"],
)
def test_instructions_are_read_of_whatever_a_model_answers(answer: str, instructions: list[str]) -> None:
    assert instructions_in(answer) == instructions
