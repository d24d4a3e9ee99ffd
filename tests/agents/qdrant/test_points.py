"""Memories as points of a Qdrant server: what is sent to keep, change and find them, and what it then holds."""

import threading
from dataclasses import replace

import httpx
import pytest

from services.agents.memory.model import EVERYTHING, Collection, Memory, MemoryFilter
from services.agents.memory.payload import payload_of
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.runtime.ids import new_id
from services.runtime.ownership import VIOLATIONS
from tests.conformance.memory_stores import LARGER, a_collection, a_memory, a_vector
from tests.fakes.qdrant_server import FakeQdrant, filters_of

pytestmark = pytest.mark.server_backed


async def everything_once(store: QdrantMemoryStore, collection: Collection, memory: Memory) -> None:
    """Call every method that asks about points."""
    wanted = MemoryFilter(
        interaction_types=("task", "tool"),
        success=True,
        since=memory.timestamp,
        tags=memory.tags,
        session_id=memory.session_id,
        words=("err_4711",),
        ids=(memory.id,),
    )
    await store.put(collection, [(memory, a_vector())])
    assert await store.get(collection, [memory.id, new_id(), "no-uuid"]) == [memory]
    assert [each.memory for each in await store.nearest(collection, a_vector(), 3, wanted, 0, -1.0)] == [memory]
    assert [each.memory for each in await store.matching(collection, ["parser"], 3, wanted)] == [memory]
    assert await store.newest(collection, 3, wanted) == [memory]
    assert await store.newest(collection, 3, EVERYTHING, (memory.timestamp, memory.id)) == []
    assert await store.count(collection, wanted) == 1
    await store.begin_migration(collection, LARGER)
    assert await store.lacking(collection, LARGER, 3) == [memory]
    await store.put_vectors(collection, LARGER, {memory.id: a_vector(LARGER.dimension)})
    await store.change(collection, memory, frozenset({"content", "tags"}), a_vector())
    await store.end_migration(collection)
    assert await store.delete(collection, wanted) == 1


# What is sent


