"""The client of Redis as every service has it: nobody waits for ever, and an outage has one name."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    # Imported by those alone who have a REDIS_URL.
    from redis.asyncio import Redis

ANSWER_SECONDS = 2.0
"""Longest wait for a connection, and for an answer."""
_MOST_CONNECTIONS = 16
"""Of a process. Redis answers one at a time; who finds none free waits for a moment."""
_IDLE_SECONDS = 30.0
"""A connection that was quiet for so long is tried before it is used: what lies between may have forgotten it."""


Answer = TypeVar("Answer")


class RedisUnavailable(Exception):
    """Redis is out of reach, or refuses. `cause` is for the log: without the URL, which may hold a password."""

    def __init__(self, cause: str, *, credentials: bool = False) -> None:
        """`credentials`: it is there, and does not let this user in, or not do this."""
        super().__init__(cause)
        self.cause = cause
        self.credentials = credentials


def redis_of(url: str, *, text: bool = True, again: bool = True) -> "Redis":
    """A client that speaks text, or bytes. Nothing connects yet; `aclose` it when done.

    `again`: what is sent to a connection that breaks is sent once more, for which twice must be as good as once.
    """
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected

    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=text,
        # The newer protocol begins with a negotiation that only one vendor's servers know.
        protocol=2,
        max_connections=_MOST_CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        health_check_interval=_IDLE_SECONDS,
        # Once, for a connection that Redis closed meanwhile. Not after silence, of which nobody knows what it did.
        retry=Retry(NoBackoff(), int(again), (Disconnected,)),
    )
    return Redis.from_pool(pool)


@contextmanager
def naming_outages() -> Iterator[None]:
    """Raise RedisUnavailable for whatever Redis does not do in the block."""
    from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        refused = isinstance(error, (AuthenticationError, NoPermissionError))
        raise RedisUnavailable(f"{type(error).__name__}: {error}", credentials=refused) from None


async def answered(call: Awaitable[Answer]) -> Answer:
    """What the client answers to the call. Raise RedisUnavailable.

    Whoever is cancelled meanwhile is cancelled when the call is over, which is soon: so it is known what was done. And
    before Python 3.12 the client loses a cancellation that meets it while it sends (it calls asyncio.wait_for).
    """
    asking = asyncio.ensure_future(call)
    try:
        with naming_outages():
            return await asyncio.shield(asking)
    except asyncio.CancelledError:
        await asyncio.wait([asking])
        if not asking.cancelled():
            asking.exception()  # Seen: nobody asks for it any more.
        raise
