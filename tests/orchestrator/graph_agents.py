"""Agents for graphs: they propose the plan that the test has, and their tasks end when the test says so."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from services.orchestrator.leases import Lease
from services.orchestrator.model import Agent, Failure, Message, Usage
from services.orchestrator.ports import (
    Assignment,
    Choice,
    Completed,
    Delta,
    Happening,
    ModelCalled,
    PlannableAgent,
    PlanPolicy,
    Proposal,
    Rejected,
    Result,
)
from services.runtime.errors import CodelabError
from tests.conformance.orchestrator_stores import AGENT

PLANNING = Usage(prompt_tokens=11, completion_tokens=7, model_calls=1)
COMBINING = Usage(prompt_tokens=5, completion_tokens=3, model_calls=1)
PLANNABLE = PlannableAgent(AGENT.id, AGENT.name, max_tokens=100, risks=("write",))
COST = Usage(prompt_tokens=3, completion_tokens=2, model_calls=1)


class TaskFails(CodelabError):
    """A task's own failure: no other attempt would fare better."""

    reason = "MODEL_REFUSED"


@dataclass(eq=False)
class Attempt:
    """An attempt at a task, until it is decided: an output, or what it fails by."""

    assignment: Assignment
    decided: "asyncio.Future[str | CodelabError]" = field(default_factory=lambda: asyncio.Future())

    @property
    def task_id(self) -> str:
        return self.assignment.task.id

    def succeed(self) -> None:
        self.decided.set_result(f"output of {self.task_id}")

    def fail(self, error: CodelabError | None = None) -> None:
        self.decided.set_result(error or TaskFails(f"{self.task_id} cannot be done"))


class GraphAgents:
    """Implements `Agents`."""

    def __init__(self) -> None:
        self.plans: dict[str, dict[str, list[str]]] = {}
        """By request: the dependencies of each task."""
        self.policy = PlanPolicy()
        self.proposals = 0
        self.attempts: list[Attempt] = []
        self.running: dict[tuple[str, str], Attempt] = {}
        """Of a run and a task."""
        self.combined: list[tuple[str, Sequence[Result], Sequence[tuple[str, Failure]]]] = []
        self.combining_fails: CodelabError | None = None
        self._changed = asyncio.Condition()

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        return AGENT

    async def choose(self, lease: Lease, request: str) -> Choice:
        return Choice(PLANNABLE, self.policy)

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        self.proposals += 1
        tasks = [
            {"id": id, "agent": AGENT.name, "title": id, "instruction": f"Do {id}.", "depends_on": depends_on}
            for id, depends_on in self.plans[request].items()
        ]
        return Proposal(json.dumps({"tasks": tasks}), (PLANNABLE,), PLANNING, self.policy)

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        attempt = Attempt(assignment)
        key = (assignment.lease.run_id, assignment.task.id)
        self.attempts.append(attempt)
        self.running[key] = attempt
        await self._tell()
        try:
            yield ModelCalled(COST.prompt_tokens)
            decided = await attempt.decided
            if isinstance(decided, CodelabError):
                raise decided
            yield Delta(0, decided)
            yield Completed(decided, COST)
        finally:
            if self.running.get(key) is attempt:
                del self.running[key]
            await self._tell()

    async def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        self.combined.append((lease.run_id, results, failed))
        yield ModelCalled(COMBINING.prompt_tokens)
        if self.combining_fails is not None:
            raise self.combining_fails
        yield Completed(" and ".join(result.output for result in results), COMBINING)

    async def until_running(self, run_id: str, *task_ids: str) -> None:
        """Wait until exactly these tasks of the run are at work."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: {task for run, task in self.running if run == run_id} == set(task_ids))

    def attempt(self, run_id: str, task_id: str) -> Attempt:
        """The attempt at the task that is at work."""
        return self.running[run_id, task_id]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
