"""The embedded store of memories when its processes die, stand still, or take long."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from services.agents.agent import Owner
from services.agents.errors import MemoryUnavailable
from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection, Memory, MemoryFilter
from services.agents.memory.store import CollectionMissing
from tests.agents.edge_memories import MANY, WIDE, filled, wide_vectors
from tests.agents.edge_processes import (
    command,
    gone,
    open_collections,
    optimisers_of,
    owners_of,
    stopped,
    the_optimiser_of,
)
from tests.conformance.memory_stores import LARGER, NOW, SECOND, a_collection, a_memory, a_vector, put
from tests.e2e.polling import eventually

DAY = 86_400 * SECOND


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file where a folder should be."""
    file = tmp_path / "file"
    file.touch()
    return file


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[EdgeMemoryStore]:
    store = EdgeMemoryStore(folder)
    yield store
    await store.close()


@pytest.fixture
async def mine(store: EdgeMemoryStore) -> Collection:
    """An empty collection."""
    collection = a_collection()
    await store.create(collection)
    return collection


def process_of(store: EdgeMemoryStore) -> int:
    assert store.pid is not None
    return store.pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def ids_in(store: EdgeMemoryStore, collection: Collection) -> set[str]:
    return {each.id for each in await store.newest(collection, 100_000)}


def shards_in(folder: Path, collection: Collection) -> list[str]:
    return names_in(folder / collection.name)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


# Its process


async def test_nothing_is_started_before_it_is_needed_and_then_one(folder: Path) -> None:
    store = EdgeMemoryStore(folder)
    assert store.pid is None
    assert names_in(folder.parent) == []
    await asyncio.gather(*(store.create(a_collection()) for _ in range(5)))
    assert owners_of(folder) == [store.pid]
    await store.close()


async def test_closing_ends_the_process_and_keeps_everything(folder: Path) -> None:
    store, collection = EdgeMemoryStore(folder), a_collection()
    memory = a_memory(collection)
    await store.create(collection)
    pid = process_of(store)
    writing = asyncio.create_task(put(store, collection, memory))
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert command(pid) == ""
    await writing
    with pytest.raises(MemoryUnavailable):
        await store.count(collection)
    assert (store.pid, owners_of(folder)) == (None, [])
    again = EdgeMemoryStore(folder)
    assert await again.newest(collection, 10) == [memory]
    await again.close()


async def test_closing_what_was_never_used_starts_nothing(folder: Path) -> None:
    store = EdgeMemoryStore(folder)
    await store.close()
    with pytest.raises(MemoryUnavailable):
        await store.create(a_collection())
    assert names_in(folder.parent) == []


async def test_a_process_that_stands_still_does_not_hold_up_closing(folder: Path) -> None:
    store = EdgeMemoryStore(folder, deadline_seconds=6)
    await store.create(a_collection())
    pid = process_of(store)
    with stopped(pid):
        await store.close()
    assert command(pid) == ""


async def test_ctrl_c_does_not_reach_the_process(store: EdgeMemoryStore, mine: Collection) -> None:
    pid = process_of(store)
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGINT)
    assert await store.count(mine) == 0
    assert store.pid == pid


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("edge.process", {"structlog", "pydantic", "prometheus_client", "numpy", "asyncio.subprocess", "grpc"}),
        ("edge.store", {"qdrant_edge", "numpy"}),
    ],
)
def test_a_process_imports_only_what_it_needs(module: str, heavy: set[str]) -> None:
    program = f"import sys, services.agents.memory.{module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert heavy & set(run.stdout.split()) == set()


# Its process's death


async def test_killing_the_process_loses_nothing_that_was_acknowledged(
    store: EdgeMemoryStore, mine: Collection
) -> None:
    acknowledged: list[str] = []
    killed: set[int] = set()

    async def write() -> None:
        for _ in range(25):
            memory = a_memory(mine)
            await put(store, mine, memory)
            acknowledged.append(memory.id)
            if len(acknowledged) in (20, 50, 80):
                killed.add(process_of(store))
                kill(process_of(store))

    await asyncio.gather(*(write() for _ in range(4)))
    assert len(killed) == 3
    assert await ids_in(store, mine) == set(acknowledged)
    assert len(acknowledged) == 100


