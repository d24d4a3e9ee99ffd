"""The tasks of a plan at work: each begins the moment those it depends on are done."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.orchestrator import graph
from services.orchestrator.attempts import Asked, Tried, result_of, try_task
from services.orchestrator.hand import Hand
from services.orchestrator.model import ApprovalState, Failure, Task, TaskState, Usage
from services.orchestrator.ports import Agents, Completed


class Performance:
    """The graph while it runs. `changes` are tasks as they are now that are not committed yet."""

    def __init__(self, agents: Agents, hand: Hand) -> None:
        self.changes: list[Task] = []
        self._agents = agents
        self._hand = hand
        self._ledger = hand.ledger
        self._running: set[asyncio.Task[Tried]] = set()
        self._spent = Usage()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All of the plan, as they are now."""
        return self._ledger.lease.plan.with_tasks(self.changes).tasks

    @property
    def seconds(self) -> float:
        """Since the first task began, and no more than the run was worked on."""
        began = [task.started_at for task in self.tasks if task.started_at is not None]
        since = max(min(began), self._ledger.lease.working_since) if began else self._ledger.now()
        return max(0.0, (self._ledger.now() - since).total_seconds())

    async def commit(self) -> None:
        """Write down the changes. Raise LeaseLost."""
        if self.changes:
            changes, spent = list(self.changes), self._spent
            await self._ledger.advance(changes, spent)
            self.changes, self._spent = self.changes[len(changes) :], Usage()

    async def settled(self) -> None:
        """Wait until what has begun to be written is written: of that, nothing is a change any more."""
        await self._ledger.settled()
        stored = self._ledger.lease.plan.tasks
        self.changes = [task for task in self.changes if task not in stored]

    async def run(self, begun_here: bool) -> bool:
        """Run what can run until nothing is left; False if the run is parked instead.

        What runs already was begun by this process, or is begun again. The last changes are left uncommitted, for the
        end. Raise LeaseLost, LimitReached.
        """
        running = [task for task in self.tasks if task.state is TaskState.RUNNING]
        if begun_here:
            self._start(running)
        else:
            self.changes += [graph.begun(task, self._ledger.now()) for task in running]
        try:
            while True:
                await self._go_on()
                if self._running:
                    for each in await self._ended_or_decided():
                        self._running.discard(each)
                        await self._settle(each.result())
                elif not self._waiting():
                    return True
                elif await self._park():
                    return False
        finally:
            await self._stop()

    async def _ended_or_decided(self) -> set[asyncio.Task[Tried]]:
        """Wait until tasks have ended, and return those, or until the user has decided what another one waits for."""
        deciding = asyncio.create_task(self._hand.decided.wait(), name="decided")
        try:
            await asyncio.wait([*self._running, deciding], return_when=asyncio.FIRST_COMPLETED)
        finally:
            deciding.cancel()
            await asyncio.wait([deciding])
        if self._hand.decided.is_set():
            self._hand.decided.clear()
            if self._waiting():
                await self._ledger.refresh()
        return {each for each in self._running if each.done()}

    async def _go_on(self) -> None:
        """Skip what will never run and begin what can, in one change with what has ended."""
        now = self._ledger.now()
        self.changes += graph.skipped(self.tasks, now)
        self.changes += [graph.begun(task, now) for task in graph.ready(self.tasks)]
        self.changes += [graph.begun(task, now) for task in self._waiting() if self._decided(task)]
        begun = [task for task in self.changes if task.state is TaskState.RUNNING]
        if begun or self._running:
            await self.commit()
        self._start(begun)

    def _start(self, tasks: Sequence[Task]) -> None:
        outputs = {task.id: task for task in self.tasks}
        for task in tasks:
            results = [result_of(outputs[id]) for id in task.depends_on]
            trying = try_task(self._agents, self._hand, task, results)
            self._running.add(asyncio.create_task(trying, name=f"task {self._ledger.lease.run_id} {task.id}"))

    async def _settle(self, tried: Tried) -> None:
        task = replace(tried.task, usage=tried.task.usage + tried.spent)
        now = self._ledger.now()
        match tried.outcome:
            case Asked(questions, pause):
                await self._ledger.ask(task, questions, tried.spent, pause)
                return
            case Completed(output):
                task = replace(task, state=TaskState.SUCCEEDED, output=output, finished_at=now)
            case Failure() as error:
                task = replace(task, state=TaskState.FAILED, error=error, finished_at=now)
        self.changes.append(task)
        self._spent += tried.spent
        self._hand.publisher.end_text(self._hand.text_of(task))

    def _waiting(self) -> list[Task]:
        return [task for task in self.tasks if task.state is TaskState.WAITING_APPROVAL]

    def _decided(self, task: Task) -> bool:
        asked = [each for each in self._ledger.lease.decisions if each.task_id == task.id]
        return all(each.state is not ApprovalState.PENDING for each in asked)

    async def _park(self) -> bool:
        await self.commit()
        return await self._ledger.park()

    async def _stop(self) -> None:
        for each in self._running:
            each.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for each in self._running:
            if not each.cancelled():
                each.exception()  # Seen: the run has stopped for another reason already.
