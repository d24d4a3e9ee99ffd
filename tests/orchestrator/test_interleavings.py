"""The races that reviews of the design found, each at its worst moment. All nine, and where else each is shown:

1. The commit's answer is lost: here, for every write that something must follow from.
2. The owner dies between commit and publish: here; as a killed process in test_restarts.py
   (`test_killed_process_loses_nothing`); what is left over at a start in test_teller.py
   (`test_at_the_start_everything_left_is_published_at_once`).
3. A zombie publishes after the takeover: here; who is heard in which order in test_teller.py
   (`test_zombie_and_its_successor_are_heard_in_order_and_once`); what streams refuse in
   tests/conformance/test_event_store.py (`test_an_older_epoch_is_refused_its_state_and_loses_the_rest`).
4. Two messages at once to an idle session: here; ten of them, on both databases, in
   tests/conformance/test_run_acceptance.py
   (`test_of_messages_at_once_one_runs_and_the_rest_waits_in_order`), beside the schema's own refusal
   (`test_database_itself_refuses_a_second_active_run`).
5. Finish against enqueue: here, in both orders.
6. Decision against parking: tests/conformance/test_approval_store.py
   (`test_decision_against_parking_leaves_the_run_to_exactly_one`).
7. Cancel against takeover: here, in both orders; cancel against the end in tests/conformance/test_run_ends.py
   (`test_of_a_cancellation_and_an_end_at_once_one_wins`).
8. A late Execute of an older epoch: tests/agents/test_interleavings.py.
9. Side effects recorded but unfinished: tests/agents/test_interleavings.py.

Where two transactions meet, one is held open until the other waits for it: on PostgreSQL, for SQLite has one writer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Accepted, Ended, Lease, NewRetry
from services.orchestrator.model import (
    ApprovalKind,
    ApprovalState,
    Decision,
    Failure,
    OnBusy,
    Owner,
    Question,
    RunState,
    Usage,
)
from services.orchestrator.ports import Delta
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.tables import messages, run_events, runs
from services.runtime.database import DatabaseUnavailable
from services.runtime.errors import Internal
from services.runtime.ids import new_id
from tests import databases
from tests.conformance.orchestrator_stores import LIMITS, NOW, ONE, SECOND, TWO, Stores, a_message, lease_of, stores_in
from tests.databases import Place
from tests.e2e.polling import eventually
from tests.held_database import HeldDatabase, meet, until_waiting
from tests.losing_postgres import LosingPostgres, Loss, losing
from tests.orchestrator.endings import again, broken, done
from tests.orchestrator.fake_streams import FakeStreams
from tests.orchestrator.world import World
from tests.postgres import PostgresServer


@pytest.fixture
async def place(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    """A database in which transactions run beside each other."""
    async with databases.place(tmp_path, postgres_server) as place:
        yield place


@pytest.fixture
async def stores(place: Place) -> Stores:
    return await stores_in(place)


@pytest.fixture
async def ann(stores: Stores) -> Owner:
    return await stores.project()


@pytest.fixture
async def chat(stores: Stores, ann: Owner) -> str:
    return await stores.session(ann)


@asynccontextmanager
async def a_world(stores: Stores, process: str = ONE, streams: FakeStreams | None = None) -> AsyncIterator[World]:
    """A process that ends with the block."""
    world = World(stores, process=process, streams=streams)
    try:
        yield world
    finally:
        world.agents.go.set()
        async with asyncio.timeout(30):
            await world.executor.drain()


def heard(world: World, run_id: str) -> list[tuple[int, str]]:
    """What watchers heard of the run."""
    return [(event.n, event.type) for run, event in world.streams.heard if run == run_id]


def texts(world: World) -> list[str]:
    """What watchers read, piece by piece."""
    return [text.text for text in world.streams.texts() if text.text]


# 1. The commit's answer is lost


@pytest.fixture
async def proxy(place: Place) -> AsyncIterator[LosingPostgres]:
    async with losing(place.url) as proxy:
        yield proxy


@pytest.fixture
async def world(place: Place, proxy: LosingPostgres, stores: Stores) -> AsyncIterator[World]:
    """A process that reaches its database through the proxy."""
    async with databases.place(place.file.parent) as away:
        away.url, away.schema = proxy.url, place.schema
        database = away.open()
        approvals = (SqlApprovalStore(database, 30.0), stores.approvals[1])
        async with a_world(replace(stores, runs=SqlRunStore(database, 30.0, LIMITS), approvals=approvals)) as world:
            yield world


async def losing_commit(place: Place, proxy: LosingPostgres, loss: Loss, call: Awaitable[Any]) -> Any:
    """The call's result when its next commit is lost like that; what comes late comes when the call waits for it."""
    proxy.loses = loss
    calling = asyncio.ensure_future(call)
    async with asyncio.timeout(30):
        await proxy.lost.wait()
        if loss is Loss.LATE:
            await until_waiting(place, calling)
            proxy.go.set()
        return await calling


