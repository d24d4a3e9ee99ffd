"""The client of Redis, where it differs from what it wraps."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from services.runtime.redis_client import answered, redis_of
from tests.redis_server import RedisServer


@pytest.mark.server_backed
async def test_cancellation_reaches_who_waits_at_whatever_moment_and_the_call_is_over(
    shared_redis: RedisServer,
) -> None:
    client = redis_of(shared_redis.url)
    late = 0
    for turns in range(1, 20):
        asking = asyncio.create_task(_asked(client.incr("asked")))
        for _ in range(turns):
            await asyncio.sleep(0)
        late += asking.done()
        cancelled = asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled() == cancelled
    assert late < 19, "some are cancelled in time"
    assert int(await answered(client.get("asked"))) == 19
    await client.aclose()


async def _asked(call: Awaitable[Any]) -> Any:
    return await answered(call)
