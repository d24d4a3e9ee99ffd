"""Collections on a Qdrant server: how they are made, and what is left when that breaks off or others do it too."""

import asyncio
import threading

import pytest

from services.agents.errors import MemoryUnavailable
from services.agents.memory.model import Collection, Memory
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.agents.memory.store import CollectionMissing
from tests.agents.qdrant.inspection import INDEXES, exists, info
from tests.conformance.memory_stores import SMALL, a_collection, a_memory, a_vector
from tests.fakes.qdrant_server import Answer, FakeQdrant

pytestmark = pytest.mark.server_backed


async def half_made(qdrant: FakeQdrant, store: QdrantMemoryStore) -> Collection:
    """A collection whose maker saw the server fail."""
    collection = a_collection()

    def fail(method: str, path: str) -> None:
        if path.endswith("/index"):
            qdrant.fail(Answer(500))

    qdrant.before = fail
    with pytest.raises(MemoryUnavailable):
        await store.create(collection)
    qdrant.before = lambda method, path: None
    assert (await info(qdrant, collection))["payload_schema"] == {}
    return collection


async def test_collection_is_made_as_small_as_it_may_be_and_with_its_indexes(
    qdrant: FakeQdrant, collection: Collection
) -> None:
    told = await info(qdrant, collection)
    assert set(told["payload_schema"]) == INDEXES
    assert told["payload_schema"]["content"]["params"] == {"type": "text", "tokenizer": "word", "lowercase": True}
    assert told["config"]["optimizer_config"]["default_segment_number"] == 2
    params = told["config"]["params"]
    assert params["vectors"] == {SMALL.vector_name: {"size": 4, "distance": "Cosine", "on_disk": True}}
    assert params["sparse_vectors"] == {"words": {"modifier": "idf"}}


async def test_put_after_drop_says_so_and_makes_nothing(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    await store.drop(collection)
    before = len(qdrant.requests)
    with pytest.raises(CollectionMissing):
        await store.put(collection, [(memory, a_vector())])
    assert [seen.operation for seen in qdrant.requests[before:]] == ["upsert_points"]
    assert not await exists(qdrant, collection)


async def test_two_who_create_at_once_both_succeed(qdrant: FakeQdrant, store: QdrantMemoryStore) -> None:
    collection, both_looked = a_collection(), threading.Barrier(2, timeout=30)

    def meet(method: str, path: str) -> None:
        if (method, path) == ("PUT", f"/collections/{collection.name}"):
            both_looked.wait()

    qdrant.before = meet
    other = QdrantMemoryStore(qdrant.url)
    await asyncio.gather(store.create(collection), other.create(collection))
    await other.close()
    assert sorted(seen.status or 0 for seen in qdrant.asked("create_collection")) == [200, 409]
    assert set((await info(qdrant, collection))["payload_schema"]) == INDEXES


async def test_collection_that_was_left_half_made_is_finished_by_the_next_who_creates(
    qdrant: FakeQdrant, store: QdrantMemoryStore
) -> None:
    collection = await half_made(qdrant, store)
    await store.create(collection)
    assert set((await info(qdrant, collection))["payload_schema"]) == INDEXES
    assert len(qdrant.asked("create_collection")) == 1


async def test_half_made_collection_is_finished_when_a_list_needs_it(
    qdrant: FakeQdrant, store: QdrantMemoryStore
) -> None:
    collection = await half_made(qdrant, store)
    memory = a_memory(collection)
    # It is there, so nobody creates it again.
    await store.put(collection, [(memory, a_vector())])
    assert await store.newest(collection, 5) == [memory]
    assert set((await info(qdrant, collection))["payload_schema"]) == INDEXES


async def test_collection_that_is_dropped_while_it_is_made_stays_away(
    qdrant: FakeQdrant, store: QdrantMemoryStore
) -> None:
    collection = a_collection()
    qdrant.fail(Answer(404), operation="create_field_index")
    await store.create(collection)
    assert len(qdrant.asked("create_field_index")) == 1
    assert len(qdrant.asked("create_collection")) == 1