COMMITTED = [Loss.ANSWER, Loss.LATE]


@pytest.mark.server_backed
@pytest.mark.parametrize("loss", COMMITTED)
async def test_message_whose_commits_answer_is_lost_is_accepted_and_runs_at_once(
    place: Place, proxy: LosingPostgres, world: World, stores: Stores, ann: Owner, chat: str, loss: Loss
) -> None:
    new = a_message(chat)
    accepted: Accepted = await losing_commit(place, proxy, loss, world.executor.accept(ann, new, None))
    assert (accepted.run.id, accepted.run.state, accepted.joined) == (new.id, RunState.RUNNING, False)
    await world.agents.until(lambda: [(each.run_id, each.epoch) for each in world.agents.began] == [(new.id, 1)])
    world.agents.go.set()
    await world.until_over(new.id)
    assert heard(world, new.id) == [(1, "message_received"), (2, "agent_started"), (3, "agent_completed")]
    assert len(world.agents.began) == 1
    assert (await stores.row(new.id)).attempts == 0


@pytest.mark.server_backed
async def test_queued_message_whose_commits_answer_is_lost_waits_for_its_turn(
    place: Place, proxy: LosingPostgres, world: World, ann: Owner, chat: str
) -> None:
    first, new = await world.send(ann, chat), a_message(chat)
    accepted: Accepted = await losing_commit(place, proxy, Loss.ANSWER, world.executor.accept(ann, new, None))
    assert (accepted.run.state, accepted.lease) == (RunState.QUEUED, None)
    await world.streams.until(lambda: heard(world, new.id) == [(1, "message_received")])
    world.agents.go.set()
    await world.until_over(new.id)
    assert [each.run_id for each in world.agents.began] == [first, new.id]


@pytest.mark.server_backed
async def test_retry_whose_commits_answer_is_lost_runs_at_once(
    place: Place, proxy: LosingPostgres, world: World, stores: Stores, ann: Owner, chat: str
) -> None:
    failed = await stores.running(ann, chat)
    await stores.runs.end(failed, ONE, broken(failed, Failure("MODEL_FAILED", "it broke off")), NOW)
    again = NewRetry(new_id(), new_id(), failed.run_id, OnBusy.QUEUE)
    accepted: Accepted = await losing_commit(place, proxy, Loss.ANSWER, world.executor.retry(ann, again, None))
    assert (accepted.run.id, accepted.run.state) == (again.id, RunState.RUNNING)
    await world.agents.until(lambda: [(each.run_id, each.epoch) for each in world.agents.began] == [(again.id, 1)])


