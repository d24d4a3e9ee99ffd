from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.orchestrator.stage import Client, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def ann(stage: Stage) -> AsyncIterator[Client]:
    """Ann, with everything running."""
    async with stage.serving_all(), stage.client() as ann:
        yield ann
