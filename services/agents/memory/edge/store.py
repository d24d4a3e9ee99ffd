"""The memories in the embedded engine: a folder, and a process that owns it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.agents.memory.door import let_out, let_out_found
from services.agents.memory.edge.child import EdgeChild
from services.agents.memory.edge.protocol import EdgeLimits, packed
from services.agents.memory.model import (
    EVERYTHING,
    Collection,
    Embedding,
    Found,
    Memory,
    MemoryFilter,
    MemoryPosition,
    Vector,
)
from services.agents.memory.newest_first import newest_first
from services.agents.memory.payload import memory_of

# So much is written at once, so that searches get in between.
_MEMORIES_AT_ONCE = 50
_CHARACTERS_AT_ONCE = 500_000
_OPTIMIZE_SECONDS = 3600.0

_Chunk = list[tuple[Memory, bytes]]


class EdgeMemoryStore:
    """A MemoryStore in a folder. No other process may use it meanwhile, nor another of these.

    Whatever reads or writes a collection that is not there finds nothing to do, except `put`.
    """

    def __init__(self, folder: Path, limits: EdgeLimits | None = None, deadline_seconds: float = 30.0) -> None:
        self._child = EdgeChild(folder, limits or EdgeLimits(), deadline_seconds)

    @property
    def pid(self) -> int | None:
        """The process that owns the folder, if it was needed yet."""
        return self._child.pid

    def warm(self) -> None:
        """See MemoryStore. Here that is a process, which starts with the first call and not for nobody."""

    async def create(self, collection: Collection) -> None:
        """See MemoryStore."""
        embedding = collection.embedding
        await self._child.ask("create", collection.name, embedding.vector_name, embedding.dimension)

    async def drop(self, collection: Collection) -> None:
        """See MemoryStore."""
        await self._child.ask("drop", collection.name)

    async def put(self, collection: Collection, memories: Sequence[tuple[Memory, Vector]]) -> None:
        """See MemoryStore."""
        for chunk in _chunks(collection, memories):
            await self._child.ask("put", collection.name, collection.embedding.vector_name, chunk)

    async def change(
        self, collection: Collection, memory: Memory, fields: frozenset[str], vector: Vector | None = None
    ) -> None:
        """See MemoryStore."""
        changed = None if vector is None else _packed(vector, collection.embedding)
        await self._child.ask("change", collection.name, collection.embedding.vector_name, memory, fields, changed)

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Memory]:
        """See MemoryStore."""
        return let_out(collection, await self._memories("get", collection, list(ids)))

    async def nearest(
        self,
        collection: Collection,
        vector: Vector,
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        offset: int = 0,
        min_score: float | None = None,
    ) -> list[Found]:
        """See MemoryStore."""
        embedding = collection.embedding
        asked = (embedding.vector_name, _packed(vector, embedding), limit, filter, offset, min_score)
        rows = await self._child.ask("nearest", collection.name, *asked)
        return let_out_found(collection, (Found(memory_of(id, payload), score) for id, payload, score in rows))

    async def matching(
        self,
        collection: Collection,
        words: Sequence[str],
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        offset: int = 0,
    ) -> list[Found]:
        """See MemoryStore."""
        rows = await self._child.ask("matching", collection.name, list(words), limit, filter, offset)
        return let_out_found(collection, (Found(memory_of(id, payload), score) for id, payload, score in rows))

    async def newest(
        self,
        collection: Collection,
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        after: MemoryPosition | None = None,
    ) -> list[Memory]:
        """See MemoryStore."""

        async def by_time(fitting: MemoryFilter, number: int) -> list[Memory]:
            return await self._memories("by_time", collection, fitting, number)

        async def by_id(fitting: MemoryFilter, last: str | None, number: int) -> list[Memory]:
            return await self._memories("by_id", collection, fitting, last, number)

        return let_out(collection, await newest_first(by_time, by_id, filter, limit, after))

    async def count(self, collection: Collection, filter: MemoryFilter = EVERYTHING) -> int:
        """See MemoryStore."""
        number: int = await self._child.ask("count", collection.name, filter)
        return number

    async def delete(self, collection: Collection, filter: MemoryFilter) -> int:
        """See MemoryStore."""
        number: int = await self._child.ask("delete", collection.name, filter)
        return number

    async def begin_migration(self, collection: Collection, to: Embedding) -> None:
        """See MemoryStore."""
        await self._child.ask("begin_migration", collection.name, to.vector_name, to.dimension)

    async def lacking(self, collection: Collection, to: Embedding, limit: int) -> list[Memory]:
        """See MemoryStore."""
        return let_out(collection, await self._memories("lacking", collection, to.vector_name, limit))

    async def put_vectors(self, collection: Collection, to: Embedding, vectors: Mapping[str, Vector]) -> None:
        """See MemoryStore."""
        made = {id: _packed(vector, to) for id, vector in vectors.items()}
        await self._child.ask("put_vectors", collection.name, to.vector_name, made)

    async def end_migration(self, collection: Collection) -> None:
        """See MemoryStore."""
        await self._child.ask("end_migration", collection.name, collection.embedding.vector_name)

    async def optimize(self, collection: Collection) -> None:
        """Build the graph that searches run by, and return when they do. It is done by itself when it is time.

        Raise MemoryUnavailable if it fails, which changes nothing.
        """
        await self._child.ask("optimize", collection.name, deadline_seconds=_OPTIMIZE_SECONDS)

    async def close(self) -> None:
        """See MemoryStore."""
        await self._child.close()

    async def _memories(self, operation: str, collection: Collection, *arguments: object) -> list[Memory]:
        rows = await self._child.ask(operation, collection.name, *arguments)
        return [memory_of(id, payload) for id, payload in rows]


def _chunks(collection: Collection, memories: Sequence[tuple[Memory, Vector]]) -> Iterator[_Chunk]:
    chunk: _Chunk = []
    characters = 0
    for memory, vector in memories:
        if chunk and (len(chunk) == _MEMORIES_AT_ONCE or characters + len(memory.content) > _CHARACTERS_AT_ONCE):
            yield chunk
            chunk, characters = [], 0
        chunk.append((memory, _packed(vector, collection.embedding)))
        characters += len(memory.content)
    # Also of nothing: that there is no collection is said all the same.
    if chunk or not memories:
        yield chunk


def _packed(vector: Vector, embedding: Embedding) -> bytes:
    if len(vector) != embedding.dimension:
        raise ValueError(f"{embedding.vector_name} does not make vectors of {len(vector)} numbers")
    return packed(vector)
