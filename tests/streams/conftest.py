from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.streams.service import StreamLimits
from tests.streams.world import World, a_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Everything runs."""
    async with a_world(tmp_path, StreamLimits(sweep_seconds=0.02, stop_seconds=0.5)) as world:
        yield world
