"""Which agents do what for a message: proposed by the model, checked, mended once, or left to the best single one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from services.orchestrator.errors import ModelTimeout, ModelUnavailable, NoAgents
from services.orchestrator.hand import ATTEMPTS, pause_before
from services.orchestrator.leases import Lease
from services.orchestrator.limits import Meter, estimate_tokens
from services.orchestrator.model import (
    DIRECT_TASK,
    Failure,
    Message,
    Plan,
    PlanOrigin,
    Task,
    TaskState,
    Usage,
    title_of,
)
from services.orchestrator.plan_approval import Terms
from services.orchestrator.plan_checks import Bad, Good, read_plan
from services.orchestrator.ports import Agents, AgentsUnreachable, PlannableAgent, Proposal, Rejected
from services.runtime.errors import CodelabError

log = structlog.get_logger()

Result = TypeVar("Result")

# Where these keep the planner from its plan, they would keep every agent from its task.
_FATAL = (ModelUnavailable.reason, ModelTimeout.reason, NoAgents.reason)
# As far as anybody knows, these came before the model.
_UNASKED = (AgentsUnreachable.reason, NoAgents.reason)


@dataclass(frozen=True)
class Planned:
    """A plan whose tasks are all to be done, what making it cost, and what it is judged by."""

    plan: Plan
    spent: Usage
    terms: Terms


class Planner:
    """Makes plans of at most `max_tasks` tasks. `clock` counts seconds."""

    def __init__(self, agents: Agents, max_tasks: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._agents = agents
        self.max_tasks = max_tasks
        self._clock = clock

    async def plan(self, lease: Lease, request: str, history: Sequence[Message], meter: Meter) -> Planned:
        """Make a plan. Every call to the model is counted, also those whose answer is of no use.

        Raise AgentsUnreachable after many tries, LimitReached, what says that the project has no agents, and
        MODEL_UNAVAILABLE or MODEL_TIMEOUT: the tasks would fare no better.
        """
        began, before = self._clock(), meter.usage
        plan, terms = await self._proposed(lease, request, history, meter)
        spent = meter.usage - before
        return Planned(replace(plan, planning_seconds=round(self._clock() - began, 3)), spent, terms)

    async def _proposed(
        self, lease: Lease, request: str, history: Sequence[Message], meter: Meter
    ) -> tuple[Plan, Terms]:
        offered: tuple[PlannableAgent, ...] = ()
        problems: list[Failure] = []
        rejected: Rejected | None = None
        for origin in (PlanOrigin.MODEL, PlanOrigin.MENDED):
            try:
                proposal = await self._ask(lease, request, history, rejected, meter)
            except AgentsUnreachable:
                raise
            except CodelabError as error:
                if error.reason in _FATAL:
                    raise
                # The model refuses to plan this, or cannot: asking once more is no use.
                problems.append(Failure(error.reason, error.detail))
                break
            offered = proposal.agents
            match read_plan(proposal.text, offered, self.max_tasks):
                case Good(tasks):
                    return Plan(tasks, origin, tuple(problems)), Terms(proposal.policy, offered)
                case Bad(problems=wrong):
                    reasons = [problem.reason for problem in wrong]
                    log.info("proposal is no plan", run_id=lease.run_id, origin=origin, problems=reasons)
                    problems += wrong
                    rejected = Rejected(proposal.text, wrong)
        return await self._fallback(lease, request, problems, offered)

    async def _ask(
        self, lease: Lease, request: str, history: Sequence[Message], rejected: Rejected | None, meter: Meter
    ) -> Proposal:
        async def ask() -> Proposal:
            spending = meter.attempt("plan")
            # Nobody tells when the model is called, nor what a call cost that failed.
            spending.called(estimate_tokens(request if rejected is None else request + rejected.text))
            try:
                proposal = await self._agents.propose(lease, request, history, self.max_tasks, rejected)
            except CodelabError as error:
                if error.reason in _UNASKED:
                    spending.ended(Usage())
                raise
            spending.ended(proposal.usage)
            return proposal

        return await _tried(ask, lease)

    async def _fallback(
        self, lease: Lease, request: str, problems: Sequence[Failure], offered: Sequence[PlannableAgent]
    ) -> tuple[Plan, Terms]:
        choice = await _tried(lambda: self._agents.choose(lease, request), lease)
        agent = choice.agent
        # As it is now: an agent may have been changed since it was offered.
        agents = (agent, *(each for each in offered if each.id != agent.id and each.name != agent.name))
        task = Task(DIRECT_TASK, agent.id, agent.name, title_of(request), request, TaskState.PENDING, attempt=0)
        return Plan((task,), PlanOrigin.FALLBACK, tuple(problems)), Terms(choice.policy, agents)


async def _tried(call: Callable[[], Awaitable[Result]], lease: Lease) -> Result:
    """The result of a call, made again while the agents service is out of reach, though not for ever."""
    tries = 1
    while True:
        try:
            return await call()
        except AgentsUnreachable as error:
            if tries == ATTEMPTS:
                raise
            log.warning("planning failed, trying again", run_id=lease.run_id, tries=tries, reason=error.reason)
        await asyncio.sleep(pause_before(tries))
        tries += 1
