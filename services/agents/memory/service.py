"""What owners do with an agent's memories: see them, search them, correct them, add to them, delete them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from services.agents.agent import Owner
from services.agents.errors import FilterRequired, MemoryNotFound, MemoryUnavailable
from services.agents.memory import interactions
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.model import (
    EVERYTHING,
    Collection,
    Found,
    InteractionType,
    Memory,
    MemoryFilter,
    Vector,
)
from services.agents.memory.recall import by_both
from services.agents.memory.registry import MemoryRegistry
from services.agents.memory.store import MemoryStore
from services.agents.memory.words import words_of
from services.runtime import pages
from services.runtime.errors import InvalidArgument, InvalidPageToken
from services.runtime.idempotency import RequestKey
from services.runtime.ids import Clock
from services.runtime.validation import MAX_VIOLATIONS

log = structlog.get_logger()

SearchMode = Literal["semantic", "text", "hybrid"]

MOST_FOUND = 1000
"""Where the pages of a search end: nobody reads on, and every page costs as much as all before it."""
# Below the gateway's 30, whose end comes without a reason.
_LONGEST_SECONDS = 20.0
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class MemoryDraft:
    """What a caller may say of a memory. What is None, the server knows."""

    content: str
    interaction_type: InteractionType = "direct_call"
    timestamp: datetime | None = None
    success: bool = True
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """What to search for: `min_score` is a cosine, for semantic search."""

    q: str
    mode: SearchMode = "semantic"
    min_score: float | None = None


@dataclass(frozen=True)
class MemoryPage:
    """Memories, with their scores where they were searched for; the token is empty on the last page."""

    memories: tuple[Memory, ...]
    scores: tuple[float | None, ...]
    total: int
    next_page_token: str


_NOTHING = MemoryPage((), (), 0, "")


class MemoryService:
    """The use cases. An agent of another owner, or of another project, is AgentNotFound everywhere."""

    def __init__(
        self, keeper: MemoryKeeper, registry: MemoryRegistry, store: MemoryStore, embedder: Embedder, clock: Clock
    ) -> None:
        self._keeper = keeper
        self._registry = registry
        self._store = store
        self._embedder = embedder
        self._clock = clock

    async def add(self, owner: Owner, agent_id: str, draft: MemoryDraft, request_id: str | None) -> Memory:
        """Remember something; what is remembered already has the new values then.

        Raise AgentNotFound, InvalidArgument, RequestIdReused, MemoryNotFound if what the key stands for was deleted,
        EmbeddingMismatch, MemoryUnavailable, or what the embedder raises.
        """
        _refuse_blank(draft.content)
        key = RequestKey.of("memories.add", request_id, owner.project_id, agent_id, asdict(draft))
        if key is None:
            [memory_id] = await self.add_all(owner, agent_id, [(draft, None)])
            return await self.get(owner, agent_id, memory_id)
        # The agent first: what a key stands for is nobody's business under another one.
        collection = await self._keeper.find(owner, agent_id)
        memory = self._new(owner, agent_id, draft, self._clock())
        if collection is not None:
            [memory] = await self._beside_corrected(collection, [memory])
        addition = await self._registry.begin_addition(owner, key, memory.id, self._clock())
        if not addition.ended:
            # Whoever adds it at the same time, or again after a crash, stores the very same.
            memory = replace(memory, id=addition.memory_id, timestamp=draft.timestamp or addition.begun_at)
            [vector] = await self._embedder.embed([memory.content])
            await self._keeper.put(owner, agent_id, collection, [(memory, vector)])
            await self._registry.end_addition(owner, key, addition, self._clock())
        return await self.get(owner, agent_id, addition.memory_id)

    async def add_all(
        self, owner: Owner, agent_id: str, drafts: Sequence[tuple[MemoryDraft, Vector | None]]
    ) -> list[str]:
        """Remember several things, those without a vector embedded here; return their ids. Raise as `add` does."""
        collection = await self._keeper.searchable(owner, agent_id)
        now = self._clock()
        memories = [
            # A microsecond apart, so that the last one is the newest.
            self._new(owner, agent_id, draft, now + place * _MICROSECOND)
            for place, (draft, _) in enumerate(drafts)
        ]
        if not memories:
            return []
        vectors = await self._vectors(
            collection, [draft.content for draft, _ in drafts], [vector for _, vector in drafts]
        )
        if collection is not None:
            memories = await self._beside_corrected(collection, memories)
        # Of two that are the same the later one counts.
        points = {memory.id: (memory, vector) for memory, vector in zip(memories, vectors, strict=True)}
        await self._keeper.put(owner, agent_id, collection, list(points.values()))
        return [memory.id for memory in memories]

    async def _vectors(
        self, collection: Collection | None, contents: Sequence[str], given: Sequence[Vector | None]
    ) -> list[Vector]:
        wanting = [content for content, vector in zip(contents, given, strict=True) if vector is None]
        made = await self._embedder.embed(wanting) if wanting else []
        if made:
            length = len(made[0])
        elif collection is not None:
            length = collection.embedding.dimension
        else:
            # What comes first decides for all that follows: nobody could remember anything beside a wrong one.
            [probe] = await self._embedder.embed(contents[:1])
            length = len(probe)
        wrong = f"must have {length} numbers, as those of {self._embedder.model} have"
        violations = [
            (f"memories[{place}].vector", wrong)
            for place, vector in enumerate(given)
            if vector is not None and len(vector) != length
        ]
        if violations:
            raise InvalidArgument(*violations[:MAX_VIOLATIONS])
        rest = iter(made)
        return [next(rest) if vector is None else vector for vector in given]

    async def _beside_corrected(self, collection: Collection, memories: list[Memory]) -> list[Memory]:
        """The memories, those under another id whose own is taken by one that was corrected to say something else."""
        moved = memories
        while True:
            there = {each.id: each for each in await self._store.get(collection, [each.id for each in moved])}
            taken = {
                each.id
                for each in moved
                if each.id in there
                and interactions.said_once(each.owner, each.agent_id, there[each.id].embedded_text)
                != interactions.said_once(each.owner, each.agent_id, each.embedded_text)
            }
            if not taken:
                return moved
            moved = [replace(each, id=interactions.another(each.id)) if each.id in taken else each for each in moved]

    def _new(self, owner: Owner, agent_id: str, draft: MemoryDraft, now: datetime) -> Memory:
        return Memory(
            id=interactions.said_once(owner, agent_id, draft.content),
            owner=owner,
            agent_id=agent_id,
            content=draft.content,
            interaction_type=draft.interaction_type,
            timestamp=draft.timestamp or now,
            success=draft.success,
            tags=tuple(dict.fromkeys(draft.tags)),
            metadata=draft.metadata,
        )

    async def remember(self, collection: Collection | None, memory: Memory, vector: Vector) -> None:
        """Store an interaction, as `add_all` would, in the agent's collection as it was found some time ago.

        Raise AgentNotFound, EmbeddingMismatch, MemoryUnavailable.
        """
        if collection is not None:
            [memory] = await self._beside_corrected(collection, [memory])
        await self._keeper.put(memory.owner, memory.agent_id, collection, [(memory, vector)])

    async def get(self, owner: Owner, agent_id: str, memory_id: str) -> Memory:
        """Return the memory. Raise AgentNotFound, MemoryNotFound."""
        collection = await self._keeper.find(owner, agent_id)
        found = await self._store.get(collection, [memory_id]) if collection is not None else []
        if not found:
            raise MemoryNotFound(memory_id)
        return found[0]

    async def update(
        self, owner: Owner, agent_id: str, memory_id: str, wanted: MemoryDraft, paths: frozenset[str]
    ) -> Memory:
        """Give the memory the values of `wanted` at these paths; without paths nothing changes.

        Raise AgentNotFound, MemoryNotFound, InvalidArgument, EmbeddingMismatch, or what the embedder raises.
        """
        memory = await self.get(owner, agent_id, memory_id)
        changed = replace(memory, **{name: value for name, value in _values(wanted, self._clock()) if name in paths})
        names = {each.name for each in fields(Memory) if getattr(changed, each.name) != getattr(memory, each.name)}
        if not names:
            return memory
        vector: Vector | None = None
        if "content" in names:
            _refuse_blank(changed.content)
            changed, names = replace(changed, asked=None), names | {"asked"}
            [vector] = await self._embedder.embed([changed.content])
        collection = await self._keeper.find(owner, agent_id)
        if collection is None:
            raise MemoryNotFound(memory_id)
        if vector is not None:
            self._keeper.check(collection, len(vector))
        await self._store.change(collection, changed, frozenset(names), vector)
        return await self.get(owner, agent_id, memory_id)

    async def delete(self, owner: Owner, agent_id: str, memory_id: str) -> None:
        """Forget the memory. Raise AgentNotFound, MemoryNotFound."""
        collection = await self._keeper.find(owner, agent_id)
        if collection is None or not await self._store.delete(collection, MemoryFilter(ids=(memory_id,))):
            raise MemoryNotFound(memory_id)

    async def delete_all(self, owner: Owner, agent_id: str, filter: MemoryFilter, everything: bool) -> int:
        """Forget what fits and return how many that was. Raise AgentNotFound, FilterRequired."""
        collection = await self._keeper.find(owner, agent_id)
        if filter == EVERYTHING and not everything:
            raise FilterRequired
        deleted = 0 if collection is None else await self._store.delete(collection, filter)
        log.info("memories deleted", agent_id=agent_id, deleted=deleted)
        return deleted

    async def _newest(
        self, owner: Owner, agent_id: str, filter: MemoryFilter, size: int, page_token: str, query: tuple[object, ...]
    ) -> MemoryPage:
        position = pages.decode_token(page_token, *query, types=(datetime, str))
        after = None if position is None else (position[0], position[1])
        collection = await self._keeper.find(owner, agent_id)
        if collection is None:
            return _NOTHING
        total = await self._store.count(collection, filter)
        found = await self._store.newest(collection, size + 1, filter, after)
        shown = pages.fitting(found, size, lambda memory: [memory.content])
        token = ""
        if len(found) > len(shown):
            token = pages.encode_token([shown[-1].timestamp, shown[-1].id], *query)
        return MemoryPage(tuple(shown), (None,) * len(shown), total, token)

    async def _found(
        self,
        owner: Owner,
        agent_id: str,
        filter: MemoryFilter,
        search: Search,
        size: int,
        page_token: str,
        query: tuple[object, ...],
    ) -> MemoryPage:
        position = pages.decode_token(page_token, *query, types=(int,))
        offset = 0 if position is None else int(position[0])
        if not 0 <= offset < MOST_FOUND:
            raise InvalidPageToken
        # Words are found whatever embedded the memories.
        of_agent = self._keeper.find if search.mode == "text" else self._keeper.searchable
        collection = await of_agent(owner, agent_id)
        if collection is None:
            return _NOTHING
        most = min(size, MOST_FOUND - offset)
        total, found = await self._search(collection, filter, search, most + 1, offset)
        shown = pages.fitting(found, most, lambda each: [each.memory.content])
        end = offset + len(shown)
        token = pages.encode_token([end], *query) if len(found) > len(shown) and end < MOST_FOUND else ""
        memories = tuple(each.memory for each in shown)
        return MemoryPage(memories, tuple(each.score for each in shown), total, token)

    async def _search(
        self, collection: Collection, filter: MemoryFilter, search: Search, most: int, offset: int
    ) -> tuple[int, list[Found]]:
        """How many fit, and what is found."""
        words = list(dict.fromkeys(words_of(search.q)))
        if search.mode == "text":
            total = await self._store.count(collection, replace(filter, any_words=tuple(words))) if words else 0
            found = await self._store.matching(collection, words, most, filter, offset) if words else []
            return total, found
        total = await self._store.count(collection, filter)
        [vector] = await self._embedder.embed([search.q])
        self._keeper.check(collection, len(vector))
        if search.mode == "semantic":
            found = await self._store.nearest(collection, vector, most, filter, offset, search.min_score)
            return total, found
        return total, (await by_both(self._store, collection, vector, words, offset + most, filter))[offset:]

    async def list(
        self, owner: Owner, agent_id: str, filter: MemoryFilter, search: Search | None, page_size: int, page_token: str
    ) -> MemoryPage:
        """A page of what fits: newest first, or found by a search.

        Raise AgentNotFound, InvalidPageToken, EmbeddingMismatch, or what the embedder raises.
        """
        query = ("memories", owner.user_id, owner.project_id, agent_id, filter, search)
        size = pages.page_size(page_size)
        async with _in_time():
            if search is None:
                return await self._newest(owner, agent_id, filter, size, page_token, query)
            return await self._found(owner, agent_id, filter, search, size, page_token, query)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Raise MemoryUnavailable where several questions in turn, each in its time, take longer than callers wait."""
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            yield
    except TimeoutError:
        raise MemoryUnavailable from None


def _values(draft: MemoryDraft, now: datetime) -> list[tuple[str, Any]]:
    """What an update may change, by name, with the server's values for what is left out."""
    return [
        ("content", draft.content),
        ("interaction_type", draft.interaction_type),
        ("timestamp", draft.timestamp or now),
        ("success", draft.success),
        ("tags", tuple(dict.fromkeys(draft.tags))),
        ("metadata", draft.metadata),
    ]


def _refuse_blank(content: str) -> None:
    if not content.strip():
        raise InvalidArgument(("memory.content", "must not be blank"))
