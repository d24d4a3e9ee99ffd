"""Leases in a SQL database: writing under one, and what its holder is given."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Lease
from services.orchestrator.model import (
    ACTIVE,
    ENDED_TASK,
    LEASED,
    Approval,
    ApprovalKind,
    ApprovalScope,
    ApprovalState,
    Mode,
    Plan,
    RunState,
    Task,
    TaskState,
    Usage,
)
from services.orchestrator.sql_approval_rows import APPROVAL_COLUMNS, load_approval
from services.orchestrator.sql_run_queries import load_plan, load_task, load_usage
from services.orchestrator.sql_run_rows import unpublished_events
from services.orchestrator.tables import approvals, own_approvals, own_runs, own_tasks, run_tasks, runs
from services.runtime.database import epoch_now, prepared

_COSTS = ("prompt_tokens", "completion_tokens", "model_calls")
_NOTHING = Usage()

LEASE_END = epoch_now() + sa.bindparam("lease_seconds", type_=sa.Double)
"""The end of a lease that begins now."""

WORKED_ON_AGAIN = {
    "idle_seconds": runs.c.idle_seconds + (epoch_now() - sa.func.coalesce(runs.c.idle_since, runs.c.lease_until)),
    "idle_since": None,
}
"""What changes of a run that is leased again: the time in which nobody had it does not count as work."""


@cache
def _fenced(columns: tuple[str, ...], states: tuple[RunState, ...]) -> ReturningUpdate[Any]:
    """Sets these columns of a run leased in one of the states, each from the parameter of its name and `_`.

    See `fence`.
    """
    happening: sa.BindParameter[int] = sa.bindparam("happening", type_=sa.Integer)
    return (
        sa.update(runs)
        .where(
            runs.c.id == sa.bindparam("of_run"),
            runs.c.owner == sa.bindparam("of_process"),
            runs.c.epoch == sa.bindparam("of_epoch"),
            runs.c.state.in_(states),
        )
        .values(
            {
                "lease_until": LEASE_END,
                "event_count": runs.c.event_count + happening,
                **{column: runs.c[column] + sa.bindparam(f"more_{column}", type_=sa.Integer) for column in _COSTS},
                **{column: sa.bindparam(f"{column}_", type_=runs.c[column].type) for column in columns},
            }
        )
        .returning(
            (runs.c.event_count - happening + 1).label("event_count"),
            *(runs.c[column] for column in _COSTS),
        )
    )


async def fence(
    connection: AsyncConnection,
    lease: Lease,
    process: str,
    lease_seconds: float,
    *,
    happening: int,
    spent: Usage = _NOTHING,
    states: tuple[RunState, ...] = LEASED,
    **values: Any,
) -> sa.Row[tuple[Any, ...]]:
    """Change the run under its lease, renew that, add what was spent, and make room for events that happen.

    Return what the run cost so far, and the number of the first of these events. Raise LeaseLost, also if the run is in
    none of the states.
    """
    fenced = await connection.execute(
        _fenced(tuple(values), states),
        {
            "of_run": lease.run_id,
            "of_process": process,
            "of_epoch": lease.epoch,
            "lease_seconds": lease_seconds,
            "happening": happening,
            "more_prompt_tokens": spent.prompt_tokens,
            "more_completion_tokens": spent.completion_tokens,
            "more_model_calls": spent.model_calls,
            **{f"{column}_": value for column, value in values.items()},
        },
    )
    row: sa.Row[tuple[Any, ...]] | None = fenced.one_or_none()
    if row is None:
        raise LeaseLost(lease.run_id)
    return row


async def lease_of(connection: AsyncConnection, row: sa.Row[tuple[object, ...]]) -> Lease:
    """The lease of a run that has begun, by its row. Raise NoResultFound if it has no task and should."""
    found = await connection.execute(
        sa.select(run_tasks)
        .where(run_tasks.c.run_id == row.id, run_tasks.c.user_id == row.user_id)
        .order_by(run_tasks.c.ordinal)
    )
    tasks = own_tasks.all(found, row.user_id)
    plan = load_plan(row, [load_task(task) for task in tasks])
    if not plan.tasks and row.state != RunState.PLANNING:
        raise NoResultFound(f"run {row.id} has no task")
    decisions, approved_tools = await _told(connection, row, plan)
    return Lease(
        run_id=row.id,
        session_id=row.session_id,
        project_id=row.project_id,
        user_id=row.user_id,
        epoch=row.epoch,
        position=row.position,
        asked_at=row.asked_at,
        answer_id=row.answer_id,
        mode=Mode(row.mode),
        plan=plan,
        working_since=row.started_at + timedelta(seconds=row.idle_seconds),
        usage=load_usage(row),
        events=await unpublished_events(connection, row.user_id, row.id),
        fresh=False,
        decisions=decisions,
        approved_tools=approved_tools,
        paused={task.id: task.paused for task in tasks if task.paused is not None and task.state not in ENDED_TASK},
    )


async def standing_of(connection: AsyncConnection, lease: Lease) -> Lease:
    """The lease as it is stored. Raise LeaseLost if its run is gone."""
    found = await connection.execute(sa.select(runs).where(runs.c.id == lease.run_id, runs.c.user_id == lease.user_id))
    row = own_runs.first(found, lease.user_id, lease.project_id)
    if row is None:
        raise LeaseLost(lease.run_id)
    return await lease_of(connection, row)


def paused_of(lease: Lease, tasks: Sequence[Task], paused: Mapping[str, str]) -> dict[str, str]:
    """Where paused tasks of the lease's run go on once these are stored, with these places."""
    now = dict(lease.paused)
    for task in tasks:
        if task.state in ENDED_TASK:
            now.pop(task.id, None)
        elif task.id in paused:
            now[task.id] = paused[task.id]
    return {task_id: state for task_id, state in now.items() if state}


