"""Leases in a SQL database: writing under one, and what its holder is given."""

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.orchestrator.errors import LeaseLost
from services.orchestrator.model import LEASED, Approval, Lease, TaskState
from services.orchestrator.sql_run_queries import load_approval, load_task
from services.orchestrator.sql_run_rows import unpublished_events
from services.orchestrator.tables import approvals, own_approvals, own_tasks, run_tasks, runs
from services.runtime.database import epoch_now

LEASE_END = epoch_now() + sa.bindparam("lease_seconds", type_=sa.Double)
"""The end of a lease that begins now."""


@cache
def _fenced(columns: tuple[str, ...]) -> ReturningUpdate[Any]:
    """Sets these columns of a leased run, each from the parameter of its name and `_`; see `fence`."""
    happening: sa.BindParameter[int] = sa.bindparam("happening", type_=sa.Integer)
    return (
        sa.update(runs)
        .where(
            runs.c.id == sa.bindparam("of_run"),
            runs.c.owner == sa.bindparam("of_process"),
            runs.c.epoch == sa.bindparam("of_epoch"),
            runs.c.state.in_(LEASED),
        )
        .values(
            {
                "lease_until": LEASE_END,
                "event_count": runs.c.event_count + happening,
                **{column: sa.bindparam(f"{column}_") for column in columns},
            }
        )
        .returning(runs.c.started_at, (runs.c.event_count - happening + 1).label("event_count"))
    )


async def fence(
    connection: AsyncConnection, lease: Lease, process: str, lease_seconds: float, *, happening: int, **values: Any
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
            "lease_seconds": lease_seconds,
            "happening": happening,
            **{f"{column}_": value for column, value in values.items()},
        },
    )
    row: sa.Row[tuple[Any, ...]] | None = fenced.one_or_none()
    if row is None:
        raise LeaseLost(lease.run_id)
    return row


async def lease_of(connection: AsyncConnection, row: sa.Row[tuple[object, ...]]) -> Lease:
    """The lease of a run that was just taken: its attempt is still to begin. Raise NoResultFound if it has no task."""
    tasks = sa.select(run_tasks).where(run_tasks.c.run_id == row.id, run_tasks.c.user_id == row.user_id)
    found = own_tasks.first(await connection.execute(tasks), row.user_id)
    if found is None:
        raise NoResultFound(f"run {row.id} has no task")
    task = load_task(found)
    decisions: tuple[Approval, ...] = ()
    if task.state is TaskState.WAITING_APPROVAL:
        decisions = await decisions_of(connection, row.user_id, row.id, task.id)
    return Lease(
        run_id=row.id,
        session_id=row.session_id,
        project_id=row.project_id,
        user_id=row.user_id,
        epoch=row.epoch,
        position=row.position,
        asked_at=row.asked_at,
        answer_id=row.answer_id,
        task=task,
        generation=found.generation,
        events=await unpublished_events(connection, row.user_id, row.id),
        fresh=False,
        decisions=decisions,
    )


async def decisions_of(
    connection: AsyncConnection, user_id: str, run_id: str, task_id: str | None
) -> tuple[Approval, ...]:
    """What the user was asked for the task, oldest first."""
    found = await connection.execute(
        sa.select(approvals)
        .where(approvals.c.run_id == run_id, approvals.c.user_id == user_id, approvals.c.task_id == task_id)
        .order_by(approvals.c.n)
    )
    return tuple(load_approval(row) for row in own_approvals.all(found, user_id))
