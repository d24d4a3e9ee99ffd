"""Where the agents' queues and the sessions' events are: whether Redis answers, if it is configured."""

from services.doctor.finding import Finding, fail, ok, place, warn
from services.runtime.redis_client import RedisUnavailable, answered, redis_of
from services.runtime.settings import Settings

_WHAT = "queues"
# Not only a ping: who may not run scripts, and have them ask what they ask, has no queues and no events. Nobody has any
# where nothing can be written, as on a replica, or in full memory: to write nothing is refused there as well.
_SCRIPT = """
redis.call('TIME') redis.call('INFO', 'server') redis.call('SETRANGE', KEYS[1], 0, '')
local memory = redis.call('INFO', 'memory')
local policy = string.match(memory, 'maxmemory_policy:([%w-]+)')
return not string.find(memory, 'maxmemory:0%c') and policy or ''
"""


async def queues(settings: Settings) -> list[Finding]:
    """Redis if it is configured, else each process itself."""
    if not settings.redis_url:
        return [ok(_WHAT, "and events in process, which is right for one replica")]
    where = place(settings.redis_url)
    client = redis_of(settings.redis_url)
    try:
        policy = await answered(client.eval(_SCRIPT, 1, "session_events_doctor"))
    except RedisUnavailable as error:
        if error.credentials:
            mend = "correct the user and password in REDIS_URL, or what the user may do"
            return [fail(_WHAT, f"Redis at {where} refused the credentials: {error.cause}", mend)]
        mend = "start it, or make it take what is written, or correct REDIS_URL"
        return [fail(_WHAT, f"Redis at {where} cannot be used: {error.cause}", mend)]
    finally:
        await client.aclose()
    if policy not in ("", "noeviction"):
        detail = f"Redis at {where} throws away what it likes when its memory is full: maxmemory-policy is {policy}"
        return [warn(_WHAT, detail, "set maxmemory-policy noeviction, and enough memory")]
    return [ok(_WHAT, f"with events in Redis at {where}, which answers")]
