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
            stored = collection.embedding
            same_name = stored.model == current.model
            raise EmbeddingMismatch(
                collection.agent_id,
                f"{stored.model} ({stored.dimension} dimensions)" if same_name else stored.model,
                f"{current.model} ({current.dimension} dimensions)" if same_name else current.model,
            )

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
        dimension = len(memories[0][1])
        if collection is not None:
            self.check(collection, dimension)
            try:
                await self._store.put(collection, memories)
                return
            except CollectionMissing:
                # Dropped or migrated since, or a crash came between its registration and its making.
                pass
        await self._store.put(await self._made(owner, agent_id, dimension), memories)

    async def _made(self, owner: Owner, agent_id: str, dimension: int) -> Collection:
        """The agent's collection, which is in the store now. Raise as `put` does."""
        embedding = Embedding(self._embedder.model, dimension)
        collection = await self._registry.register(owner, agent_id, embedding)
        self.check(collection, dimension)
        await self._store.create(collection)
        try:
            # The agent may have been deleted, and its collection dropped, since it was registered.
            await self._registry.find(owner, agent_id)
        except AgentNotFound:
            await self._store.drop(collection)
            raise
        return collection

    async def drop_deleted(self, owner: Owner) -> None:
        """Drop what the owner's deleted agents remembered. What is out of reach now is dropped by `sweep`."""
        await self._drop(await self._registry.dropped(owner))

    async def sweep(self) -> None:
        """Housekeeping: drop what every deleted agent remembered, once more if need be."""
        # Chosen before dropping: what is registered as dropped meanwhile was not dropped here.
        surely_gone = self._clock() - TOMBSTONES_KEPT
        if await self._drop(await self._registry.dropped()):
            await self._registry.forget_dropped(surely_gone)

    async def _drop(self, collections: Sequence[Collection]) -> bool:
        """Drop the collections; say whether that was possible."""
        try:
            for collection in collections:
                await self._store.drop(collection)
        except MemoryUnavailable:
            log.warning("memories of deleted agents are dropped later", collections=len(collections))
            return False
        return True
