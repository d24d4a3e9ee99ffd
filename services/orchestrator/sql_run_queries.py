"""Reading runs, their tasks and their timelines from a SQL database."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import LeaseLost, RunNotFound
from services.orchestrator.leases import Lease, Outbox
from services.orchestrator.model import (
    ACTIVE,
    LEASED,
    UNFINISHED,
    Approval,
    Event,
    Failure,
    Message,
    Mode,
    Outcome,
    Owner,
    Page,
    Plan,
    PlanOrigin,
    Run,
    RunState,
    Task,
    TaskState,
    UnendedCall,
    Usage,
)
from services.orchestrator.sql_approval_rows import pending_of, texts_of
from services.orchestrator.sql_session_store import message_of, require_project, require_session
from services.orchestrator.tables import (
    chat_sessions,
    idempotency_keys,
    messages,
    own_events,
    own_messages,
    own_runs,
    own_tasks,
    run_events,
    run_tasks,
    runs,
)
from services.runtime.database import Database, epoch_now, prepared
from services.runtime.idempotency import RequestKey
from services.runtime.ownership import OwnerGuard
from services.runtime.pages import decode_token, encode_token, fitting

_own_answers = OwnerGuard("messages", user="answer_user_id", project=None)

# Where a task goes on may be long, and is nobody's business but its lease holder's.
_TASK_COLUMNS = [column for column in run_tasks.c if column is not run_tasks.c.paused]


class SqlRunQueries:
    """The half of `RunStore` that changes nothing.

    What leaves passes the owner's guard. `orphaned` and `unpublished` work for every user: the one hands out ids alone,
    the other what a run has to tell, in the name of the run's user and past their guard.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_run(self, owner: Owner, run_id: str) -> Run:
        async with self._database.read() as connection:
            return await load_run(connection, owner, run_id)

    async def find(self, owner: Owner, session_id: str, key: RequestKey | None, now: datetime) -> Run | None:
        async with self._database.read() as connection:
            await require_session(connection, owner, session_id)
            if key is None:
                return None
            known = await idempotency_keys.find(connection, owner.user_id, key, now)
            return None if known is None else await load_run(connection, owner, known)

    async def get_outcome(self, owner: Owner, run_id: str) -> Outcome:
        async with self._database.read() as connection:
            found = await connection.execute(*_outcome(owner.user_id, owner.project_id, run_id))
            row = own_runs.first(found, owner.user_id, owner.project_id)
        if row is None:
            raise RunNotFound(run_id)
        answer = None if row.id is None else _own_answers.first([row], owner.user_id)
        return Outcome(RunState(row.run_state), _failure(row), None if answer is None else message_of(answer))

    async def list_runs(
        self, owner: Owner, states: Collection[RunState], session_id: str | None, page_size: int, page_token: str
    ) -> Page[Run]:
        query = ("runs", owner, sorted(set(states)), session_id)
        after = decode_token(page_token, *query, types=(datetime, str))
        where = [*_mine(owner)]
        if states:
            where.append(runs.c.state.in_(states))
        if session_id is not None:
            where.append(runs.c.session_id == session_id)
        select = sa.select(runs).where(*where)
        if after is not None:
            select = select.where(sa.tuple_(runs.c.created_at, runs.c.id) < sa.tuple_(*after))
        async with self._database.read() as connection:
            await require_project(connection, owner)
            whose = (runs.c.user_id, runs.c.project_id)
            counted = await connection.execute(
                sa.select(*whose, sa.func.count().label("rows")).where(*where).group_by(*whose)
            )
            found = await connection.execute(
                select.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(page_size + 1)
            )
            total = sum(row.rows for row in own_runs.all(counted, owner.user_id, owner.project_id))
            rows = own_runs.all(found, owner.user_id, owner.project_id)
            loaded = fitting(await _with_tasks(connection, owner, rows[:page_size]), page_size, _texts)
        last = loaded[-1] if len(rows) > len(loaded) else None
        token = "" if last is None else encode_token([last.created_at, last.id], *query)
        return Page(list(loaded), total, token)

    async def list_events(self, owner: Owner, run_id: str, page_size: int, page_token: str) -> Page[Event]:
        query = ("events", owner, run_id)
        after = decode_token(page_token, *query, types=(int,))
        select = sa.select(run_events).where(run_events.c.run_id == run_id, run_events.c.user_id == owner.user_id)
        if after is not None:
            select = select.where(run_events.c.n > after[0])
        async with self._database.read() as connection:
            run = await _find_run(connection, owner, run_id)
            found = await connection.execute(select.order_by(run_events.c.n).limit(page_size + 1))
            rows = own_events.all(found, owner.user_id)
        page = rows[:page_size]
        token = encode_token([page[-1].n], *query) if len(rows) > page_size else ""
        return Page([load_event(row) for row in page], run.event_count, token)

    async def history(self, lease: Lease, limit: int) -> list[Message]:
        if lease.asked_at == 0:
            return []
        async with self._database.read() as connection:
            rows = await connection.execute(*_earlier(lease.session_id, lease.user_id, 2 * lease.asked_at, limit))
            return [message_of(row) for row in reversed(own_messages.all(rows, lease.user_id))]

    async def asked(self, lease: Lease) -> str:
        async with self._database.read() as connection:
            rows = await connection.execute(*_asked(lease.session_id, lease.user_id, 2 * lease.asked_at))
            message = own_messages.first(rows, lease.user_id)
        if message is None:
            # Its session is gone, and the run with it.
            raise LeaseLost(lease.run_id)
        return str(message.content)

    async def open_calls(self, lease: Lease, task_id: str) -> list[UnendedCall]:
        async with self._database.read() as connection:
            found = await connection.execute(*_calls(lease.run_id, lease.user_id, task_id))
            told = own_events.all(found, lease.user_id)
        over = {row.call_id for row in told if row.type == "tool_completed"}
        return [
            UnendedCall(row.call_id, row.tool, row.agent_id)
            for row in told
            if row.type == "tool_started" and row.call_id not in over
        ]

    async def orphaned(self, limit: int) -> list[str]:
        async with self._database.read() as connection:
            return list(await connection.scalars(*_orphaned(limit)))

    async def unpublished(self, older_than: datetime, limit: int, excluding: Collection[str]) -> list[Outbox]:
        waiting = (
            # By the runs' own ids: grouped by the events', SQLite would read all that ever happened in their order.
            sa.select(runs.c.id.label("run_id"), sa.func.min(run_events.c.created_at).label("since"))
            .select_from(run_events)
            .join(runs, runs.c.id == run_events.c.run_id)
            .join(chat_sessions, chat_sessions.c.id == runs.c.session_id)
            .where(
                run_events.c.published.is_(None),
                run_events.c.created_at < older_than,
                runs.c.id.not_in(excluding),
                chat_sessions.c.deleted.is_(False),
            )
            .group_by(runs.c.id)
            .order_by("since", runs.c.id)
            .limit(limit)
            .subquery()
        )
        of_run = (runs.c.user_id.label("run_user_id"), runs.c.epoch.label("now"))
        select = (
            sa.select(run_events, runs.c.session_id, runs.c.project_id, *of_run)
            .join(waiting, waiting.c.run_id == run_events.c.run_id)
            .join(runs, runs.c.id == run_events.c.run_id)
            .where(run_events.c.published.is_(None))
            .order_by(waiting.c.since, run_events.c.run_id, run_events.c.n)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(select)).all()
        found: list[Outbox] = []
        for _, rows_of_run in groupby(rows, lambda row: row.run_id):
            events = list(rows_of_run)
            run = events[0]
            told = tuple(load_event(row) for row in own_events.all(events, run.run_user_id))
            found.append(Outbox(run.run_id, run.session_id, run.project_id, run.run_user_id, run.now, told))
        return found


