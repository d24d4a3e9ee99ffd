"""Runs in a SQL database: acceptance, leases, and ends. What is only read is in sql_run_queries.

Order of locks, everywhere: the project's row, the sessions', the runs'; several of a kind in the order of their ids. A
write under a lease begins with an UPDATE on (id, owner, epoch): it waits for whoever holds the row, and changes nothing
if the lease went to somebody else.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.orchestrator.errors import LeaseLost, RunFinished, RunNotFound, SessionBusy, SessionNotFound
from services.orchestrator.model import (
    ACTIVE,
    LEASED,
    Accepted,
    Ended,
    Failure,
    Lease,
    Message,
    Mode,
    NewRun,
    OnBusy,
    Outbox,
    Owner,
    Plan,
    Role,
    Run,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_run_queries import SqlRunQueries, load_run, load_task
from services.orchestrator.sql_run_rows import (
    cancel_runs,
    completed,
    end_task,
    enter_session,
    expired_run,
    failed,
    insert_events,
    insert_message,
    insert_task,
    lease_of,
    outbox_of,
    received,
    seize_session,
    started,
    touch_session,
    unfinished_run,
)
from services.orchestrator.sql_session_store import lock_project
from services.orchestrator.tables import (
    chat_sessions,
    idempotency_keys,
    own_runs,
    own_tasks,
    run_events,
    run_tasks,
    runs,
)
from services.runtime.database import Database, epoch_now, lock_rows, prepared
from services.runtime.idempotency import RequestKey

# A direct run's plan is this one task.
DIRECT_TASK = "answer"
MAX_TAKEOVERS = 3
_TITLE_LENGTH = 80


_OF_RUN: sa.BindParameter[str] = sa.bindparam("of_run")
_EVENT_ID: sa.BindParameter[str] = sa.bindparam("event_id")
_LEASE_END = epoch_now() + sa.bindparam("lease_seconds", type_=sa.Double)

_INSERT_RUN = sa.insert(runs).values(lease_until=_LEASE_END)
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


@cache
def _fenced(columns: tuple[str, ...]) -> ReturningUpdate[Any]:
    """Sets these columns of a leased run, each from the parameter of its name and `_`; see SqlRunStore._fence."""
    happening: sa.BindParameter[int] = sa.bindparam("happening", type_=sa.Integer)
    return (
        sa.update(runs)
        .where(
            runs.c.id == _OF_RUN,
            runs.c.owner == sa.bindparam("of_process"),
            runs.c.epoch == sa.bindparam("of_epoch"),
            runs.c.state.in_(LEASED),
        )
        .values(
            {
                "lease_until": _LEASE_END,
                "event_count": runs.c.event_count + happening,
                **{column: sa.bindparam(f"{column}_") for column in columns},
            }
        )
        .returning(runs.c.started_at, (runs.c.event_count - happening + 1).label("event_count"))
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


class _Known(Exception):
    """The request_id stands for a run already: nothing of this transaction is to stay."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


