"""The store on a Qdrant server: what is sent, what failures mean, and what is left when something breaks off.

What every store promises is in tests/conformance.
"""

import asyncio
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.agents.__main__ import running
from services.agents.errors import MemoryRefused, MemoryUnavailable
from services.agents.memory.model import EVERYTHING, Collection, Memory, MemoryFilter
from services.agents.memory.payload import payload_of
from services.agents.memory.qdrant.connection import Unfit
from services.agents.memory.qdrant.store import QdrantMemoryStore
from services.agents.memory.store import CollectionMissing
from services.runtime.errors import CodelabError
from services.runtime.ids import new_id
from services.runtime.ownership import VIOLATIONS
from services.runtime.settings import Settings
from tests.conformance.memory_stores import LARGER, SMALL, a_collection, a_memory, a_vector
from tests.e2e.ports import free_ports
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import SECRET_TEXT, Answer, Drop, FakeQdrant, Fault, Hold, filters_of

pytestmark = pytest.mark.server_backed

INDEXES = {"agent_id", "at", "content", "interaction_type", "session_id", "success", "tags", "words"}


class Pauses(list[float]):
    """Takes the pauses between attempts down, instead of pausing."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def qdrant(qdrant_description: Description) -> Iterator[FakeQdrant]:
    with FakeQdrant(qdrant_description) as running:
        yield running
        running.assert_nothing_wrong()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def store(qdrant: FakeQdrant, pauses: Pauses) -> AsyncIterator[QdrantMemoryStore]:
    made = QdrantMemoryStore(qdrant.url, timeout_seconds=5.0, pause=pauses, jitter=lambda: 1.0)
    yield made
    await made.close()


@pytest.fixture
async def collection(store: QdrantMemoryStore) -> Collection:
    """A collection that was made."""
    made = a_collection()
    await store.create(made)
    return made


@pytest.fixture
async def memory(store: QdrantMemoryStore, collection: Collection) -> Memory:
    """The one memory of the collection."""
    made = a_memory(collection, "The parser fails with ERR_4711.", tags=("bug",), session_id=new_id())
    await store.put(collection, [(made, [1, 0, 0, 0])])
    return made


async def info(qdrant: FakeQdrant, collection: Collection) -> Any:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        return (await client.get(f"/collections/{collection.name}")).json()["result"]


async def exists(qdrant: FakeQdrant, collection: Collection) -> bool:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        answer = await client.get(f"/collections/{collection.name}/exists")
    return bool(answer.json()["result"]["exists"])


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


DOWN: list[Fault] = []
PASSING: list[list[Fault]] = [DOWN, [Answer(500)] * 3, [Answer(503)] * 3, [Drop()] * 3]
LASTING: list[list[Fault]] = [
    [Answer(429)],
    [Answer(429, {"retry-after": "7"})],
    [Answer(429, {"retry-after": "Thu, 26 Nov 2026 22:00:00 GMT"})],
    [Answer(408)],
]


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


def assert_silent(error: CodelabError) -> None:
    """That nothing of the server's text is passed on."""
    assert SECRET_TEXT not in f"{error} {error.detail} {error.metadata}"
    assert error.__cause__ is None


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


async def test_vectors_of_a_migration_are_on_disk_too(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection
) -> None:
    await store.begin_migration(collection, LARGER)
    assert qdrant.asked("update_collection")[0].body == {"vectors": {LARGER.vector_name: {"on_disk": True}}}


async def test_score_that_is_just_enough_is_enough(
    store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    [found] = await store.nearest(collection, [1, 1, 0, 0], 5)
    assert await store.nearest(collection, [1, 1, 0, 0], 5, min_score=found.score) == [found]
    assert await store.nearest(collection, [1, 1, 0, 0], 5, min_score=found.score + 1e-7) == []


async def test_payload_is_what_the_specification_promises_to_those_who_look(
    qdrant: FakeQdrant, store: QdrantMemoryStore, collection: Collection, memory: Memory
) -> None:
    async with httpx.AsyncClient(base_url=qdrant.url, timeout=30) as client:
        asked = {"filter": {"must": [{"key": "content", "match": {"text": "parser"}}]}}
        answer = await client.post(f"/collections/{collection.name}/points/scroll", json=asked)
    [point] = answer.json()["result"]["points"]
    assert (point["id"], point["payload"]) == (memory.id, payload_of(memory))


async def test_callers_that_come_while_the_client_loads_share_it(qdrant: FakeQdrant) -> None:
    store = QdrantMemoryStore(qdrant.url)
    first = asyncio.create_task(store.count(a_collection()))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*(store.count(a_collection()) for _ in range(3))) == [0, 0, 0]
    await store.close()


async def test_store_that_was_never_asked_closes() -> None:
    await QdrantMemoryStore("http://127.0.0.1:9").close()


async def test_service_that_has_started_loads_the_client_before_anybody_asks(tmp_path: Path) -> None:
    environ = {"CODELAB_DATA_DIR": str(tmp_path), "CODELAB_GRPC_PORT_BASE": str(free_ports(2))}
    settings = Settings.load({**environ, "QDRANT_URL": "http://127.0.0.1:9", "EMBEDDING_MODEL": "hashing"})
    async with running(settings):
        assert "load the qdrant client" in {task.get_name() for task in asyncio.all_tasks()}


def test_client_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, services.agents.memory.qdrant.store; sys.exit('qdrant_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_store_has_all_of_httpx_before_its_client_is_loaded_beside_that_of_the_model() -> None:
    # The openai client looks into it also when another thread has imported half of it.
    script = (
        "import sys; from services.agents.memory.qdrant.store import QdrantMemoryStore as Store;"
        "before = 'httpx' in sys.modules; Store('http://127.0.0.1:1', '');"
        "print(before, hasattr(sys.modules['httpx'], 'URL'), 'qdrant_client' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True", "False"]
