from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from services.streams.service import StreamLimits
from tests.streams.world import World, a_world, in_tunnels

_CHANNELS = {"network": grpc.aio.insecure_channel, "tunnel": in_tunnels}


@pytest.fixture(params=_CHANNELS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Everything runs, and is called over plain gRPC or as services call each other."""
    limits = StreamLimits(sweep_seconds=0.02, stop_seconds=0.5)
    async with a_world(tmp_path, limits, _CHANNELS[request.param]) as world:
        yield world
