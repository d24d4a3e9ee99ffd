"""What failures of a Qdrant server mean: which are tried again, what is said of them, and what is done once for all."""

import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from services.agents.errors import MemoryRefused, MemoryUnavailable
from services.agents.memory.model import EVERYTHING, Collection, Memory, MemoryFilter
from services.agents.memory.qdrant.connection import Unfit
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.runtime.errors import CodelabError
from tests.agents.endpoints import Pauses
from tests.agents.qdrant.inspection import INDEXES, exists
from tests.conformance.memory_stores import LARGER, a_collection, a_memory, a_vector
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import SECRET_TEXT, Answer, Drop, FakeQdrant, Fault, Hold

pytestmark = pytest.mark.server_backed

DOWN: list[Fault] = []
PASSING: list[list[Fault]] = [DOWN, [Answer(500)] * 3, [Answer(503)] * 3, [Drop()] * 3]
LASTING: list[list[Fault]] = [
    [Answer(429)],
    [Answer(429, {"retry-after": "7"})],
    [Answer(429, {"retry-after": "Thu, 26 Nov 2026 22:00:00 GMT"})],
    [Answer(408)],
]


def assert_silent(error: CodelabError) -> None:
    """That nothing of the server's text is passed on."""
    assert SECRET_TEXT not in f"{error} {error.detail} {error.metadata}"
    assert error.__cause__ is None


# Out of reach


@pytest.mark.parametrize("faults", [*PASSING, *LASTING], ids=str)
async def test_server_out_of_reach_is_unavailable_in_every_method(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory, faults: list[Fault]
) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.create(collection),
        lambda: store.drop(collection),
        lambda: store.put(collection, [(memory, a_vector())]),
        lambda: store.change(collection, memory, frozenset({"tags"})),
        lambda: store.get(collection, [memory.id]),
        lambda: store.nearest(collection, a_vector(), 3),
        lambda: store.matching(collection, ["parser"], 3),
        lambda: store.newest(collection, 3),
        lambda: store.count(collection),
        lambda: store.delete(collection, EVERYTHING),
        lambda: store.begin_migration(collection, LARGER),
        lambda: store.lacking(collection, LARGER, 3),
        lambda: store.put_vectors(collection, LARGER, {memory.id: a_vector(LARGER.dimension)}),
        lambda: store.end_migration(collection),
    ]
    if faults is DOWN:
        qdrant.stop()
    for call in calls:
        qdrant.fail(*faults)
        with pytest.raises(MemoryUnavailable) as raised:
            await call()
        assert_silent(raised.value)


@pytest.mark.parametrize("fault", [Answer(500), Answer(502), Answer(503), Drop()], ids=str)
async def test_what_passes_is_not_noticed(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, pauses: Pauses, fault: Fault
) -> None:
    qdrant.fail(fault, fault)
    assert await store.count(collection) == 0
    assert pauses == [0.2, 0.6]


@pytest.mark.parametrize("faults", LASTING, ids=str)
async def test_server_that_has_enough_to_do_is_not_asked_again(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, pauses: Pauses, faults: list[Fault]
) -> None:
    qdrant.fail(*faults)
    with pytest.raises(MemoryUnavailable):
        await store.count(collection)
    assert pauses == []


async def test_server_that_is_silent_is_waited_for_no_longer_than_told(
    qdrant: FakeQdrant, collection: Collection
) -> None:
    impatient = QdrantMemoryStore(qdrant.url, timeout_seconds=0.2)
    qdrant.fail(Hold())
    with pytest.raises(MemoryUnavailable):
        await impatient.count(collection)
    assert await impatient.count(collection) == 0
    await impatient.close()


async def test_store_is_used_again_when_its_server_is_back(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    qdrant.stop()
    with pytest.raises(MemoryUnavailable):
        await store.count(collection)
    qdrant.start()
    assert await store.get(collection, [memory.id]) == [memory]


async def test_write_whose_answer_was_lost_has_its_effect_once(
    qdrant: FakeQdrant, store: QdrantMemoryStore, pauses: Pauses
) -> None:
    collection = a_collection()
    one, two = a_memory(collection, "one"), a_memory(collection, "two")
    repeated = 0

    async def losing(operation: str, call: Awaitable[Any]) -> Any:
        nonlocal repeated
        qdrant.fail(Drop(), operation=operation)
        result = await call
        repeated += 1
        assert len(pauses) == repeated, "nothing was lost"
        return result

    await losing("create_collection", store.create(collection))
    assert len(qdrant.asked("create_field_index")) == len(INDEXES)
    await losing("upsert_points", store.put(collection, [(one, a_vector()), (two, a_vector())]))
    await losing("create_vector_name", store.begin_migration(collection, LARGER))
    vectors = {one.id: a_vector(LARGER.dimension)}
    await losing("update_vectors", store.put_vectors(collection, LARGER, vectors))
    assert await store.lacking(collection, LARGER, 5) == [two]
    changed = replace(one, content="three", success=False)
    await losing("batch_update", store.change(collection, changed, frozenset({"content", "success"}), a_vector()))
    assert await store.get(collection, [one.id]) == [changed]
    await losing("delete_vector_name", store.end_migration(collection))
    assert await losing("delete_points", store.delete(collection, MemoryFilter(ids=(one.id,)))) == 1
    assert await store.count(collection) == 1
    await losing("delete_collection", store.drop(collection))
    assert not await exists(qdrant, collection)


# Refused


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_name_their_setting_and_are_not_tried_again(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, pauses: Pauses, status: int
) -> None:
    qdrant.fail(Answer(status))
    with pytest.raises(MemoryRefused, match="QDRANT_API_KEY") as raised:
        await store.count(collection)
    assert (raised.value.reason, pauses) == ("MEMORY_REFUSED", [])
    assert_silent(raised.value)


async def test_key_opens_and_is_nowhere_to_be_read(qdrant_description: Description) -> None:
    collection = a_collection()
    with FakeQdrant(qdrant_description, api_key="the-key") as qdrant, warnings.catch_warnings():
        warnings.simplefilter("error")
        knowing, guessing = QdrantMemoryStore(qdrant.url, "the-key"), QdrantMemoryStore(qdrant.url, "another")
        await knowing.create(collection)
        with pytest.raises(MemoryRefused) as raised:
            await guessing.create(collection)
        assert "another" not in str(raised.value)
        await knowing.close()
        await guessing.close()


async def test_request_that_cannot_be_right_is_a_fault_of_ours(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    qdrant.fail(Answer(400))
    with pytest.raises(Unfit) as raised:
        await store.count(collection)
    assert not isinstance(raised.value, CodelabError)
    # For the log of unforeseen errors.
    assert SECRET_TEXT in str(raised.value.__cause__)
