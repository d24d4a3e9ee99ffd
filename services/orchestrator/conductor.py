"""A planned run: a plan is made, its tasks run as soon as they can, and their outputs become one answer."""

from dataclasses import replace
from uuid import UUID, uuid5

import structlog

from services.orchestrator import graph, plan_approval
from services.orchestrator.answering import Answering
from services.orchestrator.hand import Hand
from services.orchestrator.leases import Ending
from services.orchestrator.limits import LimitReached
from services.orchestrator.model import ApprovalState, Failure, Plan, Question
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
                to_plan = not hand.ledger.lease.plan.tasks
                if to_plan:
                    match await self._planned(hand):
                        case None:
                            return None
                        case Failure() as error:
                            return Ending(error=error, spent=hand.uncounted)
                        case plan:
                            await self._begin(hand, plan)
                if not await performance.run(begun_here=to_plan):
                    return None
                ending = await self._answering.of(hand, performance)
        except LimitReached as limit:
            await performance.settled()
            ending = self._answering.stopped(hand, performance, limit)
        return replace(ending, spent=hand.uncounted, execution_seconds=performance.seconds)

    async def _planned(self, hand: Hand) -> Plan | Failure | None:
        """A plan that may run; or why there is none, or None if the run is parked until its user decides about it.

        Raise LeaseLost, LimitReached.
        """
        if plan_approval.asked_about(hand.ledger.lease) is None:
            made = await self._made(hand)
            if not isinstance(made, Question):
                return made
            # From here on whoever has the run asks nothing, and plans nothing, again.
            await hand.ledger.ask(None, [made], hand.uncounted)
        approval = plan_approval.asked_about(hand.ledger.lease)
        assert approval is not None
        if approval.state is ApprovalState.PENDING:
            if await hand.ledger.park():
                return None
            approval = plan_approval.asked_about(hand.ledger.lease)
            assert approval is not None
        return plan_approval.approved_plan(approval)

    async def _made(self, hand: Hand) -> Plan | Question | Failure:
        """A plan, as a question if it needs its user's approval; or why there is none."""
        lease = hand.ledger.lease
        try:
            planned = await self._planner.plan(lease, hand.request, hand.history, hand.meter)
        except CodelabError as error:
            log.warning("no plan", run_id=lease.run_id, reason=error.reason)
            return Failure(error.reason, error.detail)
        plan = planned.plan
        question = plan_approval.question(
            plan,
            planned.terms,
            hand.request,
            hand.history,
            max_tasks=self._planner.max_tasks,
            # Of a run there is one, whoever asks.
            id=str(uuid5(UUID(lease.run_id), "plan approval")),
            expires_at=hand.approvals_expire_at,
        )
        log.info(
            "plan made",
            run_id=lease.run_id,
            origin=plan.origin,
            tasks=len(plan.tasks),
            problems=[problem.reason for problem in plan.problems],
            planning_seconds=plan.planning_seconds,
            asks=question is not None,
        )
        return plan if question is None else question

    async def _begin(self, hand: Hand, plan: Plan) -> None:
        """Give the run its plan, and begin it, in one change. Raise LeaseLost."""
        first = [graph.begun(task, hand.ledger.now()) for task in graph.ready(plan.tasks)]
        await hand.ledger.plan(plan.with_tasks(first), hand.uncounted)