async def test_what_waits_for_a_process_that_is_killed_is_asked_again(
    store: EdgeMemoryStore, mine: Collection, folder: Path
) -> None:
    memories = [a_memory(mine, f"memory {number}") for number in range(10)]
    await put(store, mine, *memories[:5])
    pid = process_of(store)
    with stopped(pid):
        writing = [asyncio.create_task(put(store, mine, each)) for each in memories[5:]]
        reading = [asyncio.create_task(store.get(mine, [each.id])) for each in memories[:5]]
        await asyncio.sleep(0)
        kill(pid)
        assert await asyncio.gather(*reading) == [[each] for each in memories[:5]]
        await asyncio.gather(*writing)
    assert await ids_in(store, mine) == {each.id for each in memories}
    assert owners_of(folder) == [store.pid]
    assert store.pid != pid


async def test_a_process_that_cannot_live_is_not_started_for_ever(tmp_path: Path, file: Path) -> None:
    store = EdgeMemoryStore(file / "memory")
    with pytest.raises(MemoryUnavailable):
        await store.create(a_collection())
    shutil.move(file, tmp_path / "elsewhere")
    await store.create(a_collection())
    await store.close()


async def test_a_process_that_does_not_answer_is_replaced(folder: Path) -> None:
    store, collection = EdgeMemoryStore(folder, deadline_seconds=6), a_collection()
    memory = a_memory(collection)
    await store.create(collection)
    await put(store, collection, memory)
    pid = process_of(store)
    with stopped(pid):
        with pytest.raises(MemoryUnavailable):
            await store.count(collection)
        assert await store.newest(collection, 10) == [memory]
    assert command(pid) == ""
    await store.close()


async def test_a_process_that_nobody_waits_for_until_its_time_is_up_is_replaced(folder: Path) -> None:
    store = EdgeMemoryStore(folder, deadline_seconds=6)
    collection = await filled(store, 10)
    pid, counted = process_of(store), None
    with stopped(pid):
        while counted is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    counted = await store.count(collection)
    assert counted == 10
    assert command(pid) == ""
    await store.close()


async def test_a_process_that_answers_others_is_not_replaced(folder: Path) -> None:
    store = EdgeMemoryStore(folder, deadline_seconds=6)
    known = 100
    collection = await filled(store, known)
    pid, late = process_of(store), None
    while late is None:
        optimizing = asyncio.create_task(store.optimize(collection))
        with stopped(await the_optimiser_of(folder)):
            memory = a_memory(collection, f"number {known}")
            writing = asyncio.create_task(put(store, collection, memory))
            while not writing.done():
                assert await store.count(collection) in (known, known + 1)
                await asyncio.wait([writing], timeout=0.1)
            # None if the copy was made before its maker was stopped: then nobody waits for it.
            late = writing.exception()
        await optimizing
        known += 1
    assert isinstance(late, MemoryUnavailable)
    # It is made late, but it is made.
    assert await store.get(collection, [memory.id]) == [memory]
    assert store.pid == pid
    await store.close()


async def test_who_is_cancelled_disturbs_nobody(store: EdgeMemoryStore, mine: Collection) -> None:
    memories = [a_memory(mine, "long " * 10_000) for _ in range(30)]
    with stopped(process_of(store)):
        writing = [asyncio.create_task(put(store, mine, each)) for each in memories]
        reading = [asyncio.create_task(store.newest(mine, 10)) for _ in range(10)]
        await asyncio.sleep(0)
        for each in (*writing[::2], *reading[::2]):
            each.cancel()
        await asyncio.wait([*writing[::2], *reading[::2]])
    await asyncio.gather(*writing[1::2], *reading[1::2])
    assert {each.id for each in memories[1::2]} <= await ids_in(store, mine)


