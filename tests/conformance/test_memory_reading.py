"""What MemoryStore promises of searches, lists and filters, held against every backend."""

import math
from datetime import UTC, datetime

import pytest

from services.agents.memory.model import Collection, Memory, MemoryFilter, MemoryPosition
from services.agents.memory.store import MemoryStore
from services.runtime.ids import new_id
from tests.conformance.memory_stores import (
    MICROSECOND,
    NOW,
    SECOND,
    a_memory,
    a_vector,
    found_by,
    position,
    put,
    toward,
)

# Searching by meaning


async def test_the_most_similar_comes_first_and_scores_are_cosines(memory_store: MemoryStore, mine: Collection) -> None:
    same, half, none, against = (a_memory(mine, name) for name in ("same", "half", "none", "against"))
    vectors = [(none, toward(1)), (same, [7.0, 0, 0, 0]), (against, [-0.1, 0, 0, 0]), (half, toward(0, 1.0))]
    await memory_store.put(mine, vectors)
    found = await memory_store.nearest(mine, [0.3, 0, 0, 0], 10)
    assert [each.memory for each in found] == [same, half, none, against]
    assert [each.score for each in found] == pytest.approx([1, math.sqrt(0.5), 0, -1], abs=1e-5)


async def test_a_search_leaves_out_what_is_less_similar(memory_store: MemoryStore, mine: Collection) -> None:
    near, far = a_memory(mine, "near"), a_memory(mine, "far")
    await memory_store.put(mine, [(near, toward(0, 0.1)), (far, toward(0, 5.0))])
    assert [each.memory for each in await memory_store.nearest(mine, toward(0), 10, min_score=0.5)] == [near]
    assert len(await memory_store.nearest(mine, toward(0), 10, min_score=0.1)) == 2
    assert await memory_store.nearest(mine, toward(2), 10, min_score=0.5) == []


async def test_a_search_is_read_in_parts(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [a_memory(mine, f"memory {number}") for number in range(7)]
    await memory_store.put(mine, [(each, toward(0, number * 0.2)) for number, each in enumerate(memories)])
    parts = [await memory_store.nearest(mine, toward(0), 3, offset=offset) for offset in (0, 3, 6, 7, 100)]
    assert [len(part) for part in parts] == [3, 3, 1, 0, 0]
    assert [each.memory for part in parts for each in part] == memories


async def test_a_search_goes_by_a_filter(memory_store: MemoryStore, mine: Collection) -> None:
    wanted, other = a_memory(mine, "wanted", tags=("a",)), a_memory(mine, "other")
    await memory_store.put(mine, [(wanted, toward(1)), (other, toward(0))])
    assert [each.memory for each in await memory_store.nearest(mine, toward(0), 1, MemoryFilter(tags=("a",)))] == [
        wanted
    ]


# Searching by words


async def test_any_of_the_words_is_enough(memory_store: MemoryStore, mine: Collection) -> None:
    await put(memory_store, mine, *(a_memory(mine, each) for each in ("red apples", "green pears", "blue plums")))
    assert sorted(await found_by(memory_store, mine, "apples pears cherries")) == ["green pears", "red apples"]
    assert await found_by(memory_store, mine, "cherries") == []
    assert await memory_store.matching(mine, [], 10) == []


async def test_words_are_found_in_any_case_and_script(memory_store: MemoryStore, mine: Collection) -> None:
    await put(memory_store, mine, a_memory(mine, "Die GRÖSSE der Straße: 東京, ERR_4711!"))
    for words in ("größe", "STRASSE", "東京", "err_4711"):
        assert len(await found_by(memory_store, mine, words)) == 1


async def test_rare_words_say_more_than_common_ones(memory_store: MemoryStore, mine: Collection) -> None:
    common = [a_memory(mine, f"the build is fine {number}") for number in range(20)]
    rare = a_memory(mine, "kubernetes")
    await put(memory_store, mine, *common, rare)
    assert (await found_by(memory_store, mine, "the build kubernetes"))[0] == "kubernetes"


async def test_a_word_says_more_in_a_short_text_and_when_it_is_repeated(
    memory_store: MemoryStore, mine: Collection
) -> None:
    texts = ["apple " * 3 + "pear " * 3, "apple " + "pear " * 5, "apple " + "pear " * 200, *["plum"] * 5]
    await put(memory_store, mine, *(a_memory(mine, each) for each in texts))
    assert await found_by(memory_store, mine, "apple") == texts[:3]


async def test_a_search_for_words_is_read_in_parts_and_by_a_filter(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [a_memory(mine, "apple " + "pear " * number, success=number % 2 == 0) for number in range(7)]
    await put(memory_store, mine, *memories)
    parts = [await memory_store.matching(mine, ["apple"], 3, offset=offset) for offset in (0, 3, 6, 7)]
    assert [each.memory for part in parts for each in part] == memories
    failed = await memory_store.matching(mine, ["apple"], 10, MemoryFilter(success=False))
    assert [each.memory for each in failed] == memories[1::2]
    scores = [each.score for part in parts for each in part]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0


# Lists


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 12, 40])
async def test_every_memory_is_on_exactly_one_page_also_of_equal_times(
    memory_store: MemoryStore, mine: Collection, size: int
) -> None:
    moments = [0, 0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 3]
    memories = [a_memory(mine, f"{moment}", timestamp=NOW + moment * MICROSECOND) for moment in moments]
    await put(memory_store, mine, *memories)
    pages: list[list[Memory]] = []
    after: MemoryPosition | None = None
    while page := await memory_store.newest(mine, size, after=after):
        pages.append(page)
        after = position(page[-1])
    assert {len(page) for page in pages[:-1]} <= {size}
    by_id = sorted(memories, key=lambda each: each.id)
    assert [each for page in pages for each in page] == sorted(by_id, key=lambda each: each.timestamp, reverse=True)