@pytest.mark.server_backed
async def test_message_whose_commit_never_arrived_is_refused_and_leaves_nothing(
    place: Place, proxy: LosingPostgres, world: World, stores: Stores, ann: Owner, chat: str
) -> None:
    new = a_message(chat)
    with pytest.raises(DatabaseUnavailable):
        await losing_commit(place, proxy, Loss.COMMIT, world.executor.accept(ann, new, None))
    assert await stores.execute(sa.select(runs)) == await stores.execute(sa.select(messages)) == []
    # Nothing stands in its way when it is sent again.
    assert (await world.executor.accept(ann, new, None)).run.state is RunState.RUNNING


@pytest.mark.server_backed
@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("end", ["agent_completed", "run_failed"])
async def test_run_whose_end_is_in_doubt_ends_once_and_the_next_begins(
    place: Place, proxy: LosingPostgres, world: World, stores: Stores, ann: Owner, chat: str, loss: Loss, end: str
) -> None:
    first, second = await world.send(ann, chat), await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    if end == "run_failed":
        world.agents.failure = Internal("it broke off")
    world.agents.go.set()
    await losing_commit(place, proxy, loss, world.until_over(first))
    await world.until_over(second)
    assert [(each.run_id, each.task.attempt) for each in world.agents.began] == [(first, 1), (second, 1)]
    for run_id in (first, second):
        told = heard(world, run_id)
        assert [n for n, _ in told] == list(range(1, len(told) + 1))
        assert [type for _, type in told].count(end) == 1
    answers = await stores.execute(sa.select(messages).where(messages.c.role == "assistant"))
    assert len(answers) == (2 if end == "agent_completed" else 0)


@pytest.mark.server_backed
@pytest.mark.parametrize("loss", Loss)
async def test_cancellation_in_doubt_stops_the_run_and_the_next_begins(
    place: Place, proxy: LosingPostgres, world: World, ann: Owner, chat: str, loss: Loss
) -> None:
    first, second = await world.send(ann, chat), await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    cancelling = world.executor.cancel(ann, first)
    try:
        cancelled = await losing_commit(place, proxy, loss, cancelling)
        assert cancelled.state is RunState.CANCELLED
    except DatabaseUnavailable:
        assert loss is Loss.COMMIT
        await world.executor.cancel(ann, first)
    await world.until_over(first)
    assert heard(world, first)[-1] == (3, "run_cancelled")
    await world.agents.until(lambda: [each.run_id for each in world.agents.began] == [first, second])
    assert [each.run_id for each in world.agents.closed] == [first]


@pytest.mark.server_backed
@pytest.mark.parametrize("loss", Loss)
async def test_decision_in_doubt_is_made_once_and_its_run_goes_on(
    place: Place, proxy: LosingPostgres, world: World, stores: Stores, ann: Owner, chat: str, loss: Loss
) -> None:
    lease = await stores.running(ann, chat)
    question = Question(new_id(), ApprovalKind.TOOL, {"tool": "shell"}, NOW + SECOND)
    lease = await stores.approvals[1].ask(lease, ONE, lease.task, [question], Usage(), NOW)
    assert await stores.approvals[1].park(lease, ONE) is None
    deciding = world.executor.decide(ann, question.id, Decision(True))
    try:
        decided = await losing_commit(place, proxy, loss, deciding)
        assert decided.state is ApprovalState.APPROVED
        # Nobody knows that the run is leased: it is taken over. Unless it took too long, and was decided anew.
        if not world.executor.runs_here(lease.run_id):
            await stores.expire(lease.run_id)
            await world.executor._adopt_orphans()
    except DatabaseUnavailable:
        assert loss is Loss.COMMIT
        await world.executor.decide(ann, question.id, Decision(True))
    world.agents.go.set()
    await world.until_over(lease.run_id)
    [begun] = world.agents.began
    assert [each.state for each in begun.decisions] == [ApprovalState.APPROVED]
    assert [type for _, type in heard(world, lease.run_id)].count("approval_resolved") == 1


# 2. The owner dies between commit and publish


