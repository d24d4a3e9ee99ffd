"""Where the agents' queues and slots are kept. Only the wiring asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.agents.bus import AgentBus
from services.runtime.settings import Settings


@asynccontextmanager
async def agent_bus_of(settings: Settings) -> AsyncIterator[AgentBus]:
    """The bus on the Redis that REDIS_URL names, or the one of this process. It is closed when the block ends."""
    # Imported where it is chosen: neither costs those who use the other.
    if settings.redis_url:
        from services.agents.redis_bus import redis_agent_bus

        async with redis_agent_bus(settings.redis_url, settings.lease_seconds) as shared:
            yield shared
        return
    from services.agents.in_process_bus import InProcessAgentBus

    bus = InProcessAgentBus()
    try:
        yield bus
    finally:
        bus.close()