class SqlRunStore(SqlRunQueries):
    """`RunStore` on SQLite and PostgreSQL.

    What leaves passes the owner's guard. `renew` and `adopt` work for every user: they hand out ids, and what a process
    needs to work on a run in the name of the run's user, past their guard.
    """

    def __init__(self, database: Database, lease_seconds: float) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        try:
            async with self._database.write() as connection:
                return await self._accept(connection, owner, new, key, process, now)
        except _Known as known:
            return Accepted(await self.get_run(owner, known.run_id), joined=True)

    async def begin_attempt(self, lease: Lease, process: str, now: datetime) -> Lease:
        async with self._database.write() as connection:
            run = await self._fence(connection, lease, process, happening=1)
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
            run = await self._fence(connection, lease, process, happening=1, **end)
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

    async def _accept(
        self,
        connection: AsyncConnection,
        owner: Owner,
        new: NewRun,
        key: RequestKey | None,
        process: str,
        now: datetime,
    ) -> Accepted:
        await lock_project(connection, owner)
        position = await enter_session(connection, owner, new.session_id, now)
        if position is None:
            raise SessionNotFound(new.session_id)
        if key is not None:
            known = await idempotency_keys.claim(connection, owner.user_id, key, new.id, now)
            if known != new.id:
                raise _Known(known)
        replaced: list[Outbox] = []
        if new.on_busy is OnBusy.REPLACE:
            replaced = await cancel_runs(connection, owner, runs.c.session_id == new.session_id, "replaced", now)
        before = await unfinished_run(connection, owner, new.session_id)
        if before is not None and new.on_busy is OnBusy.REJECT:
            raise SessionBusy(new.session_id, before)
        stopped = tuple(each.run_id for each in replaced)
        queued = before is not None
        run, lease = await self._insert(connection, owner, new, position, queued, process, now)
        if queued:
            return Accepted(run, outbox=(*replaced, outbox_of(lease, lease.events)), stopped=stopped)
        return Accepted(run, lease=lease, outbox=tuple(replaced), stopped=stopped)

    async def _insert(
        self,
        connection: AsyncConnection,
        owner: Owner,
        new: NewRun,
        position: int,
        queued: bool,
        process: str,
        now: datetime,
    ) -> tuple[Run, Lease]:
        """Insert the run, its message and its task; leased and begun unless it is queued."""
        task = Task(
            id=DIRECT_TASK,
            agent_id=new.agent.id,
            agent_name=new.agent.name,
            title=new.content.strip().split("\n", 1)[0][:_TITLE_LENGTH],
            instruction=new.content,
            state=TaskState.PENDING if queued else TaskState.RUNNING,
            attempt=0 if queued else 1,
            started_at=None if queued else now,
        )
        run = Run(
            id=new.id,
            session_id=new.session_id,
            mode=Mode.DIRECT,
            state=RunState.QUEUED if queued else RunState.RUNNING,
            plan=Plan((task,)),
            message_id=None,
            retry_of=None,
            error=None,
            stop_reason=None,
            usage=Usage(),
            created_at=now,
            started_at=task.started_at,
            finished_at=None,
            last_event_id=None,
        )
        message = Message(new.message_id, new.session_id, new.id, Role.USER, new.content, None, now)
        happened = [received(message)] if queued else [received(message), started(task)]
        epoch = 0 if queued else 1
        row = {
            "id": run.id,
            "session_id": run.session_id,
            "project_id": owner.project_id,
            "user_id": owner.user_id,
            "mode": run.mode,
            "state": run.state,
            "position": position,
            "answer_id": new.answer_id,
            "owner": None if queued else process,
            "epoch": epoch,
            "event_count": len(happened),
            "created_at": now,
            "started_at": run.started_at,
            # A queued run has no owner, so nobody minds that its lease begins too.
            "lease_seconds": self._lease_seconds,
        }
        await connection.execute(_INSERT_RUN, row)
        await insert_task(connection, owner.user_id, run.id, task)
        await insert_message(connection, message, owner.user_id, 2 * position)
        lease = Lease(
            run_id=run.id,
            session_id=run.session_id,
            project_id=owner.project_id,
            user_id=owner.user_id,
            epoch=epoch,
            position=position,
            answer_id=new.answer_id,
            task=task,
            generation=task.attempt,
            events=await insert_events(connection, owner.user_id, run.id, epoch, 1, now, happened),
        )
        return run, lease

    async def _fence(
        self, connection: AsyncConnection, lease: Lease, process: str, *, happening: int, **values: Any
    ) -> sa.Row[tuple[Any, ...]]:
        """Change the run under its lease, renew that, and make room for events that happen.

        Return when the run began, and the number of the first of these events. Raise LeaseLost.
        """
        fenced = await connection.execute(
            _fenced(tuple(values)),
            {
                "of_run": lease.run_id,
                "of_process": process,
                "of_epoch": lease.epoch,
                "lease_seconds": self._lease_seconds,
                "happening": happening,
                **{f"{column}_": value for column, value in values.items()},
            },
        )
        row: sa.Row[tuple[Any, ...]] | None = fenced.one_or_none()
        if row is None:
            raise LeaseLost(lease.run_id)
        return row

    async def _fail(
        self, connection: AsyncConnection, lease: Lease, process: str, error: Failure, now: datetime
    ) -> Ended:
        """Fail the run under its lease and promote the next. The session's row is locked."""
        happened = failed(lease.task, error)
        why = {"error_reason": error.reason, "error_detail": error.detail}
        end = {"state": RunState.FAILED, "finished_at": now, "owner": None, **why}
        run = await self._fence(connection, lease, process, happening=len(happened), **end)
        await end_task(connection, lease, TaskState.FAILED, now, **why)
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
