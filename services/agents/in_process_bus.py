"""The agent bus in this process's memory: right for one replica."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from services.agents.bus import QUEUE_CAPACITY, Limits
from services.agents.errors import AgentQueueFull


class InProcessAgentBus:
    """An AgentBus for the tasks of this process. At most `capacity` tasks wait for one agent."""

    def __init__(self, capacity: int = QUEUE_CAPACITY) -> None:
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def enter(self, agent_id: str, limits: Limits) -> AsyncIterator["_InProcessPlace"]:
        """See AgentBus."""
        lane = self._lanes.setdefault(agent_id, _Lane())
        lane.limits = limits
        place = _InProcessPlace(lane)
        lane.waiting.append(place)
        lane.admit()
        try:
            if not place.runs and len(lane.waiting) > self._capacity:
                raise AgentQueueFull(agent_id, self._capacity)
            yield place
        finally:
            await place.leave()
            self._forget_unneeded(agent_id)

    async def resize(self, agent_id: str, limits: Limits) -> None:
        """See AgentBus."""
        lane = self._lanes.get(agent_id)
        if lane is not None:
            lane.limits = limits
            lane.admit()

    async def throttle(self, agent_id: str, seconds: float) -> None:
        """See AgentBus."""
        lane = self._lanes.setdefault(agent_id, _Lane())
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        if lane.throttle is None or lane.throttle.when() < ends:
            lane.unthrottle()
            lane.throttle = loop.call_at(ends, self._unthrottle, agent_id)

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """See AgentBus."""
        return {agent_id for agent_id in agent_ids if (lane := self._lanes.get(agent_id)) is not None and lane.running}

    def close(self) -> None:
        """Let no throttle outlive the bus."""
        for lane in self._lanes.values():
            lane.unthrottle()

    def _unthrottle(self, agent_id: str) -> None:
        lane = self._lanes[agent_id]
        lane.unthrottle()
        lane.admit()
        self._forget_unneeded(agent_id)

    def _forget_unneeded(self, agent_id: str) -> None:
        lane = self._lanes.get(agent_id)
        if lane is not None and not lane.running and not lane.waiting and lane.throttle is None:
            del self._lanes[agent_id]


class _Lane:
    """The tasks of one agent. Nothing here awaits, so that no two changes mix."""

    def __init__(self) -> None:
        self.limits = Limits(1)
        self.throttle: asyncio.TimerHandle | None = None
        self.running = 0
        self.waiting: deque[_InProcessPlace] = deque()
        self._idle = True

    def admit(self) -> None:
        """Let the first of the queue run while there is room, and tell the others that they moved."""
        limit = self.limits.highest if self.throttle is None else self.limits.concurrency
        while self.waiting and self.running < limit:
            place = self.waiting.popleft()
            place.runs = True
            place.first = self._idle
            place.moved.set()
            self._idle = False
            self.running += 1
        for place in self.waiting:
            place.moved.set()

    def unthrottle(self) -> None:
        """Forget what was refused."""
        if self.throttle is not None:
            self.throttle.cancel()
            self.throttle = None

    def remove(self, place: "_InProcessPlace") -> bool:
        """Take a task out; return whether the agent became idle with it."""
        if place.runs:
            self.running -= 1
        else:
            self.waiting.remove(place)
        # Who waited runs before anybody can see the agent idle.
        self.admit()
        became_idle = not self._idle and self.running == 0
        self._idle = self.running == 0
        return became_idle


class _InProcessPlace:
    """See Place."""

    def __init__(self, lane: _Lane) -> None:
        self.runs = False
        self.first = False
        self.moved = asyncio.Event()
        self._lane = lane
        self._left = False

    async def ahead(self) -> AsyncIterator[int]:
        """See Place."""
        told: int | None = None
        while not self.runs:
            position = self._lane.waiting.index(self)
            if position != told:
                told = position
                yield position
            # What moved while the caller was told is seen by the next round: the event stays set.
            await self.moved.wait()
            self.moved.clear()

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Place: never."""

    async def leave(self) -> bool:
        """See Place."""
        if self._left:
            return False
        self._left = True
        return self._lane.remove(self)