@prepared
def _outcome(user_id: Any, project_id: Any, run_id: Any) -> sa.Select[Any]:
    of_answer = sa.and_(runs.c.answered, messages.c.id == runs.c.answer_id, messages.c.user_id == user_id)
    of_run = (
        runs.c.user_id,
        runs.c.project_id,
        runs.c.state.label("run_state"),
        runs.c.error_reason,
        runs.c.error_detail,
    )
    answer = (column.label("answer_user_id") if column is messages.c.user_id else column for column in messages.c)
    return (
        sa.select(*of_run, *answer)
        .select_from(runs.outerjoin(messages, of_answer))
        .where(runs.c.id == run_id, *_mine(Owner(user_id, project_id)))
    )


@prepared
def _earlier(session_id: Any, user_id: Any, position: Any, limit: Any) -> sa.Select[Any]:
    return (
        sa.select(messages)
        .where(messages.c.session_id == session_id, messages.c.user_id == user_id, messages.c.position < position)
        .order_by(messages.c.position.desc())
        .limit(limit)
    )


@prepared
def _asked(session_id: Any, user_id: Any, position: Any) -> sa.Select[Any]:
    return sa.select(messages.c.user_id, messages.c.content).where(
        messages.c.session_id == session_id, messages.c.user_id == user_id, messages.c.position == position
    )


@prepared
def _calls(run_id: Any, user_id: Any, task_id: Any) -> sa.Select[Any]:
    payload = run_events.c.payload
    # Arguments and outputs, of which there may be much, stay where they are.
    told = (payload[name].as_string().label(name) for name in ("call_id", "tool", "agent_id"))
    return (
        sa.select(run_events.c.user_id, run_events.c.type, *told)
        .where(
            run_events.c.run_id == run_id,
            run_events.c.user_id == user_id,
            run_events.c.type.in_(("tool_started", "tool_completed")),
            payload["task_id"].as_string() == task_id,
        )
        .order_by(run_events.c.n)
    )


