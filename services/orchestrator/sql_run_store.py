"""Runs in a SQL database: acceptance, leases, and ends. What is only read is in sql_run_queries.

Order of locks, everywhere: the session's row, then the run's. A write under a lease begins with an UPDATE on
(id, owner, epoch): it waits for whoever holds the row, and changes nothing if the lease went to somebody else.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import (
    LeaseLost,
    RunFinished,
    RunNotFound,
    SessionBusy,
    SessionNotFound,
)
from services.orchestrator.model import (
    ACTIVE,
    FINISHED,
    LEASED,
    Accepted,
    Ended,
    Event,
    Failure,
    Lease,
    Message,
    Mode,
    NewRun,
    OnBusy,
    Outbox,
    Owner,
    Role,
    Run,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_run_queries import SqlRunQueries, load_run, load_task
from services.orchestrator.sql_session_store import lock_project
from services.orchestrator.tables import chat_sessions, idempotency_keys, messages, run_events, run_tasks, runs
from services.runtime.database import Database, epoch_now
from services.runtime.idempotency import RequestKey

# A direct run's plan is this one task.
DIRECT_TASK = "answer"
MAX_TAKEOVERS = 3
_TITLE_LENGTH = 80


class SqlRunStore(SqlRunQueries):
    """`RunStore` on SQLite and PostgreSQL."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        async with self._database.write() as connection:
            await lock_project(connection, owner)
            position = await _lock_session(connection, owner, new.session_id)
            if key is not None:
                known = await idempotency_keys.find(connection, owner.user_id, key, now)
                if known is not None:
                    return Accepted(await load_run(connection, owner, known), joined=True)
                await idempotency_keys.record(connection, owner.user_id, key, new.id, now)
            outbox, stopped = await _make_way(connection, owner, new, now)
            queued = await _active_run(connection, new.session_id) is not None
            lease = await self._insert(connection, owner, new, position, queued, process, now)
            await _touch_session(connection, new.session_id, now, messages_more=1, runs_more=1)
            run = await load_run(connection, owner, new.id)
            received = Outbox(new.id, new.session_id, owner.project_id, owner.user_id, lease.epoch, lease.events)
            return Accepted(
                run,
                lease=None if queued else lease,
                outbox=(*outbox, received) if queued else outbox,
                stopped=stopped,
            )

    async def begin_attempt(self, lease: Lease, process: str, now: datetime) -> Lease:
        async with self._database.write() as connection:
            await self._fence(connection, lease, process)
            counted = await connection.execute(
                sa.update(run_tasks)
                .where(run_tasks.c.run_id == lease.run_id, run_tasks.c.id == lease.task.id)
                .values(
                    state=TaskState.RUNNING,
                    attempt=run_tasks.c.attempt + 1,
                    generation=run_tasks.c.generation + 1,
                    started_at=sa.func.coalesce(run_tasks.c.started_at, now),
                )
                .returning(run_tasks)
            )
            row = counted.one()
            task = load_task(row)
            events = await _record(connection, lease.run_id, lease.epoch, now, _agent_started(task))
            return replace(lease, task=task, generation=row.generation, events=events, fresh=True)

    async def succeed(self, lease: Lease, process: str, output: str, usage: Usage, now: datetime) -> Ended:
        answer = Message(
            lease.answer_id, lease.session_id, lease.run_id, Role.ASSISTANT, output, lease.task.agent_id, now
        )
        async with self._database.write() as connection:
            await _touch_session(connection, lease.session_id, now, messages_more=1)
            begun = await self._fence(
                connection,
                lease,
                process,
                state=RunState.SUCCEEDED,
                answered=True,
                finished_at=now,
                owner=None,
                **asdict(usage),
            )
            await _insert_message(connection, answer, lease.user_id, 2 * lease.position + 1)
            await _end_task(connection, lease, TaskState.SUCCEEDED, now, output=output, **asdict(usage))
            completed: dict[str, Any] = {
                "agent_id": lease.task.agent_id,
                "agent_name": lease.task.agent_name,
                "task_id": lease.task.id,
                "output": output,
                "usage": asdict(usage),
                "duration_ms": round((now - begun).total_seconds() * 1000),
                "message": _message_values(answer),
            }
            events = await _record(
                connection, lease.run_id, lease.epoch, now, ("agent_completed", completed), final=True
            )
            return Ended(_outbox(lease, events), await self._promote(connection, lease.session_id, process, now))

    async def fail(self, lease: Lease, process: str, error: Failure, now: datetime) -> Ended:
        async with self._database.write() as connection:
            await _touch_session(connection, lease.session_id, now)
            await self._fence(connection, lease, process, **_failed(error, now))
            events = await _record_failure(connection, lease, error, now)
            return Ended(_outbox(lease, events), await self._promote(connection, lease.session_id, process, now))

    async def cancel(self, owner: Owner, run_id: str, process: str, now: datetime) -> tuple[Run, Ended | None]:
        async with self._database.write() as connection:
            session_id = await connection.scalar(
                sa.select(runs.c.session_id).where(
                    runs.c.id == run_id, runs.c.user_id == owner.user_id, runs.c.project_id == owner.project_id
                )
            )
            if session_id is None or not await _touch_session(connection, session_id, now):
                raise RunNotFound(run_id)
            outbox = await _cancel(connection, owner, runs.c.id == run_id, "cancelled", now)
            run = await load_run(connection, owner, run_id)
            if not outbox:
                if run.state is not RunState.CANCELLED:
                    raise RunFinished(run_id, run.state.value)
                return run, None
            return run, Ended(outbox[0], await self._promote(connection, session_id, process, now))

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        async with self._database.write() as connection:
            renewed = await connection.execute(
                sa.update(runs)
                .where(runs.c.id.in_(sorted(run_ids)), runs.c.owner == process, runs.c.state.in_(LEASED))
                .values(lease_until=self._lease_end())
                .returning(runs.c.id)
            )
            return {row.id for row in renewed}

    async def take_over(self, process: str, limit: int, now: datetime) -> tuple[list[Lease], list[Ended]]:
        async with self._database.read() as connection:
            expired = await connection.execute(
                sa.select(runs.c.id, runs.c.session_id)
                .where(runs.c.state.in_(LEASED), runs.c.lease_until < epoch_now())
                .limit(limit)
            )
            abandoned = expired.all()
            busy = sa.select(runs.c.session_id).where(runs.c.state.in_(ACTIVE))
            waiting = await connection.execute(
                sa.select(runs.c.session_id)
                .distinct()
                .where(runs.c.state == RunState.QUEUED, runs.c.session_id.not_in(busy))
                .limit(limit)
            )
            idle = [row.session_id for row in waiting]
        leases: list[Lease] = []
        ended: list[Ended] = []
        # One transaction a run: a bad one must not keep the others from being taken.
        for run_id, session_id in abandoned:
            async with self._database.write() as connection:
                await _touch_session(connection, session_id, None)
                taken = await self._take(connection, run_id, process, now)
                if isinstance(taken, Lease):
                    leases.append(taken)
                elif taken is not None:
                    ended.append(taken)
        for session_id in idle:
            async with self._database.write() as connection:
                await _touch_session(connection, session_id, None)
                promoted = await self._promote(connection, session_id, process, now)
                if promoted is not None:
                    leases.append(promoted)
        return leases, ended

    async def release(self, process: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                sa.update(runs)
                .where(runs.c.owner == process, runs.c.state.in_(LEASED))
                # The takeover will count one attempt: this one was no failure.
                .values(lease_until=0, attempts=runs.c.attempts - 1)
            )

    async def acknowledge(self, published: Sequence[tuple[str, int, str]]) -> None:
        events = [{"of_run": run_id, "at_n": n, "event_id": event_id} for run_id, n, event_id in published]
        latest = [
            {"of_run": run_id, "event_id": event_id}
            for run_id, event_id in {run_id: event_id for run_id, _, event_id in published}.items()
        ]
        of_run: sa.BindParameter[str] = sa.bindparam("of_run")
        event_id: sa.BindParameter[str] = sa.bindparam("event_id")
        session_of = sa.select(runs.c.session_id).where(runs.c.id == of_run).scalar_subquery()
        async with self._database.write() as connection:
            await connection.execute(
                sa.update(chat_sessions).where(chat_sessions.c.id == session_of).values(last_event_id=event_id), latest
            )
            await connection.execute(sa.update(runs).where(runs.c.id == of_run).values(last_event_id=event_id), latest)
            await connection.execute(
                sa.update(run_events)
                .where(run_events.c.run_id == of_run, run_events.c.n == sa.bindparam("at_n"))
                .values(published=event_id),
                events,
            )

    async def _insert(
        self,
        connection: AsyncConnection,
        owner: Owner,
        new: NewRun,
        position: int,
        queued: bool,
        process: str,
        now: datetime,
    ) -> Lease:
        """Insert the run, its message and its task; leased and begun unless it is queued."""
        epoch = 0 if queued else 1
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
        await connection.execute(
            sa.insert(runs).values(
                id=new.id,
                session_id=new.session_id,
                project_id=owner.project_id,
                user_id=owner.user_id,
                mode=Mode.DIRECT,
                state=RunState.QUEUED if queued else RunState.RUNNING,
                position=position,
                answer_id=new.answer_id,
                owner=None if queued else process,
                epoch=epoch,
                lease_until=0 if queued else self._lease_end(),
                created_at=now,
                started_at=None if queued else now,
            )
        )
        await connection.execute(
            sa.insert(run_tasks).values(
                run_id=new.id,
                id=task.id,
                ordinal=0,
                agent_id=task.agent_id,
                agent_name=task.agent_name,
                title=task.title,
                instruction=task.instruction,
                state=task.state,
                attempt=task.attempt,
                generation=task.attempt,
                started_at=task.started_at,
            )
        )
        message = Message(new.message_id, new.session_id, new.id, Role.USER, new.content, None, now)
        await _insert_message(connection, message, owner.user_id, 2 * position)
        received = ("message_received", {"message": _message_values(message)})
        happened = [received] if queued else [received, _agent_started(task)]
        events = await _record(connection, new.id, epoch, now, *happened)
        return Lease(
            run_id=new.id,
            session_id=new.session_id,
            project_id=owner.project_id,
            user_id=owner.user_id,
            epoch=epoch,
            position=position,
            answer_id=new.answer_id,
            task=task,
            generation=task.attempt,
            events=events,
        )

    async def _fence(self, connection: AsyncConnection, lease: Lease, process: str, **values: Any) -> datetime:
        """Change the run under its lease and renew it; return when the run began. Raise LeaseLost."""
        fenced = await connection.execute(
            sa.update(runs)
            .where(
                runs.c.id == lease.run_id,
                runs.c.owner == process,
                runs.c.epoch == lease.epoch,
                runs.c.state.in_(LEASED),
            )
            .values({"lease_until": self._lease_end(), **values})
            .returning(runs.c.started_at)
        )
        row = fenced.one_or_none()
        if row is None:
            raise LeaseLost(lease.run_id)
        begun: datetime = row.started_at
        return begun

    async def _take(
        self, connection: AsyncConnection, run_id: str, process: str, now: datetime
    ) -> Lease | Ended | None:
        """Take one run whose lease has expired. None if somebody was faster."""
        taken = await connection.execute(
            sa.update(runs)
            .where(runs.c.id == run_id, runs.c.state.in_(LEASED), runs.c.lease_until < epoch_now())
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
            return None
        lease = await _lease_of(connection, row)
        if row.attempts <= MAX_TAKEOVERS:
            return lease
        error = Failure("RUN_ABANDONED", f"the run was taken over {MAX_TAKEOVERS} times and never got further")
        await self._fence(connection, lease, process, **_failed(error, now))
        events = await _record_failure(connection, lease, error, now)
        return Ended(_outbox(lease, events), await self._promote(connection, row.session_id, process, now))

    async def _promote(self, connection: AsyncConnection, session_id: str, process: str, now: datetime) -> Lease | None:
        """Start the session's first queued run, if it has one and none is active. The session's row is locked."""
        if await _active_run(connection, session_id) is not None:
            return None
        first = (
            sa.select(runs.c.id)
            .where(runs.c.session_id == session_id, runs.c.state == RunState.QUEUED)
            .order_by(runs.c.position)
            .limit(1)
            .scalar_subquery()
        )
        promoted = await connection.execute(
            sa.update(runs)
            .where(runs.c.id == first, runs.c.state == RunState.QUEUED)
            .values(
                state=RunState.RUNNING,
                owner=process,
                epoch=runs.c.epoch + 1,
                lease_until=self._lease_end(),
                started_at=now,
            )
            .returning(runs)
        )
        row = promoted.one_or_none()
        return None if row is None else await _lease_of(connection, row)

    def _lease_end(self) -> sa.ColumnElement[float]:
        return epoch_now() + self._lease_seconds


async def _lock_session(connection: AsyncConnection, owner: Owner, session_id: str) -> int:
    """Lock the session's row; return the position of its next run. Raise SessionNotFound.

    SQLite ignores FOR UPDATE: there the writing transaction itself is the lock.
    """
    count = await connection.scalar(
        sa.select(chat_sessions.c.run_count)
        .where(
            chat_sessions.c.id == session_id,
            chat_sessions.c.user_id == owner.user_id,
            chat_sessions.c.project_id == owner.project_id,
            chat_sessions.c.deleted.is_(False),
        )
        .with_for_update()
    )
    if count is None:
        raise SessionNotFound(session_id)
    return int(count)


async def _touch_session(
    connection: AsyncConnection,
    session_id: str,
    now: datetime | None,
    *,
    messages_more: int = 0,
    runs_more: int = 0,
) -> bool:
    """Lock the session's row and count what is new in it; say whether it is there and not deleted."""
    values: dict[str, Any] = {
        "message_count": chat_sessions.c.message_count + messages_more,
        "run_count": chat_sessions.c.run_count + runs_more,
    }
    if now is not None:
        values["updated_at"] = now
    touched = await connection.execute(
        sa.update(chat_sessions)
        .where(chat_sessions.c.id == session_id, chat_sessions.c.deleted.is_(False))
        .values(values)
    )
    return bool(touched.rowcount)


async def _active_run(connection: AsyncConnection, session_id: str) -> str | None:
    active: str | None = await connection.scalar(
        sa.select(runs.c.id).where(runs.c.session_id == session_id, runs.c.state.in_(ACTIVE))
    )
    return active


async def _make_way(
    connection: AsyncConnection, owner: Owner, new: NewRun, now: datetime
) -> tuple[tuple[Outbox, ...], tuple[str, ...]]:
    """Do what `on_busy` says about the runs before this one. Return what they have to tell, and which were stopped."""
    if new.on_busy is OnBusy.QUEUE:
        return (), ()
    if new.on_busy is OnBusy.REJECT:
        active = await _active_run(connection, new.session_id)
        if active is not None:
            raise SessionBusy(new.session_id, active)
        return (), ()
    outbox = await _cancel(connection, owner, runs.c.session_id == new.session_id, "replaced", now)
    return tuple(outbox), tuple(each.run_id for each in outbox)


async def _cancel(
    connection: AsyncConnection, owner: Owner, which: sa.ColumnElement[bool], reason: str, now: datetime
) -> list[Outbox]:
    """Cancel the unfinished runs among `which`. The epoch rises: whoever works on them is fenced off."""
    cancelled = await connection.execute(
        sa.update(runs)
        .where(which, runs.c.user_id == owner.user_id, runs.c.state.not_in(FINISHED))
        .values(state=RunState.CANCELLED, owner=None, epoch=runs.c.epoch + 1, finished_at=now)
        .returning(runs.c.id, runs.c.session_id, runs.c.epoch)
    )
    outbox = []
    for row in cancelled.all():
        await connection.execute(
            sa.update(run_tasks)
            .where(
                run_tasks.c.run_id == row.id,
                run_tasks.c.state.in_((TaskState.PENDING, TaskState.RUNNING, TaskState.WAITING_APPROVAL)),
            )
            .values(state=TaskState.CANCELLED, finished_at=now)
        )
        events = await _record(connection, row.id, row.epoch, now, ("run_cancelled", {"reason": reason}), final=True)
        outbox.append(Outbox(row.id, row.session_id, owner.project_id, owner.user_id, row.epoch, events))
    return outbox


async def _record(
    connection: AsyncConnection,
    run_id: str,
    epoch: int,
    now: datetime,
    *happened: tuple[str, dict[str, Any]],
    final: bool = False,
) -> tuple[Event, ...]:
    """Append to the run's timeline; with `final`, the last one is its end."""
    counted = await connection.execute(
        sa.update(runs)
        .where(runs.c.id == run_id)
        .values(event_count=runs.c.event_count + len(happened))
        .returning(runs.c.event_count)
    )
    first = int(counted.scalar_one()) - len(happened) + 1
    events = tuple(
        Event(first + index, kind, payload, now, final=final and index == len(happened) - 1)
        for index, (kind, payload) in enumerate(happened)
    )
    await connection.execute(
        sa.insert(run_events),
        [
            {
                "run_id": run_id,
                "n": event.n,
                "epoch": epoch,
                "type": event.type,
                "payload": event.payload,
                "final": event.final,
                "created_at": now,
            }
            for event in events
        ],
    )
    return events


async def _record_failure(
    connection: AsyncConnection, lease: Lease, error: Failure, now: datetime
) -> tuple[Event, ...]:
    await _end_task(connection, lease, TaskState.FAILED, now, error_reason=error.reason, error_detail=error.detail)
    payload = {"error": asdict(error), "task_id": lease.task.id, "agent_id": lease.task.agent_id}
    return await _record(
        connection, lease.run_id, lease.epoch, now, ("agent_failed", payload), ("run_failed", payload), final=True
    )


async def _end_task(connection: AsyncConnection, lease: Lease, state: TaskState, now: datetime, **values: Any) -> None:
    await connection.execute(
        sa.update(run_tasks)
        .where(run_tasks.c.run_id == lease.run_id, run_tasks.c.id == lease.task.id)
        .values(state=state, finished_at=now, **values)
    )


async def _insert_message(connection: AsyncConnection, message: Message, user_id: str, position: int) -> None:
    await connection.execute(
        sa.insert(messages).values(
            id=message.id,
            session_id=message.session_id,
            user_id=user_id,
            run_id=message.run_id,
            agent_id=message.agent_id,
            role=message.role,
            content=message.content,
            position=position,
            timestamp=message.timestamp,
            metadata=message.metadata,
        )
    )


async def _lease_of(connection: AsyncConnection, row: sa.Row[tuple[object, ...]]) -> Lease:
    """The lease of a run that was just taken: its attempt is still to begin."""
    task = (await connection.execute(sa.select(run_tasks).where(run_tasks.c.run_id == row.id))).one()
    return Lease(
        run_id=row.id,
        session_id=row.session_id,
        project_id=row.project_id,
        user_id=row.user_id,
        epoch=row.epoch,
        position=row.position,
        answer_id=row.answer_id,
        task=load_task(task),
        generation=task.generation,
        fresh=False,
    )


def _failed(error: Failure, now: datetime) -> dict[str, Any]:
    return {
        "state": RunState.FAILED,
        "error_reason": error.reason,
        "error_detail": error.detail,
        "finished_at": now,
        "owner": None,
    }


def _agent_started(task: Task) -> tuple[str, dict[str, Any]]:
    return "agent_started", {"agent_id": task.agent_id, "agent_name": task.agent_name, "task_id": task.id}


def _message_values(message: Message) -> dict[str, Any]:
    return {**asdict(message), "timestamp": message.timestamp.isoformat()}


def _outbox(lease: Lease, events: tuple[Event, ...]) -> Outbox:
    return Outbox(lease.run_id, lease.session_id, lease.project_id, lease.user_id, lease.epoch, events)
