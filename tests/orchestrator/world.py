"""A process of the orchestrator without sockets: executor and store, between agents and streams of tests."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from services.orchestrator.executor import Executor
from services.orchestrator.model import Agent, Lease, Message, Owner, Usage
from services.orchestrator.ports import Completed, Delta, Progress
from services.orchestrator.store import RunStore
from services.orchestrator.teller import Teller
from services.orchestrator.waiting import Waiting
from services.runtime.errors import CodelabError
from tests.conformance.orchestrator_stores import AGENT, NOW, ONE, Stores, a_message
from tests.orchestrator.fake_streams import FakeStreams


class HeldAgents:
    """Implements `Agents`: tasks end when the test says so, or are closed."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: CodelabError | None = None
        """What tasks end by, if not with the answer."""
        self.said: list[Delta] = []
        """What they say before."""
        self.began: list[Lease] = []
        self.histories: list[list[Message]] = []
        self.closed: list[Lease] = []
        self._changed = asyncio.Condition()

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        return AGENT

    async def execute(self, lease: Lease, history: list[Message]) -> AsyncGenerator[Progress | Delta | Completed, None]:
        self.histories.append(history)
        await self._note(self.began, lease)
        try:
            await self.go.wait()
            for delta in self.said:
                yield delta
            if self.failure is not None:
                raise self.failure
            yield Completed("Done.", Usage())
        finally:
            await self._note(self.closed, lease)

    async def _note(self, list: list[Lease], lease: Lease) -> None:
        list.append(lease)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(condition)


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

    def __init__(self, stores: Stores, process: str = ONE, streams: FakeStreams | None = None) -> None:
        self.stores = stores
        self.agents = HeldAgents()
        self.streams = streams or FakeStreams()
        self.waiting = Waiting()
        self.teller = Teller(stores.runs, self.streams, lambda: NOW)
        self.executor = Executor(stores.runs, self.agents, self.teller, self.waiting, lambda: NOW, process)

    async def send(self, owner: Owner, session_id: str) -> str:
        return (await self.executor.accept(owner, a_message(session_id), None)).run.id

    async def until_over(self, run_id: str) -> None:
        """Wait until the run's end was heard."""
        await self.streams.until(lambda: any(event.final for run, event in self.streams.heard if run == run_id))