@pytest.mark.parametrize("told", range(4))
async def test_owner_that_dies_between_commit_and_publish_leaves_nothing_untold(
    database_place: Place, told: int
) -> None:
    stores = await stores_in(database_place)
    ann = await stores.project()
    chat = await stores.session(ann)
    streams = FakeStreams()
    # It has ended one run, told so many events of it, recorded none of them as told, and begun the next run.
    before = NOW - SECOND
    lease = lease_of(await stores.send(ann, chat, now=before))
    next_run = (await stores.send(ann, chat, now=before)).run.id
    ended = await stores.runs.end(lease, ONE, done(lease), before)
    for n, event in enumerate([*lease.events, *ended.outbox.events][:told], start=1):
        streams._known[lease.run_id, n] = f"told {n}"
        streams.heard.append((lease.run_id, event))
    await stores.expire(next_run)
    async with a_world(replace(stores, runs=stores.others), TWO, streams) as world, world.teller.working(3600.0):
        world.agents.go.set()
        await world.executor._adopt_orphans()
        await world.until_over(lease.run_id)
        await world.until_over(next_run)
    assert heard(world, lease.run_id) == [(1, "message_received"), (2, "agent_started"), (3, "agent_completed")]
    assert heard(world, next_run) == [(1, "message_received"), (2, "agent_started"), (3, "agent_completed")]
    assert await stores.execute(sa.select(run_events).where(run_events.c.published.is_(None))) == []


# 3. A zombie publishes after the takeover


async def test_zombie_that_publishes_after_the_takeover_is_not_heard_and_ends_nothing(database_place: Place) -> None:
    stores = await stores_in(database_place)
    ann = await stores.project()
    chat = await stores.session(ann)
    async with a_world(stores) as zombie:
        run_id = await zombie.send(ann, chat)
        await zombie.agents.until(lambda: len(zombie.agents.began) == 1)
        await zombie.streams.until(lambda: len(heard(zombie, run_id)) == 2)
        # It freezes for longer than its lease.
        await stores.expire(run_id)
        async with a_world(replace(stores, runs=stores.others), TWO, zombie.streams) as successor:
            await successor.executor._adopt_orphans()
            await successor.agents.until(lambda: len(successor.agents.began) == 1)
            await successor.streams.until(lambda: len(heard(successor, run_id)) == 3)
            zombie.agents.said = [Delta(0, "The ghost's.")]
            zombie.agents.may_end.clear()
            zombie.agents.go.set()
            # It speaks on until it hears that it may not, or is heard.
            await eventually(lambda: not zombie.teller._speaking or texts(zombie))
            assert texts(zombie) == []
            zombie.agents.may_end.set()
            await zombie.executor._finish()
            assert await stores.execute(sa.select(messages).where(messages.c.role == "assistant")) == []
            assert (await stores.row(run_id)).state == RunState.RUNNING
            successor.agents.said = [Delta(0, "Done.")]
            successor.agents.go.set()
            await successor.until_over(run_id)
    assert heard(successor, run_id) == [
        (1, "message_received"),
        (2, "agent_started"),
        (3, "agent_started"),
        (4, "agent_completed"),
    ]
    assert texts(successor) == ["Done."]
    assert len(await stores.execute(sa.select(messages).where(messages.c.role == "assistant"))) == 1


# 4. Two messages at once to an idle session


@pytest.mark.server_backed
async def test_of_two_messages_at_once_to_an_idle_session_one_runs_and_one_waits(
    place: Place, stores: Stores, ann: Owner, chat: str
) -> None:
    held = HeldDatabase(place.open())
    early, late = await meet(
        place,
        held,
        SqlRunStore(held, 30.0, LIMITS).accept(ann, a_message(chat), None, ONE, NOW),
        stores.send(ann, chat, process=TWO),
    )
    assert (lease_of(early).position, early.run.state) == (0, RunState.RUNNING)
    assert (late.lease, late.run.state) == (None, RunState.QUEUED)
    ended = await stores.runs.end(lease_of(early), ONE, done(lease_of(early)), NOW)
    assert ended.promoted is not None
    assert (ended.promoted.run_id, ended.promoted.position) == (late.run.id, 1)


