"""The store of memories on a Qdrant server: a collection an agent, which other programs may look at too."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from services.agents.errors import MemoryUnavailable
from services.agents.memory.door import let_out, let_out_found
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
from services.agents.memory.payload import memory_of, payload_changes
from services.agents.memory.qdrant import requests as say
from services.agents.memory.qdrant.collections import EmbeddingMissing, QdrantCollections
from services.agents.memory.qdrant.connection import Absent, QdrantConnection
from services.agents.memory.store import CollectionMissing

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, models

T = TypeVar("T")

_POINTS_A_REQUEST = 50
# A request may have 32 MB unless the server is told otherwise. A character becomes 23 bytes of it at the worst, where
# every word has one letter: itself, once more among the words, and its weight.
_CHARACTERS_A_REQUEST = 1_000_000
# More than lies between two scores of 32 bits.
_SCORE_STEP = 1e-6


class QdrantMemoryStore:
    """A MemoryStore on the Qdrant at `url`, which may have a path; without a port it is 6333. `close` when done.

    `timeout_seconds` is how long one request to the server may take, with its repetitions.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        timeout_seconds: float = 10.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connection = QdrantConnection(url, api_key, timeout_seconds, pause, jitter)
        self._collections = QdrantCollections(self._connection)

    def warm(self) -> None:
        """See MemoryStore."""
        self._connection.warm()

    async def close(self) -> None:
        """See MemoryStore."""
        await self._connection.close()

    async def create(self, collection: Collection) -> None:
        """See MemoryStore."""
        await self._collections.create(collection)

    async def drop(self, collection: Collection) -> None:
        """See MemoryStore."""
        await self._collections.drop(collection)

    async def put(self, collection: Collection, memories: Sequence[tuple[Memory, Vector]]) -> None:
        """See MemoryStore. Of many memories some may be stored when it fails."""
        for some in _batches(memories, lambda each: len(each[0].content)):
            await self._put(collection, some)
        if not memories and not await self._collections.vector_names(collection):
            raise CollectionMissing(collection.name)

    async def change(
        self, collection: Collection, memory: Memory, fields: frozenset[str], vector: Vector | None = None
    ) -> None:
        """See MemoryStore.

        All of it is one request, which the server does step by step. After a crash in between, whoever wanted the
        change repeats it: so what they see, the payload, changes last.
        """
        # A migration has to make its vector anew.
        others: set[str] = set()
        if vector is not None:
            others = await self._collections.vector_names(collection) - {collection.embedding.vector_name}

        async def request(client: "AsyncQdrantClient") -> object:
            steps = say.vector_steps(collection, memory, fields, vector, others)
            if fields:
                steps.append(say.payload_step(collection, memory, payload_changes(memory, fields)))
            return await client.batch_update_points(collection.name, steps, wait=True)

        if not fields and vector is None:
            return
        try:
            await self._collections.ask_or(None, "change", collection, request, collection.embedding)
        except EmbeddingMissing as missing:
            raise CollectionMissing(collection.name) from missing

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Memory]:
        """See MemoryStore."""
        wanted = MemoryFilter(ids=tuple(ids))
        return await self._scroll("get", collection, wanted, len(ids))

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
        # The server leaves out what is equal to the threshold too.
        threshold = None if min_score is None else min_score - _SCORE_STEP

        async def request(client: "AsyncQdrantClient") -> "models.QueryResponse":
            return await client.query_points(
                collection.name,
                say.numbers(vector, collection.embedding),
                collection.embedding.vector_name,
                query_filter=say.meant(collection, filter),
                limit=limit,
                offset=offset,
                score_threshold=threshold,
            )

        try:
            found = await self._query("search", collection, request, limit, collection.embedding)
        except EmbeddingMissing:
            return []
        return [each for each in found if min_score is None or each.score >= min_score]

    async def matching(
        self,
        collection: Collection,
        words: Sequence[str],
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        offset: int = 0,
    ) -> list[Found]:
        """See MemoryStore."""

        async def request(client: "AsyncQdrantClient") -> "models.QueryResponse":
            return await client.query_points(
                collection.name,
                say.words_query(words),
                say.WORDS,
                query_filter=say.meant(collection, filter),
                limit=limit,
                offset=offset,
            )

        return await self._query("search words", collection, request, limit if words else 0)

    async def newest(
        self,
        collection: Collection,
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        after: MemoryPosition | None = None,
    ) -> list[Memory]:
        """See MemoryStore."""

        async def by_time(filter: MemoryFilter, limit: int) -> list[Memory]:
            return await self._scroll("list by time", collection, filter, limit, by_time=True)

        async def by_id(filter: MemoryFilter, after: str | None, limit: int) -> list[Memory]:
            # The server's pages begin with the id that it is told.
            found = await self._scroll("list by id", collection, filter, limit + 1, start=after)
            return [memory for memory in found if memory.id != after][:limit]

        return await newest_first(by_time, by_id, filter, limit, after)

    async def count(self, collection: Collection, filter: MemoryFilter = EVERYTHING) -> int:
        """See MemoryStore."""

        async def request(client: "AsyncQdrantClient") -> int:
            return (await client.count(collection.name, say.meant(collection, filter), exact=True)).count

        return await self._collections.ask_or(0, "count", collection, request)

    async def delete(self, collection: Collection, filter: MemoryFilter) -> int:
        """See MemoryStore. What comes or goes in the same moment may be counted wrongly."""

        async def request(client: "AsyncQdrantClient") -> object:
            return await client.delete(collection.name, say.meant(collection, filter), wait=True)

        count = await self.count(collection, filter)
        await self._collections.ask_or(None, "delete", collection, request)
        return count

    async def begin_migration(self, collection: Collection, to: Embedding) -> None:
        """See MemoryStore."""
        await self._collections.add_vectors(collection, to)

    async def lacking(self, collection: Collection, to: Embedding, limit: int) -> list[Memory]:
        """See MemoryStore."""
        return await self._scroll("list lacking", collection, EVERYTHING, limit, lacking=to)

    async def put_vectors(self, collection: Collection, to: Embedding, vectors: Mapping[str, Vector]) -> None:
        """See MemoryStore."""
        for some in _batches(vectors.items(), lambda _: 0):
            await self._put_vectors(collection, to, dict(some))

    async def end_migration(self, collection: Collection) -> None:
        """See MemoryStore."""
        names, own = await self._collections.vector_names(collection), collection.embedding.vector_name
        # Who is wrong about the embedding must not remove everything.
        for name in names - {own} if own in names else ():
            await self._collections.remove_vectors(collection, name)

    async def _put(self, collection: Collection, memories: Sequence[tuple[Memory, Vector]]) -> None:
        async def request(client: "AsyncQdrantClient") -> object:
            points = [say.point_of(collection, memory, vector) for memory, vector in memories]
            return await client.upsert(collection.name, points, wait=True)

        try:
            await self._collections.ask("put", collection, request, collection.embedding)
        except (Absent, EmbeddingMissing) as missing:
            raise CollectionMissing(collection.name) from missing

    async def _put_vectors(self, collection: Collection, to: Embedding, vectors: Mapping[str, Vector]) -> None:
        # An id that is not there stops the server with others undone, also behind a filter. One that goes just now does
        # too: then it is asked again which are there.
        for _ in range(_POINTS_A_REQUEST):
            there = [memory.id for memory in await self.get(collection, list(vectors))]

            async def request(client: "AsyncQdrantClient", ids: Sequence[str] = there) -> bool:
                points = [say.vector_of(to, each, vectors[each]) for each in ids]
                await client.update_vectors(collection.name, points, wait=True)
                return True

            try:
                if not there or await self._collections.ask_or(False, "put vectors", collection, request, to):
                    return
            except EmbeddingMissing as missing:
                raise CollectionMissing(collection.name) from missing
        raise MemoryUnavailable

    async def _scroll(
        self,
        what: str,
        collection: Collection,
        filter: MemoryFilter,
        limit: int,
        start: str | None = None,
        by_time: bool = False,
        lacking: Embedding | None = None,
    ) -> list[Memory]:
        """At most `limit` memories: newest first, or by id from `start` on; without a vector of `lacking`."""

        async def request(client: "AsyncQdrantClient") -> list[Memory]:
            points, _ = await client.scroll(
                collection.name,
                say.meant(collection, filter, lacking),
                limit,
                say.newest() if by_time else None,
                start,
            )
            return [memory_of(str(point.id), point.payload or {}) for point in points]

        if limit <= 0:
            return []
        return let_out(collection, await self._collections.ask_or([], what, collection, request))

    async def _query(
        self,
        what: str,
        collection: Collection,
        request: "Callable[[AsyncQdrantClient], Awaitable[models.QueryResponse]]",
        limit: int,
        using: Embedding | None = None,
    ) -> list[Found]:
        if limit <= 0:
            return []
        answer = await self._collections.ask_or(None, what, collection, request, using)
        points = [] if answer is None else answer.points
        return let_out_found(
            collection, (Found(memory_of(str(each.id), each.payload or {}), each.score) for each in points)
        )


def _batches(items: Iterable[T], characters: Callable[[T], int]) -> Iterator[list[T]]:
    batch: list[T] = []
    room = _CHARACTERS_A_REQUEST
    for item in items:
        room -= characters(item)
        if batch and (len(batch) == _POINTS_A_REQUEST or room < 0):
            yield batch
            batch, room = [], _CHARACTERS_A_REQUEST - characters(item)
        batch.append(item)
    if batch:
        yield batch
