"""What both ends of a call are made of: how it went, and messages in one direction, of which only so many may wait."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc

Metadata = tuple[tuple[str, str | bytes], ...]

WINDOW_BYTES = 64 * 1024
"""So much may be on its way to a reader that takes nothing; the last message may go beyond it."""
_TOLD_BYTES = WINDOW_BYTES // 2
"""A reader tells when so much was taken."""
_MESSAGE_BYTES = 64
"""What a message weighs beside its bytes: of empty ones, too, only so many may wait."""


def weight(message: bytes) -> int:
    """What a message takes of a window."""
    return len(message) + _MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing: Metadata = ()
    tried: bool = False
    """Whether it came after as many tries as are of use."""


class ToServer(Protocol):
    """The way from a caller's end of a call to the server's. Nothing here waits or raises."""

    def message(self, message: bytes) -> None:
        """A request."""

    def finish(self) -> None:
        """No request follows."""

    def grant(self, size: int) -> None:
        """So much more may be answered."""

    def cancel(self) -> None:
        """Nobody waits for the answer any more. Idempotent."""


class ToCaller(Protocol):
    """The way from a server's end of a call to the caller's. Nothing here raises, and nothing but `room` waits."""

    @property
    def has_room(self) -> bool:
        """Whether the way, which others may share, takes a message."""

    async def room(self) -> None:
        """Return when it does."""

    def begin(self, metadata: Metadata) -> None:
        """The call is accepted. Comes at most once, and before any message."""

    def message(self, message: bytes) -> None:
        """An answer."""

    def grant(self, size: int) -> None:
        """So much more may be asked."""

    def end(self, outcome: Outcome) -> None:
        """The call is over. Nothing follows."""


class Nobody:
    """A ToServer to whom it is all the same: of a call that never got to one."""

    def message(self, message: bytes) -> None:
        """See ToServer."""

    def finish(self) -> None:
        """See ToServer."""

    def grant(self, size: int) -> None:
        """See ToServer."""

    def cancel(self) -> None:
        """See ToServer."""


class Inbox:
    """Messages that wait for one reader. `taken` is told, in portions, how much weight was read, until it is closed."""

    __slots__ = ("_closed", "_loop", "_messages", "_pass_on", "_taken", "_untold", "_waiting", "weight")

    def __init__(self, taken: Callable[[int], None]) -> None:
        # Asked for anew, it would cost a system call for each message.
        self._loop = asyncio.get_running_loop()
        self._messages: deque[bytes] = deque()
        self.weight = 0
        """Of what waits."""
        self._closed = False
        self._taken: Callable[[int], None] | None = taken
        self._untold = 0
        self._waiting: asyncio.Future[None] | None = None
        self._pass_on: Callable[[bytes], bool] | None = None

    def pass_to(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` what comes while the reader waits: who keeps up is not woken for each message, but for one in
        each half of a window.

        It neither waits nor raises. What it returns False for is read, and so is whatever is behind that.
        """
        self._pass_on = take

    def put(self, message: bytes) -> None:
        """Add a message, unless it was closed."""
        if self._closed:
            return
        size = weight(message)
        if self._passes(size) and self._pass_on is not None and self._pass_on(message):
            self._untold += size
            return
        self._messages.append(message)
        self.weight += size
        self._wake()

    def _passes(self, size: int) -> bool:
        """Whether so much is passed on, and not read."""
        if self._waiting is None or self._waiting.done() or self._messages:
            return False
        # Only the reader makes room: a writer in this process would else never wait, and nobody else have a turn.
        return self._untold + size < _TOLD_BYTES

    def close(self) -> None:
        """Take no more messages; those that wait can be read. Idempotent."""
        self._closed = True
        # Nobody sends what it would make room for; and whoever is done with a call is not to be kept by it.
        self._taken = self._pass_on = None
        self._wake()

    def drop(self) -> None:
        """Close, and forget what waits."""
        self._messages.clear()
        self.weight = 0
        self.close()

    @property
    def full(self) -> bool:
        """Whether nobody who keeps to the window puts anything in."""
        return self.weight + self._untold >= WINDOW_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._messages

    async def get(self) -> bytes | None:
        """The next message; None when it is closed and all have been read."""
        while not self._messages:
            if self._closed:
                return None
            self._waiting = _only_one(self._waiting, self._loop)
            try:
                await self._waiting
            finally:
                self._waiting = None
        message = self._messages.popleft()
        size = weight(message)
        self.weight -= size
        self._untold += size
        if self._taken is not None and self._untold >= _TOLD_BYTES:
            untold, self._untold = self._untold, 0
            self._taken(untold)
        return message

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Window:
    """How much may still be sent to a reader, by one writer."""

    __slots__ = ("_left", "_open", "_waiting")

    def __init__(self) -> None:
        self._left = WINDOW_BYTES
        self._open = True
        self._waiting: asyncio.Future[None] | None = None

    @property
    def has_room(self) -> bool:
        """Whether a message may be sent."""
        return self._left > 0 or not self._open

    def spend(self, size: int) -> None:
        """So much is sent."""
        self._left -= size

    def add(self, size: int) -> None:
        """So much was taken. More than there ever was is not given back, whatever the reader says."""
        self._left = min(WINDOW_BYTES, self._left + size)
        self._wake()

    def abandon(self) -> None:
        """Nobody reads any more, so that nobody has to wait. Idempotent."""
        self._open = False
        self._wake()

    async def room(self) -> None:
        """Return when a message may be sent."""
        while not self.has_room:
            self._waiting = _only_one(self._waiting, asyncio.get_running_loop())
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _wake(self) -> None:
        if self.has_room and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _only_one(waiting: "asyncio.Future[None] | None", loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
    """What to wait for, if nobody else does. Raise UsageError, as gRPC would: one of two would wait for ever."""
    if waiting is not None:
        raise grpc.aio.UsageError("another task reads or writes here")
    return loop.create_future()
