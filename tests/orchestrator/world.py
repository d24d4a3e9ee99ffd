"""A process of the orchestrator without sockets: executor and store, between agents and streams of tests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from services.orchestrator.conductor import Conductor
from services.orchestrator.direct import Direct
from services.orchestrator.executor import Executor
from services.orchestrator.leases import Lease
from services.orchestrator.limits import WorkLimits
from services.orchestrator.model import Agent, Failure, Message, Mode, Owner, Usage
from services.orchestrator.planner import Planner
from services.orchestrator.ports import (
    Assignment,
    Choice,
    Completed,
    Delta,
    Happening,
    Paused,
    PlannableAgent,
    Proposal,
    Rejected,
    Result,
    Wanted,
)
from services.orchestrator.store import RunStore
from services.orchestrator.teller import Teller
from services.orchestrator.waiting import Waiting
from services.runtime.errors import CodelabError
from services.runtime.ids import Clock, new_id
from tests.conformance.orchestrator_stores import AGENT, NOW, ONE, Stores, a_message
from tests.orchestrator.fake_streams import FakeStreams

WORK_LIMITS = WorkLimits(tasks=12, model_calls=1_000, tokens=1_000_000, seconds=3600.0)
"""What no run of the tests reaches by chance."""


class HeldAgents:
    """Implements `Agents`: tasks end when the test says so, or are closed."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: CodelabError | None = None
        """What tasks end by, if not with the answer."""
        self.said: list[Delta] = []
        """What they say before that, and before `may_end`."""
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.began: list[Lease] = []
        self.histories: list[list[Message]] = []
        self.closed: list[Lease] = []
        self._changed = asyncio.Condition()

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        return AGENT

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        self.histories.append(list(assignment.history))
        await self._note(self.began, assignment.lease)
        try:
            await self.go.wait()
            for delta in self.said:
                yield delta
            await self.may_end.wait()
            if self.failure is not None:
                raise self.failure
            yield Completed("Done.", Usage())
        finally:
            await self._note(self.closed, assignment.lease)

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        raise AssertionError("a direct run needs no plan")

    async def choose(self, lease: Lease, request: str) -> Choice:
        return Choice(PlannableAgent(AGENT.id, AGENT.name))

    async def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        yield Completed(" + ".join(result.output for result in results), Usage())

    async def _note(self, list: list[Lease], lease: Lease) -> None:
        list.append(lease)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(condition)


class AskingAgents(HeldAgents):
    """Tasks ask once before they are done, and say what they were told."""

    def __init__(self, questions: int = 1) -> None:
        super().__init__()
        self._questions = questions
        self.asked: list[Wanted] = []

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        lease = assignment.lease
        await self._note(self.began, lease)
        if lease.decisions:
            yield Completed(" ".join(each.state for each in lease.decisions), Usage())
            return
        new = [Wanted(new_id(), {"tool": "shell"}, {"type": "object"}) for _ in range(self._questions)]
        self.asked += new
        yield Paused("where it was", tuple(new), (), Usage())


class Gate:
    """Stands in for one method of a store: lets the call commit, and holds its answer back; or `before`, the call."""

    def __init__(self, store: RunStore, method: str, monkeypatch: pytest.MonkeyPatch, *, before: bool = False) -> None:
        self.reached = asyncio.Event()
        self.committed = asyncio.Event()
        self._before = before
        self.open = asyncio.Event()
        self._method: Callable[..., Awaitable[Any]] = getattr(store, method)
        monkeypatch.setattr(store, method, self._call)

    async def _call(self, *arguments: Any) -> Any:
        self.reached.set()
        if self._before:
            await self.open.wait()
        result = await self._method(*arguments)
        self.committed.set()
        await self.open.wait()
        return result


class World:
    """One process: its executor, on a real store."""

    def __init__(
        self,
        stores: Stores,
        agents: HeldAgents | None = None,
        process: str = ONE,
        clock: Clock = lambda: NOW,
        streams: FakeStreams | None = None,
        limits: WorkLimits = WORK_LIMITS,
        approval_seconds: float = 300.0,
    ) -> None:
        self.stores = stores
        self.agents = agents or HeldAgents()
        self.streams = streams or FakeStreams()
        self.waiting = Waiting()
        self.teller = Teller(stores.runs, self.streams, clock)
        works = {Mode.DIRECT: Direct(self.agents), Mode.ORCHESTRATED: Conductor(self.agents, Planner(self.agents, 12))}
        stored = (stores.runs, stores.approvals[0])
        self.executor = Executor(*stored, works, limits, self.teller, self.waiting, clock, process, approval_seconds)

    async def send(self, owner: Owner, session_id: str) -> str:
        return (await self.executor.accept(owner, a_message(session_id), None)).run.id

    async def until_over(self, run_id: str) -> None:
        """Wait until the run's end was heard."""
        await self.streams.until(lambda: any(event.final for run, event in self.streams.heard if run == run_id))
