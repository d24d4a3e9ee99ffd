"""What a run's timeline says: the types and payloads of its events.

Whoever folds a run's events knows its tasks as the store does: `plan_created` brings them, a later event about a task
replaces what an earlier one said, `approval_required` says what a task has come to, and what is unfinished at the run's
end is cancelled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from services.orchestrator.leases import Ending, Lease
from services.orchestrator.model import Approval, Failure, Message, Mode, Plan, Task, TaskState, UnendedCall

Happened = tuple[str, dict[str, Any]]
"""An event's type and payload."""


def received(message: Message) -> Happened:
    """That a user's message was stored."""
    return "message_received", {"message": message_values(message)}


def planned(plan: Plan) -> Happened:
    """That a run has a plan."""
    return "plan_created", {"plan": plan_values(plan), "planning_seconds": plan.planning_seconds}


def changed(mode: Mode, tasks: Iterable[Task], decisions: Sequence[Approval] = ()) -> list[Happened]:
    """What became of tasks of a run, as they are now. Of a direct run's, only that it began: its end is the run's.

    `decisions` is what their user was asked for them, oldest first.
    """
    if mode is Mode.DIRECT:
        return [_started(task) for task in tasks if task.state is TaskState.RUNNING]
    return [happened for task in tasks for happened in _became(task, decisions)]


def ended(lease: Lease, ending: Ending, answer: Message | None, seconds: float) -> list[Happened]:
    """That a run, which was the lease's, ends so after so many seconds of work; the last is its end."""
    if lease.mode is Mode.DIRECT:
        [task] = ending.tasks or lease.plan.tasks
        if answer is not None:
            return [_completed(task, answer.content, round(seconds * 1000), answer)]
        assert ending.error is not None
        payload = _failure_values(ending.error, task)
        return [("agent_failed", payload), ("run_failed", payload)]
    happened = changed(lease.mode, ending.tasks, lease.decisions)
    if answer is not None:
        completed = {
            "message": message_values(answer),
            "planning_seconds": lease.plan.planning_seconds or 0.0,
            "execution_seconds": ending.execution_seconds,
            "success": ending.error is None,
        }
        return [*happened, ("orchestration_completed", completed)]
    assert ending.error is not None
    tasks = lease.plan.with_tasks(ending.tasks).tasks
    failed = next((task for task in tasks if task.state is TaskState.FAILED), None)
    return [*happened, ("run_failed", _failure_values(ending.error, failed))]


def asked(approval: Approval) -> Happened:
    """That the user is asked for a decision."""
    return "approval_required", {"approval": _approval_values(approval)}


def resolved(approval: Approval) -> Happened:
    """That a question needs no answer any more."""
    return "approval_resolved", {"approval": _approval_values(approval)}


def interrupted(call: UnendedCall, task: Task) -> Happened:
    """That a call is over, which an earlier attempt at the task began."""
    return "tool_completed", {
        "agent_id": call.agent_id,
        "task_id": task.id,
        "call_id": call.id,
        "tool": call.tool,
        "success": False,
        "output": "It was interrupted, and nobody knows how it ended.",
        "truncated": False,
    }


def message_values(message: Message) -> dict[str, Any]:
    """A message as it is told."""
    return {**asdict(message), "timestamp": message.timestamp.isoformat()}


def plan_values(plan: Plan) -> dict[str, Any]:
    """A plan as it is told."""
    return {
        "tasks": [_task_values(task) for task in plan.tasks],
        "origin": plan.origin,
        "problems": [asdict(problem) for problem in plan.problems],
        "planning_seconds": plan.planning_seconds,
    }


def _became(task: Task, decisions: Sequence[Approval]) -> list[Happened]:
    match task.state:
        case TaskState.RUNNING:
            return [("task_started", {"task": _task_values(task)}), _started(task)]
        case TaskState.SUCCEEDED:
            completed = _completed(task, task.output or "", _milliseconds(task, decisions), None)
            return [completed, ("task_completed", {"task": _task_values(task)})]
        case TaskState.FAILED:
            assert task.error is not None
            payload = _failure_values(task.error, task)
            return [("agent_failed", payload), ("task_failed", {**payload, "task": _task_values(task)})]
        case TaskState.SKIPPED:
            return [("task_skipped", {"task": _task_values(task)})]
        case _:
            return []


def _started(task: Task) -> Happened:
    return "agent_started", {"agent_id": task.agent_id, "agent_name": task.agent_name, "task_id": task.id}


def _completed(task: Task, output: str, duration_ms: int, answer: Message | None) -> Happened:
    return "agent_completed", {
        "agent_id": task.agent_id,
        "agent_name": task.agent_name,
        "task_id": task.id,
        "output": output,
        "usage": asdict(task.usage),
        "duration_ms": duration_ms,
        "message": None if answer is None else message_values(answer),
    }


def _failure_values(error: Failure, task: Task | None) -> dict[str, Any]:
    return {"error": asdict(error), "task_id": task and task.id, "agent_id": task and task.agent_id}


def _milliseconds(task: Task, decisions: Sequence[Approval]) -> int:
    """For how long the task was worked on: not while it waited for its user."""
    if task.started_at is None or task.finished_at is None:
        return 0
    worked, since = task.finished_at - task.started_at, task.started_at
    for asked_for in decisions:
        if asked_for.task_id == task.id and asked_for.decided_at is not None:
            # What was asked together was waited for together.
            since = max(since, asked_for.created_at)
            worked -= max(timedelta(), asked_for.decided_at - since)
            since = max(since, asked_for.decided_at)
    return max(0, round(worked.total_seconds() * 1000))


def _task_values(task: Task) -> dict[str, Any]:
    return {
        **asdict(task),
        "depends_on": list(task.depends_on),
        "started_at": _text(task.started_at),
        "finished_at": _text(task.finished_at),
    }


def _approval_values(approval: Approval) -> dict[str, Any]:
    times = {name: _text(getattr(approval, name)) for name in ("expires_at", "created_at", "decided_at")}
    return {**asdict(approval), **times}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
