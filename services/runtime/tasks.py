"""Background work that belongs to somebody: a loop that outlives its failures and ends with its owner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()


@asynccontextmanager
async def repeating(
    name: str, work: Callable[[], Awaitable[None]], every_seconds: float, wake: asyncio.Event | None = None
) -> AsyncIterator[asyncio.Event]:
    """Run `work` again and again while the block runs, `every_seconds` apart, or at once when `wake` is set.

    The event is yielded; one is made where none is given.

    A round that fails is logged and the next one comes: the database may be back by then.
    """
    awake = wake or asyncio.Event()

    async def loop() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(awake.wait(), every_seconds)
            awake.clear()
            try:
                await work()
            except Exception:
                log.exception("background work failed", work=name)

    task = asyncio.create_task(loop(), name=name)
    try:
        yield awake
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
