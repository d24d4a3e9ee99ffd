"""Embedding memories anew after the embedding model was changed. May be stopped at any time, and goes on from there."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace

from services.agents.errors import AgentNotFound, EmbeddingRefused
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.keeper import make
from services.agents.memory.model import Collection, Embedding
from services.agents.memory.registry import MemoryRegistry
from services.agents.memory.store import MemoryStore

# A batch is lost work when the migration is stopped, and a wait for whoever else embeds; endpoints are asked for as
# many texts at once.
_BATCH = 32


@dataclass(frozen=True)
class Progress:
    """How far a migration is: agents, and memories of all of them; then agents looked through for leftovers."""

    agents: int
    all_agents: int
    memories: int
    all_memories: int
    looked: int = 0
    to_look: int = 0

    @property
    def share(self) -> float:
        """How much is done, 0 to 1; anew while agents are looked through."""
        if self.looked < self.to_look:
            return self.looked / self.to_look
        return self.memories / self.all_memories if self.all_memories else 1.0

    def __str__(self) -> str:
        if self.looked < self.to_look:
            return f"{self.looked} of {self.to_look} agents without need of it looked through"
        if not self.all_agents:
            return "nothing to migrate"
        return f"{self.memories} of {self.all_memories} memories of {self.agents} of {self.all_agents} agents migrated"


async def migrate(registry: MemoryRegistry, store: MemoryStore, embedder: Embedder) -> AsyncGenerator[Progress, None]:
    """Give every memory that another model embedded a vector of this one; yield how far it is, from none to all.

    The same model with vectors of another length is another one. Until all memories of an agent have their vectors, its
    old ones stay and count. What a migration that was stopped left behind is removed. Raise MemoryUnavailable, or what
    the embedder raises: what was done until then stays done.
    """
    collections = await registry.of_everybody()
    if not collections:
        yield Progress(0, 0, 0, 0)
        return
    # The length of the model's vectors is known once there is one.
    [probe] = await embedder.embed(["How long is a vector?"])
    to = Embedding(embedder.model, len(probe))
    others = [each for each in collections if each.embedding != to]
    counts = [await store.count(collection) for collection in others]
    finished = 0
    for number, (collection, count) in enumerate(zip(others, counts, strict=True)):
        embedded = 0
        yield Progress(number, len(others), finished, sum(counts))
        async for done in _migrate_one(registry, store, embedder, collection, to):
            # Memories may have come since they were counted.
            embedded = min(embedded + done, count)
            yield Progress(number, len(others), finished + embedded, sum(counts))
        finished += count
    # Some may be of a migration that was stopped after the registry had changed: nothing else tells them from others.
    done_before = [each for each in collections if each.embedding == to]
    for number, collection in enumerate(done_before):
        yield Progress(len(others), len(others), finished, sum(counts), number, len(done_before))
        async for _ in _finish(store, embedder, collection):
            pass
    yield Progress(len(others), len(others), finished, sum(counts))


async def _migrate_one(
    registry: MemoryRegistry, store: MemoryStore, embedder: Embedder, collection: Collection, to: Embedding
) -> AsyncIterator[int]:
    """Migrate one agent's memories; yield how many, batch by batch."""
    try:
        # It is registered, and may yet not have been made: then whoever has the old setting would make it as it was.
        collection = await make(registry, store, collection)
    except AgentNotFound:
        return
    await store.begin_migration(collection, to)
    async for done in _fill(store, embedder, collection, to):
        yield done
    await registry.migrated(collection, to)
    async for done in _finish(store, embedder, replace(collection, embedding=to)):
        yield done


async def _finish(store: MemoryStore, embedder: Embedder, collection: Collection) -> AsyncIterator[int]:
    """Embed what a replica with the old setting wrote before the registry changed; then remove the old vectors."""
    async for done in _fill(store, embedder, collection, collection.embedding):
        yield done
    await store.end_migration(collection)


async def _fill(store: MemoryStore, embedder: Embedder, collection: Collection, to: Embedding) -> AsyncIterator[int]:
    while memories := await store.lacking(collection, to, _BATCH):
        vectors = await embedder.embed([memory.embedded_text for memory in memories])
        if len(vectors[0]) != to.dimension:
            raise EmbeddingRefused(
                f"{to.model} makes vectors of {len(vectors[0])} numbers now, and made some of {to.dimension} a moment"
                " ago: see what its endpoint serves",
                model=to.model,
            )
        await store.put_vectors(collection, to, dict(zip((each.id for each in memories), vectors, strict=True)))
        yield len(memories)
