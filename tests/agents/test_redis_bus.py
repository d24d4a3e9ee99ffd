"""The agent bus of several replicas: what may happen to a process, and to Redis."""

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from codelab.agents.v1 import agent_pb2

from services.agents.bus import Limits, Place
from services.agents.errors import AgentQueueUnavailable
from services.agents.redis_bus import RedisAgentBus
from services.runtime import redis_client
from services.runtime.redis_client import redis_of
from tests import redis_server
from tests.agents.calls import refused, serving
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel
from tests.redis_server import RedisServer

pytestmark = pytest.mark.server_backed

LEASE_SECONDS = 0.6


class Replica:
    """A process with its bus, which can freeze, come back, and die."""

    def __init__(self, server: RedisServer, lease_seconds: float = LEASE_SECONDS) -> None:
        self.redis = redis_of(server.url)
        self.bus = RedisAgentBus(self.redis, lease_seconds)
        self._keeping = AsyncExitStack()

    async def go_on(self) -> None:
        await self._keeping.enter_async_context(self.bus.kept())

    async def freeze(self) -> None:
        """It does nothing any more, and keeps its connections, as after SIGSTOP."""
        await self._keeping.aclose()


class Task:
    """A task at a replica: waiting, running, or lost."""

    def __init__(self, replica: Replica, place: Place, entered: AsyncExitStack) -> None:
        self.replica = replica
        self.place = place
        self.told: list[int] = []
        self.lost = asyncio.Event()
        self._entered = entered
        self._waiting = asyncio.create_task(self._wait(), name="waiting")
        place.when_lost(self.lost.set)

    async def _wait(self) -> None:
        async for position in self.place.ahead():
            self.told.append(position)

    @property
    def runs(self) -> bool:
        return self._waiting.done() and not self.lost.is_set()

    async def turn(self) -> None:
        await asyncio.wait_for(asyncio.shield(self._waiting), 10)

    async def is_told(self, *positions: int) -> None:
        await eventually(lambda: self.told == list(positions), what=f"{positions}")

    async def leave(self) -> bool:
        self._waiting.cancel()
        await asyncio.wait([self._waiting])
        idle = await self.place.leave()
        await self._entered.aclose()
        return idle


