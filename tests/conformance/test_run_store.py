"""What RunStore promises, held against every backend. Two replicas share its database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.orchestrator.errors import (
    LeaseLost,
    ProjectNotFound,
    RunFinished,
    RunNotFound,
    SessionBusy,
    SessionNotFound,
)
from services.orchestrator.leases import Accepted, Ended
from services.orchestrator.model import (
    ACTIVE,
    ApprovalKind,
    Decision,
    Mode,
    OnBusy,
    Owner,
    Question,
    Role,
    RunState,
    TaskState,
)
from services.orchestrator.sql_notices import CHANGED
from services.orchestrator.sql_run_store import MAX_TAKEOVERS
from services.orchestrator.store import RunStore
from services.orchestrator.tables import chat_sessions, runs
from services.runtime.database import epoch_now
from services.runtime.errors import InvalidPageToken, RequestIdReused
from services.runtime.idempotency import KEPT
from services.runtime.ids import new_id
from services.runtime.pages import PAGE_BYTES
from tests import databases
from tests.conformance.orchestrator_stores import (
    AGENT,
    COST,
    FAILURE,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    a_key,
    a_message,
    begin_attempt,
    fail,
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
from tests.e2e.polling import eventually
from tests.postgres import PostgresServer


@pytest.fixture
async def place_on_server(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    """Where transactions lock rows, and not the whole database."""
    async with databases.place(tmp_path, postgres_server) as place:
        yield place


@pytest.fixture
async def store(stores: Stores) -> RunStore:
    return stores.runs


async def state_of(store: RunStore, owner: Owner, run_id: str) -> RunState:
    return (await store.get_run(owner, run_id)).state


# Accepting


async def test_message_to_an_idle_session_runs_at_once(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    new = a_message(chat, "  Write a poem\nabout rain.")
    accepted = await store.accept(ann, new, None, ONE, NOW)
    run, lease = accepted.run, lease_of(accepted)
    assert run == await store.get_run(ann, new.id)
    assert (run.id, run.session_id, run.mode, run.state) == (new.id, chat, Mode.DIRECT, RunState.RUNNING)
    assert (run.created_at, run.started_at, run.finished_at, run.message_id) == (NOW, NOW, None, None)
    (task,) = run.plan.tasks
    assert (task.agent_id, task.agent_name, task.state, task.attempt) == (AGENT.id, AGENT.name, TaskState.RUNNING, 1)
    assert (task.title, task.instruction) == ("Write a poem", new.content)
    assert (lease.run_id, lease.user_id, lease.project_id, lease.session_id) == (
        new.id,
        ann.user_id,
        ann.project_id,
        chat,
    )
    assert (lease.epoch, lease.position, lease.answer_id, lease.mode, lease.fresh) == (
        1,
        0,
        new.answer_id,
        Mode.DIRECT,
        True,
    )
    assert types(lease.events) == [(1, "message_received", False), (2, "agent_started", False)]
    assert (accepted.outbox, accepted.stopped, accepted.joined) == ((), (), False)
    session = await stores.sessions.get_session(ann, chat)
    assert session.message_count == 1
    (message,) = (await stores.sessions.list_messages(ann, chat, 10, "")).elements
    assert (message.id, message.run_id, message.role, message.content) == (
        new.message_id,
        new.id,
        Role.USER,
        new.content,
    )


async def test_message_to_a_busy_session_waits(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    await stores.running(ann, chat)
    accepted = await stores.send(ann, chat, process=TWO)
    assert accepted.lease is None
    assert accepted.run == await store.get_run(ann, accepted.run.id)
    assert (accepted.run.state, accepted.run.started_at) == (RunState.QUEUED, None)
    assert accepted.run.plan.tasks[0].state is TaskState.PENDING
    (outbox,) = accepted.outbox
    assert (outbox.run_id, types(outbox.events)) == (accepted.run.id, [(1, "message_received", False)])


async def test_accepting_for_foreigners_and_wrong_projects_is_missing(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    for stranger in (await stores.project(), await stores.project(ann.user_id)):
        with pytest.raises(SessionNotFound):
            await stores.send(stranger, chat)
        with pytest.raises(SessionNotFound):
            await store.find(stranger, chat, a_key(), NOW)
    with pytest.raises(ProjectNotFound):
        await stores.send(Owner(ann.user_id, new_id()), chat)
    assert (await stores.sessions.get_session(ann, chat)).message_count == 0


async def test_reject_refuses_a_busy_session_and_leaves_nothing(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    before = await stores.sessions.get_session(ann, chat)
    with pytest.raises(SessionBusy) as refused:
        await stores.send(ann, chat, on_busy=OnBusy.REJECT, key=a_key(), now=NOW + SECOND)
    assert refused.value.metadata["run_id"] == lease.run_id
    assert await stores.sessions.get_session(ann, chat) == before
    await succeed(store, lease, ONE, "Hello.", COST, NOW)
    # Its key was not used up.
    assert (await stores.send(ann, chat, on_busy=OnBusy.REJECT, key=a_key())).lease is not None


async def test_replace_cancels_what_runs_and_what_waits_in_order(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    running = await stores.running(ann, chat)
    waiting = [(await stores.send(ann, chat)).run.id for _ in range(3)]
    await store.acknowledge([(running.run_id, 1, "e-1")])
    accepted = await stores.send(ann, chat, on_busy=OnBusy.REPLACE, process=TWO)
    assert lease_of(accepted).run_id == accepted.run.id
    assert accepted.stopped == (running.run_id, *waiting)
    assert [each.run_id for each in accepted.outbox] == [running.run_id, *waiting]
    # With all that they had still to tell, in a later epoch than their own.
    assert [types(each.events) for each in accepted.outbox] == [
        [(2, "agent_started", False), (3, "run_cancelled", True)],
        *[[(1, "message_received", False), (2, "run_cancelled", True)]] * 3,
    ]
    assert [each.epoch for each in accepted.outbox] == [2, 1, 1, 1]
    assert {each.events[-1].payload["reason"] for each in accepted.outbox} == {"replaced"}
    for run_id in (running.run_id, *waiting):
        assert await state_of(store, ann, run_id) is RunState.CANCELLED
    with pytest.raises(LeaseLost):
        await succeed(store, running, ONE, "Too late.", COST, NOW)


async def test_replacing_nothing_is_sending(stores: Stores, ann: Owner, chat: str) -> None:
    accepted = await stores.send(ann, chat, on_busy=OnBusy.REPLACE)
    assert lease_of(accepted).run_id == accepted.run.id
    assert (accepted.outbox, accepted.stopped) == ((), ())


async def test_of_messages_at_once_one_runs_and_the_rest_waits_in_order(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    accepted = await asyncio.gather(*(stores.send(ann, chat, process=(ONE, TWO)[n % 2]) for n in range(10)))
    assert sum(each.lease is not None for each in accepted) == 1
    order = []
    lease = next(lease_of(each) for each in accepted if each.lease)
    process = next((ONE, TWO)[n % 2] for n, each in enumerate(accepted) if each.lease)
    while True:
        order.append(lease.position)
        ended = await succeed(store, lease, process, "Hello.", COST, NOW)
        if ended.promoted is None:
            break
        lease = ended.promoted
    assert order == list(range(10))
    messages = (await stores.sessions.list_messages(ann, chat, 100, "")).elements
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT] * 10


async def test_message_behind_a_forgotten_queue_waits_for_its_turn(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    first = (await stores.send(ann, chat)).run.id
    # As after a loss: nobody works, but somebody waits.
    await stores.execute(sa.update(runs).where(runs.c.id == lease.run_id).values(state="failed"))
    second = await stores.send(ann, chat)
    assert second.lease is None
    with pytest.raises(SessionBusy):
        await stores.send(ann, chat, on_busy=OnBusy.REJECT)
    assert taken(await store.adopt(chat, ONE, NOW)).run_id == first


# One active run a session, by the schema


async def test_database_itself_refuses_a_second_active_run(stores: Stores, ann: Owner, chat: str) -> None:
    await stores.running(ann, chat)
    waiting = (await stores.send(ann, chat)).run.id
    for state in ACTIVE:
        with pytest.raises(IntegrityError):
            await stores.execute(sa.update(runs).where(runs.c.id == waiting).values(state=state))
    elsewhere = (await stores.send(ann, await stores.session(ann))).run.id
    with pytest.raises(IntegrityError):
        await stores.execute(sa.update(runs).where(runs.c.id == elsewhere).values(session_id=chat, position=9))


# Idempotency


async def test_same_key_joins_the_first_run_as_it_is_now(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first = await stores.send(ann, chat, key=a_key())
    await succeed(store, lease_of(first), ONE, "Hello.", COST, NOW)
    session = await stores.sessions.get_session(ann, chat)
    again = await stores.send(ann, chat, key=a_key(), now=NOW + SECOND, on_busy=OnBusy.REPLACE)
    assert (again.run.id, again.run.state, again.joined) == (first.run.id, RunState.SUCCEEDED, True)
    assert (again.lease, again.outbox, again.stopped) == (None, (), ())
    assert await stores.sessions.get_session(ann, chat) == session
    assert await store.find(ann, chat, a_key(), NOW) == again.run


async def test_joining_stops_nothing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    running = lease_of(await stores.send(ann, chat, key=a_key()))
    assert (await stores.send(ann, chat, key=a_key(), on_busy=OnBusy.REPLACE)).joined
    assert await store.renew(ONE, [running.run_id]) == {running.run_id}


async def test_same_key_with_other_content_is_refused(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    await stores.send(ann, chat, key=a_key("k", "one"))
    with pytest.raises(RequestIdReused):
        await stores.send(ann, chat, key=a_key("k", "two"))
    with pytest.raises(RequestIdReused):
        await store.find(ann, chat, a_key("k", "two"), NOW)
    assert (await stores.sessions.get_session(ann, chat)).message_count == 1


async def test_keys_are_their_users_own_and_live_seven_days(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    bob = await stores.project()
    bobs = await stores.session(bob)
    first = await stores.send(ann, chat, key=a_key())
    assert await store.find(bob, bobs, a_key(), NOW) is None
    assert not (await stores.send(bob, bobs, key=a_key())).joined
    assert (await stores.send(ann, chat, key=a_key(), now=NOW + KEPT - SECOND)).run.id == first.run.id
    assert await store.find(ann, chat, a_key(), NOW + KEPT) is None
    assert not (await stores.send(ann, chat, key=a_key(), now=NOW + KEPT)).joined


async def test_twenty_sends_at_once_with_one_key_are_one_run(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    accepted = await asyncio.gather(
        *(stores.send(ann, chat, key=a_key(), process=(ONE, TWO)[n % 2]) for n in range(20))
    )
    assert len({each.run.id for each in accepted}) == 1
    assert sorted(each.joined for each in accepted) == [False] + [True] * 19
    assert sum(each.lease is not None for each in accepted) == 1
    assert (await store.list_runs(ann, (), None, 10, "")).total == 1
    assert (await stores.sessions.get_session(ann, chat)).message_count == 1


async def test_one_key_used_in_two_sessions_at_once_makes_one_run(stores: Stores, ann: Owner, chat: str) -> None:
    chats = (chat, await stores.session(ann))
    accepted = await asyncio.gather(
        *(stores.send(ann, each, key=a_key("k", each)) for each in chats * 10), return_exceptions=True
    )
    refused = [each for each in accepted if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {RequestIdReused}
    assert len(refused) == 10
    assert (await stores.runs.list_runs(ann, (), None, 10, "")).total == 1


async def test_no_key_finds_nothing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    await stores.running(ann, chat)
    assert await store.find(ann, chat, None, NOW) is None


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


# History


async def test_history_is_what_was_said_at_earlier_positions(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first = await stores.running(ann, chat, "one")
    for content in ("two", "three"):
        await stores.send(ann, chat, content)
    assert await store.history(first, 10) == []
    second = promoted(await succeed(store, first, ONE, "1", COST, NOW))
    # The third message is older than this answer, and comes after it all the same.
    assert [each.content for each in await store.history(second, 10)] == ["one", "1"]
    third = promoted(await fail(store, second, ONE, FAILURE, NOW))
    assert [each.content for each in await store.history(third, 10)] == ["one", "1", "two"]
    assert [each.content for each in await store.history(third, 2)] == ["1", "two"]
    await succeed(store, third, ONE, "3", COST, NOW)
    said = (await stores.sessions.list_messages(ann, chat, 10, "")).elements
    assert [each.content for each in said] == ["one", "1", "two", "three", "3"]


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


# Leases


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


# What is told


async def test_events_are_unpublished_until_they_are_acknowledged(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert outbox.events == lease.events
    assert (outbox.run_id, outbox.session_id, outbox.project_id, outbox.user_id, outbox.epoch) == (
        lease.run_id,
        chat,
        ann.project_id,
        ann.user_id,
        lease.epoch,
    )
    await store.acknowledge([(lease.run_id, 1, "e-1")])
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert types(outbox.events) == [(2, "agent_started", False)]
    await store.acknowledge([(lease.run_id, 2, "e-2"), (lease.run_id, 2, "e-2"), (new_id(), 1, "e-3")])
    assert await store.unpublished(NOW + SECOND, 10, ()) == []
    told = (await store.list_events(ann, lease.run_id, 10, "")).elements
    assert [event.id for event in told] == ["e-1", "e-2"]


async def test_unpublished_is_what_is_old_enough_by_its_first_event(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await succeed(store, lease, ONE, "Hello.", COST, NOW + 60 * SECOND)
    assert await store.unpublished(NOW, 10, ()) == []
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    # The end is young, but must not be left behind: nor may it overtake.
    assert types(outbox.events) == await timeline(store, ann, lease.run_id)


async def test_unpublished_comes_oldest_first_by_run_and_leaves_out_what_is_told_already(
    stores: Stores, store: RunStore, ann: Owner
) -> None:
    leases = []
    for number in range(4):
        now = NOW + number * SECOND
        leases.append(lease_of(await stores.send(ann, await stores.session(ann, now), now=now)))
    found = await store.unpublished(NOW + 60 * SECOND, 2, (leases[0].run_id,))
    assert [each.run_id for each in found] == [leases[1].run_id, leases[2].run_id]
    assert all(len(each.events) == 2 for each in found)


async def test_unpublished_has_the_epoch_of_now(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert outbox.epoch == over.epoch


async def test_last_event_is_the_last_one_acknowledged(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    first = await stores.running(ann, chat)
    second = (await stores.send(ann, chat)).run.id
    await store.acknowledge([(first.run_id, 1, "e-1"), (second, 1, "e-2"), (first.run_id, 2, "e-3")])
    assert (await stores.sessions.get_session(ann, chat)).last_event_id == "e-3"
    assert (await store.get_run(ann, first.run_id)).last_event_id == "e-3"
    assert (await store.get_run(ann, second)).last_event_id == "e-2"


# Reading


async def test_somebody_elses_run_is_missing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    row = await stores.row(lease.run_id)
    for stranger in (await stores.project(), await stores.project(ann.user_id)):
        for run_id in (lease.run_id, new_id()):
            calls: list[Callable[[Owner, str], Awaitable[Any]]] = [
                store.get_run,
                store.get_outcome,
                lambda owner, run_id: store.list_events(owner, run_id, 10, ""),
                lambda owner, run_id: store.cancel(owner, run_id, ONE, NOW),
            ]
            for call in calls:
                with pytest.raises(RunNotFound):
                    await call(stranger, run_id)
        assert (await store.list_runs(stranger, (), None, 10, "")).total == 0
        assert (await store.list_runs(stranger, (), chat, 10, "")).elements == []
    assert await stores.row(lease.run_id) == row


async def test_runs_come_newest_first_in_pages_by_state_and_session(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    accepted: list[Accepted] = [await stores.send(ann, chat, now=NOW + SECOND * (n // 2)) for n in range(6)]
    elsewhere = (await stores.send(ann, await stores.session(ann), now=NOW + 9 * SECOND)).run.id
    seen: list[str] = []
    token = ""
    while True:
        page = await store.list_runs(ann, (), chat, 4, token)
        assert page.total == 6
        seen += [run.id for run in page.elements]
        token = page.next_page_token
        if not token:
            break
    expected = sorted(enumerate(accepted), key=lambda each: (each[0] // 2, each[1].run.id), reverse=True)
    assert seen == [each.run.id for _, each in expected]
    running = await store.list_runs(ann, (RunState.RUNNING,), None, 10, "")
    assert {run.id for run in running.elements} == {accepted[0].run.id, elsewhere}
    assert running.elements[0] == await store.get_run(ann, elsewhere)
    both = await store.list_runs(ann, (RunState.RUNNING, RunState.QUEUED), None, 10, "")
    assert both.total == 7


async def test_page_of_long_runs_has_fewer_and_loses_none(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    sent = [(await stores.send(ann, chat, "x" * PAGE_BYTES, now=NOW + SECOND * n)).run.id for n in range(2)]
    first = await store.list_runs(ann, (), None, 50, "")
    second = await store.list_runs(ann, (), None, 50, first.next_page_token)
    assert [each.id for each in first.elements + second.elements] == sent[::-1]
    assert (len(first.elements), first.total, second.next_page_token) == (1, 2, "")


async def test_page_tokens_are_good_for_their_own_list_alone(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    other = await stores.send(ann, chat)
    of_runs = (await store.list_runs(ann, (), None, 1, "")).next_page_token
    of_events = (await store.list_events(ann, lease.run_id, 1, "")).next_page_token
    assert of_runs
    assert of_events
    for bad in ("x", of_events, of_runs[2:]):
        with pytest.raises(InvalidPageToken):
            await store.list_runs(ann, (), None, 1, bad)
    for states, session_id in (((RunState.QUEUED,), None), ((), chat)):
        with pytest.raises(InvalidPageToken):
            await store.list_runs(ann, states, session_id, 1, of_runs)
    for run_id, bad in ((other.run.id, of_events), (lease.run_id, of_runs)):
        with pytest.raises(InvalidPageToken):
            await store.list_events(ann, run_id, 1, bad)


async def test_timeline_is_paged_oldest_first(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await fail(store, lease, ONE, FAILURE, NOW)
    first = await store.list_events(ann, lease.run_id, 3, "")
    second = await store.list_events(ann, lease.run_id, 3, first.next_page_token)
    assert [event.n for event in first.elements + second.elements] == [1, 2, 3, 4]
    assert (first.total, second.total, second.next_page_token) == (4, 4, "")


async def test_runs_of_an_unknown_project_are_not_an_empty_list(store: RunStore) -> None:
    with pytest.raises(ProjectNotFound):
        await store.list_runs(Owner(new_id(), new_id()), (), None, 10, "")
