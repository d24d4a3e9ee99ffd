"""So many places for those who come, in their order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoPlace(TimeoutError):
    """None was free in time."""


class Places:
    """Places that are had for a while. Who is urgent goes before those who wait; nobody else passes anybody."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._patient: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self, within: float, *, urgent: bool = False) -> AsyncIterator[None]:
        """Have a place for the block. Raise NoPlace if none is free within so many seconds."""
        await self._take(within, self._urgent if urgent else self._patient)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, within: float, waiting: deque[asyncio.Future[None]]) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(within):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # It was given a place, and hears at the same moment that it is to end.
                self._give_back()
            if isinstance(error, TimeoutError):
                raise NoPlace from None
            raise

    def _give_back(self) -> None:
        """Give the place to the next, who need not look for it: whoever came before they woke would find it."""
        for waiting in (self._urgent, self._patient):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
