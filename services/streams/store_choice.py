"""Where the streams are kept, and who may watch them. Only the wiring asks."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.runtime.settings import Settings
from services.streams.members import MemberStore, MemoryMemberStore
from services.streams.store import EventStore


@asynccontextmanager
async def stores_of(settings: Settings, clock: Callable[[], float]) -> AsyncIterator[tuple[EventStore, MemberStore]]:
    """Those on the Redis that REDIS_URL names, or those of this process, until the block ends.

    `clock`, Unix time in seconds, is for the latter: Redis has its own.
    """
    # Imported where it is chosen: neither costs those who use the other.
    if settings.redis_url:
        from services.streams.redis_store import redis_stores

        async with redis_stores(settings.redis_url) as stores:
            yield stores
        return
    from services.streams.memory_store import MemoryEventStore

    yield MemoryEventStore(clock, lambda: secrets.token_hex(6)), MemoryMemberStore(clock)
