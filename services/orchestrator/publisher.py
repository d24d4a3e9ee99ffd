"""Gets a run's events to its watchers: each committed one at least once, in order; text as fast as it is worth."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from services.orchestrator.model import Event
from services.orchestrator.ports import Frame, Opening, Progress, Streams, Text
from services.runtime.errors import Aborted, CodelabError, NotFound

log = structlog.get_logger()

COALESCE_SECONDS = 0.025
FAREWELL_SECONDS = 5.0
"""After the run's end: what is not acknowledged by then is left to the sweeper."""
_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 2.0

Acknowledged = Callable[[str, int, str], None]


@dataclass(frozen=True)
class TextOf:
    """A text that is written: the id of the message that it is or could be, its task and agent if it has one."""

    message_id: str
    task_id: str | None
    agent_id: str | None


class _Writing:
    """A text as far as it is written, in one generation. In the queue it stands for all of it that is not sent."""

    def __init__(self, of: TextOf, generation: int) -> None:
        self.generation = generation
        self.due = False
        """Whether it stands in the queue."""
        self.over = False
        self.shown = False
        """Whether watchers have its beginning."""
        self.unsent: list[str] = []
        self._text = Text(of.message_id, of.task_id, of.agent_id, generation, 0, "")
        self._pieces: list[str] = []
        self._length = 0

    @property
    def message_id(self) -> str:
        """Of the text."""
        return self._text.message_id

    @property
    def begun(self) -> bool:
        """Whether there is something that a watcher who missed it needs."""
        return bool(self._pieces) or self.generation > 1

    def frame(self) -> Text:
        """What was not sent; the whole if all was."""
        return self._delta() if self.unsent else self.snapshot()

    def snapshot(self) -> Text:
        """What was sent so far."""
        return replace(self._text, text="".join(self._pieces), snapshot=True)

    def _delta(self) -> Text:
        piece = "".join(self.unsent)
        self.unsent.clear()
        delta = replace(self._text, offset=self._length, text=piece)
        self._pieces.append(piece)
        self._length += len(piece)
        return delta


