"""Collections on a Qdrant server: making them, also when others do so too or died doing so, and asking about them."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from services.agents.memory.model import Collection, Embedding
from services.agents.memory.qdrant import requests as say
from services.agents.memory.qdrant.connection import Absent, Exists, QdrantConnection, Unfit

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, models

T = TypeVar("T")


class EmbeddingMissing(Exception):
    """The collection has no vectors of the embedding, because it never had or no longer has."""


class QdrantCollections:
    """The collections of a server. Raises what QdrantConnection does, but for what a method foresees."""

    def __init__(self, connection: QdrantConnection) -> None:
        self._connection = connection

    async def create(self, collection: Collection) -> None:
        """Make the collection with its indexes, or those that it lacks."""
        try:
            if await self._info(collection) is None:
                await self._create(collection)
        except Exists:
            # By another replica a moment ago, or by our own request whose answer was lost.
            pass
        await self._mend(collection)

    async def drop(self, collection: Collection) -> None:
        """Remove the collection, if it is there."""
        await self._connection.ask("drop collection", lambda client: client.delete_collection(collection.name))

    async def ask(
        self,
        what: str,
        collection: Collection,
        request: "Callable[[AsyncQdrantClient], Awaitable[T]]",
        using: Embedding | None = None,
    ) -> T:
        """Return what the server answers to a request about points of the collection, with vectors of `using` if any.

        Raise EmbeddingMissing if there are none of those.
        """
        try:
            return await self._connection.ask(what, request)
        except Unfit as unfit:
            if using is not None and using.vector_name not in await self.vector_names(collection):
                raise EmbeddingMissing from unfit
            # Whoever made it may have died before all indexes were there, and others have used it since. What needs an
            # index is refused without, and this is how that is noticed.
            if not await self._mend(collection):
                raise
        return await self._connection.ask(what, request)

    async def ask_or(
        self,
        absent: T,
        what: str,
        collection: Collection,
        request: "Callable[[AsyncQdrantClient], Awaitable[T]]",
        using: Embedding | None = None,
    ) -> T:
        """The same; `absent` if there is no such collection, or no such point."""
        try:
            return await self.ask(what, collection, request, using)
        except Absent:
            return absent

    async def vector_names(self, collection: Collection) -> set[str]:
        """What the collection's vectors are called, but for those of words; none if it is not there."""
        info = await self._info(collection)
        vectors = None if info is None else info.config.params.vectors
        return set(vectors) if isinstance(vectors, dict) else set()

    async def add_vectors(self, collection: Collection, embedding: Embedding) -> None:
        """Let points have a vector of the embedding too, if the collection is there."""

        async def request(client: "AsyncQdrantClient") -> bool:
            name = embedding.vector_name
            # If it is there already and the same, nothing happens.
            await client.create_vector_name(collection.name, name, say.dense_later(embedding), wait=True)
            return await client.update_collection(collection.name, vectors_config={name: say.on_disk()})

        await self.ask_or(False, "add vectors", collection, request)

    async def remove_vectors(self, collection: Collection, name: str) -> None:
        """Remove all vectors of this name, if the collection has any."""

        async def request(client: "AsyncQdrantClient") -> object:
            return await client.delete_vector_name(collection.name, name, wait=True)

        await self.ask_or(None, "remove vectors", collection, request)

    async def _create(self, collection: Collection) -> None:
        async def request(client: "AsyncQdrantClient") -> bool:
            return await client.create_collection(
                collection.name,
                vectors_config={collection.embedding.vector_name: say.dense(collection.embedding)},
                sparse_vectors_config={say.WORDS: say.sparse()},
                optimizers_config=say.optimizers(),
            )

        await self._connection.ask("create collection", request)

    async def _mend(self, collection: Collection) -> bool:
        """Make the indexes that the collection lacks; return whether it lacked any. It may not be there."""
        info = await self._info(collection)
        if info is None:
            return False
        lacking = {key: index for key, index in say.indexes().items() if key not in info.payload_schema}
        try:
            for key, index in lacking.items():
                await self._index(collection, key, index)
        except Absent:
            # Dropped meanwhile, which is as good as dropped afterwards.
            return False
        return bool(lacking)

    async def _index(self, collection: Collection, key: str, index: "say.Index") -> None:
        async def request(client: "AsyncQdrantClient") -> object:
            # One that is there and the same stays as it is.
            return await client.create_payload_index(collection.name, key, index, wait=True)

        await self._connection.ask("create index", request)

    async def _info(self, collection: Collection) -> "models.CollectionInfo | None":
        try:
            return await self._connection.ask("look", lambda client: client.get_collection(collection.name))
        except Absent:
            return None
