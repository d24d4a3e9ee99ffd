"""What RunStore promises of accepting messages, held against every backend. Two replicas share its database."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.orchestrator.errors import LeaseLost, ProjectNotFound, SessionBusy, SessionNotFound
from services.orchestrator.model import ACTIVE, Mode, OnBusy, Owner, Role, RunState, TaskState
from services.orchestrator.store import RunStore
from services.orchestrator.tables import runs
from services.runtime.errors import RequestIdReused
from services.runtime.idempotency import KEPT
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    AGENT,
    COST,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    a_key,
    a_message,
    lease_of,
    state_of,
    succeed,
    taken,
    types,
)

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