# 5. Finish against enqueue


Ending = Callable[[SqlRunStore, Lease], Awaitable[Ended]]
ENDS: dict[str, Ending] = {
    "succeed": lambda store, lease: store.end(lease, ONE, done(lease), NOW),
    "fail": lambda store, lease: store.end(lease, ONE, broken(lease, Failure("MODEL_FAILED", "it broke off")), NOW),
}


@pytest.mark.server_backed
@pytest.mark.parametrize("end", ENDS)
async def test_message_that_comes_while_the_run_before_it_ends_runs_at_once(
    place: Place, stores: Stores, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    held = HeldDatabase(place.open())
    ended, late = await meet(
        place, held, ENDS[end](SqlRunStore(held, 30.0, LIMITS), lease), stores.send(ann, chat, process=TWO)
    )
    assert ended.promoted is None
    assert (lease_of(late).run_id, late.run.state) == (late.run.id, RunState.RUNNING)


@pytest.mark.server_backed
@pytest.mark.parametrize("end", ENDS)
async def test_run_that_ends_while_a_message_is_queued_behind_it_sets_that_free(
    place: Place, stores: Stores, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    held = HeldDatabase(place.open())
    queued, ended = await meet(
        place,
        held,
        SqlRunStore(held, 30.0, LIMITS).accept(ann, a_message(chat), None, TWO, NOW),
        ENDS[end](SqlRunStore(place.open(), 30.0, LIMITS), lease),
    )
    assert queued.run.state is RunState.QUEUED
    assert ended.promoted is not None
    assert ended.promoted.run_id == queued.run.id


# 7. Cancel against takeover


@pytest.mark.server_backed
async def test_run_that_is_being_cancelled_is_not_taken_over(
    place: Place, stores: Stores, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    waiting = (await stores.send(ann, chat)).run.id
    await stores.expire(lease.run_id)
    held = HeldDatabase(place.open())
    (run, ended), adopted = await meet(
        place,
        held,
        SqlRunStore(held, 30.0, LIMITS).cancel(ann, lease.run_id, ONE, NOW),
        stores.others.adopt(chat, TWO, NOW),
    )
    assert (run.state, adopted) == (RunState.CANCELLED, None)
    assert ended is not None
    assert ended.promoted is not None
    assert ended.promoted.run_id == waiting


@pytest.mark.server_backed
@pytest.mark.parametrize("how", ["cancel", "replace"])
async def test_run_that_is_cancelled_while_it_is_taken_over_stops_at_its_new_owner(
    place: Place, stores: Stores, ann: Owner, chat: str, how: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    held = HeldDatabase(place.open())
    over, _ = await meet(
        place,
        held,
        SqlRunStore(held, 30.0, LIMITS).adopt(chat, TWO, NOW),
        stores.runs.cancel(ann, lease.run_id, ONE, NOW)
        if how == "cancel"
        else stores.send(ann, chat, on_busy=OnBusy.REPLACE),
    )
    assert (over.run_id, over.epoch) == (lease.run_id, 2)
    assert (await stores.row(lease.run_id)).state == RunState.CANCELLED
    for store, each, process in ((stores.runs, lease, ONE), (stores.others, over, TWO)):
        with pytest.raises(LeaseLost):
            await store.advance(each, process, again(each), Usage(), NOW)
        with pytest.raises(LeaseLost):
            await store.end(each, process, done(each, "Too late."), NOW)
        assert await store.renew(process, [lease.run_id]) == set()
    told = await stores.execute(sa.select(run_events).where(run_events.c.run_id == lease.run_id, run_events.c.final))
    assert [event.type for event in told] == ["run_cancelled"]
