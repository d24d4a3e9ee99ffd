"""Places: whatever becomes of those who wait, none is lost."""

import asyncio

import pytest

from services.runtime.places import Places

WITHIN = 30.0


async def hold(places: Places, until: asyncio.Event, within: float = WITHIN) -> None:
    async with places.one(within):
        await until.wait()


async def test_place_that_was_given_to_who_is_cancelled_just_then_is_the_next_ones() -> None:
    places, done, never = Places(1), asyncio.Event(), asyncio.Event()
    holding = asyncio.create_task(hold(places, done))
    await asyncio.sleep(0)
    cancelled, next_one = (asyncio.create_task(hold(places, never)) for _ in range(2))
    await asyncio.sleep(0)
    done.set()
    await holding
    # It was given the place, and has not yet had its turn to hear of it.
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    never.set()
    await asyncio.wait_for(next_one, WITHIN)


async def test_who_gives_up_waiting_is_passed_over() -> None:
    places, done = Places(1), asyncio.Event()
    holding = asyncio.create_task(hold(places, done))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await hold(places, done, within=0.0)
    done.set()
    await holding
    async with asyncio.timeout(WITHIN), places.one(WITHIN):
        pass


async def test_no_more_have_places_than_there_are() -> None:
    places, having, most = Places(3), 0, 0

    async def have() -> None:
        nonlocal having, most
        async with places.one(WITHIN):
            having += 1
            most = max(most, having)
            await asyncio.sleep(0)
            having -= 1

    await asyncio.gather(*(have() for _ in range(20)))
    assert most == 3
