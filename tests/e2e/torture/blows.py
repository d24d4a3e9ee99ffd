"""What strikes while answers are written."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import redis as redis_client

from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from tests.e2e.torture.torture import Torture


@dataclass(frozen=True)
class Blow:
    name: str
    strike: Callable[["Torture"], Awaitable[None]]
    epochs: int = 0
    """New epochs that it may begin: where a backend loses what it kept."""


async def _kill(name: str, torture: "Torture") -> None:
    process = torture.suite.processes[name]
    process.kill()
    await process.wait()
    await torture.suite.start(name)


async def _restart_redis(redis: RedisServer, saved: bool, seconds: float, torture: "Torture") -> None:
    if saved:
        with redis_client.Redis.from_url(redis.url) as client:
            await asyncio.to_thread(client.save)
    await asyncio.to_thread(redis.stop)
    await asyncio.sleep(seconds)
    if not saved:
        (redis.folder / "dump.rdb").unlink(missing_ok=True)
    await asyncio.to_thread(redis.start)


async def _silence_redis(redis: RedisServer, seconds: float, torture: "Torture") -> None:
    redis.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        redis.send(signal.SIGCONT)


KILL_ORCHESTRATOR = Blow("SIGKILL of the orchestrator that owns runs", partial(_kill, "orchestrator"))
KILL_ONLY_STREAMS = Blow("SIGKILL of the only streams", partial(_kill, "streams"), epochs=1)
KILL_ONE_STREAMS = Blow("SIGKILL of one streams", partial(_kill, "streams"))


def blows_to(redis: RedisServer, away_seconds: float) -> dict[str, Blow]:
    """What may befall the Redis that keeps the streams."""
    restart = partial(partial, _restart_redis, redis)
    return {
        "emptied": Blow("Redis comes back empty", restart(False, 0.2), epochs=1),
        "restored": Blow("Redis comes back as it was a moment before", restart(True, 0.2), epochs=1),
        "silent": Blow(f"Redis is silent for {away_seconds:g} s", partial(_silence_redis, redis, away_seconds)),
        "away": Blow(f"Redis is away for {away_seconds:g} s", restart(False, away_seconds), epochs=1),
    }