async def test_who_is_cancelled_while_the_process_starts_disturbs_nobody(folder: Path) -> None:
    store, collection = EdgeMemoryStore(folder), a_collection()
    impatient, patient = (asyncio.create_task(store.create(collection)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert owners_of(folder) == [store.pid]
    await store.close()


async def test_processes_end_with_a_parent_that_is_killed_and_lose_nothing(folder: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agents.edge_parent", str(folder)), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    user_id, project_id, agent_id = (await parent.stdout.readline()).decode().split()
    optimiser = await the_optimiser_of(folder)
    (owner,) = owners_of(folder)
    # It would end by itself before long.
    with stopped(optimiser):
        parent.kill()
        await parent.wait()
        await gone(owner, optimiser)
    store, collection = EdgeMemoryStore(folder), Collection(Owner(user_id, project_id), agent_id, WIDE)
    assert await store.count(collection) == 2 * MANY + 1
    assert len(await store.nearest(collection, wide_vectors(1)[0], 10)) == 10
    await store.close()


# Its folder


async def test_few_collections_are_open_and_all_are_served(folder: Path) -> None:
    store = EdgeMemoryStore(folder, EdgeLimits(open_shards=2))
    collections = [a_collection() for _ in range(5)]
    memories = [a_memory(each) for each in collections]
    for collection in collections:
        await store.create(collection)
    for _ in range(2):
        for collection, memory in zip(collections, memories, strict=True):
            await put(store, collection, memory)
            assert await store.newest(collection, 10) == [memory]
            assert len(open_collections(process_of(store))) <= 2
    await store.close()


async def test_what_a_crash_left_is_no_collection_and_is_removed(folder: Path) -> None:
    half, swapped, gone_one = a_collection(), a_collection(), a_collection()
    store = EdgeMemoryStore(folder)
    await store.create(swapped)
    await put(store, swapped, memory := a_memory(swapped))
    await store.close()
    # A creation before its end, an optimisation before and after its swap, and a drop before its end.
    (folder / half.name / "1.made" / "segments").mkdir(parents=True)
    (folder / swapped.name / "1").rename(folder / swapped.name / "2")
    (folder / swapped.name / "1" / "segments").mkdir(parents=True)
    (folder / swapped.name / "3.0123abcd" / "segments").mkdir(parents=True)
    (folder / f".dropped-{gone_one.name}" / "1").mkdir(parents=True)
    # And what is nobody's of these: file managers leave some.
    strangers = [folder / half.name / ".DS_Store", folder / swapped.name / "9", folder / ".dropped-by-hand"]
    for each in strangers:
        each.touch()
    store = EdgeMemoryStore(folder)
    with pytest.raises(CollectionMissing):
        await put(store, half, a_memory(half))
    await store.create(half)
    assert await store.count(half) == 0
    assert await store.newest(swapped, 10) == [memory]
    assert all(each.exists() for each in strangers)
    for each in strangers:
        each.unlink()
    assert shards_in(folder, swapped) == ["2"]
    assert names_in(folder) == sorted([".lock", half.name, swapped.name])
    await store.close()


async def test_indexes_are_made_when_a_collection_has_grown_and_change_no_answer(folder: Path) -> None:
    import qdrant_edge

    store, collection = EdgeMemoryStore(folder, EdgeLimits(index_from=300)), a_collection()
    await store.create(collection)
    memories = [
        a_memory(collection, f"word{number % 7}", timestamp=NOW + number // 3 * SECOND, tags=(f"t{number % 5}",))
        for number in range(299)
    ]
    await put(store, collection, *memories)
    filters = [
        MemoryFilter(),
        MemoryFilter(tags=("t2",), since=NOW + 10 * SECOND),
        MemoryFilter(words=("word3",), success=True),
    ]
    before = [await store.newest(collection, 100, each) for each in filters]
    await put(store, collection, a_memory(collection, "latest", timestamp=NOW - DAY))
    assert [await store.newest(collection, 100, each) for each in filters] == before
    await store.close()
    shard = qdrant_edge.EdgeShard.load(str(folder / collection.name / "1"))
    assert set(shard.info().payload_schema) == {
        *("interaction_type", "session_id", "tags", "words", "_success", "at"),
    }
    shard.close()


# Optimising


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
