"""What RunStore promises of leases, held against every backend. Two replicas share its database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.orchestrator.leases import Ended
from services.orchestrator.model import Owner, RunState
from services.orchestrator.sql_run_store import MAX_TAKEOVERS
from services.orchestrator.store import RunStore
from services.orchestrator.tables import chat_sessions, runs
from services.runtime.database import epoch_now
from services.runtime.ids import new_id
from tests import databases
from tests.conformance.orchestrator_stores import (
    COST,
    NOW,
    ONE,
    TWO,
    Stores,
    begin_attempt,
    lease_of,
    nothing_can_be_written,
    promoted,
    stores_in,
    succeed,
    taken,
    timeline,
    types,
)
from tests.databases import Place
from tests.held_database import until_waiting
from tests.postgres import PostgresServer


@pytest.fixture
async def place_on_server(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    """Where transactions lock rows, and not the whole database."""
    async with databases.place(tmp_path, postgres_server) as place:
        yield place


async def test_lease_that_has_not_expired_cannot_be_taken(stores: Stores, ann: Owner, chat: str) -> None:
    await stores.running(ann, chat)
    assert await stores.others.orphaned(10) == []
    assert await stores.others.adopt(chat, TWO, NOW) is None


async def test_expired_lease_is_taken_over_with_what_is_left_to_tell(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await store.acknowledge([(lease.run_id, 1, "e-1")])
    await stores.expire(lease.run_id)
    assert await stores.others.orphaned(10) == [chat]
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    assert (over.run_id, over.epoch, over.fresh) == (lease.run_id, lease.epoch + 1, False)
    assert types(over.events) == [(2, "agent_started", False)]
    assert await stores.others.orphaned(10) == []
    begun = await begin_attempt(stores.others, over, TWO, NOW)
    assert (begun.task.attempt, begun.epoch) == (2, over.epoch)
    await nothing_can_be_written(stores, store, lease, ONE)
    assert await store.renew(ONE, [lease.run_id]) == set()
    ended = await succeed(stores.others, begun, TWO, "Hello.", COST, NOW)
    assert types(ended.outbox.events) == [(4, "agent_completed", True)]


async def test_process_that_takes_its_own_run_over_fences_itself(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    taken(await store.adopt(chat, ONE, NOW))
    await nothing_can_be_written(stores, store, lease, ONE)


async def test_stranger_to_the_lease_writes_nothing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await nothing_can_be_written(stores, stores.others, lease, TWO)
    await nothing_can_be_written(stores, store, replace(lease, epoch=lease.epoch + 1), ONE)


async def test_of_two_that_take_over_at_once_one_does(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    adopted = await asyncio.gather(
        *(store.adopt(chat, process, NOW) for store, process in ((stores.runs, ONE), (stores.others, TWO)) * 5)
    )
    assert [each for each in adopted if each is not None] == [taken(next(each for each in adopted if each))]


async def test_expired_owner_who_was_faster_than_the_takeover_keeps_its_run(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    await begin_attempt(store, lease, ONE, NOW)
    assert await stores.others.adopt(chat, TWO, NOW) is None


async def test_renewing_is_for_live_runs_of_the_process_alone(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    mine = await stores.running(ann, chat)
    others = lease_of(await stores.send(ann, await stores.session(ann), process=TWO))
    unnamed = await stores.running(ann, await stores.session(ann))
    done = await stores.running(ann, await stores.session(ann))
    await succeed(store, done, ONE, "Hello.", COST, NOW)
    every = [mine.run_id, others.run_id, unnamed.run_id, done.run_id]
    for run_id in every:
        await stores.expire(run_id)
    assert await store.renew(ONE, [mine.run_id, others.run_id, done.run_id]) == {mine.run_id}
    assert set(await store.orphaned(10)) == {others.session_id, unnamed.session_id}
    assert await store.renew(ONE, []) == set()


async def test_run_that_gets_nowhere_is_failed_after_so_many_takeovers(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    waiting = (await stores.send(ann, chat)).run.id
    for _ in range(MAX_TAKEOVERS):
        await stores.expire(lease.run_id)
        await begin_attempt(store, taken(await store.adopt(chat, ONE, NOW)), ONE, NOW)
    await stores.expire(lease.run_id)
    abandoned = await store.adopt(chat, TWO, NOW)
    assert isinstance(abandoned, Ended)
    run = await store.get_run(ann, lease.run_id)
    assert run.error is not None
    assert (run.state, run.error.reason) == (RunState.FAILED, "RUN_ABANDONED")
    # Everything it never told, to its end.
    assert types(abandoned.outbox.events) == await timeline(store, ann, lease.run_id)
    assert abandoned.outbox.events[-1].final
    assert promoted(abandoned).run_id == waiting
    assert await store.renew(TWO, [waiting]) == {waiting}


async def test_released_lease_is_free_at_once_and_does_not_count(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    others = lease_of(await stores.send(ann, await stores.session(ann), process=TWO))
    process = ONE
    for number in range(3 * MAX_TAKEOVERS):
        await stores.runs.release(process)
        await stores.runs.release(process)
        assert await store.orphaned(10) == [chat]
        process = f"boot {number}"
        assert taken(await store.adopt(chat, process, NOW)).run_id == lease.run_id
    assert (await stores.row(lease.run_id)).attempts == 0
    assert await store.renew(TWO, [others.run_id]) == {others.run_id}


@pytest.mark.parametrize("how", ["silence", "release"])
async def test_time_in_which_nobody_had_a_run_is_not_counted_as_work(
    stores: Stores, store: RunStore, ann: Owner, chat: str, how: str
) -> None:
    lease = await stores.running(ann, chat)
    an_hour_ago = epoch_now() - 3600.0
    if how == "silence":
        await stores.execute(sa.update(runs).values(lease_until=an_hour_ago))
    else:
        await store.release(ONE)
        await stores.execute(sa.update(runs).values(idle_since=an_hour_ago))
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    assert timedelta(hours=1) <= over.working_since - lease.working_since < timedelta(hours=2)
    # The time since then counts again.
    row = await stores.row(lease.run_id)
    assert (row.idle_since, lease.working_since + timedelta(seconds=row.idle_seconds)) == (None, over.working_since)


async def test_queue_of_an_idle_session_is_found_and_begun_in_order(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    first = (await stores.send(ann, chat)).run.id
    await stores.send(ann, chat)
    assert await store.orphaned(10) == []
    await stores.execute(sa.update(runs).where(runs.c.id == lease.run_id).values(state="failed"))
    assert await store.orphaned(10) == [chat]
    adopted = taken(await store.adopt(chat, TWO, NOW))
    assert (adopted.run_id, adopted.epoch, types(adopted.events)) == (first, 1, [(1, "message_received", False)])
    assert await store.orphaned(10) == []


async def test_orphaned_sessions_come_in_batches(stores: Stores, store: RunStore, ann: Owner) -> None:
    sessions = [await stores.session(ann) for _ in range(3)]
    for session_id in sessions:
        await stores.expire((await stores.running(ann, session_id)).run_id)
    assert len(await store.orphaned(2)) == 2
    assert set(await store.orphaned(3)) == set(sessions)


async def test_adopting_what_does_not_exist_finds_nothing(store: RunStore) -> None:
    assert await store.adopt(new_id(), ONE, NOW) is None


@pytest.mark.server_backed
@pytest.mark.parametrize("held", [chat_sessions, runs], ids=str)
async def test_what_a_frozen_process_holds_is_neither_adopted_nor_waited_for(
    place_on_server: Place, held: sa.Table
) -> None:
    stores = await stores_in(place_on_server)
    store, ann = stores.runs, await stores.project()
    chat = await stores.session(ann)
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    held_id = chat if held is chat_sessions else lease.run_id
    async with asyncio.timeout(5), place_on_server.open().write() as frozen:
        await frozen.execute(sa.select(held.c.id).where(held.c.id == held_id).with_for_update())
        assert await store.adopt(chat, TWO, NOW) is None
        assert await store.orphaned(10) == [chat]
    assert taken(await store.adopt(chat, TWO, NOW)).epoch == lease.epoch + 1


@pytest.mark.server_backed
async def test_what_is_told_of_a_run_and_what_happens_to_it_do_not_block_each_other(place_on_server: Place) -> None:
    stores = await stores_in(place_on_server)
    ann = await stores.project()
    lease = await stores.running(ann, await stores.session(ann))
    happening = sa.update(runs).where(runs.c.id == lease.run_id).values(event_count=runs.c.event_count)
    async with place_on_server.open().write() as writing:
        await writing.execute(happening)
        telling = asyncio.create_task(stores.runs.acknowledge([(lease.run_id, 1, "epoch-1")]))
        async with asyncio.timeout(30):
            await until_waiting(place_on_server, telling)
        # The second time in one transaction PostgreSQL holds the run's session too: see lock_rows.
        await writing.execute(happening)
    await telling


@pytest.mark.server_backed
async def test_run_that_another_transaction_holds_does_not_keep_the_others_from_being_renewed(
    place_on_server: Place,
) -> None:
    stores = await stores_in(place_on_server)
    store, ann = stores.runs, await stores.project()
    chat = await stores.session(ann)
    held = await stores.running(ann, chat)
    free = await stores.running(ann, await stores.session(ann))
    for lease in (held, free):
        await stores.expire(lease.run_id)
    async with asyncio.timeout(5), place_on_server.open().write() as frozen:
        await frozen.execute(sa.select(runs.c.id).where(runs.c.id == held.run_id).with_for_update())
        assert await store.renew(ONE, [held.run_id, free.run_id]) == {held.run_id, free.run_id}
    assert await store.orphaned(10) == [chat]
