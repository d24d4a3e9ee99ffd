"""A streams service in memory: keeps what it is told as watchers would hear it, and breaks when asked to."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from services.orchestrator.model import Event
from services.orchestrator.ports import Frame, Opening, Text
from services.runtime.errors import Aborted, Unavailable


@dataclass(frozen=True)
class Line:
    """How one connection behaves; by default it carries everything."""

    acknowledges: bool = True
    frames: int | None = None
    """How many frames arrive before it breaks."""
    loses_last: bool = False
    """Whether the last of these is lost; else it arrives and its acknowledgement is lost."""
    refuses: bool = False


@dataclass
class FakeStreams:
    """Implements `Streams`. `lines` are used up one a connection; then `usually` is."""

    lines: list[Line] = field(default_factory=list)
    usually: Line = field(default_factory=Line)
    openings: list[Opening] = field(default_factory=list)
    connections: list[list[Frame]] = field(default_factory=list)
    heard: list[tuple[str, Event]] = field(default_factory=list)
    """State events in the order of the stream, each (run, n) once."""
    closed: list[str] = field(default_factory=list)
    _known: dict[tuple[str, int], str] = field(default_factory=dict)
    _epochs: dict[str, int] = field(default_factory=dict)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish(
        self, opening: Opening, frames: AsyncGenerator[Frame, None], acknowledged: Callable[[int, str], None]
    ) -> None:
        line = self.lines.pop(0) if self.lines else self.usually
        self.openings.append(opening)
        received: list[Frame] = []
        self.connections.append(received)
        await self._tell()
        if line.refuses or self._epochs.get(opening.run_id, 0) > opening.epoch:
            raise Aborted("a later epoch publishes")
        self._epochs[opening.run_id] = opening.epoch
        if line.frames == 0:
            raise Unavailable("the line is down")
        async with aclosing(frames):
            async for frame in frames:
                if self._epochs[opening.run_id] > opening.epoch:
                    raise Aborted("a later epoch publishes")
                last = line.frames is not None and len(received) + 1 >= line.frames
                if not (last and line.loses_last):
                    received.append(frame)
                    id = self._hear(opening, frame)
                    if id is not None and isinstance(frame, Event) and line.acknowledges and not last:
                        acknowledged(frame.n, id)
                    await self._tell()
                if last:
                    raise Unavailable("the line broke")
        await self._tell()
        if not line.acknowledges and line.frames is None:
            await asyncio.Event().wait()
        if line.frames is not None:
            raise Unavailable("the line broke at its end")

    async def close_sessions(self, user_id: str, project_id: str, session_ids: list[str]) -> None:
        self.closed += session_ids

    def _hear(self, opening: Opening, frame: Frame) -> str | None:
        if not isinstance(frame, Event):
            return None
        key = (opening.run_id, frame.n)
        if key not in self._known:
            self._known[key] = f"e-{len(self._known) + 1}"
            self.heard.append((opening.run_id, frame))
        return self._known[key]

    async def _tell(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what arrived fulfils the condition."""
        async with asyncio.timeout(30), self._arrived:
            await self._arrived.wait_for(condition)

    def types(self, run_id: str | None = None) -> list[str]:
        """The types of what was heard, in order."""
        return [event.type for run, event in self.heard if run_id in (None, run)]

    def said(self) -> list[Frame]:
        """Every frame that arrived, of all connections, in order."""
        return [frame for frames in self.connections for frame in frames]

    def texts(self) -> list[Text]:
        """Every text frame, in order."""
        return [frame for frame in self.said() if isinstance(frame, Text)]


def rebuilt(frames: list[Frame]) -> tuple[int, str]:
    """Generation and text that a watcher has after these frames. Fails where a piece does not fit."""
    generation, text = 0, ""
    for frame in frames:
        if not isinstance(frame, Text) or frame.generation < generation:
            continue
        if frame.snapshot or frame.generation > generation:
            assert frame.offset == 0
            generation, text = frame.generation, frame.text
        else:
            assert frame.offset == len(text), "a piece of the text is missing"
            text += frame.text
    return generation, text
