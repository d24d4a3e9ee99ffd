"""The embedded store's folder: what is open of it, what a crash leaves in it, and what is made in it as it grows."""

from pathlib import Path

import pytest

from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import MemoryFilter
from services.agents.memory.store import CollectionMissing
from tests.agents.edge.folders import names_in, shards_in
from tests.agents.edge.memories import DAY
from tests.agents.edge.processes import open_collections, process_of
from tests.conformance.memory_stores import NOW, SECOND, a_collection, a_memory, put


async def test_few_collections_are_open_and_all_are_served(folder: Path) -> None:
    store = EdgeMemoryStore(folder, EdgeLimits(open_shards=2))
    collections = [a_collection() for _ in range(5)]
    memories = [a_memory(each) for each in collections]
    for collection in collections:
        await store.create(collection)
    for _ in range(2):
        for collection, memory in zip(collections, memories, strict=True):
            await put(store, collection, memory)
            assert await store.newest(collection, 10) == [memory]
            assert len(open_collections(process_of(store))) <= 2
    await store.close()


async def test_what_a_crash_left_is_no_collection_and_is_removed(folder: Path) -> None:
    half, swapped, gone_one = a_collection(), a_collection(), a_collection()
    store = EdgeMemoryStore(folder)
    await store.create(swapped)
    await put(store, swapped, memory := a_memory(swapped))
    await store.close()
    # A creation before its end, an optimisation before and after its swap, and a drop before its end.
    (folder / half.name / "1.made" / "segments").mkdir(parents=True)
    (folder / swapped.name / "1").rename(folder / swapped.name / "2")
    (folder / swapped.name / "1" / "segments").mkdir(parents=True)
    (folder / swapped.name / "3.0123abcd" / "segments").mkdir(parents=True)
    (folder / f".dropped-{gone_one.name}" / "1").mkdir(parents=True)
    # And what is nobody's of these: file managers leave some.
    strangers = [folder / half.name / ".DS_Store", folder / swapped.name / "9", folder / ".dropped-by-hand"]
    for each in strangers:
        each.touch()
    store = EdgeMemoryStore(folder)
    with pytest.raises(CollectionMissing):
        await put(store, half, a_memory(half))
    await store.create(half)
    assert await store.count(half) == 0
    assert await store.newest(swapped, 10) == [memory]
    assert all(each.exists() for each in strangers)
    for each in strangers:
        each.unlink()
    assert shards_in(folder, swapped) == ["2"]
    assert names_in(folder) == sorted([".lock", half.name, swapped.name])
    await store.close()


async def test_indexes_are_made_when_a_collection_has_grown_and_change_no_answer(folder: Path) -> None:
    import qdrant_edge

    store, collection = EdgeMemoryStore(folder, EdgeLimits(index_from=300)), a_collection()
    await store.create(collection)
    memories = [
        a_memory(collection, f"word{number % 7}", timestamp=NOW + number // 3 * SECOND, tags=(f"t{number % 5}",))
        for number in range(299)
    ]
    await put(store, collection, *memories)
    filters = [
        MemoryFilter(),
        MemoryFilter(tags=("t2",), since=NOW + 10 * SECOND),
        MemoryFilter(words=("word3",), success=True),
    ]
    before = [await store.newest(collection, 100, each) for each in filters]
    await put(store, collection, a_memory(collection, "latest", timestamp=NOW - DAY))
    assert [await store.newest(collection, 100, each) for each in filters] == before
    await store.close()
    shard = qdrant_edge.EdgeShard.load(str(folder / collection.name / "1"))
    assert set(shard.info().payload_schema) == {
        *("interaction_type", "session_id", "tags", "words", "_success", "at"),
    }
    shard.close()
