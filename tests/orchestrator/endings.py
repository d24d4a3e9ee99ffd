"""How tests begin an attempt again, and end a run, without an executor."""

from dataclasses import replace

from services.orchestrator import graph
from services.orchestrator.leases import Ending, Lease
from services.orchestrator.model import Failure, Task, TaskState, Usage
from tests.conformance.orchestrator_stores import NOW

NOTHING = Usage()


def again(lease: Lease) -> list[Task]:
    """A direct run's task in its next attempt: what `advance` is given."""
    return [graph.begun(lease.task, NOW)]


def done(lease: Lease, output: str = "Done.", usage: Usage = NOTHING) -> Ending:
    """A direct run that succeeds: what `end` is given."""
    task = replace(lease.task, state=TaskState.SUCCEEDED, output=output, usage=usage, finished_at=NOW)
    return Ending(answer=output, agent_id=task.agent_id, tasks=(task,), spent=usage)


def broken(lease: Lease, error: Failure) -> Ending:
    """A direct run that fails: what `end` is given."""
    task = replace(lease.task, state=TaskState.FAILED, error=error, finished_at=NOW)
    return Ending(error=error, tasks=(task,))
