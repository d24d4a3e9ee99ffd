"""Runs in a SQL database: leases and ends. How they begin is in sql_run_acceptance, what is read in sql_run_queries.

Order of locks, everywhere: the project's row, the sessions', the runs'; several of a kind in the order of their ids. A
write under a lease begins with an UPDATE on (id, owner, epoch): it waits for whoever holds the row, and changes nothing
if the lease went to somebody else.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.orchestrator.errors import LeaseLost, RunFinished, RunNotFound
from services.orchestrator.model import (
    ACTIVE,
    LEASED,
    Ended,
    Failure,
    Lease,
    Message,
    Owner,
    Role,
    Run,
    RunState,
    TaskState,
    Usage,
)
from services.orchestrator.sql_leases import fence, lease_of
from services.orchestrator.sql_run_acceptance import SqlRunAcceptance
from services.orchestrator.sql_run_doubts import SqlRunDoubts
from services.orchestrator.sql_run_queries import load_run, load_task
from services.orchestrator.sql_run_rows import (
    cancel_questions,
    cancel_runs,
    completed,
    end_task,
    expired_run,
    failed,
    insert_events,
    insert_message,
    outbox_of,
    seize_session,
    started,
    touch_session,
)
from services.orchestrator.tables import (
    chat_sessions,
    own_runs,
    own_tasks,
    run_events,
    run_tasks,
    runs,
)
from services.runtime.database import epoch_now, lock_rows, prepared

MAX_TAKEOVERS = 3


_OF_RUN: sa.BindParameter[str] = sa.bindparam("of_run")
_EVENT_ID: sa.BindParameter[str] = sa.bindparam("event_id")

_SESSION_HEAD = (
    sa.update(chat_sessions)
    .where(chat_sessions.c.id == sa.select(runs.c.session_id).where(runs.c.id == _OF_RUN).scalar_subquery())
    .values(last_event_id=_EVENT_ID)
)
_RUN_HEAD = sa.update(runs).where(runs.c.id == _OF_RUN).values(last_event_id=_EVENT_ID)
_EVENT_PUBLISHED = (
    sa.update(run_events)
    .where(run_events.c.run_id == _OF_RUN, run_events.c.n == sa.bindparam("at_n"))
    .values(published=_EVENT_ID)
)


@prepared
def _promoted(session_id: Any, process: Any, lease_seconds: Any, now: Any) -> ReturningUpdate[Any]:
    others = runs.alias("others")
    first = (
        sa.select(others.c.id)
        .where(others.c.session_id == session_id, others.c.state == RunState.QUEUED)
        .order_by(others.c.position)
        .limit(1)
        .scalar_subquery()
    )
    active = sa.exists().where(others.c.session_id == session_id, others.c.state.in_(ACTIVE))
    return (
        sa.update(runs)
        .where(runs.c.id == first, ~active)
        .values(
            state=RunState.RUNNING,
            owner=process,
            epoch=runs.c.epoch + 1,
            lease_until=epoch_now() + lease_seconds,
            started_at=now,
        )
        .returning(runs)
    )


class SqlRunStore(SqlRunAcceptance, SqlRunDoubts):
    """`RunStore` on SQLite and PostgreSQL.

    What leaves passes the owner's guard. `renew` and `adopt` work for every user: they hand out ids, and what a process
    needs to work on a run in the name of the run's user, past their guard.
    """

    async def begin_attempt(self, lease: Lease, process: str, now: datetime) -> Lease:
        async with self._database.write() as connection:
            run = await fence(connection, lease, process, self._lease_seconds, happening=1)
            counted = await connection.execute(
                sa.update(run_tasks)
                .where(
                    run_tasks.c.run_id == lease.run_id,
                    run_tasks.c.user_id == lease.user_id,
                    run_tasks.c.id == lease.task.id,
                )
                .values(
                    state=TaskState.RUNNING,
                    attempt=run_tasks.c.attempt + 1,
                    generation=run_tasks.c.generation + 1,
                    started_at=sa.func.coalesce(run_tasks.c.started_at, now),
                )
                .returning(run_tasks)
            )
            row = own_tasks.first(counted, lease.user_id)
            if row is None:
                raise LeaseLost(lease.run_id)
            task = load_task(row)
            events = await insert_events(
                connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, [started(task)]
            )
            return replace(lease, task=task, generation=row.generation, events=events, fresh=True)

    async def succeed(self, lease: Lease, process: str, output: str, usage: Usage, now: datetime) -> Ended:
        answer = Message(
            lease.answer_id, lease.session_id, lease.run_id, Role.ASSISTANT, output, lease.task.agent_id, now
        )
        end = {"state": RunState.SUCCEEDED, "answered": True, "finished_at": now, "owner": None, **asdict(usage)}
        async with self._database.write() as connection:
            await touch_session(connection, lease.session_id, now, messages_more=1)
            run = await fence(connection, lease, process, self._lease_seconds, happening=1, **end)
            await insert_message(connection, answer, lease.user_id, 2 * lease.position + 1)
            await end_task(connection, lease, TaskState.SUCCEEDED, now, output=output, **asdict(usage))
            duration_ms = round((now - run.started_at).total_seconds() * 1000)
            happened = [completed(lease.task, answer, asdict(usage), duration_ms)]
            events = await insert_events(
                connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, happened, final=True
            )
            promoted = await self._promote(connection, lease.session_id, process, now)
            return Ended(outbox_of(lease, events), promoted)

    async def fail(self, lease: Lease, process: str, error: Failure, now: datetime) -> Ended:
        async with self._database.write() as connection:
            await touch_session(connection, lease.session_id, now)
            return await self._fail(connection, lease, process, error, now)

    async def cancel(self, owner: Owner, run_id: str, process: str, now: datetime) -> tuple[Run, Ended | None]:
        async with self._database.write() as connection:
            found = await connection.execute(
                sa.select(runs.c.user_id, runs.c.project_id, runs.c.session_id).where(
                    runs.c.id == run_id, runs.c.user_id == owner.user_id, runs.c.project_id == owner.project_id
                )
            )
            mine = own_runs.first(found, owner.user_id, owner.project_id)
            if mine is None or not await touch_session(connection, mine.session_id):
                raise RunNotFound(run_id)
            session_id = mine.session_id
            outbox = await cancel_runs(connection, owner, runs.c.id == run_id, "cancelled", now)
            run = await load_run(connection, owner, run_id)
            if not outbox:
                if run.state is not RunState.CANCELLED:
                    raise RunFinished(run_id, run.state.value)
                return run, None
            await touch_session(connection, session_id, now)
            return run, Ended(outbox[0], await self._promote(connection, session_id, process, now))

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        async with self._database.write() as connection:
            leased = (runs.c.id.in_(sorted(run_ids)), runs.c.owner == process, runs.c.state.in_(LEASED))
            mine = await connection.scalars(sa.select(runs.c.id).where(*leased))
            kept = set(mine)
            # A run that somebody holds at the moment, and for long if they are frozen, must not cost the others theirs.
            free = await connection.scalars(
                sa.select(runs.c.id).where(*leased).order_by(runs.c.id).with_for_update(skip_locked=True)
            )
            await connection.execute(
                sa.update(runs).where(runs.c.id.in_(list(free))).values(lease_until=self._lease_end())
            )
            return kept

    async def adopt(self, session_id: str, process: str, now: datetime) -> Lease | Ended | None:
        async with self._database.write() as connection:
            # What somebody holds is passed over: they may be frozen, and the next orphan must not wait for them too.
            if not await seize_session(connection, session_id):
                return None
            taken = await connection.execute(
                sa.update(runs)
                .where(runs.c.id == await expired_run(connection, session_id))
                .values(
                    owner=process,
                    epoch=runs.c.epoch + 1,
                    attempts=runs.c.attempts + 1,
                    lease_until=self._lease_end(),
                )
                .returning(runs)
            )
            row = taken.one_or_none()
            if row is None:
                return await self._promote(connection, session_id, process, now)
            lease = await lease_of(connection, row)
            if row.attempts <= MAX_TAKEOVERS:
                return lease
            error = Failure("RUN_ABANDONED", f"the run was taken over {MAX_TAKEOVERS} times and never got further")
            ended = await self._fail(connection, lease, process, error, now)
            return replace(ended, outbox=outbox_of(lease, lease.events + ended.outbox.events))

    async def release(self, process: str) -> None:
        async with self._database.write() as connection:
            leased = (runs.c.owner == process, runs.c.state.in_(LEASED), runs.c.lease_until > 0)
            await lock_rows(connection, runs.c.id, *leased)
            await connection.execute(
                sa.update(runs)
                .where(*leased)
                # The takeover will count one attempt: this one was no failure.
                .values(lease_until=0, attempts=runs.c.attempts - 1)
            )

    async def acknowledge(self, published: Sequence[tuple[str, int, str]]) -> None:
        events = [{"of_run": run_id, "at_n": n, "event_id": id} for run_id, n, id in published]
        latest: dict[str, str] = {}
        for run_id, _, id in published:
            # Taken out first: the last one written to a session is the last one published.
            latest.pop(run_id, None)
            latest[run_id] = id
        heads = [{"of_run": run_id, "event_id": id} for run_id, id in latest.items()]
        of_sessions = sa.select(runs.c.session_id).where(runs.c.id.in_(latest))
        async with self._database.write() as connection:
            await lock_rows(connection, chat_sessions.c.id, chat_sessions.c.id.in_(of_sessions))
            await lock_rows(connection, runs.c.id, runs.c.id.in_(latest))
            await connection.execute(_SESSION_HEAD, heads)
            await connection.execute(_RUN_HEAD, heads)
            await connection.execute(_EVENT_PUBLISHED, events)

    async def _fail(
        self, connection: AsyncConnection, lease: Lease, process: str, error: Failure, now: datetime
    ) -> Ended:
        """Fail the run under its lease and promote the next. The session's row is locked."""
        happened = failed(lease.task, error)
        why = {"error_reason": error.reason, "error_detail": error.detail}
        end = {"state": RunState.FAILED, "finished_at": now, "owner": None, **why}
        run = await fence(connection, lease, process, self._lease_seconds, happening=len(happened), **end)
        await end_task(connection, lease, TaskState.FAILED, now, **why)
        await cancel_questions(connection, lease.user_id, lease.run_id, now)
        events = await insert_events(
            connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, happened, final=True
        )
        return Ended(outbox_of(lease, events), await self._promote(connection, lease.session_id, process, now))

    async def _promote(self, connection: AsyncConnection, session_id: str, process: str, now: datetime) -> Lease | None:
        """Start the session's first queued run, if it has one and none is active. The session's row is locked."""
        promoted = await connection.execute(*_promoted(session_id, process, self._lease_seconds, now))
        row = promoted.one_or_none()
        return None if row is None else await lease_of(connection, row)

    def _lease_end(self) -> sa.ColumnElement[float]:
        return epoch_now() + self._lease_seconds
