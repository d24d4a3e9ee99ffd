"""What MemoryStore promises of memories that are put, changed and deleted, held against every backend."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.agents.memory.model import Collection, Memory, MemoryFilter
from services.agents.memory.store import MemoryStore
from services.runtime.ids import new_id
from tests.conformance.memory_stores import (
    MICROSECOND,
    NOW,
    SECOND,
    a_memory,
    a_vector,
    contents,
    found_by,
    put,
    toward,
)


async def the_one(store: MemoryStore, collection: Collection, memory: Memory) -> Memory:
    (stored,) = await store.get(collection, [memory.id])
    return stored


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
