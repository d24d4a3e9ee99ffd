"""Frames of many calls that go to the other end of a tunnel together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from codelab.tunnel.v1.tunnel_service_pb2 import CallMetadata

from services.runtime.calls.flow import Metadata

Frame = TypeVar("Frame")
Added = TypeVar("Added", covariant=True)

GATHER_SECONDS = 0.02
"""Between two messages of a tunnel: so long what is to be said waits for what else there is. After a quiet moment, the
first goes at once, and so does what is urgent."""
_MOMENT_SECONDS = 0.005
"""What is so nearly over is not waited for: a wake-up costs more than it would save."""
_ENOUGH_BYTES = 32 * 1024
"""So much is not kept waiting for more: it is the half of a call's window."""
_MESSAGE_BYTES = 1024 * 1024
"""A message takes no more frames from here on."""
_FRAME_BYTES = 16
"""What a frame takes beside what it carries."""
_MOST_UNSENT_BYTES = 4 * 1024 * 1024
"""When so much waits to be sent, who can wait does."""


class Said(Protocol[Added]):
    """What travels as one: a message with frames."""

    @property
    def frames(self) -> "Frames[Added]":
        """In order."""


class Frames(Protocol[Added]):
    """Frames of a message."""

    def add(self) -> Added:
        """Another, to be filled."""


class Outgoing(Generic[Frame]):
    """What is to be said, in order. `run` it: nothing else sends."""

    def __init__(self, make: Callable[[], Said[Frame]], send: Callable[[Any], Awaitable[None]]) -> None:
        """`make` makes an empty message, `send` sends one."""
        self._make = make
        self._send = send
        self._full: list[tuple[Said[Frame], int]] = []
        self._filling = make()
        self._filled = self._unsent = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._finished = False
        self._gathering = self._hurried = False
        self._waiting: asyncio.Future[None] | None = None

    def add(self, size: int = 0, *, urgent: bool = True) -> Frame:
        """A frame, to be filled at once; `size` is that of what it will carry, in bytes. What is urgent goes at once,
        with what came before."""
        taken = size + _FRAME_BYTES
        if self._filled + taken > _MESSAGE_BYTES and self._filled:
            self._close()
        self._filled += taken
        self._unsent += taken
        if self._unsent >= _ENOUGH_BYTES:
            urgent = True
            if not self.has_room:
                self._roomy.clear()
        if urgent:
            self._hurried = True
        if self._hurried or not self._gathering:
            self._wake()
        # What is said is put where it will be sent from, without a copy.
        return self._filling.frames.add()

    def _close(self) -> None:
        self._full.append((self._filling, self._filled))
        self._filling, self._filled = self._make(), 0

    @property
    def has_room(self) -> bool:
        """Whether little enough waits to be sent."""
        return self._unsent < _MOST_UNSENT_BYTES or self._finished

    async def room(self) -> None:
        """Return when so little waits; then look again, as others may have been there first."""
        await self._roomy.wait()

    def finish(self) -> None:
        """Let `run` end when all is said, and nobody wait for room."""
        self._finished = True
        self._roomy.set()
        self._wake()

    async def run(self) -> None:
        """Send what is added, until `finish` or for ever. Raise what sending raises."""
        loop = asyncio.get_running_loop()
        sent_at = 0.0
        while True:
            if not self._unsent:
                if self._finished:
                    return
                await self._woken()
                continue
            early = sent_at + GATHER_SECONDS - loop.time()
            if early > _MOMENT_SECONDS and not self._hurried:
                enough = loop.call_later(early, self._wake)
                self._gathering = True
                await self._woken()
                self._gathering = False
                enough.cancel()
            sent_at = loop.time()
            self._close()
            full, self._full, self._hurried = self._full, [], False
            for message, size in full:
                await self._send(message)
                self._unsent -= size
                if self.has_room:
                    self._roomy.set()

    async def _woken(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def metadata_message(metadata: Metadata) -> list[CallMetadata]:
    """Metadata as a tunnel carries them."""
    return [
        CallMetadata(name=name, text=value) if isinstance(value, str) else CallMetadata(name=name, binary=value)
        for name, value in metadata
    ]


def metadata_of(entries: Iterable[CallMetadata]) -> Metadata:
    """Metadata that a tunnel carried."""
    return tuple((each.name, each.text if each.HasField("text") else each.binary) for each in entries)
