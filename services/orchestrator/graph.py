"""A plan as a graph: which tasks can begin, which never will, and what the others come to. No task knows of another's
state but through here."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.orchestrator.model import Task, TaskState

_WITHOUT_OUTPUT = (TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)


def ready(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that wait for nothing any more."""
    done = {task.id for task in tasks if task.state is TaskState.SUCCEEDED}
    return [task for task in tasks if task.state is TaskState.PENDING and done.issuperset(task.depends_on)]


def skipped(tasks: Sequence[Task], now: datetime) -> list[Task]:
    """The pending tasks that build, directly or not, on one that will give no output: as they are now, skipped."""
    without_output = {task.id for task in tasks if task.state in _WITHOUT_OUTPUT}
    result = []
    # In a plan tasks come after those they depend on: one look is enough.
    for task in tasks:
        if task.state is TaskState.PENDING and not without_output.isdisjoint(task.depends_on):
            without_output.add(task.id)
            result.append(replace(task, state=TaskState.SKIPPED, finished_at=now))
    return result


def ends(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that nothing builds on."""
    built_on = {id for task in tasks for id in task.depends_on}
    return [task for task in tasks if task.id not in built_on]


def results(tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose outputs the answer is made of: those with an output that no other output was built on."""
    succeeded = [task for task in tasks if task.state is TaskState.SUCCEEDED]
    built_on = {id for task in succeeded for id in task.depends_on}
    return [task for task in succeeded if task.id not in built_on]


def failed(tasks: Sequence[Task]) -> list[Task]:
    """The tasks that failed themselves: what built on them was skipped."""
    return [task for task in tasks if task.state is TaskState.FAILED]


def begun(task: Task, now: datetime) -> Task:
    """The task in its next attempt."""
    return replace(task, state=TaskState.RUNNING, attempt=task.attempt + 1, started_at=task.started_at or now)
