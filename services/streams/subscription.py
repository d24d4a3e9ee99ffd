"""One reader of a session's stream: where it begins, what it asked for, and its own bounded queue."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from services.runtime.event_ids import EventId
from services.streams.errors import EventsUnavailable, SessionNotFound
from services.streams.store import (
    DELTA,
    SNAPSHOT,
    Content,
    Interrupted,
    Notice,
    SessionClosed,
    SessionKey,
    StoredEvent,
    View,
)

FROM_START = "start"
_READ_AGAIN_SECONDS = 0.5

Read = Callable[[SessionKey, str | None], Awaitable[View]]
"""`EventStore.read`."""


class EndReason(Enum):
    """Why a stream ends, and whether subscribing again after the last id goes on where it stopped."""

    TOKEN_EXPIRED = ("token_expired", True)
    DELETED = ("deleted", False)
    SHUTDOWN = ("shutdown", True)
    SLOW_READER = ("slow_reader", True)
    RUN_FINISHED = ("run_finished", False)
    ROTATED = ("rotated", True)

    def __init__(self, text: str, resumable: bool) -> None:
        self.text = text
        self.resumable = resumable


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Keeps the connection alive. With an id: all that was asked for up to there has been sent."""

    id: EventId | None


@dataclass(frozen=True, slots=True)
class ResyncRequired:
    """What the reader missed is gone: `buffer_exceeded`, `epoch_changed` or `unknown_cursor`."""

    reason: str
    latest: EventId


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Always last."""

    reason: EndReason


Frame = Content | Heartbeat | ResyncRequired | StreamEnded


@dataclass(frozen=True, slots=True)
class Filter:
    """What a reader asked for. Empty `types` are all; deltas without snapshots would lack their beginning, so who asks
    for those gets these as well."""

    run_id: str | None = None
    types: frozenset[str] = frozenset()

    def wants(self, content: Content) -> bool:
        """Whether the reader gets it."""
        if self.run_id is not None and content.run_id != self.run_id:
            return False
        return not self.types or content.type in self.types or (content.type == SNAPSHOT and DELTA in self.types)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins: right after `cursor`, with the events that were missed since, or with a resync."""

    cursor: EventId
    missed: Sequence[StoredEvent] = ()
    resync: str | None = None


def start_of(view: View, after: str | None) -> Start:
    """Where to begin for a reader who has seen everything up to `after` (see SubscribeRequest)."""
    if after is None:
        return Start(view.head)
    # The seq that the buffer begins after; its end is the head.
    floor = view.head.seq - len(view.buffer)
    if after == FROM_START:
        return Start(EventId(view.head.epoch, floor), view.buffer)
    cursor = EventId.parse(after)
    if cursor is None:
        return Start(view.head, resync="unknown_cursor")
    if cursor.epoch != view.head.epoch:
        return Start(view.head, resync="epoch_changed")
    if cursor.seq > view.head.seq:
        return Start(view.head, resync="unknown_cursor")
    # At the head nothing was missed, however long ago the buffer was dropped.
    if cursor.seq < floor:
        return Start(view.head, resync="buffer_exceeded")
    return Start(cursor, view.buffer[cursor.seq - floor :])


