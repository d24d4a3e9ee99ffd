"""Writing the rows of runs: the steps that the transactions of sql_run_store are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.orchestrator.errors import LeaseLost, TooManyQueuedRuns, TooManyRuns
from services.orchestrator.leases import Lease, Outbox, RunLimits
from services.orchestrator.model import (
    ENDED_TASK,
    FINISHED,
    LEASED,
    UNFINISHED,
    ApprovalState,
    Event,
    Message,
    Owner,
    RunState,
    Task,
    TaskState,
)
from services.orchestrator.sql_notices import tell_changed
from services.orchestrator.sql_run_queries import load_event
from services.orchestrator.tables import (
    IS_UNFINISHED,
    approvals,
    chat_sessions,
    messages,
    own_events,
    own_runs,
    own_sessions,
    run_events,
    run_tasks,
    runs,
)
from services.orchestrator.timeline import Happened
from services.runtime.database import epoch_now, prepared, turn

_INSERT_TASK = sa.insert(run_tasks)
_INSERT_MESSAGE = sa.insert(messages)
_INSERT_EVENT = sa.insert(run_events)

_CHANGING = (
    *("state", "attempt", "output", "error_reason", "error_detail"),
    *("prompt_tokens", "completion_tokens", "model_calls", "started_at", "finished_at"),
)
"""The columns of a task that change while its run is worked on."""
_PAUSED: sa.BindParameter[str | None] = sa.bindparam("paused_", type_=sa.Text)
_STORE_TASK = (
    sa.update(run_tasks)
    .where(
        run_tasks.c.run_id == sa.bindparam("of_run"),
        run_tasks.c.user_id == sa.bindparam("of_user"),
        run_tasks.c.id == sa.bindparam("of_task"),
    )
    .values(
        {
            **{column: sa.bindparam(f"{column}_") for column in _CHANGING},
            # Without a new place to go on from it keeps the one it has; an empty one is none.
            "paused": sa.func.nullif(sa.func.coalesce(_PAUSED, run_tasks.c.paused), ""),
        }
    )
)
NOWHERE: Mapping[str, str] = {}
_UNFINISHED_TASK = tuple(state for state in TaskState if state not in ENDED_TASK)


@prepared
def _locked(session_id: Any) -> sa.Update:
    # Changes nothing, and locks the row on every database.
    return (
        sa.update(chat_sessions)
        .where(chat_sessions.c.id == session_id, chat_sessions.c.deleted.is_(False))
        .values(run_count=chat_sessions.c.run_count)
    )


@prepared
def _seized(session_id: Any) -> sa.Select[Any]:
    return (
        sa.select(chat_sessions.c.id)
        .where(chat_sessions.c.id == session_id, chat_sessions.c.deleted.is_(False))
        .with_for_update(skip_locked=True)
    )


@prepared
def _expired(session_id: Any) -> sa.Select[Any]:
    return (
        sa.select(runs.c.id)
        .where(runs.c.session_id == session_id, runs.c.state.in_(LEASED), runs.c.lease_until < epoch_now())
        .with_for_update(skip_locked=True)
    )


@prepared
def _touched(session_id: Any, messages_more: Any, now: Any) -> sa.Update:
    return (
        sa.update(chat_sessions)
        .where(chat_sessions.c.id == session_id, chat_sessions.c.deleted.is_(False))
        .values(message_count=chat_sessions.c.message_count + messages_more, updated_at=now)
    )


@prepared
def _entered(user_id: Any, project_id: Any, session_id: Any, messages_more: Any, now: Any) -> ReturningUpdate[Any]:
    return (
        sa.update(chat_sessions)
        .where(
            chat_sessions.c.id == session_id,
            chat_sessions.c.user_id == user_id,
            chat_sessions.c.project_id == project_id,
            chat_sessions.c.deleted.is_(False),
        )
        .values(
            message_count=chat_sessions.c.message_count + messages_more,
            run_count=chat_sessions.c.run_count + 1,
            updated_at=now,
        )
        .returning(chat_sessions.c.user_id, chat_sessions.c.project_id, chat_sessions.c.run_count)
    )


@prepared
def _first_unfinished(user_id: Any, session_id: Any) -> sa.Select[Any]:
    return (
        sa.select(runs.c.id, runs.c.user_id)
        .where(runs.c.user_id == user_id, runs.c.session_id == session_id, runs.c.state.in_(UNFINISHED))
        .order_by(runs.c.position)
        .limit(1)
    )


@prepared
def _turn_of_user(user_id: Any) -> sa.Select[Any]:
    return sa.select(turn(user_id))


@prepared
def _unfinished_of_user(user_id: Any) -> sa.Select[Any]:
    return (
        sa.select(runs.c.user_id, runs.c.project_id, runs.c.state, sa.func.count().label("number"))
        .where(runs.c.user_id == user_id, IS_UNFINISHED)
        .group_by(runs.c.user_id, runs.c.project_id, runs.c.state)
    )


@prepared
def _cancelled_tasks(user_id: Any, run_id: Any, now: Any) -> sa.Update:
    return (
        sa.update(run_tasks)
        .where(run_tasks.c.run_id == run_id, run_tasks.c.user_id == user_id, run_tasks.c.state.in_(_UNFINISHED_TASK))
        .values(state=TaskState.CANCELLED, finished_at=now, paused=None)
    )


async def touch_session(
    connection: AsyncConnection, session_id: str, now: datetime | None = None, *, messages_more: int = 0
) -> bool:
    """Lock the session's row and count new messages; say whether it is there and not deleted."""
    statement = _locked(session_id) if now is None else _touched(session_id, messages_more, now)
    return bool((await connection.execute(*statement)).rowcount)


