"""A store of memories of each kind, and memories to put into it."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.agents.agent import Owner
from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Collection, Embedding, Memory, MemoryPosition
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.agents.memory.store import MemoryStore
from services.agents.memory.words import words_of
from services.runtime.ids import new_id
from tests.fakes.qdrant_description import described
from tests.fakes.qdrant_server import FakeQdrant

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
SMALL = Embedding("Test/Model v1", 4)
LARGER = Embedding("test-model-2", 6)

GROWN_AT = 500
"""How many memories make a collection a grown one, which a store may keep in another way."""


@asynccontextmanager
async def _edge(folder: Path) -> AsyncIterator[MemoryStore]:
    store = EdgeMemoryStore(folder, EdgeLimits(index_from=GROWN_AT, flush_every=100))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _qdrant(_: Path) -> AsyncIterator[MemoryStore]:
    with FakeQdrant(described()) as server:
        store = QdrantMemoryStore(server.url)
        try:
            yield store
        finally:
            await store.close()
        server.assert_nothing_wrong()


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[MemoryStore]]] = {"edge": _edge, "qdrant": _qdrant}
"""Makes an empty store in a folder, and lets go of it."""


def a_collection(embedding: Embedding = SMALL) -> Collection:
    """The collection of a new agent."""
    return Collection(Owner(new_id(), new_id()), new_id(), embedding)


def a_memory(collection: Collection, content: str = "Hello, world!", **fields: Any) -> Memory:
    """A memory that belongs into the collection."""
    of_collection = {"owner": collection.owner, "agent_id": collection.agent_id}
    given = {"interaction_type": "task", "timestamp": NOW, **of_collection, **fields}
    return Memory(id=given.pop("id", None) or new_id(), content=content, **given)


def a_vector(dimension: int = SMALL.dimension) -> list[float]:
    """Some vector."""
    return [random.gauss(0, 1) for _ in range(dimension)]


def toward(axis: int, *others: float) -> list[float]:
    """A vector of the small embedding along one axis, with so much of those that follow it."""
    vector = [0.0] * SMALL.dimension
    for step, part in enumerate((1.0, *others)):
        vector[(axis + step) % len(vector)] = part
    return vector


async def put(store: MemoryStore, collection: Collection, *memories: Memory) -> None:
    """Store memories, whatever their vectors."""
    await store.put(collection, [(each, a_vector(collection.embedding.dimension)) for each in memories])


def position(memory: Memory) -> MemoryPosition:
    """Where a page that ends with this memory ends."""
    return memory.timestamp, memory.id


def contents(memories: list[Memory]) -> list[str]:
    return [each.content for each in memories]


async def found_by(store: MemoryStore, collection: Collection, words: str, limit: int = 10) -> list[str]:
    """What the search for any of the words finds."""
    return contents([each.memory for each in await store.matching(collection, words_of(words), limit)])