class World:
    """The replicas on one Redis, and the tasks of one agent."""

    def __init__(self) -> None:
        self.agent = str(uuid.uuid4())
        self.tasks: list[Task] = []
        self._opened = AsyncExitStack()

    async def replica(self, server: RedisServer, lease_seconds: float = LEASE_SECONDS) -> Replica:
        replica = Replica(server, lease_seconds)
        self._opened.push_async_callback(replica.redis.aclose)
        self._opened.push_async_callback(replica.freeze)
        await replica.go_on()
        return replica

    async def enter(self, replica: Replica, limits: Limits) -> Task:
        entered = AsyncExitStack()
        task = Task(replica, await entered.enter_async_context(replica.bus.enter(self.agent, limits)), entered)
        self.tasks.append(task)
        return task

    async def runs(self, replica: Replica, limit: int) -> Task:
        task = await self.enter(replica, Limits(limit))
        await task.turn()
        assert task.told == []
        return task

    async def waits(self, replica: Replica, limit: int, ahead: int) -> Task:
        task = await self.enter(replica, Limits(limit))
        await task.is_told(ahead)
        return task

    async def close(self) -> None:
        for task in self.tasks:
            await task.leave()
        await self._opened.aclose()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that the test may stop."""
    with redis_server.running() as server:
        yield server


async def test_replicas_share_one_limit_and_one_queue(world: World, shared_redis: RedisServer) -> None:
    ann, bob = [await world.replica(shared_redis, 60) for _ in range(2)]
    first, second = await world.runs(ann, 2), await world.runs(bob, 2)
    assert (first.place.first, second.place.first) == (True, False)
    third, fourth = await world.waits(ann, 2, ahead=0), await world.waits(bob, 2, ahead=1)
    assert await ann.bus.busy([world.agent]) == await bob.bus.busy([world.agent]) == {world.agent}
    assert await ann.redis.zcard(f"agent_task_queue:{world.agent}") == 2
    assert not await second.leave()
    await third.turn()
    await fourth.is_told(1, 0)
    assert not await first.leave()
    await fourth.turn()
    assert not await third.leave()
    assert await fourth.leave()
    assert await ann.bus.busy([world.agent]) == set()


async def test_refusal_that_one_replica_meets_ends_the_burst_of_all(world: World, shared_redis: RedisServer) -> None:
    ann, bob = [await world.replica(shared_redis, 60) for _ in range(2)]
    for seconds in (600, 0.3):
        world.agent = str(uuid.uuid4())
        await (await world.enter(ann, Limits(1, burst=2))).turn()
        await ann.bus.throttle(world.agent, seconds)
        waiting = await world.enter(bob, Limits(1, burst=2))
        if seconds == 600:
            await waiting.is_told(0)
    await waiting.turn()


async def test_nothing_stays_for_ever(world: World, shared_redis: RedisServer) -> None:
    ann = await world.replica(shared_redis, 60)
    await world.runs(ann, 1)
    await world.waits(ann, 1, ahead=0)
    await ann.bus.throttle(world.agent, 30)
    keys = [key async for key in ann.redis.scan_iter(f"*{world.agent}*")]
    assert sorted(key.partition(":")[0] for key in keys) == [
        f"agent_task_{name}" for name in ("limits", "queue", "slots", "throttle", "waiters")
    ]
    assert all([0 < await ann.redis.pttl(key) <= 120_000 for key in keys])


async def test_dead_replica_gives_up_its_slot_and_its_place_in_the_queue(
    world: World, shared_redis: RedisServer
) -> None:
    dead, alive = [await world.replica(shared_redis) for _ in range(2)]
    await world.runs(dead, 1)
    await world.waits(dead, 1, ahead=0)
    waiting = await world.waits(alive, 1, ahead=1)
    await dead.freeze()
    await waiting.turn()
    assert not waiting.place.first, "nobody said that the agent was idle"
    assert await waiting.leave()


async def test_frozen_replica_loses_what_others_took_and_keeps_its_place_in_the_queue(
    world: World, shared_redis: RedisServer
) -> None:
    frozen, alive = [await world.replica(shared_redis) for _ in range(2)]
    lost, early = await world.runs(frozen, 1), await world.waits(frozen, 1, ahead=0)
    late = await world.waits(alive, 1, ahead=1)
    await frozen.freeze()
    last = await world.waits(alive, 1, ahead=2)
    await late.turn()
    await last.is_told(2, 0)
    await frozen.go_on()
    await asyncio.wait_for(lost.lost.wait(), 10)
    await last.is_told(2, 0, 1)
    assert not await lost.leave()
    await late.leave()
    await early.turn()
    assert not last.runs


async def test_frozen_replica_that_nobody_missed_keeps_its_slot(world: World, shared_redis: RedisServer) -> None:
    frozen = await world.replica(shared_redis)
    running = await world.runs(frozen, 1)
    await frozen.freeze()
    other = await world.replica(shared_redis)
    await eventually(lambda: _idle(other, world.agent), what="the end of the lease")
    await frozen.go_on()
    await eventually(lambda: frozen.bus.busy([world.agent]))
    assert running.runs
    waiting = await world.waits(other, 1, ahead=0)
    assert not await running.leave()
    await waiting.turn()


async def _idle(replica: Replica, agent: str) -> bool:
    return not await replica.bus.busy([agent])


async def test_redis_that_comes_back_empty_finds_everybody_where_they_were(
    world: World, own_redis: RedisServer
) -> None:
    ann, bob = [await world.replica(own_redis) for _ in range(2)]
    first, second = await world.runs(ann, 2), await world.runs(bob, 2)
    waiting = [await world.waits(each, 2, ahead=number) for number, each in enumerate((bob, ann))]
    own_redis.stop()
    own_redis.start()

    async def all_back() -> bool:
        return await ann.redis.zcard(f"agent_task_slots:{world.agent}") == 2 and (
            await ann.redis.zcard(f"agent_task_queue:{world.agent}") == 2
        )

    await eventually(all_back, what="what was lost")
    last = await world.waits(ann, 2, ahead=2)
    for ending, next_one in zip((first, second), waiting, strict=True):
        assert not last.runs
        await ending.leave()
        await next_one.turn()
    assert not any(each.lost.is_set() for each in (first, second))


async def test_more_than_may_run_after_redis_forgot_who_ran_do_not_run_for_long(
    world: World, own_redis: RedisServer
) -> None:
    frozen, alive = [await world.replica(own_redis) for _ in range(2)]
    lost = await world.runs(frozen, 1)
    await frozen.freeze()
    own_redis.stop()
    own_redis.start()
    task: Task = await eventually(lambda: _entered(world, alive), what="Redis")
    await task.turn()
    await frozen.go_on()
    await asyncio.wait_for(lost.lost.wait(), 10)
    assert task.runs


async def _entered(world: World, replica: Replica) -> Task | None:
    """A task at the agent, which runs one at once; None while Redis is out of reach."""
    try:
        return await world.enter(replica, Limits(1))
    except AgentQueueUnavailable:
        return None


async def test_without_redis_nobody_enters_who_runs_goes_on_and_leaving_is_no_failure(
    world: World, own_redis: RedisServer
) -> None:
    ann = await world.replica(own_redis)
    ending, staying = await world.runs(ann, 2), await world.runs(ann, 2)
    waiting = await world.waits(ann, 2, ahead=0)
    own_redis.stop()
    for _ in range(2):
        with pytest.raises(AgentQueueUnavailable) as raised:
            await world.enter(ann, Limits(2))
        assert raised.value.retry_after
        assert redis_server.PASSWORD not in raised.value.detail
    await ann.bus.resize(world.agent, Limits(2))
    await ann.bus.throttle(world.agent, 30)
    assert await ann.bus.busy([world.agent, "other"]) == {world.agent}
    assert not await ending.leave(), "another one of this process runs"
    assert not waiting.runs
    own_redis.start()
    await waiting.turn()
    assert staying.runs
    await world.waits(ann, 2, ahead=0)


async def test_redis_that_does_not_answer_keeps_nobody_waiting_for_long(
    world: World, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.6)
    ann = await world.replica(own_redis)
    running = await world.runs(ann, 1)
    own_redis.send(signal.SIGSTOP)
    try:
        with pytest.raises(AgentQueueUnavailable):
            await asyncio.wait_for(world.enter(ann, Limits(1)), 5)
        assert await ann.bus.busy([world.agent]) == {world.agent}
        assert await running.leave()
    finally:
        own_redis.send(signal.SIGCONT)
    # What was sent while it slept may have been done after all: that expires.
    task: Task = await eventually(lambda: _entered(world, ann), what="Redis")
    await task.turn()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_happens_no_more_run_than_may_and_everybody_has_their_turn(
    world: World, shared_redis: RedisServer, seed: int
) -> None:
    chance, limit = random.Random(seed), 3
    replicas = [await world.replica(shared_redis) for _ in range(3)]
    slots = f"agent_task_slots:{world.agent}"
    present: list[Task] = []
    dead: list[Replica] = []
    seen = 0
    for step in range(120):
        alive = [each for each in replicas if each not in dead]
        mine = [task for task in present if task.replica in alive]
        if step in (40, 80):
            dead.append(chance.choice(alive))
            await dead[-1].freeze()
            replicas.append(await world.replica(shared_redis))
        elif mine and chance.random() < 0.4:
            leaving = chance.choice(mine)
            present.remove(leaving)
            await leaving.leave()
        else:
            present.append(await world.enter(chance.choice(alive), Limits(limit)))
        running = sum(task.runs for task in present if task.replica not in dead)
        seen = max(seen, running)
        assert running <= limit
        assert await replicas[0].redis.zcard(slots) <= limit
    assert seen == limit, "the agent was full at some time"
    # They came one after another, and so do they get their turn.
    for task in [each for each in present if each.replica not in dead]:
        await task.turn()
        await task.leave()
        present.remove(task)
    for each in dead:
        # What is theirs has expired: there is nothing to leave.
        await each.go_on()
    for task in present:
        await task.leave()
    assert not await replicas[-1].bus.busy([world.agent])


# Through the service


@asynccontextmanager
async def _thief(server: RedisServer, agent_id: str) -> AsyncIterator[None]:
    """Another replica has the agent's only slot, because Redis forgot who had it."""
    client = redis_of(server.url)
    try:
        while True:
            await client.delete(f"agent_task_slots:{agent_id}")
            async with RedisAgentBus(client, 60).enter(agent_id, Limits(1)) as place:
                # Who had it may have renewed it in between.
                if place.runs:
                    yield
                    return
    finally:
        await client.aclose()


async def test_task_that_lost_its_slot_ends_with_an_error_that_is_worth_another_attempt(
    tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer, model: FakeModel
) -> None:
    settings = {"REDIS_URL": shared_redis.url, "CODELAB_LEASE_SECONDS": "0.6", "OPENAI_BASE_URL": model.url}
    async with serving(tmp_path_factory.mktemp("agents"), **settings) as agents:
        user = agents.user()
        await agents.create_space(user)
        agent = agent_pb2.Agent(name="Worker", config=agent_pb2.AgentConfig(concurrency_limit=1))
        agent_id = (await agents.create(user, agent)).id
        call = agents.execute(user, agent_id, f"Wait. {Script(fault='hang').directive()}")
        await eventually(lambda: model.open_now())
        async with _thief(shared_redis, agent_id):
            with refused(grpc.StatusCode.UNAVAILABLE, "SLOT_LOST"):
                async for _ in call:
                    pass
            await eventually(lambda: model.exchanges()[0].outcome == "closed_by_client")
