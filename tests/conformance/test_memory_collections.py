"""What MemoryStore promises of collections: made, dropped, and kept apart, held against every backend."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Found, Memory, MemoryFilter
from services.agents.memory.store import CollectionMissing, MemoryStore
from services.runtime.ids import new_id
from tests.conformance.forgetful import caught
from tests.conformance.memory_stores import LARGER, NOW, SECOND, a_collection, a_memory, a_vector, found_by, put, toward

# Made and dropped


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
        "warm",
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
