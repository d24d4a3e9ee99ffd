"""The agents' queues and slots in Redis: scripts alone read and change them, by Redis' own clock.

Five keys an agent, each of which ends two leases after it was last used:

    agent_task_queue:<agent id>      sorted set: the places that wait, by ticket, the first is next
    agent_task_waiters:<agent id>    sorted set: the same places, by the end of their lease in milliseconds
    agent_task_slots:<agent id>      sorted set: the places that run, by the end of their lease
    agent_task_limits:<agent id>     hash: `concurrency`, `highest`; `first`, the place that found the agent idle; and
                                     `settled`, when new ones may run again after Redis lost everything
    agent_task_throttle:<agent id>   there while no burst is permitted

A ticket is the time in microseconds at which its place came, so that those who come back after Redis lost everything
are in their old order, before who comes then. For a lease's time after that nobody new runs: whoever ran takes its slot
again in that time. Every script but `busy` first frees what has expired, then admits who has
room, and then says on CHANNEL whose queue moved.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.agents.bus import Limits
from services.runtime.redis_client import answered

if TYPE_CHECKING:
    from redis.asyncio import Redis

CHANNEL = "agent_task_changes"
RUNS, RUNS_FIRST, GONE, FULL = -1, -2, -3, -4
"""What a place is told instead of how many wait ahead of it."""

_LANE = (
    f"local channel = '{CHANNEL}'"
    + """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local micros = clock[1] * 1000000 + clock[2]
local lease = tonumber(ARGV[1])

-- Numbers of 16 digits must not be rounded on their way.
local function exact(number) return string.format('%.0f', number) end

local function open(key, agent)
  local lane = {agent = agent, queue = KEYS[key], waiters = KEYS[key + 1], slots = KEYS[key + 2],
                limits = KEYS[key + 3], throttle = KEYS[key + 4], moved = false}
  -- Before anything is freed: an agent whose last task died was never called idle.
  lane.idle = redis.call('ZCARD', lane.slots) == 0
  lane.settled = tonumber(redis.call('HGET', lane.limits, 'settled') or 0)
  return lane
end

local function running(lane) return redis.call('ZCARD', lane.slots) end

local function limit(lane)
  local name = redis.call('EXISTS', lane.throttle) == 1 and 'concurrency' or 'highest'
  return tonumber(redis.call('HGET', lane.limits, name) or 0)
end

local function room(lane)
  return lane.settled > now and 0 or limit(lane) - running(lane)
end

local function reap(lane)
  for _, place in ipairs(redis.call('ZRANGEBYSCORE', lane.waiters, '-inf', exact(now))) do
    redis.call('ZREM', lane.queue, place)
    redis.call('ZREM', lane.waiters, place)
    lane.moved = true
  end
  redis.call('ZREMRANGEBYSCORE', lane.slots, '-inf', exact(now))
end

local function run(lane, place, expires)
  redis.call('ZADD', lane.slots, exact(expires), place)
  if lane.idle then redis.call('HSET', lane.limits, 'first', place) end
  lane.idle = false
end

local function admit(lane)
  local free = room(lane)
  while free > 0 do
    local place = redis.call('ZPOPMIN', lane.queue)[1]
    if not place then return end
    -- With the lease that it has: who died while it waited does not live on in a slot.
    run(lane, place, redis.call('ZSCORE', lane.waiters, place) or now + lease)
    redis.call('ZREM', lane.waiters, place)
    lane.moved = true
    free = free - 1
  end
end

local function wait(lane, place, ticket)
  redis.call('ZADD', lane.queue, exact(ticket), place)
  redis.call('ZADD', lane.waiters, exact(now + lease), place)
end

local function told(lane, place)
  if redis.call('ZSCORE', lane.slots, place) then
    return redis.call('HGET', lane.limits, 'first') == place and -2 or -1
  end
  return redis.call('ZRANK', lane.queue, place) or -3
end

local function close(lane)
  for _, key in ipairs({lane.queue, lane.waiters, lane.slots, lane.limits}) do
    redis.call('PEXPIRE', key, exact(2 * lease))
  end
  if lane.moved then redis.call('PUBLISH', channel, lane.agent) end
end
"""
)

_ENTER = """
local lane, place, capacity = open(1, ARGV[2]), ARGV[3], tonumber(ARGV[6])
redis.call('HSET', lane.limits, 'concurrency', ARGV[4], 'highest', ARGV[5])
reap(lane)
admit(lane)
local ticket = micros
local answer = told(lane, place)
-- It may be here: whoever got no answer asks again.
if answer == -3 then
  if room(lane) > 0 then
    run(lane, place, now + lease)
  elseif redis.call('ZCARD', lane.queue) < capacity then
    local last = redis.call('ZRANGE', lane.queue, -1, -1, 'WITHSCORES')[2]
    if last and tonumber(last) >= ticket then ticket = tonumber(last) + 1 end
    wait(lane, place, ticket)
  else
    answer = -4
  end
  if answer ~= -4 then answer = told(lane, place) end
end
close(lane)
return {answer, exact(ticket)}
"""

_LEAVE = """
local lane, place = open(1, ARGV[2]), ARGV[3]
local ran = redis.call('ZREM', lane.slots, place)
if redis.call('ZREM', lane.queue, place) == 1 then
  redis.call('ZREM', lane.waiters, place)
  lane.moved = true
end
reap(lane)
admit(lane)
close(lane)
return {ran, running(lane)}
"""

_RESIZE = """
local lane = open(1, ARGV[2])
if redis.call('EXISTS', lane.limits) == 0 then return end
redis.call('HSET', lane.limits, 'concurrency', ARGV[3], 'highest', ARGV[4])
reap(lane)
admit(lane)
close(lane)
"""

_THROTTLE = """
local lane, milliseconds = open(1, ARGV[2]), tonumber(ARGV[3])
if redis.call('PTTL', lane.throttle) < milliseconds then
  redis.call('SET', lane.throttle, '1', 'PX', exact(milliseconds))
  -- Who waits must know when to look again: nobody is told that a key has expired.
  lane.moved = true
