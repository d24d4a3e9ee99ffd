"""All that is told in Redis, read by one cursor, and passed on to who listens here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from services.runtime import redis_client
from services.runtime.ownership import OwnerGuard
from services.runtime.redis_client import naming_outages
from services.streams.errors import EventsUnavailable
from services.streams.redis_commits import Reach
from services.streams.redis_scripts import LIVE
from services.streams.redis_wire import name_of, notice_of, owner_of
from services.streams.store import Interrupted, Listener, SessionKey

if TYPE_CHECKING:
    from redis.asyncio import Redis

_OWN = OwnerGuard("session_events", user="key.user_id", project="key.project_id")

_AT_ONCE = 200
_FIRST_PAUSE_SECONDS = 0.1
"""Before Redis, out of reach, is asked a second time; it doubles up to the longest."""
_LONGEST_PAUSE_SECONDS = 1.0
_QUIET_SECONDS = 1.0
"""After so long without anything it is asked whether there is nothing."""
_CANCEL_SECONDS = 0.05


class LiveReader:
    """Where this process stands in the live stream, and who listens to what.

    Positions have no holes, so what was not read is noticed, whatever the reason: then everybody hears Interrupted.
    """

    def __init__(self, client: "Redis", reach: Reach, where: Callable[[], Awaitable[tuple[int, int]]]) -> None:
        """`where` asks for the life and the position of the latest thing that was told. Raise EventsUnavailable."""
        self._client = client
        client.set_response_callback("XREAD", _as_it_comes)
        self._reach = reach
        self._where = where
        self._life = self._position = 0
        # By the name of the session, and by the block that listens: two may pass equal listeners.
        self._listeners: dict[bytes, dict[object, tuple[SessionKey, Listener]]] = {}
        self._awaited: list[tuple[int, int, asyncio.Future[None]]] = []
        self._pause = 0.0

    @property
    def names(self) -> list[bytes]:
        """The sessions that somebody listens to."""
        return list(self._listeners)

    @contextmanager
    def listen(self, session: SessionKey, listener: Listener) -> Iterator[None]:
        """See EventStore."""
        name, block = name_of(session), object()
        self._listeners.setdefault(name, {})[block] = (session, listener)
        try:
            yield
        finally:
            del self._listeners[name][block]
            if not self._listeners[name]:
                del self._listeners[name]

    async def reached(self, life: int, position: int) -> None:
        """Wait until everything up to there was passed on. Raise EventsUnavailable if that takes too long."""
        if life == self._life and position <= self._position:
            return
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.append((life, position, passed))
        try:
            async with asyncio.timeout(redis_client.ANSWER_SECONDS):
                await passed
        except TimeoutError:
            raise EventsUnavailable from None
        finally:
            self._awaited = [each for each in self._awaited if each[2] is not passed]

    async def follow(self) -> None:
        """Pass on what comes, until Redis is out of reach; then wait for a moment."""
        try:
            while True:
                await self._look()
                # Less than the wait for an answer, of which this is one.
                while await self._take(min(_QUIET_SECONDS, redis_client.ANSWER_SECONDS / 2)):
                    self._pause = 0.0
                self._pause = 0.0
        except EventsUnavailable:
            # A connection alone that broke costs nobody time.
            await asyncio.sleep(self._pause)
            self._pause = min(max(_FIRST_PAUSE_SECONDS, 2 * self._pause), _LONGEST_PAUSE_SECONDS)
        except Exception:
            # Whatever could not be passed on is missing.
            self._interrupt()
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)
            raise

    async def _look(self) -> None:
        """See whether something was told that comes no more: after a connection broke, and when it is quiet."""
        life, position = await self._where()
        same = life == self._life
        if not same or (position > self._position and not await self._take(None)):
            self._go_on_at(life, position)

    async def _take(self, wait_seconds: float | None) -> bool:
        """Pass on what comes next. Return whether something did."""
        cursor = f"{self._life}-{self._position}"
        block = None if wait_seconds is None else max(1, round(wait_seconds * 1000))
        answer = await self._reach.answer(self._ask(cursor, block))
        if not answer:
            return False
        ((_, entries),) = answer
        for id, (name, told) in entries:
            life, _, position = id.partition(b"-")
            self._pass_on(int(life), int(position), name, told)
        self._wake()
        return True

    async def _ask(self, cursor: str, block: int | None) -> Any:
        asking = asyncio.ensure_future(self._client.xread({LIVE: cursor}, count=_AT_ONCE, block=block))
        try:
            with naming_outages():
                return await asyncio.shield(asking)
        finally:
            # The client may lose a cancellation while it sends (see `answered`), and would wait for what comes next.
            while not asking.done():
                asking.cancel()
                await asyncio.wait([asking], timeout=_CANCEL_SECONDS)

    def _pass_on(self, life: int, position: int, name: bytes, told: bytes) -> None:
        if life != self._life or position != self._position + 1:
            self._interrupt()
        self._life, self._position = life, position
        listeners = self._listeners.get(name)
        if not listeners:
            return
        notice, owned = notice_of(told), owner_of(name)
        for session, listener in listeners.values():
            if _OWN.passes(owned, session.user_id, session.project_id):
                listener(position, notice)

    def _go_on_at(self, life: int, position: int) -> None:
        self._life, self._position = life, position
        self._interrupt()
        self._wake()

    def _interrupt(self) -> None:
        for listeners in self._listeners.values():
            for _, listener in listeners.values():
                listener(self._position, Interrupted())

    def _wake(self) -> None:
        for life, position, passed in self._awaited:
            if passed.done():
                continue
            if life < self._life:
                # Of a Redis that is no more.
                passed.set_exception(EventsUnavailable())
            elif (life, position) <= (self._life, self._position):
                passed.set_result(None)


def _as_it_comes(response: Any, **_: Any) -> Any:
    return response
