"""The agent buses that the suite of their contract runs over."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from services.agents.bus import AgentBus
from services.agents.in_process_bus import InProcessAgentBus
from services.agents.redis_bus import redis_agent_bus
from tests.redis_server import RedisServer

LEASE_SECONDS = 60.0
"""So long that no test is saved by a renewal: who waits must be told."""
MakeBus = Callable[[int], AbstractAsyncContextManager[AgentBus]]
"""Opens a bus at which so many tasks may wait for one agent."""


@asynccontextmanager
async def _in_process(capacity: int) -> AsyncIterator[AgentBus]:
    bus = InProcessAgentBus(capacity)
    yield bus
    bus.close()


def _redis(request: pytest.FixtureRequest) -> MakeBus:
    server: RedisServer = request.getfixturevalue("shared_redis")
    return lambda capacity: redis_agent_bus(server.url, LEASE_SECONDS, capacity)


BUSES: dict[str, Callable[[pytest.FixtureRequest], MakeBus]] = {"in process": lambda _: _in_process, "redis": _redis}
