"""How runs begin in a SQL database: a message is accepted, or a run retried."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import RunNotFound, RunNotRetryable, RunRetried, SessionBusy, SessionNotFound
from services.orchestrator.leases import Accepted, Lease, NewRetry, NewRun, Outbox, RunLimits
from services.orchestrator.model import (
    DIRECT_TASK,
    RETRYABLE,
    Agent,
    Message,
    Mode,
    OnBusy,
    Owner,
    Plan,
    Role,
    Run,
    RunState,
    Task,
    TaskState,
    Usage,
    title_of,
)
from services.orchestrator.sql_leases import LEASE_END
from services.orchestrator.sql_run_queries import SqlRunQueries, load_run
from services.orchestrator.sql_run_rows import (
    cancel_runs,
    enter_session,
    insert_events,
    insert_message,
    insert_tasks,
    require_room,
    unfinished_run,
)
from services.orchestrator.sql_session_store import lock_project
from services.orchestrator.tables import idempotency_keys, own_runs, runs
from services.orchestrator.timeline import Happened, changed, planned, received
from services.runtime.database import Database
from services.runtime.idempotency import RequestKey

_INSERT_RUN = sa.insert(runs).values(lease_until=LEASE_END)


class _Known(Exception):
    """The request_id stands for a run already: nothing of this transaction is to stay."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


@dataclass(frozen=True)
class _Beginning:
    """A run at the door of its session: where it is to stand, and whether it has to wait."""

    id: str
    answer_id: str
    session_id: str
    position: int
    asked_at: int
    retry_of: str | None
    queued: bool
    replaced: tuple[Outbox, ...]


class SqlRunAcceptance(SqlRunQueries):
    """The part of `RunStore` that makes runs. `limits` are a user's, over all their projects."""

    def __init__(self, database: Database, lease_seconds: float, limits: RunLimits) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds
        self._limits = limits

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        try:
            async with self._database.write() as connection:
                await lock_project(connection, owner)
                position = await enter_session(connection, owner, new.session_id, now, messages_more=1)
                if position is None:
                    raise SessionNotFound(new.session_id)
                await _claim(connection, owner, key, new.id, now)
                queued, replaced = await self._turn(connection, owner, new.session_id, new.on_busy, now)
                beginning = _Beginning(
                    new.id, new.answer_id, new.session_id, position, position, None, queued, replaced
                )
                return await self._accept(connection, owner, new, beginning, process, now)
        except _Known as known:
            return Accepted(await self.get_run(owner, known.run_id), joined=True)

    async def retry(
        self, owner: Owner, again: NewRetry, key: RequestKey | None, process: str, now: datetime
    ) -> Accepted:
        try:
            async with self._database.write() as connection:
                await lock_project(connection, owner)
                session_id = (await load_run(connection, owner, again.run_id)).session_id
                position = await enter_session(connection, owner, session_id, now, messages_more=0)
                if position is None:
                    raise RunNotFound(again.run_id)
                await _claim(connection, owner, key, again.id, now)
                # Read once more: from here on nobody else changes it.
                failed = await load_run(connection, owner, again.run_id)
                asked_at = await _asked_at(connection, owner, failed)
                queued, replaced = await self._turn(connection, owner, session_id, again.on_busy, now)
                beginning = _Beginning(
                    again.id, again.answer_id, session_id, position, asked_at, failed.id, queued, replaced
                )
                return await self._do_again(connection, owner, failed, beginning, process, now)
        except _Known as known:
            return Accepted(await self.get_run(owner, known.run_id), joined=True)

    async def _turn(
        self, connection: AsyncConnection, owner: Owner, session_id: str, on_busy: OnBusy, now: datetime
    ) -> tuple[bool, tuple[Outbox, ...]]:
        """Whether a new run of the locked session has to wait, and what it replaced.

        Raise SessionBusy, TooManyRuns, TooManyQueuedRuns.
        """
        replaced: list[Outbox] = []
        if on_busy is OnBusy.REPLACE:
            replaced = await cancel_runs(connection, owner, runs.c.session_id == session_id, "replaced", now)
        before = await unfinished_run(connection, owner, session_id)
        if before is not None and on_busy is OnBusy.REJECT:
            raise SessionBusy(session_id, before)
        queued = before is not None
        await require_room(connection, owner, queued, self._limits)
        return queued, tuple(replaced)

    async def _accept(
        self,
        connection: AsyncConnection,
        owner: Owner,
        new: NewRun,
        beginning: _Beginning,
        process: str,
        now: datetime,
    ) -> Accepted:
        mode = Mode.ORCHESTRATED if new.agent is None else Mode.DIRECT
        tasks = () if new.agent is None else (_direct_task(new.agent, new.content),)
        message = Message(new.message_id, new.session_id, new.id, Role.USER, new.content, None, now)
        accepted = await self._insert(
            connection, owner, beginning, mode, Plan(tasks), [received(message)], process, now
        )
        await insert_message(connection, message, owner.user_id, 2 * beginning.position)
        return accepted

    async def _do_again(
        self,
        connection: AsyncConnection,
        owner: Owner,
        failed: Run,
        beginning: _Beginning,
        process: str,
        now: datetime,
    ) -> Accepted:
        """Insert the retry of a run: its finished tasks are kept, the others begin anew."""
        plan = replace(failed.plan, tasks=tuple(_again(task) for task in failed.plan.tasks))
        # The graph that a planned run's timeline begins with.
        happened = [planned(plan)] if failed.mode is Mode.ORCHESTRATED and plan.tasks else []
        return await self._insert(connection, owner, beginning, failed.mode, plan, happened, process, now)

    async def _insert(
        self,
        connection: AsyncConnection,
        owner: Owner,
        beginning: _Beginning,
        mode: Mode,
        plan: Plan,
        happened: list[Happened],
        process: str,
        now: datetime,
    ) -> Accepted:
        """Insert the run and its tasks, leased unless it is queued: then a direct run's task has begun."""
        queued = beginning.queued
        if mode is Mode.DIRECT and not queued:
            begun = replace(plan.tasks[0], state=TaskState.RUNNING, attempt=1, started_at=now)
            plan = plan.with_tasks([begun])
            happened = [*happened, *changed(mode, [begun])]
        has_plan = bool(plan.tasks)
        run = Run(
            id=beginning.id,
            session_id=beginning.session_id,
            mode=mode,
            state=RunState.QUEUED if queued else RunState.RUNNING if has_plan else RunState.PLANNING,
            plan=plan,
            message_id=None,
            retry_of=beginning.retry_of,
            error=None,
            stop_reason=None,
            usage=Usage(),
            created_at=now,
            started_at=None if queued else now,
            finished_at=None,
            last_event_id=None,
        )
        epoch = 0 if queued else 1
        row: dict[str, Any] = {
            "id": run.id,
            "session_id": run.session_id,
            "project_id": owner.project_id,
            "user_id": owner.user_id,
            "mode": run.mode,
            "state": run.state,
            "position": beginning.position,
            "asked_at": beginning.asked_at,
            "answer_id": beginning.answer_id,
            "retry_of": run.retry_of,
            "plan_origin": plan.origin,
            "plan_problems": [asdict(problem) for problem in plan.problems],
            "planning_seconds": plan.planning_seconds,
            "owner": None if queued else process,
            "epoch": epoch,
            "event_count": len(happened),
            "created_at": now,
            "started_at": run.started_at,
            # A queued run has no owner, so nobody minds that its lease begins too.
            "lease_seconds": self._lease_seconds,
        }
        await connection.execute(_INSERT_RUN, row)
        await insert_tasks(connection, owner.user_id, run.id, plan.tasks)
        events = await insert_events(connection, owner.user_id, run.id, epoch, 1, now, happened)
        stopped = tuple(each.run_id for each in beginning.replaced)
        if queued:
            outbox = Outbox(run.id, run.session_id, owner.project_id, owner.user_id, epoch, events)
            told = (outbox,) if events else ()
            return Accepted(run, outbox=(*beginning.replaced, *told), stopped=stopped)
        lease = Lease(
            run_id=run.id,
            session_id=run.session_id,
            project_id=owner.project_id,
            user_id=owner.user_id,
            epoch=epoch,
            position=beginning.position,
            asked_at=beginning.asked_at,
            answer_id=beginning.answer_id,
            mode=mode,
            plan=plan,
            working_since=now,
            events=events,
            fresh=mode is Mode.DIRECT,
        )
        return Accepted(run, lease=lease, outbox=beginning.replaced, stopped=stopped)


