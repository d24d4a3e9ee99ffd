"""The orchestrator's stores, on every backend there is, as two replicas would use them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services.orchestrator.model import Accepted, Agent, Lease, NewRun, OnBusy, Owner, RunLimits
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.store import ApprovalStore, RunStore, SessionStore
from services.orchestrator.tables import metadata, runs
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.databases import Place

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AGENT = Agent("a9a9a9a9-0000-4000-8000-000000000001", "CodeAssistant")
# A replica: what it calls itself.
ONE, TWO = "process-one", "process-two"


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
        await self.execute(sa.update(runs).where(runs.c.id == run_id).values(lease_until=1.0))

    async def row(self, run_id: str) -> Any:
        """The run as it is stored."""
        return (await self.execute(sa.select(runs).where(runs.c.id == run_id)))[0]


def a_message(session_id: str, content: str = "Hi!", on_busy: OnBusy = OnBusy.QUEUE) -> NewRun:
    return NewRun(
        id=new_id(),
        answer_id=new_id(),
        message_id=new_id(),
        session_id=session_id,
        content=content,
        agent=AGENT,
        on_busy=on_busy,
    )


def lease_of(accepted: Accepted) -> Lease:
    assert accepted.lease is not None
    return accepted.lease


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
