"""Embedding memories anew after the embedding model was changed. May be stopped at any time, and goes on from there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.model import Collection, Embedding
from services.agents.memory.registry import MemoryRegistry
from services.agents.memory.store import MemoryStore

# A batch is lost work when the migration is stopped, and a wait for whoever else embeds.
_BATCH = 64


@dataclass(frozen=True)
class Progress:
    """How far a migration is: agents, and memories of all of them."""

    agents: int
    all_agents: int
    memories: int
    all_memories: int

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return self.memories / self.all_memories if self.all_memories else 1.0

    def __str__(self) -> str:
        if not self.all_agents:
            return "nothing to migrate"
        return f"{self.memories} of {self.all_memories} memories of {self.agents} of {self.all_agents} agents migrated"


async def migrate(registry: MemoryRegistry, store: MemoryStore, embedder: Embedder) -> AsyncIterator[Progress]:
    """Give every memory that another model embedded a vector of this one; yield how far it is, from none to all.

    Until all memories of an agent have theirs, its old ones stay and count. Raise MemoryUnavailable, or what the
    embedder raises: what was done until then stays done.
    """
    collections = await registry.of_other_embeddings(embedder.model)
    counts = [await store.count(collection) for collection in collections]
    finished = 0
    for number, (collection, count) in enumerate(zip(collections, counts, strict=True)):
        embedded = 0
        yield Progress(number, len(collections), finished, sum(counts))
        async for done in _migrate_one(registry, store, embedder, collection):
            # Memories may have come since they were counted.
            embedded = min(embedded + done, count)
            yield Progress(number, len(collections), finished + embedded, sum(counts))
        finished += count
    yield Progress(len(collections), len(collections), finished, sum(counts))


async def _migrate_one(
    registry: MemoryRegistry, store: MemoryStore, embedder: Embedder, collection: Collection
) -> AsyncIterator[int]:
    """Migrate one agent's memories; yield how many, batch by batch."""
    # The length of the model's vectors is known once there is one.
    [probe] = await embedder.embed(["How long is a vector?"])
    to = Embedding(embedder.model, len(probe))
    # It is registered, and may yet not have been made.
    await store.create(collection)
    await store.begin_migration(collection, to)
    async for done in _fill(store, embedder, collection, to):
        yield done
    await registry.migrated(collection, to)
    # What a replica with the old setting wrote in between: it is told of the mismatch from now on.
    async for done in _fill(store, embedder, collection, to):
        yield done
    await store.end_migration(Collection(collection.owner, collection.agent_id, to))


async def _fill(store: MemoryStore, embedder: Embedder, collection: Collection, to: Embedding) -> AsyncIterator[int]:
    while memories := await store.lacking(collection, to, _BATCH):
        vectors = await embedder.embed([memory.embedded_text for memory in memories])
        await store.put_vectors(collection, to, dict(zip((each.id for each in memories), vectors, strict=True)))
        yield len(memories)