async def _claim(connection: AsyncConnection, owner: Owner, key: RequestKey | None, run_id: str, now: datetime) -> None:
    """Let the key stand for the run. Raise _Known if it stands for another, RequestIdReused."""
    if key is not None:
        known = await idempotency_keys.claim(connection, owner.user_id, key, run_id, now)
        if known != run_id:
            raise _Known(known)


async def _asked_at(connection: AsyncConnection, owner: Owner, failed: Run) -> int:
    """Whose message the retry of this run answers. Raise RunNotRetryable, RunRetried."""
    if failed.state not in RETRYABLE:
        raise RunNotRetryable(failed.id, failed.state.value)
    found = await connection.execute(
        sa.select(runs).where(
            runs.c.user_id == owner.user_id, sa.or_(runs.c.id == failed.id, runs.c.retry_of == failed.id)
        )
    )
    rows = {row.id: row for row in own_runs.all(found, owner.user_id, owner.project_id)}
    itself = rows.pop(failed.id)
    for retried_by in rows:
        raise RunRetried(failed.id, retried_by)
    return int(itself.asked_at)


def _direct_task(agent: Agent, content: str) -> Task:
    return Task(
        id=DIRECT_TASK,
        agent_id=agent.id,
        agent_name=agent.name,
        title=title_of(content),
        instruction=content,
        state=TaskState.PENDING,
        attempt=0,
    )


def _again(task: Task) -> Task:
    """The task in a retry of its run: what it gave, for nothing, or as it was before anybody worked on it."""
    if task.state is TaskState.SUCCEEDED:
        return replace(task, usage=Usage())
    return Task(
        id=task.id,
        agent_id=task.agent_id,
        agent_name=task.agent_name,
        title=task.title,
        instruction=task.instruction,
        state=TaskState.PENDING,
        attempt=0,
        depends_on=task.depends_on,
    )
