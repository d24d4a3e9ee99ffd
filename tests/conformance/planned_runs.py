"""Runs that are planned, as the tests of the stores make them: two tasks, and one that builds on both."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from services.orchestrator.leases import Lease, NewRetry, NewRun
from services.orchestrator.model import (
    ENDED_TASK,
    Event,
    Failure,
    OnBusy,
    Owner,
    Plan,
    PlanOrigin,
    Task,
    TaskState,
    Usage,
)
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import AGENT, COST, NOW, ONE, Stores, a_message, beginning, lease_of

PLANNING_COST = Usage(prompt_tokens=100, completion_tokens=50, model_calls=2)


def a_task(id: str, *depends_on: str) -> Task:
    return Task(id, AGENT.id, AGENT.name, f"Do {id}", f"Please do {id}.", TaskState.PENDING, 0, depends_on)


PLAN = Plan(
    (a_task("read"), a_task("look"), a_task("write", "read", "look")),
    PlanOrigin.MENDED,
    (Failure("PLAN_NOT_JSON", "the answer is not JSON"), Failure("PLAN_CYCLE", "read waits for itself")),
    planning_seconds=0.75,
)


def a_request(session_id: str, content: str = "Write about rain.") -> NewRun:
    return a_message(session_id, content, agent=None)


async def planning(stores: Stores, owner: Owner, session_id: str) -> Lease:
    """A run that is being planned."""
    return lease_of(await stores.runs.accept(owner, a_request(session_id), None, ONE, NOW))


async def at_work(stores: Stores, owner: Owner, session_id: str) -> Lease:
    """A run whose first two tasks are at work."""
    plan = PLAN.with_tasks(beginning(task) for task in PLAN.tasks if not task.depends_on)
    return await stores.runs.plan(await planning(stores, owner, session_id), ONE, plan, PLANNING_COST, NOW)


async def advance(stores: Stores, lease: Lease, *tasks: Task, spent: Usage = COST) -> Lease:
    return await stores.runs.advance(lease, ONE, tasks, spent, NOW)


def task_of(lease: Lease, id: str) -> Task:
    [task] = [task for task in lease.plan.tasks if task.id == id]
    return task


def again(run_id: str) -> NewRetry:
    return NewRetry(new_id(), new_id(), run_id, OnBusy.QUEUE)


def folded(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """What somebody who only hears a run's events knows of its tasks."""
    tasks: dict[str, dict[str, Any]] = {}
    for event in events:
        told = event.payload
        match event.type:
            case "plan_created":
                tasks = {task["id"]: task for task in told["plan"]["tasks"]}
            case "task_started" | "task_completed" | "task_skipped" | "task_failed":
                tasks[told["task"]["id"]] = told["task"]
            case "approval_required":
                tasks[told["approval"]["task_id"]] |= {"state": "waiting_approval"}
        for task in tasks.values():
            if event.final and task["state"] not in ENDED_TASK:
                task["state"] = "cancelled"
    return {id: {key: task[key] for key in _FOLDED} for id, task in tasks.items()}


_FOLDED = ("state", "attempt", "output", "error", "depends_on")


def known(plan: Plan) -> dict[str, dict[str, Any]]:
    """What the store knows of the same."""
    values = {task.id: {**asdict(task), "depends_on": list(task.depends_on)} for task in plan.tasks}
    return {id: {key: task[key] for key in _FOLDED} for id, task in values.items()}
