"""A direct run: the agent that its message names does its one task."""

from dataclasses import replace

from services.orchestrator import graph
from services.orchestrator.attempts import Asked, try_task
from services.orchestrator.hand import Hand
from services.orchestrator.leases import Ending, Lease
from services.orchestrator.limits import LimitReached
from services.orchestrator.model import ApprovalState, Failure, TaskState, Usage
from services.orchestrator.ports import Agents, Completed


class Direct:
    """Works on direct runs."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def work(self, hand: Hand) -> Ending | None:
        """Work on the run until it is done, or failed for good, or parked (None). Raise LeaseLost."""
        try:
            async with hand.meter.limiting():
                return await self._work(hand)
        except LimitReached as limit:
            await hand.ledger.settled()
            task = hand.ledger.lease.task
            error = Failure(limit.reason, limit.detail)
            spent = task.usage + hand.meter.spent_by(task.id, task.attempt)
            failed = replace(task, state=TaskState.FAILED, finished_at=hand.ledger.now(), error=error, usage=spent)
            return Ending(error=error, tasks=(failed,), spent=hand.uncounted, stop_reason=limit.reason)

    async def _work(self, hand: Hand) -> Ending | None:
        ledger = hand.ledger
        begun = ledger.lease.fresh
        while True:
            if _asks(ledger.lease) and await ledger.park():
                return None
            if not begun:
                await ledger.advance([graph.begun(ledger.lease.task, ledger.now())], Usage())
            begun = False
            tried = await try_task(self._agents, hand, ledger.lease.task)
            task = replace(tried.task, usage=tried.task.usage + tried.spent)
            match tried.outcome:
                case Asked(questions, pause):
                    await ledger.ask(task, questions, tried.spent, pause)
                case Completed(output):
                    task = replace(task, state=TaskState.SUCCEEDED, output=output, finished_at=ledger.now())
                    return Ending(answer=output, agent_id=task.agent_id, tasks=(task,), spent=tried.spent)
                case Failure() as error:
                    task = replace(task, state=TaskState.FAILED, error=error, finished_at=ledger.now())
                    return Ending(error=error, tasks=(task,), spent=tried.spent)


def _asks(lease: Lease) -> bool:
    """Whether the task waits for its user, as far as is known here: what is decided stays so."""
    pending = any(each.state is ApprovalState.PENDING for each in lease.decisions if each.task_id == lease.task.id)
    return lease.task.state is TaskState.WAITING_APPROVAL and pending
