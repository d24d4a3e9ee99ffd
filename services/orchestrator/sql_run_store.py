"""Runs in a SQL database: their leases, and stopping them.

How they begin is in sql_run_acceptance, how they go on and end in sql_run_progress, what is read in sql_run_queries.

Order of locks, everywhere: the project's row, the sessions', the runs'; several of a kind in the order of their ids. A
write under a lease begins with an UPDATE on (id, owner, epoch): it waits for whoever holds the row, and changes nothing
if the lease went to somebody else.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from services.orchestrator.errors import RunFinished, RunNotFound
from services.orchestrator.leases import Ended, Ending, Lease
from services.orchestrator.model import LEASED, Failure, Mode, Owner, Run, RunState, TaskState
from services.orchestrator.sql_leases import WORKED_ON_AGAIN, lease_of, promote
from services.orchestrator.sql_run_doubts import SqlRunDoubts
from services.orchestrator.sql_run_progress import SqlRunProgress
from services.orchestrator.sql_run_queries import load_run
from services.orchestrator.sql_run_rows import (
    cancel_runs,
    expired_run,
    outbox_of,
    seize_session,
    touch_session,
)
from services.orchestrator.tables import chat_sessions, own_runs, run_events, runs
from services.runtime.database import epoch_now, lock_rows

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


class SqlRunStore(SqlRunProgress, SqlRunDoubts):
    """`RunStore` on SQLite and PostgreSQL.

    What leaves passes the owner's guard. `renew` and `adopt` work for every user: they hand out ids, and what a process
    needs to work on a run in the name of the run's user, past their guard.
    """

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
            promoted = await promote(connection, session_id, process, self._lease_seconds, now)
            return run, Ended(outbox[0], promoted)

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        # A process with much to do would else lose its runs to whoever has less, and both had more to do.
        async with self._database.write(urgent=True) as connection:
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
                    **WORKED_ON_AGAIN,
                )
                .returning(runs)
            )
            row = taken.one_or_none()
            if row is None:
                return await promote(connection, session_id, process, self._lease_seconds, now)
            lease = await lease_of(connection, row)
            if row.attempts <= MAX_TAKEOVERS:
                return lease
            error = Failure("RUN_ABANDONED", f"the run was taken over {MAX_TAKEOVERS} times and never got further")
            direct = lease.plan.tasks if lease.mode is Mode.DIRECT else ()
            failed = tuple(replace(task, state=TaskState.FAILED, error=error, finished_at=now) for task in direct)
            ended = await self._end(connection, lease, process, Ending(error=error, tasks=failed), now)
            return replace(ended, outbox=outbox_of(lease, lease.events + ended.outbox.events))

    async def release(self, process: str) -> None:
        async with self._database.write() as connection:
            leased = (runs.c.owner == process, runs.c.state.in_(LEASED), runs.c.lease_until > 0)
            await lock_rows(connection, runs.c.id, *leased)
            await connection.execute(
                sa.update(runs)
                .where(*leased)
                # The takeover will count one attempt: this one was no failure.
                .values(lease_until=0, idle_since=epoch_now(), attempts=runs.c.attempts - 1)
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

    def _lease_end(self) -> sa.ColumnElement[float]:
        return epoch_now() + self._lease_seconds
