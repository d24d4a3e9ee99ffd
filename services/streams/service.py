"""Use cases of the streams service: subscribe, publish, close."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.runtime.event_ids import EventId
from services.streams.errors import SessionNotFound, ShuttingDown, TooManyStreams
from services.streams.members import MemberStore
from services.streams.store import EventStore, NewEvent, RunKey, SessionKey, Text
from services.streams.subscription import EndReason, Filter, Subscription

log = structlog.get_logger()


@dataclass(frozen=True)
class StreamLimits:
    """How long and how much."""

    heartbeat_seconds: float = 15.0
    """Between two heartbeats of a stream. Below the idle limits of common proxies (60 s), also when one is lost."""
    queue_frames: int = 1_000
    """Frames that may wait for one reader: half a minute of an answer at 33 frames/s."""
    user_streams: int = 1_000
    """Open at once for one user, on this replica."""
    rotate_seconds: float = 1_800.0
    """Until a stream ends for its reader to come back, up to a tenth earlier or later. Its connection grows as old, and
    new replicas are found by those who connect again."""
    sweep_seconds: float = 0.5
    """Between two looks at all streams: how late what is due by the clock may come."""
    stalled_seconds: float = 5.0
    """How long a stream that has to end waits for its reader to take the rest, before it is cut off."""
    stop_seconds: float = 1.0
    """The same when the service stops."""


class SessionDirectory(Protocol):
    """Who knows which sessions exist."""

    async def has(self, session: SessionKey) -> bool:
        """Whether the caller of the present RPC owns this session under this project. Raise SessionsUnknown if that
        cannot be found out."""


class Publication:
    """One publisher's open stream: the events of one run."""

    def __init__(self, store: EventStore, session: SessionKey, run: RunKey) -> None:
        self._store = store
        self._session = session
        self._run = run

    async def event(self, event: NewEvent, n: int | None) -> EventId | None:
        """Publish; see `EventStore.publish`."""
        return await self._store.publish(self._session, self._run, event, n)

    def text(self, text: Text) -> Awaitable[None]:
        """Bring an answer's text forward; see `EventStore.publish_text`."""
        return self._store.publish_text(self._session, self._run, text)

    @property
    def at_once(self) -> bool:
        """Whether `text_now` ever does what it is asked."""
        return self._store.at_once

    def text_now(self, text: Text) -> bool:
        """As `text`, where nothing has to be waited for; see `EventStore.publish_text_now`."""
        return self._store.publish_text_now(self._session, self._run, text)


@dataclass(eq=False)
class _Reader:
    """An open stream, when it is due for what, and how to cut it off."""

    subscription: Subscription
    cut: Callable[[], object]
    beat_at: float
    rotate_at: float
    cut_at: float | None = None
    due_at: float = 0.0
    """Before then there is nothing to be done with it, unless it ends."""


