"""A database whose transactions can be held open at their end: what races with them meets them at the worst moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import Database
from tests.databases import Place


class HeldDatabase:
    """A database whose next writer does all that it has to, and does not commit before `go` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hold = True
        self.done = asyncio.Event()
        self.go = asyncio.Event()

    def read(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.read(urgent=urgent)

    @asynccontextmanager
    async def write(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        hold, self._hold = self._hold, False
        async with self._database.write(urgent=urgent) as connection:
            yield connection
            if hold:
                self.done.set()
                async with asyncio.timeout(30):
                    await self.go.wait()

    def migrate(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.migrate()

    async def close(self) -> None:
        await self._database.close()


async def meet(place: Place, first: HeldDatabase, early: Any, late: Any) -> tuple[Any, Any]:
    """Let `early` write on `first`, and `late` come before that is committed; return how both ended, also if by errors.

    `early` commits when `late` waits for it, or has not waited and is over.
    """
    one = asyncio.ensure_future(early)
    async with asyncio.timeout(30):
        await first.done.wait()
        two = asyncio.ensure_future(late)
        await until_waiting(place, two)
        first.go.set()
        ended = await asyncio.gather(one, two, return_exceptions=True)
    return ended[0], ended[1]


async def until_waiting(place: Place, task: "asyncio.Future[Any]") -> None:
    """Return when the task waits for another one's lock, as far as the place can tell, or is over."""
    while not task.done() and not await _somebody_waits(place):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def _somebody_waits(place: Place) -> bool:
    """Whether a transaction in the place, a schema of PostgreSQL, waits for another one's lock."""
    connection = await asyncpg.connect(place.url)
    try:
        waiting: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
            f"codelab {place.schema}",
        )
    finally:
        await connection.close()
    return waiting > 0
