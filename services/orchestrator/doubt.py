"""Not knowing what was written."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from services.runtime.database import DatabaseUnavailable

log = structlog.get_logger()

Result = TypeVar("Result")

# A database's restart takes about a second.
PATIENCE_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


async def once_known(read: Callable[[], Awaitable[Result]]) -> Result:
    """Read, as soon as the database answers, what became of a write whose answer was lost.

    Raise DatabaseUnavailable if it does not for some seconds: what was written is taken over, or told, by whoever finds
    it later.
    """
    clock = asyncio.get_running_loop().time
    deadline, wait = clock() + PATIENCE_SECONDS, _FIRST_WAIT_SECONDS
    while True:
        try:
            return await read()
        except DatabaseUnavailable as error:
            if clock() > deadline:
                raise
            log.warning("the database does not say what it has written", cause=error.cause)
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
