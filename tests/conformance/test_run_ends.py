"""What RunStore promises of the ends of runs, held against every backend. Two replicas share its database."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import LeaseLost, RunFinished
from services.orchestrator.leases import Ended
from services.orchestrator.model import ApprovalKind, Decision, OnBusy, Owner, Question, Role, RunState, TaskState
from services.orchestrator.sql_notices import CHANGED
from services.orchestrator.store import RunStore
from services.orchestrator.tables import runs
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    AGENT,
    COST,
    FAILURE,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    begin_attempt,
    fail,
    nothing_can_be_written,
    promoted,
    state_of,
    succeed,
    timeline,
    types,
)
from tests.databases import Place
from tests.e2e.polling import eventually

# Ends


async def test_success_stores_the_answer_and_tells_it(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    ended = await succeed(store, lease, ONE, "Hello, Ann.", COST, NOW + 2 * SECOND)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.message_id, run.usage, run.finished_at) == (
        RunState.SUCCEEDED,
        lease.answer_id,
        COST,
        NOW + 2 * SECOND,
    )
    (task,) = run.plan.tasks
    assert (task.state, task.output, task.usage) == (TaskState.SUCCEEDED, "Hello, Ann.", COST)
    outcome = await store.get_outcome(ann, lease.run_id)
    assert outcome.answer is not None
    assert (outcome.state, outcome.error) == (RunState.SUCCEEDED, None)
    assert (outcome.answer.id, outcome.answer.content, outcome.answer.agent_id, outcome.answer.role) == (
        lease.answer_id,
        "Hello, Ann.",
        AGENT.id,
        Role.ASSISTANT,
    )
    assert types(ended.outbox.events) == [(3, "agent_completed", True)]
    told = ended.outbox.events[0].payload
    assert (told["output"], told["duration_ms"], told["message"]["id"]) == ("Hello, Ann.", 2000, lease.answer_id)
    assert ended.promoted is None
    assert (await stores.sessions.list_messages(ann, chat, 10, "")).elements[-1] == outcome.answer
    assert (await stores.sessions.get_session(ann, chat)).message_count == 2


async def test_failure_keeps_the_users_message_and_says_why(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    ended = await fail(store, lease, ONE, FAILURE, NOW)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.error, run.message_id) == (RunState.FAILED, FAILURE, None)
    assert (run.plan.tasks[0].state, run.plan.tasks[0].error) == (TaskState.FAILED, FAILURE)
    assert types(ended.outbox.events) == [(3, "agent_failed", False), (4, "run_failed", True)]
    assert await timeline(store, ann, lease.run_id) == types((*lease.events, *ended.outbox.events))
    outcome = await store.get_outcome(ann, lease.run_id)
    assert (outcome.state, outcome.error, outcome.answer) == (RunState.FAILED, FAILURE, None)
    (message,) = (await stores.sessions.list_messages(ann, chat, 10, "")).elements
    assert message.role is Role.USER


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
async def test_every_end_promotes_the_sessions_next(
    stores: Stores, store: RunStore, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    first, second = [(await stores.send(ann, chat)).run.id for _ in range(2)]
    beside = await stores.send(ann, await stores.session(ann))
    ended: Ended | None
    match end:
        case "succeed":
            ended = await succeed(store, lease, ONE, "Hello.", COST, NOW)
        case "fail":
            ended = await fail(store, lease, ONE, FAILURE, NOW)
        case _:
            _, ended = await store.cancel(ann, lease.run_id, ONE, NOW)
    next_lease = promoted(ended)
    assert (next_lease.run_id, next_lease.epoch, next_lease.fresh) == (first, 1, False)
    # What it had to tell as a queued run goes with its lease.
    assert types(next_lease.events) == [(1, "message_received", False)]
    assert await state_of(store, ann, first) is RunState.RUNNING
    assert await state_of(store, ann, second) is RunState.QUEUED
    assert await store.renew(ONE, [first, second, beside.run.id]) == {first, beside.run.id}
    begun = await begin_attempt(store, next_lease, ONE, NOW)
    assert (begun.task.attempt, types(begun.events)) == (1, [(2, "agent_started", False)])


# Cancelling


async def test_cancelling_a_running_run_fences_whoever_runs_it(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await store.acknowledge([(lease.run_id, 1, "e-1")])
    run, ended = await stores.others.cancel(ann, lease.run_id, TWO, NOW + SECOND)
    assert ended is not None
    assert run == await store.get_run(ann, lease.run_id)
    assert (run.state, run.finished_at, run.plan.tasks[0].state) == (
        RunState.CANCELLED,
        NOW + SECOND,
        TaskState.CANCELLED,
    )
    assert ended.outbox.epoch == lease.epoch + 1
    assert types(ended.outbox.events) == [(2, "agent_started", False), (3, "run_cancelled", True)]
    await nothing_can_be_written(stores, store, lease, ONE)
    assert await store.renew(ONE, [lease.run_id]) == set()


async def test_whatever_stops_runs_or_decides_what_they_asked_is_heard_by_the_other_replicas(
    stores: Stores, ann: Owner, database_place: Place
) -> None:
    leases = [await stores.running(ann, await stores.session(ann)) for _ in range(4)]
    cancelled, replaced, deleted, asking = leases
    question = Question(new_id(), ApprovalKind.TOOL, {"tool": "shell"}, NOW + SECOND)
    await stores.approvals[0].ask(asking, ONE, asking.task, [question], COST, NOW)
    changed = [lease.run_id for lease in leases]
    heard: list[str] = []

    async def all_heard() -> bool:
        # Until somebody listens, nothing is heard: cancel something more.
        more = await stores.running(ann, await stores.session(ann))
        await stores.runs.cancel(ann, more.run_id, ONE, NOW)
        changed.append(more.run_id)
        return bool(heard)

    async with database_place.open().listening(CHANGED, heard.append):
        if database_place.kind == "postgresql":
            await eventually(all_heard)
        await stores.runs.cancel(ann, cancelled.run_id, ONE, NOW)
        await stores.send(ann, replaced.session_id, on_busy=OnBusy.REPLACE)
        await stores.sessions.delete_session(ann, deleted.session_id, NOW)
        await stores.approvals[1].decide(ann, question.id, Decision(True), TWO, NOW)
        if database_place.kind == "postgresql":
            await eventually(lambda: set(heard) >= {*changed[:4]})
    assert set(heard) <= {*changed}


async def test_cancelling_a_queued_run_leaves_the_rest(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    doomed = (await stores.send(ann, chat)).run.id
    last = (await stores.send(ann, chat)).run.id
    _, ended = await store.cancel(ann, doomed, ONE, NOW)
    assert ended is not None
    assert (types(ended.outbox.events), ended.promoted) == (
        [(1, "message_received", False), (2, "run_cancelled", True)],
        None,
    )
    assert promoted(await succeed(store, lease, ONE, "Hello.", COST, NOW)).run_id == last


async def test_cancelling_twice_changes_nothing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    run, _ = await store.cancel(ann, lease.run_id, ONE, NOW)
    session, row = await stores.sessions.get_session(ann, chat), await stores.row(lease.run_id)
    assert await store.cancel(ann, lease.run_id, ONE, NOW + SECOND) == (run, None)
    assert (await stores.sessions.get_session(ann, chat), await stores.row(lease.run_id)) == (session, row)


@pytest.mark.parametrize("end", ["succeeded", "failed"])
async def test_finished_run_cannot_be_cancelled(
    stores: Stores, store: RunStore, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    if end == "succeeded":
        await succeed(store, lease, ONE, "Hello.", COST, NOW)
    else:
        await fail(store, lease, ONE, FAILURE, NOW)
    row = await stores.row(lease.run_id)
    with pytest.raises(RunFinished):
        await store.cancel(ann, lease.run_id, ONE, NOW)
    assert await stores.row(lease.run_id) == row


async def test_run_waiting_for_an_approval_can_be_cancelled(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.execute(
        sa.update(runs).where(runs.c.id == lease.run_id).values(state="waiting_approval", owner=None, lease_until=0)
    )
    waiting = (await stores.send(ann, chat)).run.id
    # It has no lease and needs none: nobody may take it.
    assert await store.orphaned(10) == []
    assert await store.adopt(chat, ONE, NOW) is None
    _, ended = await store.cancel(ann, lease.run_id, ONE, NOW)
    assert promoted(ended).run_id == waiting


@pytest.mark.parametrize("seed", range(5))
async def test_of_a_cancellation_and_an_end_at_once_one_wins(
    stores: Stores, store: RunStore, ann: Owner, chat: str, seed: int
) -> None:
    lease = await stores.running(ann, chat)
    waiting = (await stores.send(ann, chat)).run.id
    both: list[Awaitable[Any]] = [
        succeed(store, lease, ONE, "Hello.", COST, NOW),
        stores.others.cancel(ann, lease.run_id, TWO, NOW),
    ]
    results = await asyncio.gather(*(both if seed % 2 else reversed(both)), return_exceptions=True)
    losers = [each for each in results if isinstance(each, Exception)]
    assert [type(each) for each in losers] in ([LeaseLost], [RunFinished])
    told = await timeline(store, ann, lease.run_id)
    assert [final for _, _, final in told].count(True) == 1
    assert told[-1][2]
    assert await state_of(store, ann, waiting) is RunState.RUNNING
