"""Memories enough that their optimisation takes a while."""

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Embedding, Vector
from services.agents.memory.store import MemoryStore
from services.runtime.ids import new_id
from tests.conformance.memory_stores import NOW, SECOND, a_memory

DAY = 86_400 * SECOND
WIDE = Embedding("wide", 384)
MANY = 1_500
"""From 1 MB of vectors on the engine builds a graph."""


def wide_vectors(number: int, seed: int = 1) -> list[Vector]:
    """Vectors that have something in common, as those of texts do."""
    import numpy as np

    randomly = np.random.default_rng(seed)
    meanings = np.random.default_rng(0).standard_normal((16, WIDE.dimension))
    vectors = randomly.standard_normal((number, 16)) @ meanings
    return [each.tolist() for each in vectors + 0.3 * randomly.standard_normal(vectors.shape)]


async def filled(store: MemoryStore, number: int = MANY) -> Collection:
    """A new collection with so many memories, of contents `memory 0` and so on, a second apart."""
    collection = Collection(Owner(new_id(), new_id()), new_id(), WIDE)
    await store.create(collection)
    memories = [
        a_memory(collection, f"memory {each}", timestamp=NOW + each * SECOND, success=each % 2 == 0)
        for each in range(number)
    ]
    await store.put(collection, list(zip(memories, wide_vectors(number), strict=True)))
    return collection


async def ids_in(store: MemoryStore, collection: Collection) -> set[str]:
    return {each.id for each in await store.newest(collection, 100_000)}
