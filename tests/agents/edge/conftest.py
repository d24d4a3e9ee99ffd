"""An embedded store of memories, and its folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection
from tests.conformance.memory_stores import a_collection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[EdgeMemoryStore]:
    store = EdgeMemoryStore(folder)
    yield store
    await store.close()


@pytest.fixture
async def mine(store: EdgeMemoryStore) -> Collection:
    """An empty collection."""
    collection = a_collection()
    await store.create(collection)
    return collection