async def seize_session(connection: AsyncConnection, session_id: str) -> bool:
    """Lock the session's row, unless another transaction has it; say whether it is locked, there and not deleted."""
    return await connection.scalar(*_seized(session_id)) is not None


async def expired_run(connection: AsyncConnection, session_id: str) -> str | None:
    """Lock the session's run whose lease is over, unless another transaction has it; return its id."""
    found: str | None = await connection.scalar(*_expired(session_id))
    return found


async def enter_session(
    connection: AsyncConnection, owner: Owner, session_id: str, now: datetime, *, messages_more: int
) -> int | None:
    """Lock the owner's session and count new messages and a run; return the run's position, None without session."""
    entered = await connection.execute(*_entered(owner.user_id, owner.project_id, session_id, messages_more, now))
    session = own_sessions.first(entered, owner.user_id, owner.project_id)
    return None if session is None else int(session.run_count) - 1


async def unfinished_run(connection: AsyncConnection, owner: Owner, session_id: str) -> str | None:
    """The session's first run that is active or waits."""
    found = await connection.execute(*_first_unfinished(owner.user_id, session_id))
    run = own_runs.first(found, owner.user_id)
    return None if run is None else str(run.id)


async def require_room(connection: AsyncConnection, owner: Owner, queued: bool, limits: RunLimits) -> None:
    """Let nobody else start a run for this user until the transaction ends. Raise TooManyRuns, TooManyQueuedRuns."""
    await connection.execute(*_turn_of_user(owner.user_id))
    counted = await connection.execute(*_unfinished_of_user(owner.user_id))
    in_all_projects = own_runs.all(counted, owner.user_id)
    number = sum(row.number for row in in_all_projects if (row.state == RunState.QUEUED) == queued)
    if queued and number >= limits.queued:
        raise TooManyQueuedRuns(limits.queued)
    if not queued and number >= limits.active:
        raise TooManyRuns(limits.active)


async def cancel_runs(
    connection: AsyncConnection, owner: Owner, which: sa.ColumnElement[bool], reason: str, now: datetime
) -> list[Outbox]:
    """Cancel the unfinished runs among `which`, in order. The epoch rises: whoever works on them is fenced off."""
    cancelled = await connection.execute(
        sa.update(runs)
        .where(which, runs.c.user_id == owner.user_id, runs.c.state.not_in(FINISHED))
        .values(
            state=RunState.CANCELLED,
            owner=None,
            epoch=runs.c.epoch + 1,
            finished_at=now,
            event_count=runs.c.event_count + 1,
        )
        .returning(runs)
    )
    outbox = []
    for row in sorted(own_runs.all(cancelled, owner.user_id, owner.project_id), key=lambda row: int(row.position)):
        await cancel_tasks(connection, owner.user_id, row.id, now)
        await cancel_questions(connection, owner.user_id, row.id, now)
        await tell_changed(connection, row.id)
        end = ("run_cancelled", {"reason": reason})
        await insert_events(connection, owner.user_id, row.id, row.epoch, row.event_count, now, [end], final=True)
        events = await unpublished_events(connection, owner.user_id, row.id)
        outbox.append(Outbox(row.id, row.session_id, owner.project_id, owner.user_id, row.epoch, events))
    return outbox


async def cancel_questions(connection: AsyncConnection, user_id: str, run_id: str, now: datetime) -> None:
    """Ask nobody any more: the run, whose row is locked, ends."""
    await connection.execute(
        sa.update(approvals)
        .where(
            approvals.c.run_id == run_id,
            approvals.c.user_id == user_id,
            approvals.c.state == ApprovalState.PENDING,
        )
        .values(state=ApprovalState.CANCELLED, decided_at=now)
    )


