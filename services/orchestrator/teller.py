"""Tells watchers what happened in runs: those that run here, those that ended elsewhere, and what a crash left untold.

Whoever speaks for a run says every event of it that is not known to be published, in order, and streams drop what they
know. So it does not matter who was stopped or died before, or how many speak at once: the order stays.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from services.orchestrator.leases import Lease, Outbox
from services.orchestrator.model import Event
from services.orchestrator.ports import Opening, Streams
from services.orchestrator.publisher import FAREWELL_SECONDS, RunPublisher
from services.orchestrator.store import RunStore
from services.runtime.ids import Clock
from services.runtime.tasks import repeating

log = structlog.get_logger()

# Long enough that the beginning and the end of a short run are recorded together.
_FLUSH_SECONDS = 0.25
_SWEEP_LIMIT = 50
# Younger events are on their way: their run's process publishes them.
_LEFT_AFTER = timedelta(seconds=10)
# How long a stopping process waits for what is being said: the next one says the rest.
_LAST_WORDS_SECONDS = 1.0


class Teller:
    """Owns the publishers of this process, and records what they published."""

    def __init__(
        self, runs: RunStore, streams: Streams, clock: Clock, farewell_seconds: float = FAREWELL_SECONDS
    ) -> None:
        self._runs = runs
        self._streams = streams
        self._clock = clock
        self._farewell_seconds = farewell_seconds
        self._speaking: dict[asyncio.Task[None], RunPublisher] = {}
        # Of these, those that only finish, by session.
        self._closing: dict[str, set[asyncio.Task[None]]] = {}
        self._acknowledged: list[tuple[str, int, str]] = []
        self._unrecorded = asyncio.Event()
        self._recording = asyncio.Lock()
        self._left_over = asyncio.Event()
        # At the start all is left over: the process that was to publish it is gone.
        self._left_after = timedelta(0)
        self._stopped = False

    @asynccontextmanager
    async def working(self, sweep_seconds: float) -> AsyncIterator[None]:
        """Record and sweep while the block runs."""
        self._left_over.set()
        async with (
            repeating("record published events", self._record_soon, 60, wake=self._unrecorded),
            repeating("publish what was left", self.sweep, sweep_seconds, wake=self._left_over),
        ):
            yield

    @asynccontextmanager
    async def speaking(self, lease: Lease) -> AsyncIterator[RunPublisher]:
        """Publish a run while the block works on it, and what is left of it afterwards, without being waited for.

        If the block raises, its lease is gone, and with it the right to speak.
        """
        opening = Opening(lease.run_id, lease.session_id, lease.project_id, lease.user_id, lease.epoch)
        publisher, task = self._open(opening, lease.events)
        try:
            yield publisher
        except BaseException:
            await publisher.abandon()
            raise
        self._close(publisher, task)

    def tell(self, outbox: Outbox) -> None:
        """Publish events of a run that this process does not run, or no longer."""
        if not self._stopped:  # The next process finds them unpublished.
            self._tell(outbox)

    async def sweep(self) -> None:
        """Publish what nobody else is about to publish. What cannot be published now is left again."""
        older_than = self._clock() - self._left_after
        self._left_after = _LEFT_AFTER
        tried: set[str] = set()
        while not self._stopped:
            busy = {publisher.opening.run_id for publisher in self._speaking.values()}
            found = await self._runs.unpublished(older_than, _SWEEP_LIMIT, busy | tried)
            tried.update(outbox.run_id for outbox in found)
            told = [self._tell(outbox) for outbox in found]
            if not told:
                return
            log.info("publishing what was left", runs=len(found))
            await asyncio.wait([task for _, task in told])
            await self.record()
            if any(publisher.left for publisher, _ in told):
                return

    async def record(self) -> None:
        """Write down what was published, many events in one transaction. What cannot be written is kept for later."""
        # One at a time: a process that stops waits here for what is being written, which is cancelled soon after.
        async with self._recording:
            published, self._acknowledged = self._acknowledged, []
            if not published:
                return
            try:
                await self._runs.acknowledge(published)
            except BaseException:
                self._acknowledged[:0] = published
                raise

    async def stop(self) -> None:
        """Let what is being said be said, for a moment; the next process says the rest. Idempotent."""
        self._stopped = True
        if self._speaking:
            _, unsaid = await asyncio.wait(self._speaking, timeout=_LAST_WORDS_SECONDS)
            await asyncio.gather(*(self._speaking[task].abandon() for task in unsaid if task in self._speaking))
        await self.record()

    def _open(self, opening: Opening, events: Sequence[Event]) -> tuple[RunPublisher, "asyncio.Task[None]"]:
        """Begin to speak for a run. What is just being finished in the session is said first."""
        publisher = RunPublisher(self._streams, opening, self._acknowledge, self._farewell_seconds)
        publisher.events(events)
        task = publisher.open(after=frozenset(self._closing.get(opening.session_id, ())))
        self._speaking[task] = publisher
        task.add_done_callback(self._said)
        return publisher, task

    def _close(self, publisher: RunPublisher, task: "asyncio.Task[None]") -> None:
        publisher.close()
        if not task.done():
            self._closing.setdefault(publisher.opening.session_id, set()).add(task)

    def _tell(self, outbox: Outbox) -> tuple[RunPublisher, "asyncio.Task[None]"]:
        opening = Opening(outbox.run_id, outbox.session_id, outbox.project_id, outbox.user_id, outbox.epoch)
        publisher, task = self._open(opening, outbox.events)
        self._close(publisher, task)
        return publisher, task

    def _said(self, task: "asyncio.Task[None]") -> None:
        publisher = self._speaking.pop(task)
        session_id = publisher.opening.session_id
        closing = self._closing.get(session_id, set())
        closing.discard(task)
        if not closing:
            self._closing.pop(session_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("publishing broke off", run_id=publisher.opening.run_id, exc_info=error)

    def _acknowledge(self, run_id: str, n: int, event_id: str) -> None:
        self._acknowledged.append((run_id, n, event_id))
        self._unrecorded.set()

    async def _record_soon(self) -> None:
        await asyncio.sleep(_FLUSH_SECONDS)
        await self.record()
