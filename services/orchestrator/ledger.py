"""What the holder of a lease writes to its run: one change at a time, and each is told once it is committed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from services.orchestrator.doubt import once_known
from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Ended, Ending, Lease
from services.orchestrator.model import Event, Owner, Plan, Question, Task, UnendedCall, Usage
from services.orchestrator.publisher import RunPublisher
from services.orchestrator.store import ApprovalStore, RunStore
from services.runtime.database import DatabaseUnavailable
from services.runtime.ids import Clock

Result = TypeVar("Result")

_NOTHING: Mapping[str, str] = {}


class Ledger:
    """A run in hand. `lease` is what is committed of it.

    A change that has begun is finished also if its caller is stopped: the next one, or the run's end, must know what is
    stored. Where the database is away for a moment, or its answer is lost, what was worked out would be worked out
    again: so it is asked what it has. Every change raises LeaseLost, or DatabaseUnavailable after some seconds.
    """

    def __init__(
        self,
        runs: RunStore,
        approvals: ApprovalStore,
        publisher: RunPublisher,
        lease: Lease,
        process: str,
        clock: Clock,
    ) -> None:
        self.lease = lease
        self.parking = False
        """Whether it is being given up until its user decides: that its lease is gone may be its own doing."""
        self._runs = runs
        self._approvals = approvals
        self._publisher = publisher
        self._process = process
        self._clock = clock
        self._told = max((event.n for event in lease.events), default=None)
        self._turn = asyncio.Lock()
        self._changing: set[asyncio.Task[Any]] = set()

    def now(self) -> datetime:
        """The time by which changes are written."""
        return self._clock()

    async def plan(self, plan: Plan, spent: Usage) -> None:
        """Give the run its tasks; see RunStore.plan."""
        await self._change(
            lambda: self._runs.plan(self.lease, self._process, plan, spent, self._clock()),
            lambda stored: bool(stored.plan.tasks),
        )

    async def advance(self, tasks: Sequence[Task], spent: Usage, paused: Mapping[str, str] = _NOTHING) -> None:
        """Store tasks as they are now; see RunStore.advance."""
        await self._change(
            lambda: self._runs.advance(self.lease, self._process, tasks, spent, self._clock(), paused),
            lambda stored: _same(stored, tasks),
        )

    async def note(self, type: str, payload: dict[str, Any]) -> None:
        """Keep with the run that something happened; see RunStore.note."""
        await self._change(
            lambda: self._runs.note(self.lease, self._process, (type, payload), self._clock()),
            # Nobody can have published it yet.
            lambda stored: (type, payload) in [(event.type, event.payload) for event in stored.events],
        )

    async def open_calls(self, task: Task) -> list[UnendedCall]:
        """Calls of the task that began and were not told to have ended; see RunStore.open_calls."""
        return await once_known(lambda: self._runs.open_calls(self.lease, task.id))

    async def ask(self, task: Task | None, questions: Sequence[Question], spent: Usage, paused: str = "") -> None:
        """Let a task wait for its user, or the run for a decision about its plan; see ApprovalStore.ask."""
        asked = {question.id for question in questions}
        await self._change(
            lambda: self._approvals.ask(self.lease, self._process, task, questions, spent, self._clock(), paused),
            lambda stored: asked.issubset(each.id for each in stored.decisions),
        )

    async def refresh(self) -> None:
        """Learn what the user has decided meanwhile."""
        await self._change(lambda: self._runs.standing(self.lease, self._process), lambda stored: True)

    async def park(self) -> bool:
        """Give the run up until its user decides, and say so; False if that has happened meanwhile."""
        async with self._turn:
            self.parking = True
            try:
                lease = await self._approvals.park(self.lease, self._process)
            finally:
                self.parking = False
            if lease is not None:
                self._take(lease)
            return lease is None

    async def end(self, ending: Ending) -> Ended:
        """End the run; see RunStore.end."""
        ended = await self._whole(self._end(ending))
        self._tell(ended.outbox.events)
        return ended

    async def settled(self) -> None:
        """Wait until what has begun to be written is written."""
        if self._changing:
            await asyncio.wait(self._changing)

    async def _change(self, write: Callable[[], Awaitable[Lease]], done: Callable[[Lease], bool]) -> None:
        await self._whole(self._written(write, done))

    async def _written(self, write: Callable[[], Awaitable[Lease]], done: Callable[[Lease], bool]) -> None:
        async with self._turn:
            try:
                lease = await write()
            except DatabaseUnavailable:
                lease = await once_known(lambda: self._again(write, done))
            if not self._follow(lease.events):
                lease = await once_known(lambda: self._runs.standing(self.lease, self._process))
            self._take(lease)

    async def _again(self, write: Callable[[], Awaitable[Lease]], done: Callable[[Lease], bool]) -> Lease:
        stored = await self._runs.standing(self.lease, self._process)
        return stored if done(stored) else await write()

    async def _end(self, ending: Ending) -> Ended:
        async with self._turn:
            try:
                ended = await self._runs.end(self.lease, self._process, ending, self._clock())
            except DatabaseUnavailable:
                return await once_known(lambda: self._end_again(ending))
            if not self._follow(ended.outbox.events):
                ended = await once_known(lambda: self._end_again(ending))
            return ended

    async def _end_again(self, ending: Ending) -> Ended:
        lease = self.lease
        ended = await self._runs.ended(Owner(lease.user_id, lease.project_id), lease.run_id, self._process)
        if ended is None:
            return await self._runs.end(lease, self._process, ending, self._clock())
        if ended.outbox.epoch != lease.epoch:
            raise LeaseLost(lease.run_id)
        return ended

    async def _whole(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(work, name=f"write {self.lease.run_id}")
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    def _take(self, lease: Lease) -> None:
        self._tell(lease.events)
        self.lease = replace(lease, events=())

    def _follow(self, events: Sequence[Event]) -> bool:
        """Whether these come next. Others add to the run, too, such as decisions: that has to be told before them."""
        return not events or self._told is None or events[0].n <= self._told + 1

    def _tell(self, events: Sequence[Event]) -> None:
        # What is read again may have been told before.
        new = [event for event in events if self._told is None or event.n > self._told]
        if new:
            self._told = new[-1].n
            self._publisher.events(new)


def _same(lease: Lease, tasks: Sequence[Task]) -> bool:
    """Whether these tasks are stored like this."""
    stored = {task.id: (task.state, task.attempt) for task in lease.plan.tasks}
    return all(stored.get(task.id) == (task.state, task.attempt) for task in tasks)
