"""What an agent remembers, at work: recalled before it answers, and the answer remembered after."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from services.agents.agent import Agent
from services.agents.errors import EmbeddingUnavailable, MemoryUnavailable
from services.agents.memory import interactions
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.model import Collection, Found, InteractionType, Memory, Vector
from services.agents.memory.recall import recalled
from services.agents.memory.service import MemoryService
from services.agents.memory.store import MemoryStore
from services.agents.models import Message
from services.agents.prompt import LONGEST_QUOTED
from services.agents.store import Claim
from services.runtime.ids import Clock

log = structlog.get_logger()

# Whoever waits for an answer does not wait longer for what might improve it.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Interaction:
    """What an agent is asked, and where that comes from."""

    agent: Agent
    session_id: str
    claim: Claim
    kind: InteractionType
    request: str
    history: tuple[Message, ...]

    @property
    def source(self) -> str:
        """See Memory.source."""
        return "/".join(self.claim.task)


@dataclass(frozen=True)
class Recollection:
    """What was recalled for an interaction; `vector` is the embedding of its request, where that was possible."""

    found: tuple[Found, ...] = ()
    collection: Collection | None = None
    vector: Vector | None = None
    unavailable: str | None = None
    """The reason why nothing could be recalled."""

    @property
    def memories(self) -> tuple[Memory, ...]:
        """What was recalled, without scores."""
        return tuple(each.memory for each in self.found)


class Recollections:
    """Recalls and remembers. One embedding serves both: a memory stands where it is looked for, at its question."""

    def __init__(
        self, keeper: MemoryKeeper, service: MemoryService, store: MemoryStore, embedder: Embedder, clock: Clock
    ) -> None:
        self._keeper = keeper
        self._service = service
        self._store = store
        self._embedder = embedder
        self._clock = clock

    async def recall(self, interaction: Interaction) -> Recollection:
        """Find what helps with the request.

        What is out of reach for the moment is done without. Raise AgentNotFound, EmbeddingMismatch, EmbeddingRefused.
        """
        agent = interaction.agent
        collection: Collection | None = None
        vector: Vector | None = None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                collection = await self._keeper.searchable(agent.owner, agent.id)
                [vector] = await self._embedder.embed([interaction.request])
                if collection is None or not agent.config.memory.top_k:
                    return Recollection((), collection, vector)
                self._keeper.check(collection, len(vector))
                known = frozenset(message.content for message in interaction.history if message.role == "user")
                found = await recalled(
                    self._store,
                    collection,
                    agent.config.memory,
                    interaction.request,
                    vector,
                    known,
                    interaction.source,
                )
                return Recollection(tuple(found), collection, vector)
        except TimeoutError:
            unavailable = MemoryUnavailable.reason
        except (MemoryUnavailable, EmbeddingUnavailable) as error:
            unavailable = error.reason
        log.warning("memory not searched", agent_id=agent.id, reason=unavailable)
        return Recollection((), collection, vector, unavailable)

    async def remember(self, interaction: Interaction, recollection: Recollection, answer: str) -> None:
        """Store the request with what is new in its answer; it is durable then.

        What cannot be stored for the moment is lost, and logged: the answer is worth more. Raise AgentNotFound, if the
        agent was deleted meanwhile, EmbeddingMismatch, EmbeddingRefused.
        """
        agent = interaction.agent
        # The model can repeat no more than it was shown.
        recalled = [each.content[:LONGEST_QUOTED] for each in recollection.memories]
        # In another thread: a long answer beside long memories takes its time.
        content, asked = await asyncio.to_thread(interactions.told, interaction.request, answer, recalled)
        if not content.strip():
            return
        memory = Memory(
            id="",
            owner=agent.owner,
            agent_id=agent.id,
            content=content,
            interaction_type=interaction.kind,
            timestamp=self._clock(),
            session_id=interaction.session_id,
            asked=asked,
            source=interaction.source,
        )
        memory = replace(memory, id=interactions.said_once(agent.owner, agent.id, memory.embedded_text))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                vector = recollection.vector
                if vector is None:
                    [vector] = await self._embedder.embed([interaction.request])
                await self._service.remember(recollection.collection, memory, vector)
            return
        except TimeoutError:
            reason = MemoryUnavailable.reason
        except (MemoryUnavailable, EmbeddingUnavailable) as error:
            reason = error.reason
        log.error("interaction not remembered", agent_id=agent.id, run_id=interaction.claim.run_id, reason=reason)