class StreamService:
    """The streams of this replica's readers, over a store that all replicas share."""

    def __init__(
        self,
        store: EventStore,
        members: MemberStore,
        sessions: SessionDirectory,
        clock: Callable[[], float],
        limits: StreamLimits,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        self._store = store
        self._members = members
        self._sessions = sessions
        self._clock = clock
        self._limits = limits
        self._readers: set[_Reader] = set()
        self._streams_of: Counter[str] = Counter()
        self._publishers: set[asyncio.Timeout] = set()
        self._stopping = False
        # Set when the last stream has ended and no new one is taken.
        self._idle = asyncio.Event()

    @property
    def open_streams(self) -> int:
        """Readers and publishers that are connected."""
        return len(self._readers) + len(self._publishers)

    @asynccontextmanager
    async def subscribe(
        self, session: SessionKey, after: str | None, wanted: Filter, expires_at: float, cut: Callable[[], object]
    ) -> AsyncIterator[Subscription]:
        """Open a stream for the reader that `session.user_id` is, until the block ends.

        `after` is where to begin (see SubscribeRequest), `expires_at` when the reader's token ends; `cut` is called
        when the stream has ended and its reader does not take the rest. Raise SessionNotFound unless the session is
        theirs, TooManyStreams if they have as many as may be.
        """
        if self._stopping:
            raise ShuttingDown
        with self._place(session.user_id):
            await self.admit(session)
            subscription = Subscription(session, wanted, expires_at, self._limits.queue_frames, self._store.read)
            # Listen before reading the buffer: the other order loses events.
            with self._store.listen(session, subscription.hear):
                await subscription.start(after)
                if self._stopping:
                    raise ShuttingDown
                with self._looked_after(subscription, cut):
                    yield subscription

    @contextmanager
    def _place(self, user_id: str) -> Iterator[None]:
        """One of the streams that the user may have open, until the block ends, however it does."""
        if self._streams_of[user_id] >= self._limits.user_streams:
            raise TooManyStreams(self._limits.user_streams)
        self._streams_of[user_id] += 1
        try:
            yield
        finally:
            self._streams_of[user_id] -= 1
            if not self._streams_of[user_id]:
                del self._streams_of[user_id]

    @contextmanager
    def _looked_after(self, subscription: Subscription, cut: Callable[[], object]) -> Iterator[None]:
        """Let `sweep` and `stop` do with the stream what is due, until the block ends."""
        now = self._clock()
        reader = _Reader(
            subscription,
            cut,
            beat_at=now + self._limits.heartbeat_seconds,
            # Who came together shall not come back together.
            rotate_at=now + self._limits.rotate_seconds * random.uniform(0.9, 1.1),
        )
        self._readers.add(reader)
        try:
            yield
        finally:
            self._readers.discard(reader)
            self._left()

    @asynccontextmanager
    async def publish(self, session: SessionKey, run: RunKey) -> AsyncIterator[Publication]:
        """Open a stream of the run's events, until the block ends. Raise ShuttingDown, also later, when the service
        stops, and SessionNotFound once the session is deleted."""
        await self._store.open_run(session, run)
        await self._members.add(session)
        if self._stopping:
            raise ShuttingDown
        # No limit as yet: `stop` sets one that has passed.
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._publishers.add(limit)
                try:
                    yield Publication(self._store, session, run)
                finally:
                    self._publishers.discard(limit)
                    self._left()
        except TimeoutError:
            if limit.expired():
                raise ShuttingDown from None
            raise

    async def admit(self, session: SessionKey) -> None:
        """Raise SessionNotFound unless the session is that of the present RPC's caller, who `session.user_id` is."""
        if await self._members.has(session):
            return
        if not await self._sessions.has(session):
            raise SessionNotFound(session.session_id)
        await self._members.add(session)

    async def close(self, sessions: Sequence[SessionKey]) -> None:
        """End the streams of deleted sessions and forget their events. Idempotent."""
        for session in sessions:
            await self._members.remove(session)
            await self._store.close(session)

    async def sweep(self) -> None:
        """Do what is due by the clock: heartbeats, ends of tokens, rotation, cutting off who does not read."""
        now = self._clock()
        for reader in self._readers:
            if reader.due_at <= now or reader.subscription.ended is not None:
                self._look_after(reader, now)

    def _look_after(self, reader: _Reader, now: float) -> None:
        subscription = reader.subscription
        if subscription.ended:
            if reader.cut_at is None:
                reader.cut_at = now + self._limits.stalled_seconds
            elif reader.cut_at <= now:
                session_id, reason = subscription.session.session_id, subscription.ended.text
                log.info("stalled reader cut off", session_id=session_id, reason=reason)
                reader.cut()
        elif subscription.expires_at <= now:
            subscription.end(EndReason.TOKEN_EXPIRED)
        elif reader.rotate_at <= now:
            # So that what its filter held back is not between the reader and its return.
            subscription.beat()
            subscription.end(EndReason.ROTATED)
        elif reader.beat_at <= now:
            subscription.beat()
            reader.beat_at = now + self._limits.heartbeat_seconds
        reader.due_at = min(subscription.expires_at, reader.rotate_at, reader.beat_at)

    async def stop(self) -> None:
        """End every stream, so that the server need not wait for any; take no new ones. Publishers see ShuttingDown."""
        self._stopping = True
        for limit in self._publishers:
            limit.reschedule(asyncio.get_running_loop().time())
        for reader in self._readers:
            reader.subscription.end(EndReason.SHUTDOWN)
        if self.open_streams:
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(self._limits.stop_seconds):
                    await self._idle.wait()
        # A reader that takes nothing is not waited for.
        for reader in self._readers:
            reader.cut()

    def _left(self) -> None:
        if self._stopping and not self.open_streams:
            self._idle.set()
