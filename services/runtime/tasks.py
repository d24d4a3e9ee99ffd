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
        # Work may have lost its cancellation, as what calls asyncio.wait_for before Python 3.12 does.
        while not task.cancelling():
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(every_seconds):
                    await awake.wait()
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
        await asyncio.wait([task])