class RunPublisher:
    """Publishes one run in one epoch, in a task of its own: `open` it, then `close` or `abandon` it.

    Nothing here waits for watchers or for the streams service: a run goes on while nobody can be told.
    """

    def __init__(
        self, streams: Streams, opening: Opening, acknowledged: Acknowledged, farewell_seconds: float = FAREWELL_SECONDS
    ) -> None:
        self.opening = opening
        self._streams = streams
        self._acknowledged = acknowledged
        self._farewell_seconds = farewell_seconds
        self._unacknowledged: dict[int, Event] = {}
        self._queue: deque[Event | Progress | _Writing] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._limit: asyncio.Timeout | None = None
        self._texts: dict[str, _Writing] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def left(self) -> int:
        """How many events are not acknowledged."""
        return len(self._unacknowledged)

    def open(self, after: Collection["asyncio.Task[None]"] = ()) -> "asyncio.Task[None]":
        """Begin to publish, as soon as the tasks `after` have ended. Return the task that does."""
        self._task = asyncio.create_task(self._work(after), name=f"publish {self.opening.run_id}")
        return self._task

    def close(self) -> None:
        """Nothing more comes: let the task end when everything is out, or `farewell_seconds` have passed."""
        self._closed = True
        self._changed.set()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._farewell_seconds)

    async def abandon(self) -> None:
        """Stop at once: somebody else speaks for the run, and says what was not said."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def events(self, events: Sequence[Event]) -> None:
        """Publish committed events, after everything before them."""
        for event in events:
            self._unacknowledged[event.n] = event
            self._queue.append(event)
        self._changed.set()

    def progress(self, progress: Progress) -> None:
        """Publish something that may be lost."""
        self._queue.append(progress)
        self._changed.set()

    def begin_text(self, of: TextOf, generation: int) -> None:
        """Begin a text anew, in this generation."""
        writing = self._texts[of.message_id] = _Writing(of, generation)
        if generation > 1:
            # Watchers may hold the beginning of an earlier attempt.
            self._text_due(writing)

    def text(self, of: TextOf, piece: str) -> None:
        """Publish more of a text that was begun."""
        writing = self._texts[of.message_id]
        writing.unsent.append(piece)
        self._text_due(writing)

    def end_text(self, of: TextOf) -> None:
        """The text is whole, and an event says so: who connects later needs no snapshot of it."""
        writing = self._texts.get(of.message_id)
        if writing is not None:
            writing.over = True
            self._forget(writing)

    def _forget(self, writing: _Writing) -> None:
        if writing.over and not writing.due:
            self._texts.pop(writing.message_id, None)

    def _text_due(self, writing: _Writing) -> None:
        if not writing.due:
            writing.due = True
            self._queue.append(writing)
        self._changed.set()

    async def _work(self, after: Collection["asyncio.Task[None]"]) -> None:
        try:
            async with asyncio.timeout(self._farewell_seconds if self._closed else None) as limit:
                self._limit = limit
                if after:
                    await asyncio.wait(after)
                await self._publish()
        except TimeoutError:
            log.warning("events left to the sweeper", run_id=self.opening.run_id, count=self.left)
        finally:
            self._limit = None

    async def _publish(self) -> None:
        wait = _RETRY_SECONDS
        while not self._closed or self._unacknowledged or self._queue:
            before = self.left
            try:
                await self._streams.publish(self.opening, self._outgoing(), self._acknowledge)
                if not self._unacknowledged:
                    continue
            except (Aborted, NotFound) as refused:
                # A later epoch speaks for the run now, or its session is deleted.
                log.info("publishing refused", run_id=self.opening.run_id, reason=refused.reason)
                self._unacknowledged.clear()
                return
            except CodelabError as error:
                log.warning("publishing interrupted", run_id=self.opening.run_id, reason=error.reason)
            if self.left < before:
                wait = _RETRY_SECONDS
            await asyncio.sleep(wait)
            wait = min(2 * wait, _MAX_RETRY_SECONDS)

    def _acknowledge(self, n: int, event_id: str) -> None:
        if self._unacknowledged.pop(n, None) is not None:
            self._acknowledged(self.opening.run_id, n, event_id)

    async def _outgoing(self) -> AsyncGenerator[Frame, None]:
        """What one stream carries: first what an earlier one may have lost, then everything as it comes."""
        queued = {frame.n for frame in self._queue if isinstance(frame, Event)}
        for event in [each for n, each in self._unacknowledged.items() if n not in queued]:
            yield event
        for writing in [each for each in self._texts.values() if each.begun]:
            yield writing.snapshot()
            self._forget(writing)
        loop = asyncio.get_running_loop()
        quiet_until, together = 0.0, 0
        while not self._closed or self._queue:
            if not self._queue:
                await self._change()
                continue
            if not together and not self._closed and self._only_more_text():
                if loop.time() < quiet_until:
                    # Nothing waits behind the texts: let more of them gather.
                    await self._change(quiet_until - loop.time())
                    continue
                together = len(self._queue)
            together = max(0, together - 1)
            frame = self._queue.popleft()
            if not isinstance(frame, _Writing):
                yield frame
                continue
            frame.due = False
            if self._texts.get(frame.message_id) is frame:  # Not begun anew since.
                frame.shown = True
                if not together:
                    quiet_until = loop.time() + COALESCE_SECONDS
                yield frame.frame()
                self._forget(frame)

    def _only_more_text(self) -> bool:
        """Whether nothing waits but more of what watchers have the beginning of."""
        return all(isinstance(frame, _Writing) and frame.shown for frame in self._queue)

    async def _change(self, seconds: float | None = None) -> None:
        """Wait until something is to be published, or for so long."""
        self._changed.clear()
        with suppress(TimeoutError):
            # Not wait_for: before Python 3.12 it loses a cancellation that comes with the event.
            async with asyncio.timeout(seconds):
                await self._changed.wait()
