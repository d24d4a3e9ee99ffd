"""The agent buses that the suite of their contract runs over."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from services.agents.bus import AgentBus
from services.agents.in_process_bus import InProcessAgentBus

MakeBus = Callable[[int], AbstractAsyncContextManager[AgentBus]]
"""Opens a bus at which so many tasks may wait for one agent."""


@asynccontextmanager
async def _in_process(capacity: int) -> AsyncIterator[AgentBus]:
    bus = InProcessAgentBus(capacity)
    yield bus
    bus.close()


BUSES: dict[str, Callable[[pytest.FixtureRequest], MakeBus]] = {"in process": lambda _: _in_process}
