"""The embedded store's process: when it starts and ends, and what is lost when it dies or stands still: nothing."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from services.agents.agent import Owner
from services.agents.errors import MemoryUnavailable
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection
from tests.agents.edge.folders import names_in
from tests.agents.edge.memories import MANY, WIDE, filled, ids_in, wide_vectors
from tests.agents.edge.processes import command, gone, kill, owners_of, process_of, stopped, the_optimiser_of
from tests.conformance.memory_stores import a_collection, a_memory, put


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file where a folder should be."""
    file = tmp_path / "file"
    file.touch()
    return file


# Its beginning and end


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


# Its death


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
        *(sys.executable, "-m", "tests.agents.edge.parent", str(folder)), stdout=subprocess.PIPE
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