async def insert_events(
    connection: AsyncConnection,
    user_id: str,
    run_id: str,
    epoch: int,
    first: int,
    now: datetime,
    happened: Sequence[Happened],
    *,
    final: bool = False,
) -> tuple[Event, ...]:
    """Append to the run's timeline from number `first` on; with `final`, the last one is its end.

    The run's `event_count` is raised by whoever locked its row.
    """
    if not happened:
        return ()
    events = tuple(
        Event(first + index, kind, payload, now, final=final and index == len(happened) - 1)
        for index, (kind, payload) in enumerate(happened)
    )
    rows = [
        {
            "run_id": run_id,
            "n": event.n,
            "user_id": user_id,
            "epoch": epoch,
            "type": event.type,
            "payload": event.payload,
            "final": event.final,
            "created_at": now,
        }
        for event in events
    ]
    await connection.execute(_INSERT_EVENT, rows)
    return events


async def unpublished_events(connection: AsyncConnection, user_id: str, run_id: str) -> tuple[Event, ...]:
    """The run's events that are not known to be published, oldest first."""
    rows = await connection.execute(
        sa.select(run_events)
        .where(run_events.c.run_id == run_id, run_events.c.user_id == user_id, run_events.c.published.is_(None))
        .order_by(run_events.c.n)
    )
    return tuple(load_event(row) for row in own_events.all(rows, user_id))


async def is_noted(connection: AsyncConnection, lease: Lease, happened: Happened) -> bool:
    """Whether the run's timeline has this of the same call already."""
    type, payload = happened
    if "call_id" not in payload:
        return False
    found = await connection.scalar(
        sa.select(run_events.c.n)
        .where(
            run_events.c.run_id == lease.run_id,
            run_events.c.user_id == lease.user_id,
            run_events.c.type == type,
            run_events.c.payload["call_id"].as_string() == payload["call_id"],
        )
        .limit(1)
    )
    return found is not None


async def insert_tasks(connection: AsyncConnection, user_id: str, run_id: str, tasks: Sequence[Task]) -> None:
    """Insert the tasks of a run, in this order."""
    rows = [
        {
            "run_id": run_id,
            "id": task.id,
            "user_id": user_id,
            "ordinal": ordinal,
            "agent_id": task.agent_id,
            "agent_name": task.agent_name,
            "title": task.title,
            "instruction": task.instruction,
            "depends_on": list(task.depends_on),
            **_changing(task),
        }
        for ordinal, task in enumerate(tasks)
    ]
    if rows:
        await connection.execute(_INSERT_TASK, rows if len(rows) > 1 else rows[0])


async def store_tasks(
    connection: AsyncConnection, lease: Lease, tasks: Sequence[Task], paused: Mapping[str, str] = NOWHERE
) -> None:
    """Write tasks of the lease's run as they are now, and where some go on. Raise LeaseLost if one is not its.

    What has ended goes on nowhere.
    """
    rows = [
        {
            "of_run": lease.run_id,
            "of_user": lease.user_id,
            "of_task": task.id,
            **{f"{column}_": value for column, value in _changing(task).items()},
            "paused_": "" if task.state in ENDED_TASK else paused.get(task.id),
        }
        for task in tasks
    ]
    if rows:
        stored = await connection.execute(_STORE_TASK, rows if len(rows) > 1 else rows[0])
        # Of several, not every driver knows.
        if 0 <= stored.rowcount < len(rows):
            raise LeaseLost(lease.run_id)


async def cancel_tasks(connection: AsyncConnection, user_id: str, run_id: str, now: datetime) -> None:
    """Nobody works any more on what is unfinished: the run, whose row is locked, ends."""
    await connection.execute(*_cancelled_tasks(user_id, run_id, now))


async def insert_message(connection: AsyncConnection, message: Message, user_id: str, position: int) -> None:
    """Insert a message at its place in the conversation."""
    row = {
        "id": message.id,
        "session_id": message.session_id,
        "user_id": user_id,
        "run_id": message.run_id,
        "agent_id": message.agent_id,
        "role": message.role,
        "content": message.content,
        "position": position,
        "timestamp": message.timestamp,
        "metadata": message.metadata,
    }
    await connection.execute(_INSERT_MESSAGE, row)


def outbox_of(lease: Lease, events: tuple[Event, ...]) -> Outbox:
    """What the lease's run has to tell."""
    return Outbox(lease.run_id, lease.session_id, lease.project_id, lease.user_id, lease.epoch, events)


def _changing(task: Task) -> dict[str, Any]:
    return {
        "state": task.state,
        "attempt": task.attempt,
        "output": task.output,
        "error_reason": None if task.error is None else task.error.reason,
        "error_detail": None if task.error is None else task.error.detail,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        **asdict(task.usage),
    }
