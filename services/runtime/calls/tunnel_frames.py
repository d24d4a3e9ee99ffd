"""Frames of many calls that go to the other end of a tunnel together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from codelab.tunnel.v1.tunnel_service_pb2 import CallMetadata

from services.runtime.calls.flow import Metadata

Frame = TypeVar("Frame")

GATHER_SECONDS = 0.01
"""Between two messages of a tunnel: so long what is to be said waits for what else there is. After a quiet moment, the
first goes at once."""
_MOMENT_SECONDS = 0.003
"""What is so nearly over is not waited for: a wake-up costs more than it would save."""
_MESSAGE_BYTES = 1024 * 1024
"""A message takes no more frames from here on."""


class Outgoing(Generic[Frame]):
    """What is to be said, in order. `run` it: nothing else sends."""

    def __init__(self, send: Callable[[list[Frame]], Awaitable[None]]) -> None:
        self._send = send
        self._frames: list[tuple[Frame, int]] = []
        self._finished = False
        self._waiting: asyncio.Future[None] | None = None

    def add(self, frame: Frame, size: int = 0) -> None:
        """Say it; `size` is that of what it carries, in bytes."""
        self._frames.append((frame, size))
        self._wake()

    def finish(self) -> None:
        """Let `run` end when all is said."""
        self._finished = True
        self._wake()

    async def run(self) -> None:
        """Send what is added, until `finish` or for ever. Raise what sending raises."""
        loop = asyncio.get_running_loop()
        sent_at = 0.0
        while True:
            if not self._frames:
                if self._finished:
                    return
                self._waiting = loop.create_future()
                await self._waiting
                continue
            if (early := sent_at + GATHER_SECONDS - loop.time()) > _MOMENT_SECONDS:
                await asyncio.sleep(early)
            sent_at = loop.time()
            frames, self._frames = self._frames, []
            for some in _portions(frames):
                await self._send(some)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _portions(frames: list[tuple[Frame, int]]) -> list[list[Frame]]:
    portions: list[list[Frame]] = [[]]
    filled = 0
    for frame, size in frames:
        if filled + size > _MESSAGE_BYTES and portions[-1]:
            portions.append([])
            filled = 0
        portions[-1].append(frame)
        filled += size
    return portions


def metadata_message(metadata: Metadata) -> list[CallMetadata]:
    """Metadata as a tunnel carries them."""
    return [
        CallMetadata(name=name, text=value) if isinstance(value, str) else CallMetadata(name=name, binary=value)
        for name, value in metadata
    ]


def metadata_of(entries: Iterable[CallMetadata]) -> Metadata:
    """Metadata that a tunnel carried."""
    return tuple((each.name, each.text if each.HasField("text") else each.binary) for each in entries)
