"""What MemoryStore promises of a change to another embedding, held against every backend."""

import math
from dataclasses import replace

import pytest

from services.agents.memory.model import Collection
from services.agents.memory.store import CollectionMissing, MemoryStore
from services.runtime.ids import new_id
from tests.conformance.memory_stores import LARGER, SMALL, a_memory, a_vector, contents, found_by, put, toward


async def test_a_migration_gives_every_memory_a_vector_of_the_other_embedding(
    memory_store: MemoryStore, mine: Collection
) -> None:
    memories = [a_memory(mine, f"memory {number}") for number in range(5)]
    await put(memory_store, mine, *memories)
    await memory_store.begin_migration(mine, LARGER)
    migrated = replace(mine, embedding=LARGER)
    assert await memory_store.nearest(migrated, a_vector(6), 10) == []
    lacking = await memory_store.lacking(mine, LARGER, 3)
    assert len(lacking) == 3
    await memory_store.put_vectors(mine, LARGER, {each.id: [1.0, 0, 0, 0, 0, 0] for each in lacking})
    # As if begun anew after a crash.
    await memory_store.begin_migration(mine, LARGER)
    rest = await memory_store.lacking(mine, LARGER, 10)
    assert sorted(each.id for each in lacking + rest) == sorted(each.id for each in memories)
    await memory_store.put_vectors(mine, LARGER, {each.id: [1.0, 0, 0, 0, 0, 1] for each in rest})
    assert await memory_store.lacking(mine, LARGER, 10) == []
    assert len(await memory_store.nearest(mine, a_vector(), 10)) == 5
    for _ in range(2):
        await memory_store.end_migration(migrated)
        found = await memory_store.nearest(migrated, [1.0, 0, 0, 0, 0, 0], 10)
        expected = [1.0] * 3 + [math.sqrt(0.5)] * 2
        assert [each.score for each in found] == pytest.approx(expected, abs=1e-5)
        assert {each.memory.id for each in found[:3]} == {each.id for each in lacking}
    assert sorted(await found_by(memory_store, migrated, "memory")) == [each.content for each in memories]
    assert await memory_store.newest(migrated, 10) == sorted(memories, key=lambda each: each.id)
    await put(memory_store, migrated, a_memory(mine))
    assert await memory_store.count(migrated) == 6


async def test_what_is_written_during_a_migration_is_migrated_too(memory_store: MemoryStore, mine: Collection) -> None:
    replaced, changed = a_memory(mine, "replaced"), a_memory(mine, "changed")
    await put(memory_store, mine, replaced, changed)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {each.id: a_vector(6) for each in (replaced, changed)})
    added = a_memory(mine, "added")
    await put(memory_store, mine, added, replaced)
    await memory_store.change(mine, replace(changed, content="new"), frozenset({"content"}), a_vector())
    lacking = await memory_store.lacking(mine, LARGER, 10)
    assert sorted(contents(lacking)) == ["added", "new", "replaced"]


async def test_vectors_for_what_is_gone_make_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {new_id(): a_vector(6), memory.id: a_vector(6)})
    await memory_store.put_vectors(mine, LARGER, {})
    assert await memory_store.count(mine) == 1
    assert await memory_store.lacking(mine, LARGER, 10) == []


async def test_a_migration_that_is_given_up_leaves_nothing(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await memory_store.put(mine, [(memory, toward(0))])
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {memory.id: a_vector(6)})
    await memory_store.end_migration(mine)
    (found,) = await memory_store.nearest(mine, toward(0), 10)
    assert found.score == pytest.approx(1, abs=1e-5)
    await memory_store.begin_migration(mine, LARGER)
    assert await memory_store.lacking(mine, LARGER, 10) == [memory]


async def test_a_writer_that_missed_a_migration_is_refused(memory_store: MemoryStore, mine: Collection) -> None:
    memory = a_memory(mine)
    await put(memory_store, mine, memory)
    await memory_store.begin_migration(mine, LARGER)
    await memory_store.put_vectors(mine, LARGER, {memory.id: a_vector(6)})
    await memory_store.end_migration(replace(mine, embedding=LARGER))
    with pytest.raises(CollectionMissing):
        await put(memory_store, mine, a_memory(mine))
    assert await memory_store.newest(mine, 10) == [memory]


async def test_equal_vectors_of_another_length_are_refused(memory_store: MemoryStore, mine: Collection) -> None:
    with pytest.raises(ValueError, match="5"):
        await memory_store.put(mine, [(a_memory(mine), [1.0] * 5)])
    with pytest.raises(ValueError, match="5"):
        await memory_store.nearest(mine, [1.0] * (SMALL.dimension + 1), 10)
