"""The embedded store optimises a collection: whatever is done or dies meanwhile, the answers are the same."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.agents.errors import MemoryUnavailable
from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection, Memory, MemoryFilter
from tests.agents.edge.folders import names_in, shards_in
from tests.agents.edge.memories import DAY, MANY, filled, ids_in, wide_vectors
from tests.agents.edge.processes import command, gone, kill, optimisers_of, process_of, stopped, the_optimiser_of
from tests.conformance.memory_stores import LARGER, NOW, SECOND, a_collection, a_memory, a_vector, put
from tests.e2e.polling import eventually


async def answers(store: EdgeMemoryStore, collection: Collection) -> list[list[Memory]]:
    """What a few searches and lists find."""
    found = [await store.nearest(collection, each, 5) for each in wide_vectors(20, seed=2)]
    found += [await store.matching(collection, ["77", "memory"], 1)]
    of_some = MemoryFilter(success=True, since=NOW + 100 * SECOND)
    return [[each.memory for each in part] for part in found] + [
        await store.newest(collection, 50, of_some),
        await store.newest(collection, 5),
    ]


async def test_an_optimised_collection_gives_the_same_answers(store: EdgeMemoryStore, folder: Path) -> None:
    collection = await filled(store)
    before = await answers(store, collection)
    await store.optimize(collection)
    assert shards_in(folder, collection) == ["2"]
    assert await answers(store, collection) == before
    await store.optimize(collection)
    assert shards_in(folder, collection) == ["3"]
    assert await answers(store, collection) == before
    kill(process_of(store))
    assert await answers(store, collection) == before


async def test_what_is_written_while_a_collection_is_optimised_is_there_afterwards(
    store: EdgeMemoryStore, folder: Path
) -> None:
    collection = await filled(store)
    by_time = await store.newest(collection, MANY)
    changed, deleted, replaced = by_time[0], by_time[1], by_time[2]
    added = [a_memory(collection, f"added {number}", timestamp=NOW - DAY) for number in range(50)]
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    # This one waits until the copy is made.
    await put(store, collection, *added[:20])
    with stopped(optimiser):
        assert not optimizing.done()
        await asyncio.gather(*(put(store, collection, each) for each in added[20:]))
        await store.change(collection, replace(changed, tags=("changed",)), frozenset({"tags"}))
        await store.delete(collection, MemoryFilter(ids=(deleted.id,)))
        vector = wide_vectors(1, seed=3)[0]
        await store.put(collection, [(replace(replaced, content="replaced"), vector)])
        await store.begin_migration(collection, LARGER)
        await store.put_vectors(collection, LARGER, {each.id: a_vector(6) for each in added})
        assert len(await store.nearest(collection, vector, 5)) == 5
    await optimizing
    assert shards_in(folder, collection) == ["2"]
    assert await store.count(collection) == MANY - 1 + len(added)
    assert {each.id for each in added} <= await ids_in(store, collection)
    assert await store.newest(collection, 10, MemoryFilter(tags=("changed",))) == [replace(changed, tags=("changed",))]
    assert await store.get(collection, [deleted.id]) == []
    (found,) = await store.nearest(collection, vector, 1)
    assert (found.memory.id, found.memory.content) == (replaced.id, "replaced")
    assert len(await store.lacking(collection, LARGER, MANY * 2)) == MANY - 1


async def test_searches_go_on_and_writes_wait_while_a_collection_is_copied(
    store: EdgeMemoryStore, folder: Path
) -> None:
    collection, other = await filled(store, 100), a_collection()
    await store.create(other)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    memory = a_memory(collection, "added")
    with stopped(optimiser):
        writing = asyncio.create_task(put(store, collection, memory))
        assert len(await store.newest(collection, 200)) == 100
        await put(store, other, a_memory(other))
        assert not writing.done()
    await writing
    await optimizing
    assert await store.get(collection, [memory.id]) == [memory]


async def test_an_optimiser_that_stands_still_while_it_copies_is_given_up(folder: Path) -> None:
    store = EdgeMemoryStore(folder, EdgeLimits(copy_seconds=4.0))
    collection = await filled(store, 100)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    with stopped(optimiser):
        await put(store, collection, memory := a_memory(collection))
        with pytest.raises(MemoryUnavailable):
            await optimizing
    assert command(optimiser) == ""
    assert await store.get(collection, [memory.id]) == [memory]
    assert shards_in(folder, collection) == ["1"]
    await store.optimize(collection)
    assert shards_in(folder, collection) == ["2"]
    await store.close()


async def test_an_optimiser_that_is_killed_changes_nothing(store: EdgeMemoryStore, folder: Path) -> None:
    collection = await filled(store)
    before = await answers(store, collection)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    await put(store, collection, added := a_memory(collection, timestamp=NOW - DAY))
    kill(optimiser)
    with pytest.raises(MemoryUnavailable):
        await optimizing
    assert await answers(store, collection) == before
    assert await store.get(collection, [added.id]) == [added]
    assert shards_in(folder, collection) == ["1"]
    await store.optimize(collection)
    assert await answers(store, collection) == before
    assert await store.get(collection, [added.id]) == [added]


async def test_a_process_that_is_killed_while_it_optimises_loses_nothing(store: EdgeMemoryStore, folder: Path) -> None:
    collection = await filled(store)
    before = await answers(store, collection)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    await put(store, collection, added := a_memory(collection, timestamp=NOW - DAY))
    with stopped(optimiser):
        kill(process_of(store))
        await gone(optimiser)
    # It is begun anew by the next process.
    await optimizing
    assert await answers(store, collection) == before
    assert await store.get(collection, [added.id]) == [added]
    assert len(shards_in(folder, collection)) == 1


async def test_a_collection_may_be_dropped_while_it_is_optimised(store: EdgeMemoryStore, folder: Path) -> None:
    collection = await filled(store)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    await store.drop(collection)
    with pytest.raises(MemoryUnavailable):
        await optimizing
    assert command(optimiser) == ""
    assert await store.count(collection) == 0
    assert names_in(folder) == [".lock"]
    await store.create(collection)
    await put(store, collection, a_memory(collection))
    await store.optimize(collection)
    assert await store.count(collection) == 1


async def test_closing_ends_an_optimiser(store: EdgeMemoryStore, folder: Path) -> None:
    collection = await filled(store)
    optimizing = asyncio.create_task(store.optimize(collection))
    optimiser = await the_optimiser_of(folder)
    await store.close()
    with pytest.raises(MemoryUnavailable):
        await optimizing
    assert (command(optimiser), shards_in(folder, collection)) == ("", ["1"])


async def test_several_that_are_to_be_optimised_take_turns(store: EdgeMemoryStore, folder: Path) -> None:
    collections = [await filled(store, 50) for _ in range(3)]
    optimizing = [asyncio.create_task(store.optimize(each)) for each in (*collections, *collections)]
    most = 0
    while not all(each.done() for each in optimizing):
        most = max(most, len(optimisers_of(folder)))
        await asyncio.wait(optimizing, timeout=0.02)
    await asyncio.gather(*optimizing)
    assert most == 1
    assert [shards_in(folder, each) for each in collections] == [["2"]] * 3


async def test_a_collection_is_optimised_when_it_has_grown_and_again_when_it_has_much_more(folder: Path) -> None:
    store = EdgeMemoryStore(folder, EdgeLimits(optimize_from=100, optimize_growth=0.5))
    collection = await filled(store, 99)
    pid = process_of(store)

    async def grow(number: int, shard: str) -> None:
        for _ in range(number):
            memory = a_memory(collection)
            await store.put(collection, [(memory, wide_vectors(1)[0])])
        await eventually(lambda: shards_in(folder, collection) == [shard], what=f"shard {shard}")

    await grow(1, "2")
    await grow(49, "2")
    await store.optimize(other := await filled(store, 1))
    assert shards_in(folder, collection) == ["2"]
    await grow(1, "3")
    assert await store.count(collection) == 150
    assert (shards_in(folder, other), store.pid) == (["2"], pid)
    await store.close()
