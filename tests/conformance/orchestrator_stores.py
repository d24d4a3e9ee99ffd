"""The orchestrator's stores, on every backend there is, as two replicas would use them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Accepted, Ended, Ending, Lease, NewRun, RunLimits
from services.orchestrator.model import (
    Agent,
    ApprovalKind,
    Event,
    Failure,
    OnBusy,
    Owner,
    Plan,
    Question,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.store import ApprovalStore, RunStore, SessionStore
from services.orchestrator.tables import metadata, runs
from services.runtime.database import epoch_now
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.databases import Place

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AGENT = Agent("a9a9a9a9-0000-4000-8000-000000000001", "CodeAssistant")
# A replica: what it calls itself.
ONE, TWO = "process-one", "process-two"
FAILURE = Failure("MODEL_UNAVAILABLE", "the model is out of reach")
COST = Usage(prompt_tokens=7, completion_tokens=5, model_calls=1)
LIMITS = RunLimits(active=60, queued=25)
"""What each user may have in the tests."""


@dataclass
class Stores:
    """Both stores of one replica, the run store of another one, and what goes past the contract."""

    sessions: SessionStore
    runs: RunStore
    others: RunStore
    approvals: tuple[ApprovalStore, ApprovalStore]
    """Of each replica one."""
    execute: Callable[[Any], Awaitable[list[Any]]]
    """Run a statement behind the stores' backs."""

    async def project(self, user_id: str | None = None) -> Owner:
        """A project that may have sessions."""
        owner = Owner(user_id or new_id(), new_id())
        await self.sessions.admit_project(owner)
        return owner

    async def session(self, owner: Owner, now: datetime = NOW) -> str:
        return (await self.sessions.create_session(owner, new_id(), "Chat", None, now)).id

    async def send(
        self,
        owner: Owner,
        session_id: str,
        content: str = "Hi!",
        on_busy: OnBusy = OnBusy.QUEUE,
        key: RequestKey | None = None,
        process: str = ONE,
        now: datetime = NOW,
    ) -> Accepted:
        """Accept a message at the replica that `process` is."""
        store = self.runs if process == ONE else self.others
        return await store.accept(owner, a_message(session_id, content, on_busy), key, process, now)

    async def running(self, owner: Owner, session_id: str, content: str = "Hi!") -> Lease:
        """The lease of a run that began at once."""
        return lease_of(await self.send(owner, session_id, content))

    async def expire(self, run_id: str) -> None:
        """Let the run's lease be over, as if its owner had been silent for long."""
        await self.execute(sa.update(runs).where(runs.c.id == run_id).values(lease_until=epoch_now() - 1.0))

    async def row(self, run_id: str) -> Any:
        """The run as it is stored."""
        return (await self.execute(sa.select(runs).where(runs.c.id == run_id)))[0]


def a_message(
    session_id: str, content: str = "Hi!", on_busy: OnBusy = OnBusy.QUEUE, agent: Agent | None = AGENT
) -> NewRun:
    return NewRun(
        id=new_id(),
        answer_id=new_id(),
        message_id=new_id(),
        session_id=session_id,
        content=content,
        agent=agent,
        on_busy=on_busy,
    )


def lease_of(accepted: Accepted) -> Lease:
    assert accepted.lease is not None
    return accepted.lease


def promoted(ended: Ended | None) -> Lease:
    assert ended is not None
    assert ended.promoted is not None
    return ended.promoted


def taken(adopted: Lease | Ended | None) -> Lease:
    assert isinstance(adopted, Lease)
    return adopted


def types(events: Sequence[Event]) -> list[tuple[int, str, bool]]:
    return [(event.n, event.type, event.final) for event in events]


async def timeline(store: RunStore, owner: Owner, run_id: str) -> list[tuple[int, str, bool]]:
    return types((await store.list_events(owner, run_id, 100, "")).elements)


async def state_of(store: RunStore, owner: Owner, run_id: str) -> RunState:
    return (await store.get_run(owner, run_id)).state


def beginning(task: Task, now: datetime = NOW) -> Task:
    """The task in its next attempt."""
    return replace(task, state=TaskState.RUNNING, attempt=task.attempt + 1, started_at=task.started_at or now)


def done(task: Task, output: str, usage: Usage = COST, now: datetime = NOW) -> Task:
    return replace(task, state=TaskState.SUCCEEDED, output=output, usage=usage, finished_at=now)


def broken(task: Task, error: Failure = FAILURE, now: datetime = NOW) -> Task:
    return replace(task, state=TaskState.FAILED, error=error, finished_at=now)


async def begin_attempt(store: RunStore, lease: Lease, process: str, now: datetime) -> Lease:
    """Begin the next attempt at a direct run's task."""
    return await store.advance(lease, process, [beginning(lease.task, now)], Usage(), now)


async def succeed(
    store: RunStore, lease: Lease, process: str, output: str, usage: Usage = COST, now: datetime = NOW
) -> Ended:
    """End a direct run with its task's output as the answer."""
    task = done(lease.task, output, usage, now)
    ending = Ending(answer=output, agent_id=task.agent_id, tasks=(task,), spent=usage)
    return await store.end(lease, process, ending, now)


async def fail(store: RunStore, lease: Lease, process: str, error: Failure = FAILURE, now: datetime = NOW) -> Ended:
    """End a direct run without an answer."""
    return await store.end(lease, process, Ending(error=error, tasks=(broken(lease.task, error, now),)), now)


async def nothing_can_be_written(stores: Stores, store: RunStore, lease: Lease, process: str) -> None:
    """Whatever a process tries under a lease that it has lost changes no row."""
    approval_store, late = stores.approvals[store is stores.others], NOW + SECOND
    queries = [sa.select(table) for table in metadata.sorted_tables]
    before = [await stores.execute(query) for query in queries]
    tasks = [beginning(task, late) for task in lease.plan.tasks]
    a_task = Task("late", AGENT.id, AGENT.name, "Late", "Be late.", TaskState.PENDING, 0)
    question = Question(new_id(), ApprovalKind.TOOL, {}, late)
    writes: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.plan(lease, process, Plan((a_task,)), COST, late),
        lambda: store.advance(lease, process, tasks, COST, late),
        lambda: store.note(lease, process, ("tool_started", {}), late),
        lambda: store.standing(lease, process),
        lambda: store.end(lease, process, Ending(answer="Too late.", tasks=tuple(tasks)), late),
        lambda: store.end(lease, process, Ending(error=FAILURE, tasks=tuple(tasks)), late),
        lambda: approval_store.ask(lease, process, a_task, [question], COST, late, "here"),
        lambda: approval_store.ask(lease, process, None, [question], COST, late),
        lambda: approval_store.park(lease, process),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            await write()
    assert [await stores.execute(query) for query in queries] == before


def a_key(request_id: str = "k", *content: str, scope: str = "Send") -> RequestKey:
    made = RequestKey.of(scope, request_id, *content)
    assert made is not None
    return made


async def stores_in(place: Place) -> Stores:
    """Two databases in one place: the connections of one replica each."""
    one, two = await place.with_tables(metadata), place.open()

    async def execute(statement: Any) -> list[Any]:
        async with two.write() as connection:
            result = await connection.execute(statement)
            return list(result.all()) if result.returns_rows else []

    return Stores(
        SqlSessionStore(one),
        SqlRunStore(one, 30.0, LIMITS),
        SqlRunStore(two, 30.0, LIMITS),
        (SqlApprovalStore(one, 30.0), SqlApprovalStore(two, 30.0)),
        execute,
    )
