"""Background work that belongs to somebody."""

import asyncio
from contextlib import suppress

import pytest

from services.runtime.tasks import repeating


class Work:
    """Counts its rounds; `fails` says whether the next ones raise."""

    def __init__(self) -> None:
        self.rounds = 0
        self.fails = False
        self.done = asyncio.Event()

    async def __call__(self) -> None:
        self.rounds += 1
        self.done.set()
        if self.fails:
            raise RuntimeError("no")


async def test_work_is_done_at_once_when_woken() -> None:
    work = Work()
    async with repeating("test", work, 3600) as wake:
        wake.set()
        await asyncio.wait_for(work.done.wait(), 30)
    assert work.rounds == 1


async def test_work_is_done_again_and_again() -> None:
    work = Work()
    async with repeating("test", work, 0.001):
        for _ in range(3):
            work.done.clear()
            await asyncio.wait_for(work.done.wait(), 30)


async def test_work_that_fails_is_tried_again() -> None:
    work = Work()
    work.fails = True
    async with repeating("test", work, 3600) as wake:
        for _ in range(2):
            work.done.clear()
            wake.set()
            await asyncio.wait_for(work.done.wait(), 30)
    assert work.rounds == 2


async def test_work_ends_with_its_owner_also_if_just_woken() -> None:
    async with asyncio.timeout(30):
        async with repeating("test", Work(), 3600) as wake:
            await asyncio.sleep(0)
            wake.set()
            # The loop is about to be told, and then cancelled in the same breath.
            await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(5))
async def test_work_under_way_is_cancelled_with_its_owner(turns: int) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        async with repeating("test", hang, 3600) as wake:
            await asyncio.sleep(0)
            wake.set()
            for _ in range(turns):
                await asyncio.sleep(0)


async def test_work_that_loses_its_cancellation_ends_with_its_owner() -> None:
    begun = asyncio.Event()

    async def lose_it() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with asyncio.timeout(30):
        async with repeating("test", lose_it, 0):
            await begun.wait()
