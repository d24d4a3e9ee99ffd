"""Background work that belongs to somebody: a loop that outlives its failures and ends with its owner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()


@asynccontextmanager
async def repeating(
    name: str, work: Callable[[], Awaitable[None]], every_seconds: float
) -> AsyncIterator[asyncio.Event]:
    """Run `work` again and again while the block runs, `every_seconds` apart, or at once when the yielded event is set.

    A round that fails is logged and the next one comes: the database may be back by then.
    """
    wake = asyncio.Event()

    async def loop() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), every_seconds)
            wake.clear()
            try:
                await work()
            except Exception:
                log.exception("background work failed", work=name)

    task = asyncio.create_task(loop(), name=name)
    try:
        yield wake
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
