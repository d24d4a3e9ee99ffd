"""Which agents have a collection in the store of memories, by contract: the database's word, which deletions go by."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Embedding
from services.runtime.idempotency import RequestKey


class MemoryRegistry(Protocol):
    """The collections of the agents, and the keys of requests that made memories. Each method is one transaction.

    A collection is registered before it is made in the store, and stays registered as dropped until it is surely gone
    from there: a deletion that a crash interrupts is finished, and what comes late finds no agent.
    """

    async def find(self, owner: Owner, agent_id: str) -> Collection | None:
        """Return the agent's collection, None if it has none yet. Raise AgentNotFound."""

    async def register(self, owner: Owner, agent_id: str, embedding: Embedding) -> Collection:
        """Return the agent's collection, which from now on it has, of this embedding unless it had one before.

        Raise AgentNotFound.
        """

    async def find_key(self, owner: Owner, key: RequestKey, now: datetime) -> str | None:
        """Return the id of the memory that the user's key stands for, if it does. Raise RequestIdReused."""

    async def claim_key(self, owner: Owner, key: RequestKey, memory_id: str, now: datetime) -> None:
        """Let the user's key stand for this memory, unless it stands for one. Raise RequestIdReused."""

    async def dropped(self, owner: Owner | None = None) -> Sequence[Collection]:
        """Return the collections that must go: those of one owner, or for housekeeping of everybody."""

    async def forget_dropped(self, before: datetime) -> None:
        """Forget, whosever they were, collections that were dropped before this time: they are surely gone."""

    async def of_everybody(self) -> Sequence[Collection]:
        """Return everybody's collections that are not dropped, in the order of their agents' ids, for a migration."""

    async def embeddings(self) -> Mapping[Embedding, int]:
        """Return how many agents, whosever they are, remember by each embedding."""

    async def migrated(self, collection: Collection, to: Embedding) -> None:
        """Let the collection be of this embedding from now on, if it is still there."""