class Subscription:
    """What a reader is still to be sent, in order. `start` it, then iterate it to send; iteration ends with a
    StreamEnded."""

    def __init__(self, session: SessionKey, wanted: Filter, expires_at: float, queue_frames: int, read: Read) -> None:
        """At most `queue_frames` frames wait for the reader, not counting those that the stream begins with.
        `expires_at` is the Unix time at which the reader's token ends."""
        self.session = session
        self.expires_at = expires_at
        self.ended: EndReason | None = None
        self._wanted = wanted
        self._read = read
        self._queue_frames = self._room = queue_frames
        # What was heard since the view was asked for that the stream begins with, or goes on with when interrupted.
        self._early: list[tuple[int, Content | SessionClosed]] | None = []
        self._queue: deque[Frame] = deque()
        self._stirred = asyncio.Event()
        self._waiting = False
        self._pass_on: Callable[[Frame], bool] | None = None
        self._passed = self._told = EventId("", 0)

    @property
    def interrupted(self) -> bool:
        """Whether it has to read again what was missed, which iterating does."""
        return self._early is not None

    async def start(self, after: str | None) -> None:
        """Queue what the stream begins with. The reader listens already. Raise what `EventStore.read` raises."""
        while self._early is not None:
            early = self._early
            view = await self._read(self.session, self._wanted.run_id)
            # Unless it was interrupted meanwhile: then the view may lack what was not heard.
            if early is self._early:
                self._begin(view, after)

    def hear(self, position: int, notice: Notice) -> None:
        """Listen to the session: called with whatever happens in it."""
        if isinstance(notice, Interrupted):
            self._early = []
            self._stirred.set()
        elif self._early is None:
            self._take(notice)
        elif len(self._early) < self._queue_frames:
            self._early.append((position, notice))
        else:
            self.end(EndReason.SLOW_READER)

    def pass_to(self, send: Callable[[Frame], bool]) -> None:
        """Give `send` what comes while iterating waits for something: a reader that keeps up costs no task a wake-up.

        It neither waits nor raises. What it returns False for is iterated, and so is whatever is behind that.
        """
        self._pass_on = send

    def beat(self) -> None:
        """Queue a heartbeat, unless one waits. It moves the cursor past what the filter held back."""
        if self.ended or (self._queue and isinstance(self._queue[-1], Heartbeat)):
            return
        self._push(Heartbeat(self._passed if self._passed != self._told else None))
        self._told = self._passed

    def end(self, reason: EndReason) -> None:
        """Let the stream end after what is queued. Idempotent; the first reason stays."""
        if self.ended is None:
            self.ended = reason
            # Not passed on: whoever iterates is to find the end.
            self._queue.append(StreamEnded(reason))
            self._stirred.set()

    def _begin(self, view: View, after: str | None) -> None:
        """Queue what was missed, then what was heard since the view was taken."""
        early, self._early = self._early or [], None
        if self.ended:
            return
        start = start_of(view, after)
        # Before anything with an id: a reader cut off in between must be told again.
        if start.resync:
            self._queue.append(ResyncRequired(start.resync, view.head))
        self._queue.append(Heartbeat(start.cursor))
        self._passed = self._told = start.cursor
        self._room = self._queue_frames + len(start.missed) + len(view.partials) + 2
        for event in start.missed:
            self._take(event)
        for partial in view.partials:
            self._take(partial)
        if self._wanted.run_id is not None and view.final_seq is not None and view.final_seq <= start.cursor.seq:
            self.end(EndReason.RUN_FINISHED)
        for position, content in early:
            # The view contains it already.
            if position > view.tail:
                self._take(content)

    def _take(self, content: Content | SessionClosed) -> None:
        if self.ended:
            return
        if isinstance(content, SessionClosed):
            self.end(EndReason.DELETED)
            return
        if isinstance(content, StoredEvent):
            self._passed = content.id
        if self._wanted.wants(content):
            if len(self._queue) >= self._room:
                self.end(EndReason.SLOW_READER)
                return
            if isinstance(content, StoredEvent):
                self._told = content.id
            self._push(content)
        if content.final and content.run_id == self._wanted.run_id:
            self.end(EndReason.RUN_FINISHED)

    def _push(self, frame: Frame) -> None:
        if self._waiting and not self._queue and self._pass_on is not None and self._pass_on(frame):
            return
        self._queue.append(frame)
        self._stirred.set()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Frame:
        while not self._queue:
            if self.ended:
                raise StopAsyncIteration
            self._stirred.clear()
            if self.interrupted:
                await self._go_on()
            else:
                await self._until_stirred()
        return self._queue.popleft()

    async def _until_stirred(self) -> None:
        self._waiting = True
        try:
            await self._stirred.wait()
        finally:
            self._waiting = False

    async def _go_on(self) -> None:
        """Read again, after an interruption, what was missed; or wait for a moment, if that cannot be had yet."""
        try:
            await self.start(str(self._passed))
        except SessionNotFound:
            self.end(EndReason.DELETED)
        except EventsUnavailable:
            # Heartbeats go on, and so does the end of a token.
            with suppress(TimeoutError):
                async with asyncio.timeout(_READ_AGAIN_SECONDS):
                    await self._stirred.wait()
