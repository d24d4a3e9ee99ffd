"""Whatever is filtered, searched, listed, counted or deleted, every store answers as the reference does."""

import random
from dataclasses import dataclass

import pytest

from services.agents.memory.model import Collection, Embedding, Memory, MemoryFilter, MemoryPosition
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.agents.memory.store import MemoryStore
from services.agents.memory.words import words_of
from tests.conformance import memory_reference as reference
from tests.conformance.memory_stores import GROWN_AT, a_collection, position

EMBEDDING = Embedding("reference", 16)
SMALL, GROWN = GROWN_AT - 100, 2000
FILTERS, FILTERS_FOR_THE_FAKE = 40, 12
"""How many filters are tried. The fake server reads every point for each, in Python."""


@dataclass
class Filled:
    """A collection, what is in it, and a source of chance that is the same each time."""

    store: MemoryStore
    collection: Collection
    vectors: dict[str, list[float]]
    memories: list[Memory]
    randomly: random.Random
    number: int

    def filters(self) -> list[MemoryFilter]:
        return [MemoryFilter(), *(reference.some_filter(self.randomly, self.memories) for _ in range(self.number))]

    def fitting(self, filter: MemoryFilter) -> list[Memory]:
        return [each for each in self.memories if reference.fits(each, filter)]

    def vector(self) -> list[float]:
        return [self.randomly.gauss(0, 1) for _ in range(EMBEDDING.dimension)]


@pytest.fixture(params=[SMALL, GROWN], ids=["small", "grown"])
async def filled(request: pytest.FixtureRequest, memory_store: MemoryStore) -> Filled:
    randomly = random.Random(request.param)
    faked = request.param == GROWN and isinstance(memory_store, QdrantMemoryStore)
    number = FILTERS_FOR_THE_FAKE if faked else FILTERS
    filled = Filled(memory_store, a_collection(EMBEDDING), {}, [], randomly, number)
    await memory_store.create(filled.collection)
    filled.memories = reference.some_memories(randomly, filled.collection, request.param)
    filled.vectors = {each.id: filled.vector() for each in filled.memories}
    await memory_store.put(filled.collection, [(each, filled.vectors[each.id]) for each in filled.memories])
    return filled


async def test_searches_by_meaning_find_what_fits_with_its_cosine(filled: Filled) -> None:
    for filter in filled.filters():
        vector = filled.vector()
        scores = {each.id: reference.cosine(filled.vectors[each.id], vector) for each in filled.fitting(filter)}
        expected = sorted(scores, key=lambda id: scores[id], reverse=True)[5:45]
        found = await filled.store.nearest(filled.collection, vector, 40, filter, offset=5)
        assert [each.score for each in found] == pytest.approx([scores[id] for id in expected], abs=1e-5), filter
        # Those of nearly equal scores may change places.
        assert [scores[each.memory.id] for each in found] == pytest.approx([scores[id] for id in expected], abs=1e-5), (
            filter
        )
        assert len({each.memory.id for each in found}) == len(expected), filter


async def test_searches_by_words_find_what_fits_with_its_bm25(filled: Filled) -> None:
    for filter in filled.filters():
        words = words_of(" ".join(filled.randomly.sample(reference.WORDS, filled.randomly.randrange(1, 4))))
        scores = reference.bm25(filled.memories, words)
        expected = {each.id: scores[each.id] for each in filled.fitting(filter) if each.id in scores}
        found = await filled.store.matching(filled.collection, words, len(filled.memories), filter)
        assert {each.memory.id: each.score for each in found} == pytest.approx(expected, rel=1e-4), filter
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True), filter
        first = await filled.store.matching(filled.collection, words, 10, filter)
        assert [each.score for each in first] == pytest.approx([each.score for each in found[:10]], rel=1e-6), filter


async def test_lists_are_of_what_fits_newest_first(filled: Filled) -> None:
    for filter in filled.filters():
        expected = reference.newest(filled.fitting(filter))
        size = filled.randomly.choice((3, 50, 400))
        listed: list[Memory] = []
        after: MemoryPosition | None = None
        while page := await filled.store.newest(filled.collection, size, filter, after):
            listed += page
            after = position(page[-1])
            if len(listed) > 5 * size:
                # The rest is no other, and some lists are long.
                expected = expected[: len(listed)]
                break
        assert listed == expected, filter


async def test_counts_are_of_what_fits(filled: Filled) -> None:
    for filter in filled.filters():
        assert await filled.store.count(filled.collection, filter) == len(filled.fitting(filter)), filter


async def test_exactly_what_fits_is_deleted(filled: Filled) -> None:
    for filter in filled.filters()[1:]:
        fitting = {each.id for each in filled.fitting(filter)}
        if len(fitting) > len(filled.memories) / 4:
            continue
        assert await filled.store.delete(filled.collection, filter) == len(fitting), filter
        filled.memories = [each for each in filled.memories if each.id not in fitting]
        assert await filled.store.count(filled.collection) == len(filled.memories), filter
        if len(filled.memories) < 20:
            break
    left = await filled.store.newest(filled.collection, len(filled.memories) + 1)
    assert left == reference.newest(filled.memories)
    # Their ids alone: an engine may count what is gone to the texts that a word is rare in, until it tidies up.
    found = await filled.store.matching(filled.collection, ["apple"], len(filled.memories))
    assert {each.memory.id for each in found} == reference.bm25(filled.memories, ["apple"]).keys()