async def promote(
    connection: AsyncConnection, session_id: str, process: str, lease_seconds: float, now: datetime
) -> Lease | None:
    """Start the session's first queued run, if it has one and none is active. The session's row is locked."""
    promoted = await connection.execute(*_promoted(session_id, process, lease_seconds, now))
    row = promoted.one_or_none()
    return None if row is None else await lease_of(connection, row)


def waiting(plan: Plan) -> set[str | None]:
    """The tasks that wait for their user; of a run without tasks it is the run itself that may."""
    if not plan.tasks:
        return {None}
    return {task.id for task in plan.tasks if task.state is TaskState.WAITING_APPROVAL}


async def decisions_of(
    connection: AsyncConnection, user_id: str, run_id: str, task_ids: Collection[str | None]
) -> tuple[Approval, ...]:
    """What the user was asked for these tasks of the run, oldest first; None is for its plan."""
    return await _asked(connection, user_id, run_id, _about(task_ids)) if task_ids else ()


async def _told(
    connection: AsyncConnection, row: sa.Row[tuple[object, ...]], plan: Plan
) -> tuple[tuple[Approval, ...], tuple[str, ...]]:
    """What the user was asked for tasks that wait or run, or about the plan; and the tools approved for all the run."""
    # A task that runs may have gone on with what it was told: whoever takes it over has to tell it again.
    open_tasks = {task.id for task in plan.tasks if task.state in (TaskState.WAITING_APPROVAL, TaskState.RUNNING)}
    about: set[str | None] = {None} if row.state == RunState.PLANNING else {*open_tasks}
    if not any(task.attempt for task in plan.tasks) and None not in about:
        return (), ()
    for_all = sa.and_(
        approvals.c.kind == ApprovalKind.TOOL,
        approvals.c.state == ApprovalState.APPROVED,
        approvals.c.scope == ApprovalScope.RUN,
    )
    found = await _asked(connection, row.user_id, row.id, sa.or_(_about(about), for_all))
    tools = {each.payload["tool"] for each in found if each.scope is ApprovalScope.RUN}
    return tuple(each for each in found if each.task_id in about), tuple(sorted(tools))


def _about(task_ids: Collection[str | None]) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(approvals.c.task_id == task_id for task_id in task_ids))


async def _asked(
    connection: AsyncConnection, user_id: str, run_id: str, which: sa.ColumnElement[bool]
) -> tuple[Approval, ...]:
    found = await connection.execute(
        sa.select(*APPROVAL_COLUMNS)
        .where(approvals.c.run_id == run_id, approvals.c.user_id == user_id, which)
        .order_by(approvals.c.n)
    )
    return tuple(load_approval(row) for row in own_approvals.all(found, user_id))


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
    # A retry has the tasks of the run that it retries.
    has_plan = sa.exists().where(run_tasks.c.run_id == runs.c.id)
    return (
        sa.update(runs)
        .where(runs.c.id == first, ~active)
        .values(
            state=sa.case(
                (sa.and_(runs.c.mode == Mode.ORCHESTRATED, ~has_plan), RunState.PLANNING), else_=RunState.RUNNING
            ),
            owner=process,
            epoch=runs.c.epoch + 1,
            lease_until=epoch_now() + lease_seconds,
            started_at=now,
        )
        .returning(runs)
    )
