"""The stores that the suites of their contracts run over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.agents.memory.store import MemoryStore
from tests.conformance.memory_stores import BACKENDS


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "qdrant")) for name in BACKENDS]
)
async def memory_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    """An empty store of memories, of each kind."""
    async with BACKENDS[request.param](tmp_path / "memory") as store:
        yield store
