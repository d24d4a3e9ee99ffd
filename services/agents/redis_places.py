"""What a process knows of its places in Redis: as they stood when it last heard of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from services.agents.bus import Limits
from services.agents.redis_scripts import GONE, RUNS_FIRST, Held

log = structlog.get_logger()

_LATER_SECONDS = 0.005
"""Redis' clock and ours need not agree to the millisecond."""


class RedisLane:
    """The places that this process has at one agent, in the order they came."""

    def __init__(self) -> None:
        self.limits = Limits(1)
        self.places: list[RedisPlace] = []
        self._looking: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        return sum(place.runs for place in self.places)

    @property
    def waits(self) -> bool:
        return not all(place.runs for place in self.places)

    def look_again(self, seconds: float | None, look: Callable[[str], None], agent_id: str) -> None:
        """Look after so many seconds, when more may run, if somebody waits for that."""
        self.end_looking()
        if seconds is not None and self.waits:
            self._looking = asyncio.get_running_loop().call_later(seconds + _LATER_SECONDS, look, agent_id)

    def end_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None


class RedisPlace:
    """See Place."""

    def __init__(self, agent_id: str, place_id: str, leave: "Callable[[RedisPlace], Awaitable[bool]]") -> None:
        self.agent_id = agent_id
        self.id = place_id
        self.ticket = ""
        self.runs = False
        self.first = False
        self.lost = False
        self._position = 0
        self._moved = asyncio.Event()
        self._when_lost: list[Callable[[], None]] = []
        self._leave = leave
        self._left = False

    @property
    def held(self) -> Held:
        """It, as Redis is told of it."""
        return Held(self.id, self.runs, self.ticket)

    def hear(self, told: int) -> None:
        """Take note of how the place stands."""
        if told == GONE:
            self.lost = True
            log.warning("a task lost its slot", agent_id=self.agent_id)
            for call in self._when_lost:
                call()
        elif told >= 0:
            self._position = told
        elif not self.runs:
            self.runs, self.first = True, told == RUNS_FIRST
        self._moved.set()

    def forget(self) -> None:
        """There is nothing to leave, or nobody who could be told."""
        self._left = True

    async def ahead(self) -> AsyncIterator[int]:
        """See Place."""
        told: int | None = None
        while not self.runs:
            if self._position != told:
                told = self._position
                yield told
            # What moved while the caller was told is seen by the next round: the event stays set.
            await self._moved.wait()
            self._moved.clear()

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Place."""
        self._when_lost.append(call)
        if self.lost:
            call()

    async def leave(self) -> bool:
        """See Place."""
        if self._left:
            return False
        self._left = True
        return await self._leave(self)
