"""The agent bus without the service around it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.agents.bus import Place
from services.agents.errors import AgentQueueFull
from services.agents.in_process_bus import InProcessAgentBus

AGENT = "agent"


async def enter(stack: AsyncExitStack, bus: InProcessAgentBus, limit: int = 1) -> Place:
    return await stack.enter_async_context(bus.enter(AGENT, limit))


async def positions(place: Place) -> list[int]:
    return [position async for position in place.ahead()]


async def test_task_with_room_runs_at_once_and_the_first_is_told_so() -> None:
    bus = InProcessAgentBus()
    async with AsyncExitStack() as stack:
        first, second = await enter(stack, bus, 2), await enter(stack, bus, 2)
        assert (await positions(first), await positions(second)) == ([], [])
        assert (first.first, second.first) == (True, False)
        assert await bus.busy([AGENT, "other"]) == {AGENT}
        assert not await first.leave()
        assert await second.leave()
        assert not await second.leave()
        assert await bus.busy([AGENT]) == set()


async def test_who_waits_is_told_how_many_are_ahead_until_it_may_run() -> None:
    bus = InProcessAgentBus()
    async with AsyncExitStack() as stack:
        places = [await enter(stack, bus) for _ in range(4)]
        waiting = [asyncio.create_task(positions(place)) for place in places[1:]]
        await asyncio.sleep(0)
        for place in places:
            await place.leave()
            await asyncio.sleep(0)
        assert [await each for each in waiting] == [[0], [1, 0], [2, 1, 0]]


async def test_agent_stays_busy_while_tasks_follow_each_other() -> None:
    bus = InProcessAgentBus()
    async with AsyncExitStack() as stack:
        first, second = await enter(stack, bus), await enter(stack, bus)
        assert not await first.leave()
        assert await positions(second) == []
        assert not second.first
        assert await second.leave()


async def test_more_than_may_wait_are_refused_and_take_no_place() -> None:
    bus = InProcessAgentBus(capacity=1)
    async with AsyncExitStack() as stack:
        running, waiting = await enter(stack, bus), await enter(stack, bus)
        with pytest.raises(AgentQueueFull):
            await enter(stack, bus)
        await running.leave()
        assert await positions(waiting) == []
        await enter(stack, bus)


async def test_block_that_fails_leaves() -> None:
    bus = InProcessAgentBus()
    with pytest.raises(ZeroDivisionError):
        async with bus.enter(AGENT, 1):
            raise ZeroDivisionError
    assert await bus.busy([AGENT]) == set()


async def test_higher_limit_admits_and_a_lower_one_interrupts_nobody() -> None:
    bus = InProcessAgentBus()
    async with AsyncExitStack() as stack:
        first, second, third = [await enter(stack, bus) for _ in range(3)]
        await bus.resize(AGENT, 2)
        assert await positions(second) == []
        await bus.resize(AGENT, 1)
        await first.leave()
        waiting = asyncio.create_task(positions(third))
        await asyncio.sleep(0)
        assert not waiting.done()
        await second.leave()
        assert await waiting == [0]
        await bus.resize("idle agent", 5)
