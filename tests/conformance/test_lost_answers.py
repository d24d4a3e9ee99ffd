"""What RunStore promises to those who did not hear the answer to a write, held against every backend."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.orchestrator.leases import Ended, Ending, Lease
from services.orchestrator.model import Owner, RunState
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.store import RunStore
from services.runtime.database import DatabaseUnavailable
from services.runtime.ids import new_id
from tests import databases
from tests.conformance.orchestrator_stores import (
    COST,
    FAILURE,
    LIMITS,
    NOW,
    ONE,
    TWO,
    Stores,
    begin_attempt,
    broken,
    done,
    fail,
    promoted,
    stores_in,
    succeed,
    taken,
    timeline,
    types,
)
from tests.conformance.planned_runs import PLAN, PLANNING_COST, at_work, planning, task_of
from tests.held_database import until_waiting
from tests.losing_postgres import Loss, losing
from tests.postgres import PostgresServer


async def test_what_was_accepted_can_be_read_as_it_was_answered(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first, second = await stores.send(ann, chat), await stores.send(ann, chat)
    for accepted in (first, second):
        assert await store.accepted(ann, accepted.run.id, ONE) == accepted
    assert await store.accepted(ann, new_id(), ONE) is None


async def test_what_was_accepted_is_nobodys_to_begin_once_somebody_has_it(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease, second = await stores.running(ann, chat), (await stores.send(ann, chat)).run.id
    await stores.expire(lease.run_id)
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    found = await store.accepted(ann, lease.run_id, ONE)
    assert found is not None
    assert (found.run.id, found.lease, found.outbox) == (lease.run_id, None, ())
    await succeed(stores.others, await begin_attempt(stores.others, over, TWO, NOW), TWO, "Hello.", COST, NOW)
    for process in (ONE, TWO):
        found = await store.accepted(ann, second, process)
        assert found is not None
        assert (found.run.state, found.lease) == (RunState.RUNNING, None)


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
async def test_what_followed_from_an_end_can_be_read_as_it_was_answered(
    stores: Stores, store: RunStore, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.send(ann, chat)
    assert await store.ended(ann, lease.run_id, ONE) is None
    await store.acknowledge([(lease.run_id, 1, "e-1"), (lease.run_id, 2, "e-2")])
    ended: Ended | None
    match end:
        case "succeed":
            ended = await succeed(store, lease, ONE, "Hello.", COST, NOW)
        case "fail":
            ended = await fail(store, lease, ONE, FAILURE, NOW)
        case _:
            _, ended = await store.cancel(ann, lease.run_id, ONE, NOW)
    assert await store.ended(ann, lease.run_id, ONE) == ended
    # Another process was not given what was promoted, and what has begun is not given again.
    for process, begun in ((TWO, False), (ONE, True)):
        if begun:
            await begin_attempt(store, promoted(ended), ONE, NOW)
        found = await store.ended(ann, lease.run_id, process)
        assert found is not None
        assert found.promoted is None


# The answer to a commit, from a real server


async def plan_it(store: RunStore, lease: Lease) -> Lease:
    return await store.plan(lease, ONE, PLAN, PLANNING_COST, NOW)


async def advance_it(store: RunStore, lease: Lease) -> Lease:
    tasks = [done(task_of(lease, "read"), "Read."), broken(task_of(lease, "look"))]
    return await store.advance(lease, ONE, tasks, COST, NOW)


@pytest.mark.server_backed
@pytest.mark.parametrize(("begun", "change"), [(planning, plan_it), (at_work, advance_it)])
@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.LATE])
async def test_lease_stands_as_a_change_left_it_whose_commits_answer_was_lost(
    tmp_path: Path, postgres_server: PostgresServer, begun: Any, change: Any, loss: Loss
) -> None:
    async with databases.place(tmp_path, postgres_server) as place, losing(place.url) as proxy:
        stores = await stores_in(place)
        ann = await stores.project()
        lease: Lease = await begun(stores, ann, await stores.session(ann))
        before = await stores.runs.standing(lease, ONE)
        async with databases.place(tmp_path) as away:
            away.url, away.schema = proxy.url, place.schema
            proxy.loses = loss
            with pytest.raises(DatabaseUnavailable) as lost:
                await change(SqlRunStore(away.open(), 30.0, LIMITS), lease)
        assert lost.value.in_doubt
        standing = asyncio.ensure_future(stores.runs.standing(lease, ONE))
        if loss is Loss.LATE:
            # It waits for the transaction in doubt, and sees what that did.
            await until_waiting(place, standing)
            proxy.go.set()
        stands = await standing
        assert stands.plan == (await stores.runs.get_run(ann, lease.run_id)).plan != before.plan
        assert stands.usage == before.usage + (PLANNING_COST if change is plan_it else COST)
        assert types(stands.events) == await timeline(stores.runs, ann, lease.run_id)
        # The work goes on under the same lease.
        await stores.runs.end(stands, ONE, Ending(error=FAILURE), NOW)
