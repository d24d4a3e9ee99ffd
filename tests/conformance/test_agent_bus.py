"""The promises of `AgentBus`, kept by every backend."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from services.agents.bus import AgentBus, Limits, Place
from services.agents.errors import AgentQueueFull
from tests.conformance.agent_buses import BUSES, MakeBus
from tests.e2e.polling import eventually


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "redis")) for name in BUSES])
def make_bus(request: pytest.FixtureRequest) -> MakeBus:
    return BUSES[request.param](request)


@pytest.fixture
async def bus(make_bus: MakeBus) -> AsyncIterator[AgentBus]:
    async with make_bus(100) as bus:
        yield bus


@pytest.fixture
def agent() -> str:
    """Another one in each test: they share a server."""
    return str(uuid.uuid4())


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Who entered, and has to leave."""
    async with AsyncExitStack() as entered:
        yield entered


class Waiting:
    """A task that waits for its turn, and what it was told."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.told: list[int] = []
        self._reading = asyncio.create_task(self._read(), name="waiting")

    async def _read(self) -> None:
        async for position in self.place.ahead():
            self.told.append(position)

    @property
    def runs(self) -> bool:
        if self._reading.done():
            self._reading.result()
        return self._reading.done()

    async def is_told(self, *positions: int) -> None:
        await eventually(lambda: self.told == list(positions), what=f"{positions}")

    async def turn(self) -> None:
        """Its turn comes."""
        await asyncio.wait_for(self._reading, 10)

    async def give_up(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self.place.leave()


class Door:
    """Enters one agent again and again."""

    def __init__(self, bus: AgentBus, agent: str, stack: AsyncExitStack, limits: Limits) -> None:
        self._bus, self._agent, self._stack, self._limits = bus, agent, stack, limits

    async def enter(self) -> Waiting:
        return Waiting(await self._stack.enter_async_context(self._bus.enter(self._agent, self._limits)))

    async def run(self) -> Waiting:
        entered = await self.enter()
        await entered.turn()
        assert entered.told == []
        return entered

    async def queue(self, ahead: int) -> Waiting:
        entered = await self.enter()
        await entered.is_told(ahead)
        return entered


@pytest.fixture
def one(bus: AgentBus, agent: str, stack: AsyncExitStack) -> Door:
    return Door(bus, agent, stack, Limits(1))


@pytest.fixture
def two(bus: AgentBus, agent: str, stack: AsyncExitStack) -> Door:
    return Door(bus, agent, stack, Limits(2))


@pytest.fixture
def bursting(bus: AgentBus, agent: str, stack: AsyncExitStack) -> Door:
    return Door(bus, agent, stack, Limits(1, burst=3))


async def test_task_with_room_runs_at_once_and_the_first_is_told_so(two: Door, bus: AgentBus, agent: str) -> None:
    first, second = await two.run(), await two.run()
    assert (first.place.first, second.place.first) == (True, False)
    assert await bus.busy([agent, "other"]) == {agent}
    assert not await first.place.leave()
    assert await second.place.leave()
    assert not await second.place.leave()
    assert await bus.busy([agent]) == set()
    assert await bus.busy([]) == set()


async def test_who_waits_is_told_how_many_are_ahead_until_it_may_run_in_the_order_they_came(one: Door) -> None:
    running = await one.run()
    waiting = [await one.queue(ahead=number) for number in range(3)]
    for number, each in enumerate(waiting):
        assert not await running.place.leave()
        await each.turn()
        for later in waiting[number + 1 :]:
            await later.is_told(*range(waiting.index(later), waiting.index(later) - number - 2, -1))
        running = each
    assert [each.told for each in waiting] == [[0], [1, 0], [2, 1, 0]]
    assert not any(each.place.first for each in waiting), "the agent was never idle"
    assert await running.place.leave()


async def test_who_gives_up_waiting_lets_the_others_move_up_and_takes_no_slot(one: Door) -> None:
    running, first, second, third = await one.run(), *[await one.queue(ahead=number) for number in range(3)]
    await second.give_up()
    await third.is_told(2, 1)
    await first.give_up()
    await third.is_told(2, 1, 0)
    await running.place.leave()
    await third.turn()
    assert await third.place.leave()


async def test_more_than_may_wait_are_refused_and_take_no_place(
    make_bus: MakeBus, agent: str, stack: AsyncExitStack
) -> None:
    async with make_bus(1) as small, AsyncExitStack() as entered:
        door = Door(small, agent, entered, Limits(1))
        running, waiting = await door.run(), await door.queue(ahead=0)
        with pytest.raises(AgentQueueFull):
            await door.enter()
        await running.place.leave()
        await waiting.turn()
        await door.queue(ahead=0)


async def test_block_that_fails_leaves(bus: AgentBus, agent: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with bus.enter(agent, Limits(1)):
            raise ZeroDivisionError
    assert await bus.busy([agent]) == set()


async def test_caller_that_is_cancelled_while_it_enters_takes_no_place(one: Door, bus: AgentBus, agent: str) -> None:
    for rounds in range(4):
        entering = asyncio.create_task(_stay(bus, agent))
        for _ in range(rounds):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
    assert await bus.busy([agent]) == set()
    assert (await one.run()).place.first


async def _stay(bus: AgentBus, agent: str) -> None:
    async with bus.enter(agent, Limits(1)):
        await asyncio.get_running_loop().create_future()


async def test_higher_limit_admits_and_a_lower_one_interrupts_nobody(one: Door, bus: AgentBus, agent: str) -> None:
    first, second, third = await one.run(), await one.queue(ahead=0), await one.queue(ahead=1)
    await bus.resize(agent, Limits(2))
    await second.turn()
    await third.is_told(1, 0)
    await bus.resize(agent, Limits(1))
    await first.place.leave()
    assert await bus.busy([agent]) == {agent}
    assert not third.runs
    await second.place.leave()
    await third.turn()
    assert third.told == [1, 0]
    await bus.resize(f"idle {agent}", Limits(5))


async def test_agent_has_the_limits_of_who_entered_last(one: Door, two: Door) -> None:
    await one.run()
    waiting = await one.queue(ahead=0)
    last = await two.enter()
    await waiting.turn()
    await last.is_told(0)


# Burst


async def test_burst_runs_more_at_once_while_nothing_is_refused(bursting: Door) -> None:
    [await bursting.run() for _ in range(3)]
    await bursting.queue(ahead=0)


async def test_burst_below_the_concurrency_takes_nothing_away(bus: AgentBus, agent: str, stack: AsyncExitStack) -> None:
    door = Door(bus, agent, stack, Limits(2, burst=1))
    [await door.run() for _ in range(2)]
    await door.queue(ahead=0)


async def test_throttled_agent_runs_no_more_than_its_concurrency_and_who_runs_goes_on(
    bursting: Door, bus: AgentBus, agent: str
) -> None:
    running = [await bursting.run() for _ in range(3)]
    await bus.throttle(agent, 600)
    await bus.throttle(agent, 0.001)
    waiting = await bursting.queue(ahead=0)
    for each in running[:2]:
        await each.place.leave()
        assert not waiting.runs
    await bursting.queue(ahead=1)
    assert not waiting.runs
    await running[2].place.leave()
    await waiting.turn()


async def test_burst_opens_again_by_itself_for_those_that_wait(bursting: Door, bus: AgentBus, agent: str) -> None:
    running = [await bursting.run() for _ in range(3)]
    waiting = [await bursting.queue(ahead=number) for number in range(3)]
    await bus.throttle(agent, 0.3)
    for each in running[:2]:
        await each.place.leave()
    await waiting[0].turn()
    await waiting[1].turn()
    assert not waiting[2].runs
    await eventually(lambda: waiting[2].told[-1] == 0, what="the first place in the queue")


async def test_throttle_outlives_the_tasks_that_met_it(bursting: Door, bus: AgentBus, agent: str) -> None:
    refused = await bursting.run()
    await bus.throttle(agent, 600)
    assert await refused.place.leave()
    await bursting.run()
    await bursting.queue(ahead=0)
