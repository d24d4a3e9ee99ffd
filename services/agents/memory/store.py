"""The store of memories, by contract: one collection an agent, found by meaning, by words, or by time."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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


class CollectionMissing(Exception):
    """What was to be written has no collection: it was never created, or it is dropped."""


class MemoryStore(Protocol):
    """Memories and their vectors.

    A write is durable when its call returns: whichever process is killed then, it is there. Every write may be repeated
    with the same effect. What a collection holds of another owner or agent than its own never leaves, and is counted as
    a violation of isolation. Every method raises MemoryUnavailable if the store is out of reach, or does not answer in
    time; the write may have happened then.
    """

    def warm(self) -> None:
        """Begin to load what is slow to load, so that the first call does not wait for it."""

    async def create(self, collection: Collection) -> None:
        """Make the collection, empty, with vectors of its embedding. If it is there, nothing changes."""

    async def drop(self, collection: Collection) -> None:
        """Remove the collection with everything in it. If it is not there, nothing changes."""

    async def put(self, collection: Collection, memories: Sequence[tuple[Memory, Vector]]) -> None:
        """Store the memories with their vectors; one of the same id is replaced.

        Raise CollectionMissing, and never make the collection: it may have been dropped a moment ago.
        """

    async def change(
        self, collection: Collection, memory: Memory, fields: frozenset[str], vector: Vector | None = None
    ) -> None:
        """Give the stored memory of this id the values of these fields of `memory`, leaving the others as they are.

        With a change of `content` or `asked` comes the vector that now stands for it. A memory that is not there stays
        so.
        """

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Memory]:
        """Return those of the memories that are there, in no particular order."""

    async def nearest(
        self,
        collection: Collection,
        vector: Vector,
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        offset: int = 0,
        min_score: float | None = None,
    ) -> list[Found]:
        """Return memories most similar to `vector` first, without the first `offset` of them.

        Scores are cosines; less than `min_score` is left out.
        """

    async def matching(
        self,
        collection: Collection,
        words: Sequence[str],
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        offset: int = 0,
    ) -> list[Found]:
        """Return memories with at least one of the words, those first whose words say most by BM25, which is the score.

        The first `offset` of them are left out. Words are as `words.words_of` finds them.
        """

    async def newest(
        self,
        collection: Collection,
        limit: int,
        filter: MemoryFilter = EVERYTHING,
        after: MemoryPosition | None = None,
    ) -> list[Memory]:
        """Return memories newest first, those of one time in the order of their ids, beginning after a position."""

    async def count(self, collection: Collection, filter: MemoryFilter = EVERYTHING) -> int:
        """Return how many memories fit."""

    async def delete(self, collection: Collection, filter: MemoryFilter) -> int:
        """Remove the memories that fit; return how many they were."""

    async def begin_migration(self, collection: Collection, to: Embedding) -> None:
        """Let the collection's memories have a vector of another embedding besides. If they may already, do nothing."""

    async def lacking(self, collection: Collection, to: Embedding, limit: int) -> list[Memory]:
        """Return memories that have no vector of this embedding yet."""

    async def put_vectors(self, collection: Collection, to: Embedding, vectors: Mapping[str, Vector]) -> None:
        """Give the memories of these ids a vector of this embedding. Those that are not there stay so."""

    async def end_migration(self, collection: Collection) -> None:
        """Remove every vector that is not of the collection's own embedding. If there is none, nothing changes."""

    async def close(self) -> None:
        """Let go of everything. What was written stays."""
