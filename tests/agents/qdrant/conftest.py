"""The store on a fake Qdrant server. What every store promises is in tests/conformance."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.agents.memory.model import Collection, Memory
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.runtime.ids import new_id
from tests.agents.endpoints import Pauses
from tests.conformance.memory_stores import a_collection, a_memory
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import FakeQdrant


@pytest.fixture
def qdrant(qdrant_description: Description) -> Iterator[FakeQdrant]:
    with FakeQdrant(qdrant_description) as running:
        yield running
        running.assert_nothing_wrong()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def store(qdrant: FakeQdrant, pauses: Pauses) -> AsyncIterator[QdrantMemoryStore]:
    made = QdrantMemoryStore(qdrant.url, timeout_seconds=5.0, pause=pauses, jitter=lambda: 1.0)
    yield made
    await made.close()


@pytest.fixture
async def collection(store: QdrantMemoryStore) -> Collection:
    """A collection that was made."""
    made = a_collection()
    await store.create(made)
    return made


@pytest.fixture
async def memory(store: QdrantMemoryStore, collection: Collection) -> Memory:
    """The one memory of the collection."""
    made = a_memory(collection, "The parser fails with ERR_4711.", tags=("bug",), session_id=new_id())
    await store.put(collection, [(made, [1, 0, 0, 0])])
    return made
