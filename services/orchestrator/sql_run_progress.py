"""How runs go on and end in a SQL database: every write is under the run's lease, with its events beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.leases import Ended, Ending, Lease
from services.orchestrator.model import ENDED_TASK, Message, Mode, Plan, Role, RunState, Task, Usage
from services.orchestrator.sql_leases import fence, paused_of, promote, standing_of
from services.orchestrator.sql_run_acceptance import SqlRunAcceptance
from services.orchestrator.sql_run_queries import load_usage
from services.orchestrator.sql_run_rows import (
    NOWHERE,
    cancel_questions,
    cancel_tasks,
    insert_events,
    insert_message,
    insert_tasks,
    is_noted,
    outbox_of,
    store_tasks,
    touch_session,
)
from services.orchestrator.timeline import Happened, changed, ended, planned


class SqlRunProgress(SqlRunAcceptance):
    """The part of `RunStore` for whoever holds a lease."""

    async def plan(self, lease: Lease, process: str, plan: Plan, spent: Usage, now: datetime) -> Lease:
        happened = [planned(plan), *changed(lease.mode, plan.tasks)]
        values = {
            "state": RunState.RUNNING,
            "attempts": 0,
            "plan_origin": plan.origin,
            "plan_problems": [asdict(problem) for problem in plan.problems],
            "planning_seconds": plan.planning_seconds,
        }
        async with self._database.write() as connection:
            run = await fence(
                connection,
                lease,
                process,
                self._lease_seconds,
                happening=len(happened),
                spent=spent,
                states=(RunState.PLANNING,),
                **values,
            )
            await insert_tasks(connection, lease.user_id, lease.run_id, plan.tasks)
            events = await insert_events(
                connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, happened
            )
            return replace(lease, plan=plan, usage=load_usage(run), events=events)

    async def advance(
        self,
        lease: Lease,
        process: str,
        tasks: Sequence[Task],
        spent: Usage,
        now: datetime,
        paused: Mapping[str, str] = NOWHERE,
    ) -> Lease:
        happened = changed(lease.mode, tasks, lease.decisions)
        # An attempt that begins is no progress: a task that takes every process down with it begins again and again.
        further = bool(paused) or any(task.state in ENDED_TASK for task in tasks)
        progress: dict[str, Any] = {"attempts": 0} if further else {}
        async with self._database.write() as connection:
            run = await fence(
                connection, lease, process, self._lease_seconds, happening=len(happened), spent=spent, **progress
            )
            await store_tasks(connection, lease, tasks, paused)
            events = await insert_events(
                connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, happened
            )
            return replace(
                lease,
                plan=lease.plan.with_tasks(tasks),
                usage=load_usage(run),
                events=events,
                fresh=True,
                paused=paused_of(lease, tasks, paused),
            )

    async def note(self, lease: Lease, process: str, happened: Happened, now: datetime) -> Lease:
        async with self._database.write() as connection:
            # An attempt that goes on after another one's end finds what its calls did, and says it again.
            new = [] if await is_noted(connection, lease, happened) else [happened]
            run = await fence(connection, lease, process, self._lease_seconds, happening=len(new), attempts=0)
            events = await insert_events(
                connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, new
            )
            return replace(lease, usage=load_usage(run), events=events)

    async def standing(self, lease: Lease, process: str) -> Lease:
        async with self._database.write() as connection:
            # Waits for the transaction in doubt: it holds the run's row until it is decided.
            await fence(connection, lease, process, self._lease_seconds, happening=0)
            stands = await standing_of(connection, lease)
            return replace(stands, fresh=lease.fresh or _attempts(stands) > _attempts(lease))

    async def end(self, lease: Lease, process: str, ending: Ending, now: datetime) -> Ended:
        async with self._database.write() as connection:
            await touch_session(connection, lease.session_id, now, messages_more=0 if ending.answer is None else 1)
            return await self._end(connection, lease, process, ending, now)

    async def _end(
        self, connection: AsyncConnection, lease: Lease, process: str, ending: Ending, now: datetime
    ) -> Ended:
        """End the run under its lease and promote the next. The session's row is locked."""
        answer = _answer(lease, ending, now)
        end: dict[str, Any] = {
            "state": RunState.SUCCEEDED if ending.error is None else RunState.FAILED,
            "answered": answer is not None,
            "error_reason": None if ending.error is None else ending.error.reason,
            "error_detail": None if ending.error is None else ending.error.detail,
            "stop_reason": ending.stop_reason,
            "finished_at": now,
            "owner": None,
        }
        happening = len(ended(lease, ending, answer, 0.0))
        run = await fence(
            connection, lease, process, self._lease_seconds, happening=happening, spent=ending.spent, **end
        )
        if answer is not None:
            await insert_message(connection, answer, lease.user_id, 2 * lease.position + 1)
        await store_tasks(connection, lease, ending.tasks)
        if lease.mode is Mode.ORCHESTRATED or ending.error is not None:
            # A direct run that has succeeded is one task, which asks nothing any more.
            await cancel_tasks(connection, lease.user_id, lease.run_id, now)
            await cancel_questions(connection, lease.user_id, lease.run_id, now)
        worked = max(0.0, (now - lease.working_since).total_seconds())
        happened = ended(lease, ending, answer, worked)
        events = await insert_events(
            connection, lease.user_id, lease.run_id, lease.epoch, run.event_count, now, happened, final=True
        )
        promoted = await promote(connection, lease.session_id, process, self._lease_seconds, now)
        return Ended(outbox_of(lease, events), promoted)


def _answer(lease: Lease, ending: Ending, now: datetime) -> Message | None:
    if ending.answer is None:
        return None
    return Message(lease.answer_id, lease.session_id, lease.run_id, Role.ASSISTANT, ending.answer, ending.agent_id, now)


def _attempts(lease: Lease) -> int:
    return sum(task.attempt for task in lease.plan.tasks)