async def test_every_filter_is_for_the_agent_alone(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    await everything_once(store, collection, memory)
    own = {"key": "agent_id", "match": {"value": collection.agent_id}}
    asked = [seen for seen in qdrant.requests if "/points" in seen.path]
    assert {seen.operation for seen in asked} == {
        *("upsert_points", "scroll_points", "query_points", "count_points", "delete_points"),
        *("update_vectors", "batch_update"),
    }
    for seen in asked:
        filters = list(filters_of(seen.body))
        # What a vector is given to was asked for by such a filter just before; and what is put says whose it is.
        assert filters or seen.operation in ("upsert_points", "update_vectors")
        assert all(own in each["must"] for each in filters), seen


async def test_every_write_waits_until_it_is_done(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    await everything_once(store, collection, memory)
    asynchronous = {
        *("upsert_points", "delete_points", "update_vectors", "batch_update"),
        *("create_field_index", "create_vector_name", "delete_vector_name"),
    }
    waiting = {seen.operation: seen.query.get("wait") for seen in qdrant.requests if seen.operation in asynchronous}
    assert waiting == dict.fromkeys(asynchronous, "true")


async def test_many_memories_go_in_several_requests(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    memories = [a_memory(collection, str(number)) for number in range(120)]
    await store.put(collection, [(each, a_vector()) for each in memories])
    await store.begin_migration(collection, LARGER)
    await store.put_vectors(collection, LARGER, {each.id: a_vector(LARGER.dimension) for each in memories})
    assert await store.count(collection) == 120
    assert await store.lacking(collection, LARGER, 5) == []
    for operation in ("upsert_points", "update_vectors"):
        assert [len(seen.body["points"]) for seen in qdrant.asked(operation)] == [50, 50, 20]


async def test_long_memories_go_in_requests_that_a_server_takes(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    memories = [a_memory(collection, "x " * 50_000) for _ in range(21)]
    await store.put(collection, [(each, a_vector()) for each in memories])
    assert [len(seen.body["points"]) for seen in qdrant.asked("upsert_points")] == [10, 10, 1]


async def test_change_that_breaks_off_leaves_what_is_read_as_it_was(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    await store.begin_migration(collection, LARGER)
    await store.change(collection, replace(memory, content="other"), frozenset({"content"}), a_vector())
    [batch] = qdrant.asked("batch_update")
    assert [list(step) for step in batch.body["operations"]] == [
        ["update_vectors"],
        ["delete_vectors"],
        ["set_payload"],
    ]


async def test_vectors_of_a_migration_are_on_disk_too(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    await store.begin_migration(collection, LARGER)
    assert qdrant.asked("update_collection")[0].body == {"vectors": {LARGER.vector_name: {"on_disk": True}}}


# What is kept and found


async def test_payload_is_what_the_specification_promises_to_those_who_look(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        asked = {"filter": {"must": [{"key": "content", "match": {"text": "parser"}}]}}
        answer = await client.post(f"/collections/{collection.name}/points/scroll", json=asked)
    [point] = answer.json()["result"]["points"]
    assert (point["id"], point["payload"]) == (memory.id, payload_of(memory))


async def test_memory_of_another_owner_or_agent_in_the_collection_never_leaves(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    stranger, sibling = a_collection(), replace(collection, agent_id=new_id())
    foreign = replace(a_memory(stranger, "a secret"), agent_id=collection.agent_id)
    await store.put(collection, [(each, a_vector()) for each in (foreign, a_memory(sibling, "a secret"))])
    await store.begin_migration(collection, LARGER)
    caught = VIOLATIONS.labels("memories")
    before = caught._value.get()
    assert await store.get(collection, [foreign.id]) == []
    assert await store.nearest(collection, a_vector(), 5) == []
    assert await store.matching(collection, ["secret"], 5) == []
    assert await store.newest(collection, 5) == []
    assert await store.lacking(collection, LARGER, 5) == []
    # The agent's own filter never finds the sibling's.
    assert caught._value.get() - before == 5


async def test_vectors_of_those_who_go_meanwhile_do_not_hold_up_the_others(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    staying, going = a_memory(collection, "stays"), a_memory(collection, "goes")
    await store.put(collection, [(staying, a_vector()), (going, a_vector())])
    await store.begin_migration(collection, LARGER)
    gone = threading.Event()

    def remove(method: str, path: str) -> None:
        if path.endswith("/points/vectors") and not gone.is_set():
            gone.set()
            target = f"{qdrant.url}/collections/{collection.name}/points/delete?wait=true"
            httpx.post(target, json={"points": [going.id]})

    qdrant.before = remove
    vectors = {each.id: a_vector(LARGER.dimension) for each in (going, staying)}
    await store.put_vectors(collection, LARGER, vectors)
    assert [seen.status for seen in qdrant.asked("update_vectors")] == [404, 200]
    assert await store.lacking(collection, LARGER, 5) == []
    assert await store.get(collection, [going.id]) == []


async def test_text_without_words_counts_to_none_that_a_word_is_rare_in(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    other = a_memory(collection, "The parser works.")
    await store.put(collection, [(other, a_vector()), (a_memory(collection, "…"), a_vector())])
    [found, _] = await store.matching(collection, ["works", "parser"], 5)
    await store.change(collection, replace(memory, content=""), frozenset({"content"}), a_vector())
    assert await store.matching(collection, ["err_4711"], 5) == []
    [left] = await store.matching(collection, ["works", "parser"], 5)
    # Of one text that has both words, neither says as much as where it is one of two.
    assert left.memory == found.memory
    assert left.score < found.score


async def test_changed_memory_needs_its_vector_of_a_migration_anew(
    store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    await store.begin_migration(collection, LARGER)
    await store.put_vectors(collection, LARGER, {memory.id: a_vector(LARGER.dimension)})
    await store.change(collection, replace(memory, tags=("new",)), frozenset({"tags"}))
    assert await store.lacking(collection, LARGER, 5) == []
    changed = replace(memory, tags=("new",), content="other")
    await store.change(collection, changed, frozenset({"content"}), a_vector())
    assert await store.lacking(collection, LARGER, 5) == [changed]


async def test_score_that_is_just_enough_is_enough(
    store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    [found] = await store.nearest(collection, [1, 1, 0, 0], 5)
    assert await store.nearest(collection, [1, 1, 0, 0], 5, min_score=found.score) == [found]
    assert await store.nearest(collection, [1, 1, 0, 0], 5, min_score=found.score + 1e-7) == []