@prepared
def _orphaned(limit: Any) -> sa.CompoundSelect[Any]:
    busy = runs.alias("busy")
    active = sa.exists().where(busy.c.session_id == runs.c.session_id, busy.c.state.in_(ACTIVE))
    expired = sa.select(runs.c.session_id).where(runs.c.state.in_(LEASED), runs.c.lease_until < epoch_now())
    waiting = sa.select(runs.c.session_id).where(runs.c.state == RunState.QUEUED, ~active)
    return sa.union(expired, waiting).limit(limit)


async def load_run(connection: AsyncConnection, owner: Owner, run_id: str) -> Run:
    """Read one run with its tasks. Raise RunNotFound. A deleted session's runs are absent."""
    return (await _with_tasks(connection, owner, [await _find_run(connection, owner, run_id)]))[0]


async def _find_run(connection: AsyncConnection, owner: Owner, run_id: str) -> sa.Row[Any]:
    found = await connection.execute(sa.select(runs).where(runs.c.id == run_id, *_mine(owner)))
    row = own_runs.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise RunNotFound(run_id)
    return row


def load_task(row: sa.Row[tuple[object, ...]]) -> Task:
    """A row of `run_tasks` as a Task."""
    return Task(
        id=row.id,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        title=row.title,
        instruction=row.instruction,
        state=TaskState(row.state),
        attempt=row.attempt,
        depends_on=tuple(row.depends_on),
        output=row.output,
        error=_failure(row),
        usage=load_usage(row),
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def load_plan(row: sa.Row[tuple[object, ...]], tasks: Iterable[Task]) -> Plan:
    """The plan of these tasks that a row of `runs` is about."""
    return Plan(
        tasks=tuple(tasks),
        origin=None if row.plan_origin is None else PlanOrigin(row.plan_origin),
        problems=tuple(Failure(**problem) for problem in row.plan_problems),
        planning_seconds=row.planning_seconds,
    )


def _mine(owner: Owner) -> tuple[sa.ColumnElement[bool], ...]:
    visible = sa.select(chat_sessions.c.id).where(
        chat_sessions.c.user_id == owner.user_id,
        chat_sessions.c.project_id == owner.project_id,
        chat_sessions.c.deleted.is_(False),
    )
    return runs.c.user_id == owner.user_id, runs.c.project_id == owner.project_id, runs.c.session_id.in_(visible)


async def _with_tasks(
    connection: AsyncConnection, owner: Owner, rows: Sequence[sa.Row[tuple[object, ...]]]
) -> list[Run]:
    tasks: dict[str, list[Task]] = {row.id: [] for row in rows}
    if rows:
        found = await connection.execute(
            sa.select(*_TASK_COLUMNS)
            .where(run_tasks.c.run_id.in_(tasks), run_tasks.c.user_id == owner.user_id)
            .order_by(run_tasks.c.run_id, run_tasks.c.ordinal)
        )
        for row in own_tasks.all(found, owner.user_id):
            tasks[row.run_id].append(load_task(row))
    pending = await pending_of(connection, owner, [row.id for row in rows if row.state in UNFINISHED])
    return [_run(row, tasks[row.id], pending.get(row.id, [])) for row in rows]


def _run(row: sa.Row[tuple[object, ...]], tasks: list[Task], pending: list[Approval]) -> Run:
    return Run(
        id=row.id,
        session_id=row.session_id,
        mode=Mode(row.mode),
        state=RunState(row.state),
        plan=load_plan(row, tasks),
        message_id=row.answer_id if row.answered else None,
        retry_of=row.retry_of,
        error=_failure(row),
        stop_reason=row.stop_reason,
        usage=load_usage(row),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        last_event_id=row.last_event_id,
        approvals=tuple(pending),
    )


def _texts(run: Run) -> list[str | None]:
    """What may be long in a run."""
    texts = [text for task in run.plan.tasks for text in (task.instruction, task.output)]
    return texts + [text for approval in run.approvals for text in texts_of(approval)]


def load_event(row: sa.Row[tuple[object, ...]]) -> Event:
    """A row of `run_events` as an Event."""
    return Event(
        n=row.n, type=row.type, payload=row.payload, timestamp=row.created_at, final=row.final, id=row.published
    )


def _failure(row: sa.Row[tuple[object, ...]]) -> Failure | None:
    return None if row.error_reason is None else Failure(row.error_reason, row.error_detail)


def load_usage(row: sa.Row[tuple[object, ...]]) -> Usage:
    """What a row of `runs` or `run_tasks` says that it cost."""
    return Usage(row.prompt_tokens, row.completion_tokens, row.model_calls)
