"""Calls that are tried again while a server is UNAVAILABLE, as gRPC does it by the service config of a channel."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import grpc

from services.runtime.calls.flow import Metadata, Nobody, Outcome, ToCaller, ToServer
from services.runtime.calls.opened import Opening, Way

# As in codelab_client.channel: what a call may cost must not depend on the way that it takes.
_MOST_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0


class Repeated:
    """Another way, of calls that ask once and may be made again; a Way."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def open(self, opening: Opening, call: ToCaller) -> ToServer:
        """See Way. `call` hears of the last attempt only."""
        return _Attempts(self._way.open, opening, call)


class _Attempts:
    """One call: the server's end to its caller, and the caller's to the server."""

    def __init__(self, open: Callable[[Opening, ToCaller], ToServer], opening: Opening, call: ToCaller) -> None:
        self._open = open
        self._opening = opening
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._deadline = None if opening.timeout is None else self._loop.time() + opening.timeout
        self._left = _MOST_ATTEMPTS
        self._pause = _FIRST_PAUSE_SECONDS
        self._next: asyncio.TimerHandle | None = None
        self._trying = False
        self._served: ToServer = Nobody()
        self._try()

    @property
    def has_room(self) -> bool:
        """See ToCaller."""
        return self._call.has_room

    async def room(self) -> None:
        """See ToCaller."""
        await self._call.room()

    def begin(self, metadata: Metadata) -> None:
        """See ToCaller."""
        self._left = 0
        self._call.begin(metadata)

    def message(self, message: bytes) -> None:
        """An answer; see ToCaller. Of calls that ask once there is no request."""
        self._left = 0
        self._call.message(message)

    def finish(self) -> None:
        """See ToServer."""

    def grant(self, size: int) -> None:
        """The caller's, of answers; see ToServer. The server has nothing to grant."""
        self._served.grant(size)

    def end(self, outcome: Outcome) -> None:
        """See ToCaller."""
        self._trying = False
        self._served = Nobody()
        if outcome.code is grpc.StatusCode.UNAVAILABLE and self._left and not outcome.tried:
            # Spread out, so that those whom one outage struck do not come back all at once.
            self._next = self._loop.call_later(self._pause * random.uniform(0.8, 1.2), self._try)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        else:
            self._call.end(outcome)

    def cancel(self) -> None:
        """See ToServer."""
        self._left = 0
        if self._next is not None:
            self._next.cancel()
        self._served.cancel()

    def _try(self) -> None:
        self._left -= 1
        opening = self._opening
        if self._deadline is not None:
            opening = replace(opening, timeout=max(0.0, self._deadline - self._loop.time()))
        self._trying = True
        served = self._open(opening, self)
        # It may have ended already.
        if self._trying:
            self._served = served
