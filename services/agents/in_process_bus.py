"""The agent bus in this process's memory: right for one replica."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from services.agents.errors import AgentQueueFull

QUEUE_CAPACITY = 100


class InProcessAgentBus:
    """An AgentBus for the tasks of this process. At most `capacity` tasks wait for one agent."""

    def __init__(self, capacity: int = QUEUE_CAPACITY) -> None:
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def enter(self, agent_id: str, limit: int) -> AsyncIterator["_InProcessPlace"]:
        """See AgentBus."""
        lane = self._lanes.setdefault(agent_id, _Lane())
        lane.limit = limit
        place = _InProcessPlace(lane)
        lane.waiting.append(place)
        lane.admit()
        try:
            if not place.runs and len(lane.waiting) > self._capacity:
                raise AgentQueueFull(agent_id, self._capacity)
            yield place
        finally:
            await place.leave()
            if not lane.running and not lane.waiting:
                self._lanes.pop(agent_id, None)

    async def resize(self, agent_id: str, limit: int) -> None:
        """See AgentBus."""
        lane = self._lanes.get(agent_id)
        if lane is not None:
            lane.limit = limit
            lane.admit()

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """See AgentBus."""
        return {agent_id for agent_id in agent_ids if (lane := self._lanes.get(agent_id)) is not None and lane.running}


class _Lane:
    """The tasks of one agent. Nothing here awaits, so that no two changes mix."""

    def __init__(self) -> None:
        self.limit = 1
        self.running = 0
        self.waiting: deque[_InProcessPlace] = deque()
        self._idle = True

    def admit(self) -> None:
        """Let the first of the queue run while there is room, and tell the others that they moved."""
        while self.waiting and self.running < self.limit:
            place = self.waiting.popleft()
            place.runs = True
            place.first = self._idle
            place.moved.set()
            self._idle = False
            self.running += 1
        for place in self.waiting:
            place.moved.set()

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

    async def leave(self) -> bool:
        """See Place."""
        if self._left:
            return False
        self._left = True
        return self._lane.remove(self)
