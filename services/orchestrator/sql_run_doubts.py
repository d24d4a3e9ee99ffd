"""Reading what became of a write to a run whose answer was lost.

The transaction in doubt holds a row until it is decided, of the project where a run begins, of the session where one
ends: whoever locks that, too, and reads then, sees what it did.
"""

from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.leases import Accepted, Ended, Lease, Outbox
from services.orchestrator.model import FINISHED, LEASED, Mode, Owner, RunState, TaskState
from services.orchestrator.sql_leases import lease_of
from services.orchestrator.sql_run_queries import SqlRunQueries, load_run
from services.orchestrator.sql_run_rows import touch_session, unpublished_events
from services.orchestrator.tables import own_runs, projects, runs

# Of a run that was never taken over, and of an attempt that is the first.
_FIRST = 1


class SqlRunDoubts(SqlRunQueries):
    """The part of `RunStore` for whoever does not know what it has written."""

    async def accepted(self, owner: Owner, run_id: str, process: str) -> Accepted | None:
        async with self._database.write() as connection:
            # Whoever begins a run shares the lock of its project.
            mine = (projects.c.user_id == owner.user_id, projects.c.project_id == owner.project_id)
            await connection.execute(sa.select(projects.c.project_id).where(*mine).with_for_update())
            row = await _find(connection, owner, runs.c.id == run_id)
            if row is None:
                return None
            run = await load_run(connection, owner, run_id)
            if row.state == RunState.QUEUED:
                outbox = await _outbox(connection, row)
                return Accepted(run, outbox=(outbox,) if outbox.events else ())
            if row.state not in LEASED or (row.owner, row.epoch) != (process, _FIRST):
                return Accepted(run)
            lease = await lease_of(connection, row)
            direct = lease.mode is Mode.DIRECT
            # One that was promoted has waited; and a direct run begins with its attempt, or has not begun here.
            begun = lease.task.attempt == _FIRST if direct else row.started_at == row.created_at
            return Accepted(run, lease=replace(lease, fresh=direct) if begun else None)

    async def ended(self, owner: Owner, run_id: str, process: str) -> Ended | None:
        async with self._database.write() as connection:
            this = runs.c.id == run_id
            row = await _find(connection, owner, this)
            if row is None or not await touch_session(connection, row.session_id):
                return None
            row = await _find(connection, owner, this)
            if row is None or row.state not in FINISHED:
                return None
            return Ended(await _outbox(connection, row), await _promoted(connection, owner, row.session_id, process))


async def _promoted(connection: AsyncConnection, owner: Owner, session_id: str, process: str) -> Lease | None:
    """The run of the session that the process was given and has not begun."""
    row = await _find(
        connection, owner, sa.and_(runs.c.session_id == session_id, runs.c.owner == process, runs.c.state.in_(LEASED))
    )
    if row is None or row.epoch != _FIRST:
        return None
    lease = await lease_of(connection, row)
    # What a retry has of the run that it retries is done.
    begun = any(task.attempt and task.state is not TaskState.SUCCEEDED for task in lease.plan.tasks)
    return None if begun else lease


async def _outbox(connection: AsyncConnection, row: sa.Row[tuple[object, ...]]) -> Outbox:
    """All that the run has to tell."""
    events = await unpublished_events(connection, row.user_id, row.id)
    return Outbox(row.id, row.session_id, row.project_id, row.user_id, row.epoch, events)


async def _find(
    connection: AsyncConnection, owner: Owner, which: sa.ColumnElement[bool]
) -> sa.Row[tuple[object, ...]] | None:
    mine = (runs.c.user_id == owner.user_id, runs.c.project_id == owner.project_id)
    found = await connection.execute(sa.select(runs).where(which, *mine))
    return own_runs.first(found, owner.user_id, owner.project_id)
