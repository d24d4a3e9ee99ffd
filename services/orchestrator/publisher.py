"""Gets a run's events to its watchers: each committed one at least once, in order; text as fast as it is worth."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from services.orchestrator.model import Event, Lease
from services.orchestrator.ports import Frame, Opening, Progress, Streams, Text
from services.runtime.errors import Aborted, CodelabError, NotFound

log = structlog.get_logger()

COALESCE_SECONDS = 0.025
_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 2.0
# After the run's end: what is not acknowledged by then is left to the sweeper.
_FAREWELL_SECONDS = 5.0

Acknowledged = Callable[[str, int, str], None]


class RunPublisher:
    """Publishes one run under one lease. Enter it to open; leaving it publishes what is left.

    Nothing here waits for watchers or for the streams service: a run goes on while nobody can be told.
    """

    def __init__(self, streams: Streams, opening: Opening, acknowledged: Acknowledged) -> None:
        self._streams = streams
        self._opening = opening
        self._acknowledged = acknowledged
        self._unacknowledged: dict[int, Event] = {}
        self._frames: deque[Event | Progress | None] = deque()  # None stands for the text that is not sent yet
        self._changed = asyncio.Event()
        self._closed = False
        self._text: Text | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._unsent: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def events(self, events: Sequence[Event]) -> None:
        """Publish committed events, after everything before them."""
        for event in events:
            self._unacknowledged[event.n] = event
            self._frames.append(event)
        self._changed.set()

    def progress(self, progress: Progress) -> None:
        """Publish something that may be lost."""
        self._frames.append(progress)
        self._changed.set()

    def begin_text(self, lease: Lease) -> None:
        """Begin the answer's text anew, in the lease's generation."""
        task = lease.task
        self._text = Text(lease.answer_id, task.id, task.agent_id, lease.generation, 0, "")
        self._pieces.clear()
        self._unsent.clear()
        self._length = 0
        if lease.generation > 1:
            # Watchers may hold the beginning of an earlier attempt.
            self._frames.append(None)
            self._changed.set()

    def text(self, piece: str) -> None:
        """Publish more of the answer."""
        self._unsent.append(piece)
        if not self._frames or self._frames[-1] is not None:
            self._frames.append(None)
        self._changed.set()

    async def __aenter__(self) -> "RunPublisher":
        self._task = asyncio.create_task(self._publish(), name=f"publish {self._opening.run_id}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._closed = True
        self._changed.set()
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await asyncio.shield(self._task)
        except TimeoutError:
            log.warning("events left to the sweeper", run_id=self._opening.run_id, count=len(self._unacknowledged))
        finally:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _publish(self) -> None:
        wait = _RETRY_SECONDS
        while not (self._closed and not self._unacknowledged and not self._frames):
            try:
                await self._streams.publish(self._opening, self._outgoing(), self._acknowledge)
                if not self._closed or not self._unacknowledged:
                    wait = _RETRY_SECONDS
                    continue
            except (Aborted, NotFound):
                # A later epoch speaks for the run now, or its session is deleted.
                self._unacknowledged.clear()
                return
            except CodelabError as error:
                log.warning("publishing interrupted", run_id=self._opening.run_id, reason=error.reason)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _MAX_RETRY_SECONDS)

    def _acknowledge(self, n: int, event_id: str) -> None:
        if self._unacknowledged.pop(n, None) is not None:
            self._acknowledged(self._opening.run_id, n, event_id)

    async def _outgoing(self) -> AsyncIterator[Frame]:
        """What one stream carries: first what an earlier one may have lost, then everything as it comes."""
        for event in list(self._unacknowledged.values()):
            if event not in self._frames:
                yield event
        if self._text is not None and (self._pieces or self._text.generation > 1):
            yield self._snapshot()
        loop = asyncio.get_running_loop()
        quiet_until = 0.0
        while True:
            while self._frames:
                if self._frames[0] is None and len(self._frames) == 1 and not self._closed:
                    # Nothing waits behind the text: let more of it gather.
                    delay = quiet_until - loop.time()
                    if delay > 0:
                        self._changed.clear()
                        with suppress(TimeoutError):
                            # Not wait_for: before Python 3.12 it loses a cancellation that comes with the event.
                            async with asyncio.timeout(delay):
                                await self._changed.wait()
                        if loop.time() < quiet_until:
                            continue
                frame = self._frames.popleft()
                if frame is not None:
                    yield frame
                elif self._unsent:
                    yield self._delta()
                    quiet_until = loop.time() + COALESCE_SECONDS
                elif self._text is not None:
                    yield self._snapshot()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    def _delta(self) -> Text:
        assert self._text is not None
        piece = "".join(self._unsent)
        self._unsent.clear()
        delta = replace(self._text, offset=self._length, text=piece)
        self._pieces.append(piece)
        self._length += len(piece)
        return delta

    def _snapshot(self) -> Text:
        assert self._text is not None
        return replace(self._text, text="".join(self._pieces), snapshot=True)


class Acknowledgements:
    """Gathers what streams acknowledged, to be recorded together: one transaction for many events."""

    def __init__(self) -> None:
        self._gathered: list[tuple[str, int, str]] = []
        self.wake = asyncio.Event()

    def add(self, run_id: str, n: int, event_id: str) -> None:
        """An event is published."""
        self._gathered.append((run_id, n, event_id))
        self.wake.set()

    def take(self) -> list[tuple[str, int, str]]:
        """Return what was gathered since, in order."""
        taken, self._gathered = self._gathered, []
        return taken
