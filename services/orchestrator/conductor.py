"""A planned run: a plan is made, its tasks run as soon as they can, and their outputs become one answer."""

from dataclasses import replace

import structlog

from services.orchestrator import graph
from services.orchestrator.answering import Answering
from services.orchestrator.hand import Hand
from services.orchestrator.limits import LimitReached
from services.orchestrator.model import Ending, Failure
from services.orchestrator.performance import Performance
from services.orchestrator.planner import Planner
from services.orchestrator.ports import Agents
from services.runtime.errors import CodelabError

log = structlog.get_logger()


class Conductor:
    """Works on planned runs. What is committed of a run is where whoever takes it over goes on."""

    def __init__(self, agents: Agents, planner: Planner) -> None:
        self._agents = agents
        self._planner = planner
        self._answering = Answering(agents)

    async def work(self, hand: Hand) -> Ending | None:
        """Work on the run until it has ended, or is parked (None). Raise LeaseLost, DatabaseUnavailable."""
        performance = Performance(self._agents, hand)
        try:
            async with hand.meter.limiting():
                planned = bool(hand.ledger.lease.plan.tasks)
                if not planned and (error := await self._plan(hand)) is not None:
                    return Ending(error=error, spent=hand.uncounted)
                if not await performance.run(begun_here=not planned):
                    return None
                ending = await self._answering.of(hand, performance)
        except LimitReached as limit:
            await performance.settled()
            ending = self._answering.stopped(hand, performance, limit)
        return replace(ending, spent=hand.uncounted, execution_seconds=performance.seconds)

    async def _plan(self, hand: Hand) -> Failure | None:
        """Make a plan and begin it, in one change; or return why there is none. Raise LeaseLost, LimitReached."""
        try:
            planned = await self._planner.plan(hand.ledger.lease, hand.request, hand.history, hand.meter)
        except CodelabError as error:
            log.warning("no plan", run_id=hand.ledger.lease.run_id, reason=error.reason)
            return Failure(error.reason, error.detail)
        log.info(
            "plan made",
            run_id=hand.ledger.lease.run_id,
            origin=planned.plan.origin,
            tasks=len(planned.plan.tasks),
            problems=[problem.reason for problem in planned.plan.problems],
            planning_seconds=planned.plan.planning_seconds,
        )
        first = [graph.begun(task, hand.ledger.now()) for task in graph.ready(planned.plan.tasks)]
        await hand.ledger.plan(planned.plan.with_tasks(first), planned.spent)
        return None
