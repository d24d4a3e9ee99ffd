"""The promises of `MemoryStore`, kept by every backend."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Found, Memory, MemoryFilter, MemoryPosition
from services.agents.memory.store import CollectionMissing, MemoryStore
from services.agents.memory.words import words_of
from services.runtime.ids import new_id
from tests.conformance.forgetful import caught
from tests.conformance.memory_stores import (
    LARGER,
    NOW,
    SECOND,
    SMALL,
    a_collection,
    a_memory,
    a_vector,
    position,
    put,
    toward,
)

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
async def mine(memory_store: MemoryStore) -> Collection:
    """An empty collection."""
    collection = a_collection()
    await memory_store.create(collection)
    return collection


def contents(memories: list[Memory]) -> list[str]:
    return [each.content for each in memories]


async def found_by(store: MemoryStore, collection: Collection, words: str, limit: int = 10) -> list[str]:
    """What the search for any of the words finds."""
    return contents([each.memory for each in await store.matching(collection, words_of(words), limit)])


async def the_one(store: MemoryStore, collection: Collection, memory: Memory) -> Memory:
    (stored,) = await store.get(collection, [memory.id])
    return stored


# Collections


async def test_a_new_collection_is_empty(memory_store: MemoryStore, mine: Collection) -> None:
    assert await memory_store.count(mine) == 0
    assert await memory_store.newest(mine, 10) == []
    assert await memory_store.nearest(mine, a_vector(), 10) == []
    assert await memory_store.matching(mine, ["word"], 10) == []


async def test_creating_again_changes_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.create(mine)
    assert await memory_store.newest(mine, 10) == [memory]


async def test_two_that_create_at_once_make_one_collection(memory_store: MemoryStore) -> None:
    collection = a_collection()
    await asyncio.gather(*(memory_store.create(collection) for _ in range(3)))
    await put(memory_store, collection, a_memory(collection))
    assert await memory_store.count(collection) == 1


async def test_dropping_removes_everything_and_may_be_repeated(memory_store: MemoryStore, mine: Collection) -> None:
    await put(memory_store, mine, a_memory(mine))
    await memory_store.drop(mine)
    await memory_store.drop(mine)
    await memory_store.create(mine)
    assert await memory_store.count(mine) == 0


async def test_dropping_leaves_other_collections_alone(memory_store: MemoryStore, mine: Collection) -> None:
    other = a_collection()
    await memory_store.create(other)
    await put(memory_store, other, a_memory(other))
    await memory_store.drop(mine)
    assert await memory_store.count(other) == 1


@pytest.mark.parametrize("dropped", [False, True])
async def test_putting_into_what_is_not_there_is_refused_and_makes_nothing(
    memory_store: MemoryStore, dropped: bool
) -> None:
    collection = a_collection()
    if dropped:
        await memory_store.create(collection)
        await memory_store.drop(collection)
    with pytest.raises(CollectionMissing):
        await put(memory_store, collection, a_memory(collection))
    with pytest.raises(CollectionMissing):
        await put(memory_store, collection)
    await memory_store.create(collection)
    assert await memory_store.count(collection) == 0


async def test_what_is_not_there_holds_nothing_and_takes_nothing(memory_store: MemoryStore) -> None:
    collection = a_collection()
    memory = a_memory(collection)
    await memory_store.change(collection, memory, frozenset({"tags"}))
    await memory_store.change(collection, memory, frozenset({"content"}), a_vector())
    await memory_store.begin_migration(collection, LARGER)
    await memory_store.put_vectors(collection, LARGER, {memory.id: a_vector(LARGER.dimension)})
    await memory_store.end_migration(collection)
    assert await memory_store.get(collection, [memory.id]) == []
    assert await memory_store.nearest(collection, a_vector(), 10) == []
    assert await memory_store.matching(collection, ["hello"], 10) == []
    assert await memory_store.newest(collection, 10) == []
    assert await memory_store.newest(collection, 10, after=(NOW, new_id())) == []
    assert await memory_store.lacking(collection, LARGER, 10) == []
    assert await memory_store.count(collection) == 0
    assert await memory_store.delete(collection, MemoryFilter()) == 0
    with pytest.raises(CollectionMissing):
        await put(memory_store, collection, memory)


# Putting and getting


async def test_a_memory_comes_back_as_it_was_put(memory_store: MemoryStore, mine: Collection) -> None:
    full = a_memory(
        mine,
        "What is a monad?\nA monoid in the category of endofunctors.",
        interaction_type="direct_call",
        timestamp=NOW - timedelta(days=20_000) + MICROSECOND,
        session_id=new_id(),
        success=False,
        tags=("b", "a", "with space", "#tag"),
        metadata={"nested": {"list": [1, 2.5, "x", None, True, {"deep": []}]}, "a.b": "dots", "": "no name"},
        asked=16,
        source=f"{new_id()}/t1",
    )
    plain = a_memory(mine)
    await put(memory_store, mine, full, plain)
    assert await the_one(memory_store, mine, full) == full
    assert await the_one(memory_store, mine, plain) == plain


@pytest.mark.parametrize(
    "content",
    ["", " \n\t", "naïve Größe 東京 🦜👩‍👩‍👧‍👦 \u0000 \u2028 𐍈", "…!?", "word " * 20_000, "🦜" * 100_000],
    ids=["empty", "blank", "unicode", "no word", "long", "long emoji"],
)
async def test_any_content_comes_back(memory_store: MemoryStore, mine: Collection, content: str) -> None:
    memory = a_memory(mine, content, metadata={"échantillon": content[:50]}, tags=("🦜",))
    await put(memory_store, mine, memory)
    assert await the_one(memory_store, mine, memory) == memory


async def test_100_000_different_characters_of_words_are_searched(memory_store: MemoryStore, mine: Collection) -> None:
    content = " ".join(f"w{number:x}" for number in range(17_000))
    memory = a_memory(mine, content)
    await put(memory_store, mine, memory, a_memory(mine, "w1 short"))
    assert await memory_store.newest(mine, 10, MemoryFilter(words=("w0", "w4267"))) == [memory]
    assert await found_by(memory_store, mine, "w4267") == [content]


async def test_putting_the_same_again_changes_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [(a_memory(mine, f"memory {number}"), a_vector()) for number in range(3)]
    await memory_store.put(mine, memories)
    await memory_store.put(mine, memories)
    assert await memory_store.count(mine) == 3


async def test_a_memory_of_the_same_id_is_replaced(memory_store: MemoryStore, mine: Collection) -> None:
    before = a_memory(mine, "apples", tags=("old",), session_id=new_id(), metadata={"a": 1})
    after = a_memory(mine, "oranges", id=before.id, timestamp=NOW + SECOND)
    await memory_store.put(mine, [(before, toward(0))])
    await memory_store.put(mine, [(after, toward(1))])
    assert await memory_store.newest(mine, 10) == [after]
    assert await found_by(memory_store, mine, "apples") == []
    assert await memory_store.count(mine, MemoryFilter(tags=("old",))) == 0
    ((found),) = await memory_store.nearest(mine, toward(1), 1)
    assert found.score == pytest.approx(1, abs=1e-5)


async def test_many_are_put_at_once(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [a_memory(mine, f"memory {number}", timestamp=NOW + number * SECOND) for number in range(450)]
    await put(memory_store, mine, *memories)
    assert await memory_store.count(mine) == 450
    assert await memory_store.newest(mine, 450) == memories[::-1]


async def test_what_is_not_there_is_not_got(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    assert await memory_store.get(mine, [new_id(), memory.id, new_id()]) == [memory]
    assert await memory_store.get(mine, []) == []
    assert await memory_store.get(mine, ["no uuid", "", "7", memory.id.replace("-", ""), f"{{{memory.id}}}"]) == []


# Changing


async def test_a_change_of_single_fields_leaves_the_others(memory_store: MemoryStore, mine: Collection) -> None:
    before = a_memory(mine, "apples and pears", tags=("old",), session_id=new_id(), metadata={"a": 1, "b": {"c": 2}})
    await put(memory_store, mine, before)
    wanted = a_memory(mine, "not this", id=before.id, tags=("new", "er"), metadata={"d": 3}, success=False)
    await memory_store.change(mine, wanted, frozenset({"tags", "success"}))
    expected = replace(before, tags=("new", "er"), success=False)
    assert await the_one(memory_store, mine, before) == expected
    await memory_store.change(mine, wanted, frozenset({"metadata", "session_id"}))
    expected = replace(expected, metadata={"d": 3}, session_id=None)
    assert await the_one(memory_store, mine, before) == expected
    assert await memory_store.newest(mine, 10, MemoryFilter(tags=("new",), success=False)) == [expected]
    assert await memory_store.count(mine, MemoryFilter(tags=("old",))) == 0
    assert await memory_store.count(mine, MemoryFilter(success=True)) == 0
    assert await found_by(memory_store, mine, "apples") == ["apples and pears"]


async def test_a_change_keeps_the_vector(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await memory_store.put(mine, [(memory, toward(2))])
    await memory_store.change(mine, replace(memory, tags=("new",)), frozenset({"tags"}))
    (found,) = await memory_store.nearest(mine, toward(2), 1)
    assert found.score == pytest.approx(1, abs=1e-5)


async def test_concurrent_changes_of_different_fields_are_all_kept(memory_store: MemoryStore, mine: Collection) -> None:
    before = a_memory(mine)
    await put(memory_store, mine, before)
    changes = {"tags": ("new",), "metadata": {"by": "me"}, "success": False, "session_id": new_id()}
    changing = [
        memory_store.change(mine, replace(before, **{name: value}), frozenset({name}))
        for name, value in changes.items()
    ]
    new_content = replace(before, content="Something else")
    await asyncio.gather(*changing, memory_store.change(mine, new_content, frozenset({"content"}), toward(1)))
    assert await the_one(memory_store, mine, before) == replace(new_content, **changes)


async def test_a_change_of_the_content_moves_its_vector_and_words(memory_store: MemoryStore, mine: Collection) -> None:
    before = a_memory(mine, "apples", tags=("kept",))
    await memory_store.put(mine, [(before, toward(0))])
    after = replace(before, content="two oranges", asked=3, tags=("not this",))
    await memory_store.change(mine, after, frozenset({"content", "asked"}), toward(1))
    assert await the_one(memory_store, mine, before) == replace(after, tags=("kept",))
    (found,) = await memory_store.nearest(mine, toward(1), 1)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert await found_by(memory_store, mine, "apples") == []
    assert await found_by(memory_store, mine, "oranges") == ["two oranges"]
    assert await memory_store.count(mine, MemoryFilter(words=("apples",))) == 0
    assert await memory_store.count(mine, MemoryFilter(words=("oranges", "two"))) == 1


async def test_a_change_of_what_was_asked_moves_the_vector_alone(memory_store: MemoryStore, mine: Collection) -> None:
    before = a_memory(mine, "apples and oranges")
    await memory_store.put(mine, [(before, toward(0))])
    await memory_store.change(mine, replace(before, content="not this", asked=6), frozenset({"asked"}), toward(3))
    assert await the_one(memory_store, mine, before) == replace(before, asked=6)
    (found,) = await memory_store.nearest(mine, toward(3), 1)
    assert found.score == pytest.approx(1, abs=1e-5)
    assert await found_by(memory_store, mine, "oranges this") == ["apples and oranges"]


async def test_a_change_of_the_time_moves_it_in_lists(memory_store: MemoryStore, mine: Collection) -> None:
    older, newer = a_memory(mine, "older"), a_memory(mine, "newer", timestamp=NOW + SECOND)
    await put(memory_store, mine, older, newer)
    await memory_store.change(mine, replace(older, timestamp=NOW + 2 * SECOND), frozenset({"timestamp"}))
    assert contents(await memory_store.newest(mine, 10)) == ["older", "newer"]
    assert contents(await memory_store.newest(mine, 10, MemoryFilter(since=NOW + 2 * SECOND))) == ["older"]


async def test_a_change_of_what_is_not_there_makes_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await memory_store.change(mine, memory, frozenset({"tags", "metadata"}))
    await memory_store.change(mine, memory, frozenset({"content"}), a_vector())
    assert await memory_store.count(mine) == 0


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


# Deleting


async def test_deleting_removes_what_fits_and_returns_its_number(memory_store: MemoryStore, mine: Collection) -> None:
    memories = [a_memory(mine, f"apple {number}", tags=("odd",) if number % 2 else ()) for number in range(9)]
    await put(memory_store, mine, *memories)
    assert await memory_store.delete(mine, MemoryFilter(tags=("odd",))) == 4
    assert await memory_store.delete(mine, MemoryFilter(tags=("odd",))) == 0
    assert await memory_store.count(mine) == 5
    assert sorted(await found_by(memory_store, mine, "apple")) == [f"apple {number}" for number in range(0, 9, 2)]
    assert await memory_store.get(mine, [memories[1].id]) == []
    assert await memory_store.delete(mine, MemoryFilter()) == 5
    assert await memory_store.newest(mine, 10) == []
    assert await memory_store.nearest(mine, a_vector(), 10) == []


async def test_what_was_deleted_may_come_back(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.delete(mine, MemoryFilter(ids=(memory.id,)))
    await put(memory_store, mine, memory)
    assert await memory_store.newest(mine, 10) == [memory]


# Whose they are


@pytest.mark.parametrize("foreign", ["user", "project", "agent"])
async def test_what_is_another_owners_or_agents_never_leaves_and_is_counted_where_it_is_seen(
    memory_store: MemoryStore, mine: Collection, foreign: str
) -> None:
    theirs = {
        "user": replace(mine, owner=Owner(new_id(), mine.owner.project_id)),
        "project": replace(mine, owner=Owner(mine.owner.user_id, new_id())),
        "agent": replace(mine, agent_id=new_id()),
    }[foreign]
    own, hers = a_memory(mine, "apples of mine"), a_memory(theirs, "apples of hers", timestamp=NOW + SECOND)
    await memory_store.put(mine, [(own, toward(0)), (hers, toward(0))])

    async def in_found(finding: Awaitable[list[Found]]) -> list[Memory]:
        return [each.memory for each in await finding]

    questions: dict[str, Callable[[], Awaitable[list[Memory]]]] = {
        "get": lambda: memory_store.get(mine, [hers.id, own.id]),
        "nearest": lambda: in_found(memory_store.nearest(mine, toward(0), 10)),
        "matching": lambda: in_found(memory_store.matching(mine, ["apples"], 10)),
        "newest": lambda: memory_store.newest(mine, 10),
        "lacking": lambda: memory_store.lacking(mine, LARGER, 10),
    }
    answer_with_nothing = {
        "create",
        "drop",
        "put",
        "change",
        "begin_migration",
        "put_vectors",
        "end_migration",
        "close",
    }
    answer_with_a_number = {"count", "delete"}
    promised = {name for name in vars(MemoryStore) if not name.startswith("_")}
    assert questions.keys() | answer_with_nothing | answer_with_a_number == promised
    for name, ask in questions.items():
        before = caught("memories")
        assert await ask() == [own], name
        # A store whose every filter names the agent sees nothing of another one that it could count.
        assert caught("memories") - before in ({0, 1} if foreign == "agent" else {1}), name


async def test_collections_of_two_agents_do_not_mix(memory_store: MemoryStore, mine: Collection) -> None:
    other = replace(mine, agent_id=new_id())
    await memory_store.create(other)
    here, there = a_memory(mine, "apples here"), a_memory(other, "apples there")
    await put(memory_store, mine, here)
    await put(memory_store, other, there)
    before = caught()
    for collection, memory in ((mine, here), (other, there)):
        assert await memory_store.newest(collection, 10) == [memory]
        assert await found_by(memory_store, collection, "apples") == [memory.content]
    assert await memory_store.get(mine, [there.id]) == []
    assert caught() == before


# Another embedding


async def test_a_migration_gives_every_memory_a_vector_of_the_other_embedding(
    memory_store: MemoryStore, mine: Collection
) -> None:
    memories = [a_memory(mine, f"memory {number}") for number in range(5)]
    await put(memory_store, mine, *memories)
    await memory_store.begin_migration(mine, LARGER)
    migrated = replace(mine, embedding=LARGER)
    assert await memory_store.nearest(migrated, a_vector(6), 10) == []
    lacking = await memory_store.lacking(mine, LARGER, 3)
    assert len(lacking) == 3
    await memory_store.put_vectors(mine, LARGER, {each.id: [1.0, 0, 0, 0, 0, 0] for each in lacking})
    # As if begun anew after a crash.
    await memory_store.begin_migration(mine, LARGER)
    rest = await memory_store.lacking(mine, LARGER, 10)
    assert sorted(each.id for each in lacking + rest) == sorted(each.id for each in memories)
    await memory_store.put_vectors(mine, LARGER, {each.id: [1.0, 0, 0, 0, 0, 1] for each in rest})
    assert await memory_store.lacking(mine, LARGER, 10) == []
    assert len(await memory_store.nearest(mine, a_vector(), 10)) == 5
    for _ in range(2):
        await memory_store.end_migration(migrated)
        found = await memory_store.nearest(migrated, [1.0, 0, 0, 0, 0, 0], 10)
        expected = [1.0] * 3 + [math.sqrt(0.5)] * 2
        assert [each.score for each in found] == pytest.approx(expected, abs=1e-5)
        assert {each.memory.id for each in found[:3]} == {each.id for each in lacking}
    assert sorted(await found_by(memory_store, migrated, "memory")) == [each.content for each in memories]
    assert await memory_store.newest(migrated, 10) == sorted(memories, key=lambda each: each.id)
    await put(memory_store, migrated, a_memory(mine))
    assert await memory_store.count(migrated) == 6


async def test_what_is_written_during_a_migration_is_migrated_too(memory_store: MemoryStore, mine: Collection) -> None:
    replaced, changed = a_memory(mine, "replaced"), a_memory(mine, "changed")
    await put(memory_store, mine, replaced, changed)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {each.id: a_vector(6) for each in (replaced, changed)})
    added = a_memory(mine, "added")
    await put(memory_store, mine, added, replaced)
    await memory_store.change(mine, replace(changed, content="new"), frozenset({"content"}), a_vector())
    lacking = await memory_store.lacking(mine, LARGER, 10)
    assert sorted(contents(lacking)) == ["added", "new", "replaced"]


async def test_vectors_for_what_is_gone_make_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {new_id(): a_vector(6), memory.id: a_vector(6)})
    await memory_store.put_vectors(mine, LARGER, {})
    assert await memory_store.count(mine) == 1
    assert await memory_store.lacking(mine, LARGER, 10) == []


async def test_a_migration_that_is_given_up_leaves_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await memory_store.put(mine, [(memory, toward(0))])
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {memory.id: a_vector(6)})
    await memory_store.end_migration(mine)
    (found,) = await memory_store.nearest(mine, toward(0), 10)
    assert found.score == pytest.approx(1, abs=1e-5)
    await memory_store.begin_migration(mine, LARGER)
    assert await memory_store.lacking(mine, LARGER, 10) == [memory]


async def test_a_writer_that_missed_a_migration_is_refused(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {memory.id: a_vector(6)})
    await memory_store.end_migration(replace(mine, embedding=LARGER))
    with pytest.raises(CollectionMissing):
        await put(memory_store, mine, a_memory(mine))
    assert await memory_store.newest(mine, 10) == [memory]


async def test_equal_vectors_of_another_length_are_refused(memory_store: MemoryStore, mine: Collection) -> None:
    with pytest.raises(ValueError, match="5"):
        await memory_store.put(mine, [(a_memory(mine), [1.0] * 5)])
    with pytest.raises(ValueError, match="5"):
        await memory_store.nearest(mine, [1.0] * (SMALL.dimension + 1), 10)


# Many at once


async def test_many_writers_and_readers_do_not_disturb_each_other(memory_store: MemoryStore) -> None:
    collections = [a_collection() for _ in range(5)]

    async def use(collection: Collection) -> None:
        await memory_store.create(collection)
        memories = [a_memory(collection, f"apple {number}") for number in range(8)]
        await asyncio.gather(*(put(memory_store, collection, each) for each in memories))
        found, listed, number = await asyncio.gather(
            memory_store.matching(collection, ["apple"], 10),
            memory_store.newest(collection, 10),
            memory_store.count(collection),
        )
        assert (len(found), len(listed), number) == (8, 8, 8)

    await asyncio.gather(*(use(each) for each in collections))
