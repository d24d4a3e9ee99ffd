"""What runs ask their users, in a SQL database."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import ApprovalDecided, ApprovalNotFound
from services.orchestrator.model import (
    UNFINISHED,
    Approval,
    ApprovalState,
    Decided,
    Lease,
    Outbox,
    Owner,
    Question,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_leases import WORKED_ON_AGAIN, decisions_of, fence, lease_of, waiting
from services.orchestrator.sql_run_queries import load_approval, load_usage
from services.orchestrator.sql_run_rows import insert_events, store_tasks, unpublished_events
from services.orchestrator.tables import approvals, chat_sessions, own_approvals, own_runs, runs
from services.orchestrator.timeline import asked, resolved
from services.runtime.database import Database, epoch_now

_PARKED = {"state": RunState.WAITING_APPROVAL, "owner": None, "lease_until": 0.0, "idle_since": epoch_now()}


class SqlApprovalStore:
    """`ApprovalStore` on SQLite and PostgreSQL. `expire` works for every user."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def ask(
        self, lease: Lease, process: str, task: Task, questions: Sequence[Question], spent: Usage, now: datetime
    ) -> Lease:
        """See ApprovalStore."""
        waits = replace(task, state=TaskState.WAITING_APPROVAL)
        new = tuple(
            Approval(
                id=question.id,
                run_id=lease.run_id,
                task_id=task.id,
                kind=question.kind,
                state=ApprovalState.PENDING,
                payload=question.payload,
                reason=None,
                expires_at=question.expires_at,
                decided_at=None,
                created_at=now,
            )
            for question in questions
        )
        async with self._database.write() as connection:
            # What is asked is progress: takeovers are counted anew.
            run = await fence(
                connection, lease, process, self._lease_seconds, happening=len(new), spent=spent, attempts=0
            )
            await connection.execute(
                sa.insert(approvals),
                [
                    {**asdict(approval), "user_id": lease.user_id, "n": n}
                    for n, approval in enumerate(new, run.event_count)
                ],
            )
            await store_tasks(connection, lease, [waits])
            events = await insert_events(
                connection,
                lease.user_id,
                lease.run_id,
                lease.epoch,
                run.event_count,
                now,
                [asked(approval) for approval in new],
            )
        return replace(
            lease,
            plan=lease.plan.with_tasks([waits]),
            usage=load_usage(run),
            events=events,
            decisions=lease.decisions + new,
        )

    async def park(self, lease: Lease, process: str) -> Lease | None:
        """See ApprovalStore."""
        async with self._database.write() as connection:
            await fence(connection, lease, process, self._lease_seconds, happening=0)
            tasks = waiting(lease.plan)
            decisions = await decisions_of(connection, lease.user_id, lease.run_id, tasks)
            undecided = {each.task_id for each in decisions if each.state is ApprovalState.PENDING}
            if not tasks or tasks - undecided:
                return replace(lease, decisions=decisions, events=(), fresh=False)
            await connection.execute(sa.update(runs).where(runs.c.id == lease.run_id).values(_PARKED))
            return None

    async def decide(
        self, owner: Owner, approval_id: str, approve: bool, reason: str | None, process: str, now: datetime
    ) -> Decided:
        """See ApprovalStore."""
        state = ApprovalState.APPROVED if approve else ApprovalState.REJECTED
        async with self._database.write() as connection:
            run_id = await _run_of(connection, owner, approval_id)
            return await self._decide(connection, run_id, owner.user_id, approval_id, state, reason, process, now)

    async def expire(self, process: str, now: datetime, limit: int) -> list[Decided]:
        """See ApprovalStore."""
        overdue = (
            sa.select(approvals.c.id, approvals.c.run_id, approvals.c.user_id)
            # Questions of what is being deleted stay as they are, and go with it: not to be looked at again and again.
            .join(runs, runs.c.id == approvals.c.run_id)
            .where(
                approvals.c.state == ApprovalState.PENDING,
                approvals.c.expires_at <= now,
                runs.c.state.in_(UNFINISHED),
            )
            .order_by(approvals.c.expires_at, approvals.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            found = (await connection.execute(overdue)).all()
        decided = []
        for row in found:
            async with self._database.write() as connection:
                expired = ApprovalState.EXPIRED
                decision = await self._decide(connection, row.run_id, row.user_id, row.id, expired, None, process, now)
            if decision.approval.decided_at == now:
                decided.append(decision)
        return decided

    async def _decide(
        self,
        connection: AsyncConnection,
        run_id: str,
        user_id: str,
        approval_id: str,
        state: ApprovalState,
        reason: str | None,
        process: str,
        now: datetime,
    ) -> Decided:
        """Decide under the lock of the run's row. Raise ApprovalDecided."""
        run = await _locked(connection, run_id, user_id)
        approval = await _approval(connection, user_id, approval_id)
        late = state is not ApprovalState.EXPIRED and approval.expires_at <= now
        if run is None or late or approval.state is not ApprovalState.PENDING:
            if approval.state is state or state is ApprovalState.EXPIRED:
                return Decided(approval)
            shown = ApprovalState.EXPIRED if approval.state is ApprovalState.PENDING else approval.state
            raise ApprovalDecided(approval_id, shown.value)
        decided = replace(approval, state=state, reason=reason, decided_at=now)
        await connection.execute(
            sa.update(approvals)
            .where(approvals.c.id == approval_id, approvals.c.user_id == user_id)
            .values(state=state, reason=reason, decided_at=now)
        )
        values: dict[str, Any] = {"event_count": runs.c.event_count + 1}
        siblings = await decisions_of(connection, user_id, run_id, [approval.task_id])
        goes_on = run.state == RunState.WAITING_APPROVAL and all(
            each.state is not ApprovalState.PENDING for each in siblings
        )
        if goes_on:
            values |= {
                "state": RunState.RUNNING,
                "owner": process,
                "epoch": runs.c.epoch + 1,
                "attempts": 0,
                "lease_until": epoch_now() + self._lease_seconds,
                **WORKED_ON_AGAIN,
            }
        changed = await connection.execute(sa.update(runs).where(runs.c.id == run_id).values(values).returning(runs))
        row = own_runs.first(changed, user_id)
        assert row is not None
        happened = [resolved(decided)]
        await insert_events(connection, user_id, run_id, row.epoch, row.event_count, now, happened)
        if goes_on:
            # The lease's holder speaks for the run, and tells all there is to tell.
            return Decided(decided, lease=await lease_of(connection, row))
        events = await unpublished_events(connection, user_id, run_id)
        return Decided(decided, Outbox(run_id, row.session_id, row.project_id, user_id, row.epoch, events))


async def _run_of(connection: AsyncConnection, owner: Owner, approval_id: str) -> str:
    """The id of the run that asked. Raise ApprovalNotFound, also where its session is deleted."""
    found = await connection.execute(
        sa.select(runs.c.id, runs.c.user_id, runs.c.project_id)
        .join(approvals, approvals.c.run_id == runs.c.id)
        .join(chat_sessions, chat_sessions.c.id == runs.c.session_id)
        .where(
            approvals.c.id == approval_id,
            runs.c.user_id == owner.user_id,
            runs.c.project_id == owner.project_id,
            chat_sessions.c.deleted.is_(False),
        )
    )
    row = own_runs.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise ApprovalNotFound(approval_id)
    return str(row.id)


async def _locked(connection: AsyncConnection, run_id: str, user_id: str) -> sa.Row[Any] | None:
    """The run, locked until the transaction ends; None if it is over."""
    unfinished = (runs.c.id == run_id, runs.c.user_id == user_id, runs.c.state.in_(UNFINISHED))
    # An UPDATE locks on every database; FOR UPDATE would be ignored by SQLite.
    locked = await connection.execute(
        sa.update(runs).where(*unfinished).values(event_count=runs.c.event_count).returning(runs)
    )
    return own_runs.first(locked, user_id)


async def _approval(connection: AsyncConnection, user_id: str, approval_id: str) -> Approval:
    found = await connection.execute(
        sa.select(approvals).where(approvals.c.id == approval_id, approvals.c.user_id == user_id)
    )
    row = own_approvals.first(found, user_id)
    if row is None:
        raise ApprovalNotFound(approval_id)
    return load_approval(row)
