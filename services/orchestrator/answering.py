"""The answer of a planned run: what its tasks gave, made one, and what is missing, said."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.orchestrator import graph
from services.orchestrator.attempts import cut, result_of
from services.orchestrator.hand import ATTEMPTS, Hand, listen, pause_before, worth_another
from services.orchestrator.leases import Ending
from services.orchestrator.limits import LimitReached
from services.orchestrator.model import Failure, Task, TaskState
from services.orchestrator.performance import Performance
from services.orchestrator.ports import Agents, Completed, Result
from services.orchestrator.publisher import TextOf
from services.runtime.errors import CodelabError

Missing = tuple[str, Failure]
"""A task's title, and why it gave nothing."""

LONGEST_COMPOSED = 2_500_000
"""Of results without a model, in code points: a dozen in their full length, and so little that an event with it fits
into a message between services, 16 MiB."""

TASKS_FAILED = "TASKS_FAILED"
_SKIPPED = "TASK_SKIPPED"
_STOPPED = "TASK_STOPPED"


class Answering:
    """Makes answers: of one result as it is, of several by the model, without the model where that is out of reach."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def of(self, hand: Hand, performance: Performance) -> Ending:
        """How the run ends whose graph has ended. Raise LeaseLost, LimitReached."""
        tasks = performance.tasks
        results, missing = graph.results(tasks), _missing(tasks)
        if not results:
            return Ending(error=graph.failed(tasks)[0].error, tasks=tuple(performance.changes))
        if not missing and len(results) == 1:
            [task] = results
            return Ending(answer=task.output, agent_id=task.agent_id, tasks=tuple(performance.changes))
        # What the tasks gave must not be lost with this process while the model writes.
        await performance.commit()
        answer, problem = await self._combined(hand, [result_of(task) for task in results], missing)
        return Ending(answer=answer, error=_partial(tasks) if missing else problem)

    def stopped(self, hand: Hand, performance: Performance, limit: LimitReached) -> Ending:
        """How the run ends that a limit has stopped: the model is asked no more."""
        now, error = hand.ledger.now(), Failure(limit.reason, limit.detail)
        cancelled = [
            replace(
                task,
                state=TaskState.CANCELLED,
                finished_at=now,
                usage=task.usage + hand.meter.spent_by(task.id, task.attempt),
            )
            for task in performance.tasks
            if task.state is TaskState.RUNNING
        ]
        performance.changes += cancelled
        results = [result_of(task) for task in graph.results(performance.tasks)]
        answer = composed(results, _missing(performance.tasks), error.detail) if results else None
        return Ending(answer=answer, error=error, tasks=tuple(performance.changes), stop_reason=limit.reason)

    async def _combined(
        self, hand: Hand, results: Sequence[Result], missing: Sequence[Missing]
    ) -> tuple[str, Failure | None]:
        """One answer, and why it is not the model's if it is not."""
        lease = hand.ledger.lease
        text = TextOf(lease.answer_id, None, None)
        # Above every generation in which a task, or an earlier process, may have written to the answer.
        earlier = sum(task.attempt for task in lease.plan.tasks) + ATTEMPTS * (lease.epoch - 1)
        tries = 1
        while True:
            hand.publisher.begin_text(text, earlier + tries)
            spending = hand.meter.attempt("answer")
            try:
                happenings = self._agents.combine(lease, hand.request, hand.history, results, missing)
                outcome = await listen(happenings, hand, text, spending)
                assert isinstance(outcome, Completed)
                return outcome.output, None
            except CodelabError as error:
                if not worth_another(error, tries, hand):
                    problem = Failure(error.reason, error.detail)
                    return composed(results, missing, problem.detail), problem
            await asyncio.sleep(pause_before(tries))
            tries += 1


def composed(results: Sequence[Result], missing: Sequence[Missing], why: str) -> str:
    """The results one below the other, cut where they are too long, without a model to make them one; what is missing,
    and why it is like this."""
    parts = [cut("\n\n".join(f"## {result.title}\n\n{result.output}" for result in results), LONGEST_COMPOSED)]
    lines = [f"- {title}: {failure.detail}" for title, failure in missing]
    if lines:
        parts.append("## What is missing\n\n" + "\n".join(lines))
    parts.append(f"These results could not be made one answer: {why}.")
    return "\n\n".join(parts)


def _missing(tasks: Sequence[Task]) -> list[Missing]:
    """The tasks that gave nothing, and why."""
    found: list[Missing] = []
    for task in tasks:
        if task.state is TaskState.FAILED:
            assert task.error is not None
            found.append((task.title, task.error))
        elif task.state is TaskState.SKIPPED:
            found.append((task.title, Failure(_SKIPPED, "it builds on what failed")))
        elif task.state is not TaskState.SUCCEEDED:
            found.append((task.title, Failure(_STOPPED, "it was stopped before it was done")))
    return found


def _partial(tasks: Sequence[Task]) -> Failure:
    """Why a run failed that has a part of its answer."""
    failed = [(task.title, task.error.detail) for task in graph.failed(tasks) if task.error is not None]
    reasons = "; ".join(f'"{title}": {detail}' for title, detail in failed)
    return Failure(TASKS_FAILED, f"{len(failed)} of {len(tasks)} tasks failed: {reasons}")
