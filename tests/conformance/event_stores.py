"""The stores of events and members that the suites of their contracts run over, and the clock that moves them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from itertools import count
from typing import Protocol

import pytest
from redis.asyncio import Redis

from services.runtime import redis_client
from services.runtime.redis_client import redis_of
from services.streams.members import MemberStore, MemoryMemberStore
from services.streams.memory_store import MemoryEventStore
from services.streams.redis_store import KEEP_SECONDS, RedisEventStore, redis_stores
from services.streams.store import EventStore, SessionKey
from tests.redis_server import RedisServer


class Clock(Protocol):
    """The time by which a backend lets things expire."""

    async def advance(self, seconds: float) -> None:
        """Let so much time pass."""


_NOBODYS = SessionKey("", "", "")
StoresAndClock = tuple[EventStore, MemberStore, Clock]
MakeStores = Callable[[], AbstractAsyncContextManager[StoresAndClock]]


class OwnClock:
    """What a backend in this process asks for the time."""

    def __init__(self) -> None:
        self._now = 1_000_000.0

    def __call__(self) -> float:
        return self._now

    async def advance(self, seconds: float) -> None:
        self._now += seconds


class RedisClock:
    """Brings the end of all keys nearer: Redis' own clock cannot be moved."""

    _SHORTEN = """
    for _, key in ipairs(redis.call('KEYS', '*')) do
      local left = redis.call('PTTL', key)
      if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
      if string.sub(key, 1, 14) == 'user_sessions:' then
        for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
          if member ~= '' then redis.call('ZINCRBY', key, '-' .. ARGV[1], member) end
        end
      end
    end
    """

    def __init__(self, client: Redis, *stores: RedisEventStore) -> None:
        self._client = client
        self._stores = stores

    async def advance(self, seconds: float) -> None:
        for store in self._stores:
            # Behind what it has been asked for, in order.
            await store.read(_NOBODYS)
        while seconds > 0:
            step = min(seconds, KEEP_SECONDS)
            await self._client.eval(self._SHORTEN, 0, str(round(step * 1000)))
            # What they do as time passes.
            for store in self._stores:
                await store.keep_alive()
            seconds -= step


@asynccontextmanager
async def in_memory() -> AsyncIterator[StoresAndClock]:
    """Those of this process."""
    clock, epochs = OwnClock(), count(1)
    yield MemoryEventStore(clock, lambda: f"e{next(epochs)}"), MemoryMemberStore(clock), clock


def database_of_streams(server: RedisServer) -> str:
    """The URL of a database of the server that nobody else uses."""
    return server.url.removesuffix("/0") + "/1"


@contextmanager
def patience() -> Iterator[None]:
    """Wait longer for Redis than is right elsewhere: a machine that is busy with tests is no outage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis_client, "ANSWER_SECONDS", 20.0)
        yield


def _redis(request: pytest.FixtureRequest) -> MakeStores:
    url = database_of_streams(request.getfixturevalue("shared_redis"))

    @asynccontextmanager
    async def make() -> AsyncIterator[StoresAndClock]:
        with patience():
            client = redis_of(url)
            await client.flushdb()
            async with redis_stores(url) as (events, members):
                # From here on nobody is interrupted.
                await events.read(_NOBODYS)
                yield events, members, RedisClock(client, events)
            await client.aclose()

    return make


STORES: dict[str, Callable[[pytest.FixtureRequest], MakeStores]] = {"memory": lambda _: in_memory, "redis": _redis}
