"""`EventStore` of all replicas that share a Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from services.runtime.event_ids import EventId
from services.runtime.ownership import OwnerGuard
from services.runtime.redis_client import redis_of
from services.runtime.tasks import repeating
from services.streams.errors import EventsUnavailable, RunSuperseded, SessionNotFound
from services.streams.redis_commits import Commits, Reach
from services.streams.redis_live import LiveReader
from services.streams.redis_members import RedisMemberStore
from services.streams.redis_scripts import CLOSED, SUPERSEDED
from services.streams.redis_wire import event_arguments, event_of, name_of, owner_of, snapshot_of, text_arguments
from services.streams.store import SESSION_SECONDS, Listener, NewEvent, RunKey, SessionKey, Text, View

if TYPE_CHECKING:
    from redis.asyncio import Redis

_OWN = OwnerGuard("session_events", user="key.user_id", project="key.project_id")

KEEP_SECONDS = SESSION_SECONDS / 24
"""How often those who listen keep their sessions alive: some rounds may fail."""
_KEPT_AT_ONCE = 200


@asynccontextmanager
async def redis_stores(url: str) -> AsyncIterator[tuple["RedisEventStore", RedisMemberStore]]:
    """The streams on the Redis at `url`, which may be out of reach, and who may watch them, until the block ends."""
    # What is told twice would be heard twice.
    client = redis_of(url, text=False, again=False)
    # Its connection waits, and breaks, for nobody else.
    hearing = redis_of(url, text=False, again=False)
    try:
        reach = Reach()
        commits = Commits(client, reach)
        store = RedisEventStore(commits, hearing, reach)
        async with commits.going(), store.kept():
            yield store, RedisMemberStore(commits)
    finally:
        await hearing.aclose()
        await client.aclose()


class RedisEventStore:
    """An EventStore in which a script alone changes streams, and tells of it in one live stream of all sessions.

    Listeners hear what this process reads of that; `read` returns when they have heard all that its view contains. So
    none is given a view of a Redis that has begun anew before it was interrupted. A listener's session is kept alive
    every `KEEP_SECONDS`, so it may be dropped as much sooner after the last one has left its process in a crash.
    """

    at_once = False

    def __init__(self, commits: Commits, hearing: "Redis", reach: Reach) -> None:
        self._commits = commits
        self._live = LiveReader(hearing, reach, self._where)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Pass on what is told while the block runs, and keep alive what is listened to. Nothing else does."""
        following = repeating("hear of events", self._live.follow, 0.0)
        keeping = repeating("keep streams that are listened to", self.keep_alive, KEEP_SECONDS)
        async with following, keeping:
            yield

    async def keep_alive(self) -> None:
        """Put off the end of the sessions that are listened to here."""
        names = self._live.names
        with suppress(EventsUnavailable):
            for first in range(0, len(names), _KEPT_AT_ONCE):
                some = names[first : first + _KEPT_AT_ONCE]
                await asyncio.gather(*(self._commits.do(b"touch", name) for name in some))

    async def open_run(self, session: SessionKey, run: RunKey) -> None:
        """See EventStore."""
        await self._do(b"open", session, *_of_run(run))

    async def publish(self, session: SessionKey, run: RunKey, event: NewEvent, n: int | None) -> EventId | None:
        """See EventStore."""
        number = b"" if n is None else b"%d" % n
        answer = await self._do(b"publish", session, *_of_run(run), number, *event_arguments(run.run_id, event))
        if answer[0] == SUPERSEDED:
            raise RunSuperseded(run.run_id)
        return EventId(answer[1].decode(), answer[2]) if len(answer) > 1 else None

    async def publish_text(self, session: SessionKey, run: RunKey, text: Text) -> None:
        """See EventStore."""
        await self._do(b"text", session, *_of_run(run), *text_arguments(text))

    def publish_text_now(self, session: SessionKey, run: RunKey, text: Text) -> bool:
        """See EventStore. Redis is always waited for."""
        return False

    async def read(self, session: SessionKey, run_id: str | None = None) -> View:
        """See EventStore."""
        answer = await self._commits.do(b"read", name_of(session), (run_id or "").encode())
        went, life, at = answer[:3]
        await self._live.reached(life, at)
        if went == CLOSED:
            raise SessionNotFound(session.session_id)
        name, epoch, seq, final, buffer, partials = answer[3:]
        if not _OWN.passes(owner_of(name), session.user_id, session.project_id):
            raise SessionNotFound(session.session_id)
        return View(
            head=EventId(epoch.decode(), seq),
            buffer=tuple(map(event_of, buffer)),
            partials=tuple(map(snapshot_of, partials)),
            tail=at,
            final_seq=int(final) if final else None,
        )

    @contextmanager
    def listen(self, session: SessionKey, listener: Listener) -> Iterator[None]:
        """See EventStore."""
        with self._live.listen(session, listener):
            self._commits.post(b"touch", name_of(session))
            try:
                yield
            finally:
                self._commits.post(b"touch", name_of(session))

    async def close(self, session: SessionKey) -> None:
        """See EventStore."""
        await self._commits.do(b"close", name_of(session))

    async def _do(self, operation: bytes, session: SessionKey, *arguments: bytes) -> list[Any]:
        answer = await self._commits.do(operation, name_of(session), *arguments)
        if answer[0] == CLOSED:
            raise SessionNotFound(session.session_id)
        return answer

    async def _where(self) -> tuple[int, int]:
        _, life, position = await self._commits.do(b"where", b"")
        return life, position


def _of_run(run: RunKey) -> tuple[bytes, bytes]:
    return run.run_id.encode(), b"%d" % run.epoch
