"""What runs ask their users, in a SQL database."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.changes import changed_by, same_json, scope_of, state_of
from services.orchestrator.errors import ApprovalDecided, ApprovalNotFound
from services.orchestrator.leases import Decided, Lease, Outbox
from services.orchestrator.model import (
    LEASED,
    UNFINISHED,
    Approval,
    ApprovalScope,
    ApprovalState,
    Decision,
    Owner,
    Question,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_approval_queries import SqlApprovalQueries, find_question, shown
from services.orchestrator.sql_approval_rows import APPROVAL_COLUMNS, load_approval
from services.orchestrator.sql_leases import (
    WORKED_ON_AGAIN,
    decisions_of,
    fence,
    lease_of,
    paused_of,
    standing_of,
    waiting,
)
from services.orchestrator.sql_notices import tell_changed
from services.orchestrator.sql_run_queries import load_usage
from services.orchestrator.sql_run_rows import insert_events, store_tasks, unpublished_events
from services.orchestrator.tables import IS_PENDING, approvals, own_approvals, own_runs, runs
from services.orchestrator.timeline import asked, resolved
from services.runtime.database import Database, epoch_now

_PARKED = {"state": RunState.WAITING_APPROVAL, "owner": None, "lease_until": 0.0, "idle_since": epoch_now()}


@dataclass(frozen=True)
class _Verdict:
    """What is to become of a question."""

    state: ApprovalState
    reason: str | None = None
    changed: dict[str, Any] | None = None
    scope: ApprovalScope | None = None

    def is_made(self, approval: Approval) -> bool:
        """Whether it was decided like this before; another reason is no other decision."""
        made = (approval.state, approval.scope) == (self.state, self.scope)
        return made and same_json(approval.changed, self.changed)


class SqlApprovalStore(SqlApprovalQueries):
    """`ApprovalStore` on SQLite and PostgreSQL. `expire` works for every user."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds

    async def ask(
        self,
        lease: Lease,
        process: str,
        task: Task | None,
        questions: Sequence[Question],
        spent: Usage,
        now: datetime,
        paused: str = "",
    ) -> Lease:
        """See ApprovalStore."""
        waits = [] if task is None else [replace(task, state=TaskState.WAITING_APPROVAL)]
        places = {each.id: paused for each in waits}
        new = tuple(_pending(lease.run_id, task, question, now) for question in questions)
        rows = [_row(lease, *each) for each in zip(new, questions, strict=True)]
        async with self._database.write() as connection:
            # What is asked is progress: takeovers are counted anew.
            run = await fence(
                connection,
                lease,
                process,
                self._lease_seconds,
                happening=len(new),
                spent=spent,
                states=(RunState.PLANNING,) if task is None else LEASED,
                attempts=0,
            )
            await connection.execute(
                sa.insert(approvals), [{**row, "n": n} for n, row in enumerate(rows, run.event_count)]
            )
            await store_tasks(connection, lease, waits, places)
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
            plan=lease.plan.with_tasks(waits),
            usage=load_usage(run),
            events=events,
            decisions=lease.decisions + new,
            paused=paused_of(lease, waits, places),
        )

    async def park(self, lease: Lease, process: str) -> Lease | None:
        """See ApprovalStore."""
        async with self._database.write() as connection:
            await fence(connection, lease, process, self._lease_seconds, happening=0)
            who = waiting(lease.plan)
            decisions = await decisions_of(connection, lease.user_id, lease.run_id, who)
            undecided = {each.task_id for each in decisions if each.state is ApprovalState.PENDING}
            if not who or who - undecided:
                return replace(await standing_of(connection, lease), events=(), fresh=False)
            await connection.execute(sa.update(runs).where(runs.c.id == lease.run_id).values(_PARKED))
            return None

    async def decide(self, owner: Owner, approval_id: str, decision: Decision, process: str, now: datetime) -> Decided:
        """See ApprovalStore."""
        async with self._database.read() as connection:
            question, schema = await find_question(connection, owner, approval_id)
        # Before anything is locked: what was asked never changes, and to hold much against a schema takes its time.
        verdict = _Verdict(
            state_of(decision),
            decision.reason,
            changed_by(decision, question, schema),
            scope_of(decision, question.kind),
        )
        async with self._database.write() as connection:
            # Once more: its session may be deleted since.
            await find_question(connection, owner, approval_id)
            return await self._decide(connection, question.run_id, owner.user_id, approval_id, verdict, process, now)

    async def expire(self, process: str, now: datetime, limit: int) -> list[Decided]:
        """See ApprovalStore."""
        overdue = (
            sa.select(approvals.c.id, approvals.c.run_id, approvals.c.user_id)
            # Questions of what is being deleted stay as they are, and go with it: not to be looked at again and again.
            # No join: SQLite would begin with the runs, and look at all that wait.
            .where(
                IS_PENDING,
                approvals.c.expires_at <= now,
                sa.exists().where(runs.c.id == approvals.c.run_id, runs.c.state.in_(UNFINISHED)),
            )
            .order_by(approvals.c.expires_at, approvals.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            found = (await connection.execute(overdue)).all()
        decided = []
        for row in found:
            try:
                async with self._database.write() as connection:
                    decision = await self._decide(connection, row.run_id, row.user_id, row.id, _EXPIRED, process, now)
            except ApprovalNotFound:
                continue  # Gone with its session meanwhile.
            if decision.approval.decided_at == now:
                decided.append(decision)
        return decided

    async def _decide(
        self,
        connection: AsyncConnection,
        run_id: str,
        user_id: str,
        approval_id: str,
        verdict: _Verdict,
        process: str,
        now: datetime,
    ) -> Decided:
        """Decide under the lock of the run's row. Raise ApprovalDecided."""
        run = await _locked(connection, run_id, user_id)
        approval = shown(await _approval(connection, user_id, approval_id), now)
        if verdict is _EXPIRED:
            if run is None or approval.decided_at is not None:
                return Decided(approval)
        elif approval.state is not ApprovalState.PENDING or run is None:
            if verdict.is_made(approval):
                return Decided(approval)
            raise ApprovalDecided(approval_id, approval.state.value)
        decided = replace(
            approval,
            state=verdict.state,
            reason=verdict.reason,
            changed=verdict.changed,
            scope=verdict.scope,
            decided_at=now,
        )
        await _store(connection, user_id, decided)
        values: dict[str, Any] = {"event_count": runs.c.event_count + 1}
        siblings = await decisions_of(connection, user_id, run_id, [approval.task_id])
        goes_on = run.state == RunState.WAITING_APPROVAL and all(
            each.state is not ApprovalState.PENDING for each in siblings
        )
        if goes_on:
            values |= {
                # Without a task it was the plan that was asked about.
                "state": RunState.PLANNING if approval.task_id is None else RunState.RUNNING,
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
        if run.state in LEASED:
            await tell_changed(connection, run_id)
        events = await unpublished_events(connection, user_id, run_id)
        return Decided(decided, Outbox(run_id, row.session_id, row.project_id, user_id, row.epoch, events))


_EXPIRED = _Verdict(ApprovalState.EXPIRED)


def _pending(run_id: str, task: Task | None, question: Question, now: datetime) -> Approval:
    return Approval(
        id=question.id,
        run_id=run_id,
        task_id=None if task is None else task.id,
        kind=question.kind,
        state=ApprovalState.PENDING,
        payload=question.payload,
        reason=None,
        expires_at=question.expires_at,
        decided_at=None,
        created_at=now,
    )


def _row(lease: Lease, approval: Approval, question: Question) -> dict[str, Any]:
    """A new row. What is undecided stays null: JSON has a null of its own."""
    return {name: value for name, value in asdict(approval).items() if value is not None} | {
        "task_id": approval.task_id,
        "user_id": lease.user_id,
        "schema": question.schema,
    }


async def _store(connection: AsyncConnection, user_id: str, decided: Approval) -> None:
    await connection.execute(
        sa.update(approvals)
        .where(approvals.c.id == decided.id, approvals.c.user_id == user_id)
        .values(
            state=decided.state,
            reason=decided.reason,
            changed=sa.null() if decided.changed is None else decided.changed,
            scope=decided.scope,
            decided_at=decided.decided_at,
        )
    )


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
        sa.select(*APPROVAL_COLUMNS).where(approvals.c.id == approval_id, approvals.c.user_id == user_id)
    )
    row = own_approvals.first(found, user_id)
    if row is None:
        raise ApprovalNotFound(approval_id)
    return load_approval(row)