async def test_a_page_begins_after_a_memory_that_is_gone(memory_store: MemoryStore, mine: Collection) -> None:
    memories = sorted((a_memory(mine) for _ in range(4)), key=lambda each: each.id)
    await put(memory_store, mine, *memories)
    await memory_store.delete(mine, MemoryFilter(ids=(memories[1].id,)))
    assert await memory_store.newest(mine, 10, after=position(memories[1])) == memories[2:]
    # A position comes from outside.
    last = datetime.max.replace(tzinfo=UTC)
    assert await memory_store.newest(mine, 10, after=(last, new_id())) == [memories[0], *memories[2:]]


async def test_pages_go_by_a_filter(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [
        a_memory(mine, f"{number}", timestamp=NOW + number // 4 * SECOND, success=number % 3 > 0)
        for number in range(24)
    ]
    await put(memory_store, mine, *memories)
    fitting = MemoryFilter(success=True, since=NOW + SECOND, until=NOW + 4 * SECOND)
    listed: list[Memory] = []
    while page := await memory_store.newest(mine, 2, fitting, position(listed[-1]) if listed else None):
        listed += page
    expected = [each for each in memories[4:16] if each.success]
    assert sorted(listed, key=lambda each: each.id) == sorted(expected, key=lambda each: each.id)
    assert await memory_store.newest(mine, 10, fitting, after=(NOW + SECOND, "f" * 8 + new_id()[8:])) == []
    assert await memory_store.newest(mine, 0, fitting) == []


# Filters


async def test_each_part_of_a_filter_leaves_out_what_does_not_fit(memory_store: MemoryStore, mine: Collection) -> None:
    session = new_id()
    fitting = a_memory(mine, "red apples", interaction_type="tool", tags=("a", "b"), session_id=session)
    other = a_memory(mine, "green apples", tags=("b",), success=False, session_id=new_id(), timestamp=NOW - MICROSECOND)
    await put(memory_store, mine, fitting, other)
    for filter in (
        MemoryFilter(interaction_types=("tool",)),
        MemoryFilter(interaction_types=("direct_call", "tool")),
        MemoryFilter(success=True),
        MemoryFilter(since=NOW),
        MemoryFilter(since=NOW, until=NOW + MICROSECOND),
        MemoryFilter(tags=("a",)),
        MemoryFilter(tags=("b", "a")),
        MemoryFilter(session_id=session),
        MemoryFilter(words=("red",)),
        MemoryFilter(words=("apples", "red")),
        MemoryFilter(ids=(fitting.id,)),
        MemoryFilter(ids=(new_id(), fitting.id, "no uuid")),
    ):
        assert await memory_store.newest(mine, 10, filter) == [fitting], filter
        assert [each.memory for each in await memory_store.nearest(mine, a_vector(), 10, filter)] == [fitting], filter
        assert [each.memory for each in await memory_store.matching(mine, ["apples"], 10, filter)] == [fitting], filter
        assert await memory_store.count(mine, filter) == 1, filter
    assert await memory_store.newest(mine, 10, MemoryFilter(until=NOW)) == [other]
    assert await memory_store.newest(mine, 10, MemoryFilter(success=False)) == [other]


@pytest.mark.parametrize(
    "nothing",
    [
        MemoryFilter(ids=()),
        MemoryFilter(ids=("no uuid",)),
        MemoryFilter(words=("apple",)),
        MemoryFilter(words=("apples", "blue")),
        MemoryFilter(tags=("A",)),
        MemoryFilter(session_id=""),
        MemoryFilter(since=NOW, until=NOW),
    ],
)
async def test_nothing_fits_what_no_memory_has(
    memory_store: MemoryStore, mine: Collection, nothing: MemoryFilter
) -> None:
    await put(memory_store, mine, a_memory(mine, "red apples", tags=("a",)))
    assert await memory_store.newest(mine, 10, nothing) == []
    assert await memory_store.nearest(mine, a_vector(), 10, nothing) == []
    assert await memory_store.count(mine, nothing) == 0
    assert await memory_store.delete(mine, nothing) == 0
    assert await memory_store.count(mine) == 1
