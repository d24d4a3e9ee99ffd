"""The agent bus of all replicas that share a Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import structlog

from services.agents.bus import QUEUE_CAPACITY, Limits
from services.agents.errors import AgentQueueFull, AgentQueueUnavailable
from services.agents.redis_places import RedisLane, RedisPlace
from services.agents.redis_scripts import CHANNEL, FULL, Lane, RedisScripts
from services.runtime.ids import new_id
from services.runtime.redis_client import RedisUnavailable, answered, naming_outages, redis_of
from services.runtime.tasks import repeating

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS = 0.1
"""Before Redis, out of reach, is asked again; it doubles up to the time between renewals."""
_LISTEN_AGAIN_SECONDS = 1.0
_QUIET_SECONDS = 5.0
"""A channel that says nothing for so long is asked whether it is still there."""

Answer = TypeVar("Answer")


@asynccontextmanager
async def redis_agent_bus(
    url: str, lease_seconds: float, capacity: int = QUEUE_CAPACITY
) -> AsyncIterator["RedisAgentBus"]:
    """A bus on the Redis at `url`, which may be out of reach; at the end of the block every place is left."""
    client = redis_of(url)
    try:
        bus = RedisAgentBus(client, lease_seconds, capacity)
        async with bus.kept():
            try:
                yield bus
            finally:
                await bus.leave_all()
    finally:
        await client.aclose()


class RedisAgentBus:
    """An AgentBus whose places are leases in Redis, which this process renews every third of `lease_seconds`.

    Every replica must have the same `lease_seconds`. While Redis is out of reach nobody enters, those that run go on
    and those that wait go on waiting; afterwards they take their places again, unless others have them.
    """

    def __init__(self, client: "Redis", lease_seconds: float, capacity: int = QUEUE_CAPACITY) -> None:
        self._client = client
        self._scripts = RedisScripts(client, lease_seconds)
        self._renew_seconds = lease_seconds / 3
        self._capacity = capacity
        self._lanes: dict[str, RedisLane] = {}
        self._stirred: set[str] = set()
        self._woken = asyncio.Event()
        self._renewed_at = float("-inf")
        self._renewal: asyncio.Future[None] | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._away = False
        self._hears = True

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew this process's places and hear of the others' while the block runs. Nothing else does."""
        renewing = repeating("renew agents' places", self._keep, self._renew_seconds, self._woken)
        hearing = repeating("hear of agents' queues", self._listen, _LISTEN_AGAIN_SECONDS)
        async with renewing, hearing as listen:
            listen.set()
            yield

    @asynccontextmanager
    async def enter(self, agent_id: str, limits: Limits) -> AsyncIterator[RedisPlace]:
        """See AgentBus."""
        place = RedisPlace(agent_id, new_id(), self._leave)
        try:
            await self._enter(place, limits)
            yield place
        finally:
            await place.leave()

    async def resize(self, agent_id: str, limits: Limits) -> None:
        """See AgentBus."""
        if (lane := self._lanes.get(agent_id)) is not None:
            lane.limits = limits
        try:
            await self._asked(self._scripts.resize(agent_id, limits))
        except RedisUnavailable as error:
            log.warning("an agent's new limits wait for its next task", agent_id=agent_id, cause=error.cause)

    async def throttle(self, agent_id: str, seconds: float) -> None:
        """See AgentBus."""
        try:
            await self._asked(self._scripts.throttle(agent_id, seconds))
        except RedisUnavailable as error:
            log.warning("an agent's burst stays open", agent_id=agent_id, cause=error.cause)

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """See AgentBus. While Redis is out of reach: those that run a task of this process.

        That an agent looks idle for a while is better than that nobody can look at it.
        """
        asked = set(agent_ids)
        here = {agent_id for agent_id in asked if agent_id in self._lanes and self._lanes[agent_id].running}
        # Somebody finds out soon enough that it is back; who only looks need not wait for that.
        if self._away or not asked:
            return here
        try:
            return await self._asked(self._scripts.busy(asked))
        except RedisUnavailable:
            return here

    async def leave_all(self) -> None:
        """Leave every place of this process."""
        await asyncio.gather(*(place.leave() for lane in list(self._lanes.values()) for place in list(lane.places)))

    async def _enter(self, place: RedisPlace, limits: Limits) -> None:
        try:
            told, place.ticket = await self._asked(
                self._scripts.enter(place.agent_id, place.id, limits, self._capacity)
            )
        except RedisUnavailable:
            place.forget()
            raise AgentQueueUnavailable from None
        if told == FULL:
            place.forget()
            raise AgentQueueFull(place.agent_id, self._capacity)
        lane = self._lanes.setdefault(place.agent_id, RedisLane())
        lane.limits = limits
        lane.places.append(place)
        place.hear(told)
        if not place.runs:
            # What changed while the answer was on its way was told to nobody here.
            self._stir(place.agent_id)

    async def _leave(self, place: RedisPlace) -> bool:
        lane = self._lanes.get(place.agent_id, RedisLane())
        lane.places = [each for each in lane.places if each is not place]
        if not lane.places:
            lane.end_looking()
            self._lanes.pop(place.agent_id, None)
        if place.lost:
            return False
        if self._renewal is not None:
            # Otherwise what it has sent could take the place again, and nobody would leave it.
            await asyncio.wait([self._renewal])
        try:
            ran, running = await self._asked(self._scripts.leave(place.agent_id, place.id))
        except RedisUnavailable as error:
            log.warning("a place is left to expire", agent_id=place.agent_id, cause=error.cause)
            ran, running = False, lane.running
        return (place.runs or ran) and running == 0

    def _stir(self, agent_id: str) -> None:
        """See soon how the places at the agent stand."""
        self._stirred.add(agent_id)
        self._woken.set()

    def _renew_everywhere(self) -> None:
        """Do it soon, not when it is time."""
        self._renewed_at = float("-inf")
        self._woken.set()

    async def _keep(self) -> None:
        """Renew the places at agents where something changed, or all of them when it is time."""
        now = asyncio.get_running_loop().time()
        # Whoever is woken in between puts the next regular round off: by half of it at most.
        everywhere = now - self._renewed_at >= self._renew_seconds / 2
        agents = self._lanes.keys() if everywhere else self._stirred & self._lanes.keys()
        self._stirred = set()
        if not agents and not everywhere:
            return
        if everywhere:
            # Before: who asks for it meanwhile asks for another one.
            self._renewed_at = now
        try:
            # Without places too: it tells whether Redis is there.
            await self._renew([(agent_id, self._lanes[agent_id]) for agent_id in agents])
        except RedisUnavailable:
            self._renewed_at = float("-inf")
            asyncio.get_running_loop().call_later(self._pause, self._woken.set)
            self._pause = min(2 * self._pause, self._renew_seconds)
            return
        self._pause = _FIRST_PAUSE_SECONDS

    async def _renew(self, lanes: list[tuple[str, RedisLane]]) -> None:
        asked = [(agent_id, lane, list(lane.places)) for agent_id, lane in lanes]
        self._renewal = asyncio.get_running_loop().create_future()
        try:
            renewed = await self._asked(
                self._scripts.renew(
                    [Lane(agent_id, lane.limits, [each.held for each in places]) for agent_id, lane, places in asked]
                )
            )
        finally:
            self._renewal.set_result(None)
            self._renewal = None
        for (agent_id, lane, places), answer in zip(asked, renewed, strict=True):
            for place, told in zip(places, answer.told, strict=True):
                if place in lane.places:
                    place.hear(told)
            lane.places = [each for each in lane.places if not each.lost]
            lane.look_again(answer.more_after_seconds, self._stir, agent_id)

    async def _listen(self) -> None:
        """Hear whose queue moved, until the connection breaks."""
        try:
            with naming_outages():
                async with self._client.pubsub() as changes:
                    await answered(changes.subscribe(CHANNEL))
                    asked = False
                    # The client sends sometimes while it reads, and may lose a cancellation then: see `answered`.
                    while not _cancelled():
                        message = await changes.get_message(timeout=_QUIET_SECONDS)
                        if message is None:
                            if asked:
                                raise TimeoutError("the channel is silent")
                            await answered(changes.ping())
                        asked = message is None
                        if message is not None:
                            self._hear(message["type"], message["data"])
        except RedisUnavailable as error:
            if self._hears:
                self._hears = False
                log.warning("agents' queues are looked at, not heard of", cause=error.cause)
                # At once: it may be Redis itself that is gone, with all that it knew.
                self._renew_everywhere()

    def _hear(self, kind: str, data: str) -> None:
        if kind == "subscribe":
            # Also after a connection that broke: what was said before reached nobody.
            self._hears = True
            self._renew_everywhere()
        elif kind == "message" and data in self._lanes and self._lanes[data].waits:
            self._stir(data)

    async def _asked(self, call: Awaitable[Answer]) -> Answer:
        """What Redis answers. Raise RedisUnavailable."""
        try:
            answer = await call
        except RedisUnavailable as error:
            self._out_of_reach(error)
            raise
        if self._away:
            self._away = False
            log.info("Redis is back")
            self._renew_everywhere()
        return answer

    def _out_of_reach(self, error: RedisUnavailable) -> None:
        if not self._away:
            self._away = True
            log.error("Redis is out of reach: agents take no new tasks", cause=error.cause)
            self._renew_everywhere()


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
