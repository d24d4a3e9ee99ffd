"""Where an agent's memories are kept: a collection that comes with the first of them and goes with the agent."""

from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.agents.agent import Owner
from services.agents.errors import AgentNotFound, EmbeddingMismatch, MemoryUnavailable
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.model import Collection, Embedding, Memory, Vector
from services.agents.memory.registry import MemoryRegistry
from services.agents.memory.store import CollectionMissing, MemoryStore
from services.runtime.ids import Clock

log = structlog.get_logger()

TOMBSTONES_KEPT = timedelta(hours=1)
"""How long a dropped collection is dropped again and again: far longer than any write can be late."""


async def make(registry: MemoryRegistry, store: MemoryStore, collection: Collection) -> Collection:
    """Make in the store what is registered: for the first memory, or where a crash came between the two.

    Return it as it is registered now. Raise AgentNotFound.
    """
    registered = await registry.find(collection.owner, collection.agent_id)
    if registered is None:
        raise AgentNotFound(collection.agent_id)
    await store.create(registered)
    try:
        # The agent may have been deleted, and its collection dropped, since it was looked for.
        await registry.find(collection.owner, collection.agent_id)
    except AgentNotFound:
        await store.drop(registered)
        raise
    return registered


class MemoryKeeper:
    """Opens, fills and drops the collections of agents.

    The registry decides, the store follows: a deletion is a committed row before anything of it happens in the store.
    Whatever writes to a collection that is gone looks there, and makes it only if the row says that it should be.
    """

    def __init__(self, registry: MemoryRegistry, store: MemoryStore, embedder: Embedder, clock: Clock) -> None:
        self._registry = registry
        self._store = store
        self._embedder = embedder
        self._clock = clock

    async def find(self, owner: Owner, agent_id: str) -> Collection | None:
        """The agent's collection; None while it remembers nothing. Raise AgentNotFound."""
        return await self._registry.find(owner, agent_id)

    async def searchable(self, owner: Owner, agent_id: str) -> Collection | None:
        """The agent's collection, whose vectors the current embedding model can be compared with.

        Raise AgentNotFound, EmbeddingMismatch.
        """
        collection = await self._registry.find(owner, agent_id)
        if collection is not None:
            self.check(collection, collection.embedding.dimension)
        return collection

    def check(self, collection: Collection, dimension: int) -> None:
        """Raise EmbeddingMismatch unless the current model's vectors, of this length, belong into the collection."""
        current = Embedding(self._embedder.model, dimension)
        if collection.embedding != current:
            raise EmbeddingMismatch(collection.agent_id, collection.embedding, current)

    async def put(
        self,
        owner: Owner,
        agent_id: str,
        collection: Collection | None,
        memories: Sequence[tuple[Memory, Vector]],
    ) -> None:
        """Store memories with vectors of the current model in the agent's collection, as it was found a moment ago.

        One of the same id is replaced. Raise AgentNotFound, EmbeddingMismatch, MemoryUnavailable.
        """
        embedding = Embedding(self._embedder.model, len(memories[0][1]))
        if collection is None:
            collection = await self._registry.register(owner, agent_id, embedding)
        self.check(collection, embedding.dimension)
        try:
            await self._store.put(collection, memories)
        except CollectionMissing:
            # It may have been migrated to another model since it was found.
            self.check(await make(self._registry, self._store, collection), embedding.dimension)
            await self._store.put(collection, memories)

    async def drop_deleted(self, owner: Owner) -> None:
        """Drop what the owner's deleted agents remembered. What is out of reach now is dropped by `sweep`."""
        await self._drop(await self._registry.dropped(owner))

    async def sweep(self) -> None:
        """Housekeeping: drop what every deleted agent remembered, once more if need be."""
        # Chosen before dropping: what is registered as dropped meanwhile was not dropped here.
        surely_gone = self._clock() - TOMBSTONES_KEPT
        if await self._drop(await self._registry.dropped()):
            await self._registry.forget_dropped(surely_gone)

    async def warn_of_others(self) -> None:
        """Housekeeping: say in the log how many agents remember by another model, and what is to be done."""
        others = {
            embedding: agents
            for embedding, agents in (await self._registry.embeddings()).items()
            if embedding.model != self._embedder.model
        }
        if others:
            log.warning(
                "agents cannot work because another model embedded their memories: run `codelab memory migrate`",
                agents=sum(others.values()),
                embedded_by=sorted({embedding.model for embedding in others}),
                set_now=self._embedder.model,
            )

    async def _drop(self, collections: Sequence[Collection]) -> bool:
        """Drop the collections; say whether that was possible."""
        try:
            for collection in collections:
                await self._store.drop(collection)
        except MemoryUnavailable:
            log.warning("memories of deleted agents are dropped later", collections=len(collections))
            return False
        return True