end
reap(lane)
admit(lane)
close(lane)
"""

# For each agent: its id, its two limits, how many places, and for each of them its id, whether it runs, and its ticket.
_RENEW = """
local answers, key, argument = {}, 1, 2
while argument <= #ARGV do
  local lane, count = open(key, ARGV[argument]), tonumber(ARGV[argument + 3])
  -- Only where Redis has lost them: others may have changed them.
  if redis.call('HSETNX', lane.limits, 'highest', ARGV[argument + 2]) == 1 then
    lane.settled = now + lease
    redis.call('HSET', lane.limits, 'concurrency', ARGV[argument + 1], 'settled', exact(lane.settled))
  end
  local first, last = argument + 4, argument + 1 + 3 * count
  local expires = exact(now + lease)
  -- What nobody has freed yet is still theirs, however late they are.
  for at = first, last, 3 do
    redis.call('ZADD', lane.slots, 'XX', expires, ARGV[at])
    if redis.call('ZSCORE', lane.queue, ARGV[at]) then redis.call('ZADD', lane.waiters, expires, ARGV[at]) end
  end
  reap(lane)
  for at = first, last, 3 do
    if told(lane, ARGV[at]) == -3 then
      if ARGV[at + 1] == '0' then
        wait(lane, ARGV[at], tonumber(ARGV[at + 2]))
        lane.moved = true
      elseif running(lane) < limit(lane) then
        lane.idle = false
        run(lane, ARGV[at], now + lease)
      end
    end
  end
  admit(lane)
  answers[#answers + 1] = lane.settled > now and lane.settled - now or redis.call('PTTL', lane.throttle)
  for at = first, last, 3 do answers[#answers + 1] = told(lane, ARGV[at]) end
  close(lane)
  key, argument = key + 5, last + 3
end
return answers
"""

_BUSY = """
local answers = {}
for at, slots in ipairs(KEYS) do answers[at] = redis.call('ZCOUNT', slots, '(' .. exact(now), '+inf') end
return answers
"""


@dataclass(frozen=True)
class Held:
    """A place as its process knows it. One that waits has the ticket it was given."""

    id: str
    runs: bool
    ticket: str


@dataclass(frozen=True)
class Lane:
    """The places of one process at one agent, and the limits it last heard of."""

    agent_id: str
    limits: Limits
    places: Sequence[Held]


@dataclass(frozen=True)
class Renewed:
    """What each of a lane's places is told, and after how many seconds more may run, though nobody leaves."""

    told: list[int]
    more_after_seconds: float | None


class RedisScripts:
    """The scripts, each one round trip. Each raises RedisUnavailable; to run one twice is to run it once.

    Whoever is cancelled while one runs is so when it is over: what it did can be undone then.
    """

    def __init__(self, client: "Redis", lease_seconds: float) -> None:
        self._lease = str(round(lease_seconds * 1000))
        names = {"enter": _ENTER, "leave": _LEAVE, "resize": _RESIZE, "throttle": _THROTTLE, "renew": _RENEW}
        self._scripts = {name: client.register_script(_LANE + text) for name, text in (names | {"busy": _BUSY}).items()}

    async def enter(self, agent_id: str, place: str, limits: Limits, capacity: int) -> tuple[int, str]:
        """Let a place run or wait. Return what it is told, and its ticket."""
        arguments = [agent_id, place, limits.concurrency, limits.highest, capacity]
        told, ticket = await self._run("enter", _keys(agent_id), arguments)
        return told, ticket

    async def leave(self, agent_id: str, place: str) -> tuple[bool, int]:
        """Take a place out. Return whether it had a slot, and how many run there now."""
        ran, running = await self._run("leave", _keys(agent_id), [agent_id, place])
        return bool(ran), running

    async def resize(self, agent_id: str, limits: Limits) -> None:
        await self._run("resize", _keys(agent_id), [agent_id, limits.concurrency, limits.highest])

    async def throttle(self, agent_id: str, seconds: float) -> None:
        await self._run("throttle", _keys(agent_id), [agent_id, max(1, round(seconds * 1000))])

    async def renew(self, lanes: Sequence[Lane]) -> list[Renewed]:
        """Extend the leases of all these places; those that were freed take their places again, if they can."""
        keys: list[str] = []
        arguments: list[Any] = []
        for lane in lanes:
            keys += _keys(lane.agent_id)
            arguments += [lane.agent_id, lane.limits.concurrency, lane.limits.highest, len(lane.places)]
            for place in lane.places:
                arguments += [place.id, int(place.runs), place.ticket]
        answers = iter(await self._run("renew", keys, arguments))
        renewed = []
        for lane in lanes:
            milliseconds = next(answers)
            told = [next(answers) for _ in lane.places]
            renewed.append(Renewed(told, milliseconds / 1000 if milliseconds >= 0 else None))
        return renewed

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """Return those of the agents that run something."""
        asked = list(agent_ids)
        running = await self._run("busy", [f"agent_task_slots:{each}" for each in asked], [])
        return {agent_id for agent_id, number in zip(asked, running, strict=True) if number}

    async def _run(self, name: str, keys: list[str], arguments: list[Any]) -> Any:
        return await answered(self._scripts[name](keys, [self._lease, *arguments]))


def _keys(agent_id: str) -> list[str]:
    return [f"agent_task_{name}:{agent_id}" for name in ("queue", "waiters", "slots", "limits", "throttle")]
