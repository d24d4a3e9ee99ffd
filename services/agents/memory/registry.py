"""Which agents have a collection in the store of memories, by contract: the database's word, which deletions go by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Embedding
from services.runtime.idempotency import RequestKey


@dataclass(frozen=True)
class Addition:
    """The addition of a memory that a key stands for. The store has no part in transactions: it may only have begun."""

    memory_id: str
    begun_at: datetime
    ended: bool


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

    async def begin_addition(self, owner: Owner, key: RequestKey, memory_id: str, now: datetime) -> Addition:
        """Let the user's key stand for the addition of this memory, unless it stands for one; return that.

        Of several that begin at once all get the same. Raise RequestIdReused for other content.
        """

    async def end_addition(self, owner: Owner, key: RequestKey, addition: Addition, now: datetime) -> None:
        """Note that the memory is in the store: from now on it is not added again, also if it is deleted."""

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
