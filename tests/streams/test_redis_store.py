"""The streams of several replicas on one Redis: what may happen to a process, and to Redis."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from services.runtime import redis_client
from services.runtime.event_ids import EventId
from services.runtime.ownership import VIOLATIONS
from services.runtime.redis_client import redis_of
from services.streams.errors import EventsUnavailable, SessionNotFound
from services.streams.redis_members import RedisMemberStore
from services.streams.redis_scripts import LIFE, LIVE, LIVE_BYTES
from services.streams.redis_store import RedisEventStore, redis_stores
from services.streams.redis_wire import name_of
from services.streams.store import (
    Interrupted,
    NewEvent,
    Notice,
    RunKey,
    SessionKey,
    StoredEvent,
    TextDelta,
)
from tests import redis_server
from tests.conformance.event_stores import database_of_streams, patience
from tests.e2e.polling import eventually
from tests.redis_server import RedisServer

pytestmark = pytest.mark.server_backed

SESSION = SessionKey("user:1", "project", "session%3A1")
RUN = RunKey("run", 1)
EVENT = NewEvent("agent_started", final=False, payload=b"pay\nload\0\xff")


class World:
    """Replicas on one Redis, and a client that does to it what they do not."""

    def __init__(self, server: RedisServer) -> None:
        self.url = database_of_streams(server)
        self.redis: Redis = redis_of(self.url)
        self._opened = AsyncExitStack()

    async def replica(self) -> tuple[RedisEventStore, RedisMemberStore]:
        return await self._opened.enter_async_context(redis_stores(self.url))

    async def store(self) -> RedisEventStore:
        """That of a new replica, which hears already."""
        store, _ = await self.replica()
        await store.read(SESSION)
        return store

    async def close(self) -> None:
        await self._opened.aclose()
        await self.redis.aclose()


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    with patience():
        yield


@pytest.fixture
async def world(shared_redis: RedisServer) -> AsyncIterator[World]:
    made = World(shared_redis)
    await made.redis.flushdb()
    yield made
    await made.close()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that the test may stop."""
    with redis_server.running() as server:
        yield server


@pytest.fixture
async def own_world(own_redis: RedisServer) -> AsyncIterator[World]:
    made = World(own_redis)
    yield made
    await made.close()


class Heard(list[Notice]):
    def __call__(self, position: int, notice: Notice) -> None:
        self.append(notice)


async def is_back(store: RedisEventStore) -> bool:
    try:
        await store.read(SESSION)
    except EventsUnavailable:
        return False
    return True


async def test_what_one_replica_publishes_is_heard_and_read_at_the_other(world: World) -> None:
    here, there = await world.store(), await world.store()
    heard = Heard()
    delta = TextDelta("run", "m:\n", None, "agent", 1, 0, "🦜\0\n", timestamp=1234567890.123456)
    with there.listen(SESSION, heard):
        id = await here.publish(SESSION, RUN, EVENT, n=1)
        await here.publish_text(SESSION, RUN, delta)
        view = await there.read(SESSION)
    event, text = heard
    assert isinstance(event, StoredEvent)
    assert (event.id, event.run_id, event.type, event.payload) == (id, "run", EVENT.type, EVENT.payload)
    assert text == delta
    assert [each.id for each in view.buffer] == [id]
    assert [(each.text, each.timestamp) for each in view.partials] == [(delta.text, delta.timestamp)]


async def test_what_is_asked_for_together_goes_together_and_in_order(world: World) -> None:
    store = await world.store()
    before = (await world.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    ids = await asyncio.gather(*(store.publish(SESSION, RUN, EVENT, n) for n in range(1, 401)))
    assert [id.seq for id in ids if id] == list(range(1, 401))
    assert (await world.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before <= 4


async def test_what_full_memory_refuses_costs_nobody_what_was_there(world: World) -> None:
    store = await world.store()
    first = await store.publish(SESSION, RUN, EVENT, n=1)
    await world.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(EventsUnavailable):
            await store.publish(SESSION, RUN, EVENT, n=2)
    finally:
        await world.redis.config_set("maxmemory", 0)
    second = await store.publish(SESSION, RUN, EVENT, n=2)
    view = await store.read(SESSION)
    assert first is not None
    assert second == EventId(first.epoch, 2)
    assert [each.id for each in view.buffer] == [first, second]


async def test_long_events_that_wait_for_slow_replicas_do_not_fill_the_memory(world: World) -> None:
    store = await world.store()
    for n in range(1, 101):
        await store.publish(SESSION, RUN, replace(EVENT, payload=bytes(LIVE_BYTES // 30)), n)
    kept = await world.redis.xlen(LIVE)
    assert 30 <= kept <= 50


async def test_one_operation_that_fails_fails_alone_and_its_session_begins_anew(world: World) -> None:
    store = await world.store()
    other = SESSION._replace(session_id="other")
    before = await store.publish(SESSION, RUN, EVENT, n=1)
    (runs,) = [key async for key in world.redis.scan_iter("session_runs:*")]
    await world.redis.set(runs, "not what it should be")
    heard = Heard()
    with store.listen(SESSION, heard):
        failed, *went = await asyncio.gather(
            store.publish(SESSION, RUN, EVENT, n=2),
            store.publish(other, RUN, EVENT, n=1),
            store.publish(SESSION, RUN, EVENT, n=2),
            return_exceptions=True,
        )
        view = await store.read(SESSION)
    assert isinstance(failed, EventsUnavailable)
    assert [id.seq for id in went if isinstance(id, EventId)] == [1, 1]
    told = [notice for notice in heard if not (isinstance(notice, StoredEvent) and notice.id == before)]
    assert [type(notice) for notice in told] == [Interrupted, StoredEvent]
    assert before is not None
    assert (view.head.seq, view.head.epoch != before.epoch) == (1, True)


async def test_session_that_begins_twice_in_one_batch_has_two_epochs(world: World) -> None:
    store = await world.store()
    fresh = SESSION._replace(session_id="fresh")
    before, failed, after = await asyncio.gather(
        store.publish(fresh, RUN, EVENT, n=1),
        store._commits.do(b"open", name_of(fresh), b"run", b"no number"),
        store.publish(fresh, RUN, EVENT, n=1),
        return_exceptions=True,
    )
    assert isinstance(failed, EventsUnavailable)
    assert isinstance(before, EventId)
    assert isinstance(after, EventId)
    assert (before.seq, after.seq, before.epoch == after.epoch) == (1, 1, False)


async def test_who_gives_up_waiting_harms_nobody(world: World) -> None:
    store = await world.store()
    for turns in range(12):
        asking = [asyncio.create_task(store.publish(SESSION, RUN, EVENT, None)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        asking[0].cancel()
        assert await asking[1] is not None
        await asyncio.wait(asking)
    seqs = [event.id.seq for event in (await store.read(SESSION)).buffer]
    assert seqs == list(range(1, len(seqs) + 1))
    assert 12 <= len(seqs) < 24


async def test_nothing_stays_for_ever_but_the_live_stream(world: World) -> None:
    store, members = await world.replica()
    await store.publish_text(SESSION, RUN, TextDelta("run", "m", None, None, 1, 0, "a", 1.0))
    await store.publish(SESSION, RUN, EVENT, n=1)
    await store.close(SESSION._replace(session_id="closed"))
    await members.add(SESSION)
    keys = [key async for key in world.redis.scan_iter("*")]
    stay = {key for key in keys if await world.redis.pttl(key) == -1}
    assert stay == {LIVE, LIFE}
    assert len(keys) == 2 + 7


async def test_every_task_ends_with_the_store(world: World) -> None:
    before = asyncio.all_tasks()
    async with redis_stores(world.url) as (store, _):
        await store.read(SESSION)
        assert asyncio.all_tasks() - before
    assert asyncio.all_tasks() <= before
    with pytest.raises(EventsUnavailable):
        await asyncio.wait_for(store.read(SESSION), 5)


async def test_what_another_wrote_under_ones_name_is_not_read(world: World) -> None:
    store = await world.store()
    (state,) = [key async for key in world.redis.scan_iter("session_state:*")]
    await world.redis.hset(state, "name", "session:project:another")
    caught = VIOLATIONS.labels("session_events")._value.get()
    with pytest.raises(SessionNotFound):
        await store.read(SESSION)
    assert VIOLATIONS.labels("session_events")._value.get() == caught + 1


# Connections and Redis itself


async def test_connection_that_breaks_costs_listeners_nothing(world: World) -> None:
    store = await world.store()
    heard = Heard()
    with store.listen(SESSION, heard):
        for n in range(1, 6):
            await store.publish(SESSION, RUN, EVENT, n)
            for each in await world.redis.client_list():
                if each["cmd"] == "xread":
                    await world.redis.client_kill_filter(_id=each["id"])
        await store.read(SESSION)
    assert [notice.id.seq for notice in heard if isinstance(notice, StoredEvent)] == [1, 2, 3, 4, 5]
    assert len(heard) == 5


async def test_redis_that_forgot_how_far_it_was_begins_anew_and_interrupts(world: World) -> None:
    here, there = await world.store(), await world.store()
    for lost in ([LIFE], [LIVE, LIFE], [LIVE]):
        before = await here.publish(SESSION, RUN, EVENT, None)
        heard = Heard()
        with there.listen(SESSION, heard):
            await there.read(SESSION)
            if lost == [LIFE]:
                # As if its clock had been ahead.
                await world.redis.xadd(LIVE, {"": ""}, "99999999999999-1")
            await world.redis.delete(*lost)
            after = await here.publish(SESSION, RUN, EVENT, None)
            await eventually(lambda: is_back(there), what="where it goes on")
        assert before is not None
        assert after is not None
        assert (after.epoch != before.epoch) == (LIFE in lost)
        assert any(isinstance(notice, Interrupted) for notice in heard) == (LIFE in lost)


async def test_redis_that_is_away_is_said_to_be_and_interrupts_when_it_is_back(
    own_world: World, own_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    store, members = await own_world.replica()
    before = await store.publish(SESSION, RUN, EVENT, n=1)
    await members.add(SESSION)
    heard = Heard()
    with store.listen(SESSION, heard):
        await store.read(SESSION)
        own_redis.stop()
        for call in (store.open_run(SESSION, RUN), store.read(SESSION), store.close(SESSION), members.remove(SESSION)):
            with pytest.raises(EventsUnavailable) as raised:
                await asyncio.wait_for(call, 5)
            assert raised.value.retry_after
        assert not await members.has(SESSION)
        await members.add(SESSION)
        own_redis.start()
        await eventually(lambda: is_back(store), what="Redis")
        after = await store.publish(SESSION, RUN, EVENT, n=1)
        await store.read(SESSION)
    assert before is not None
    assert after is not None
    assert (after.epoch != before.epoch, after.seq) == (True, 1)
    told = [notice for notice in heard if not (isinstance(notice, StoredEvent) and notice.id == before)]
    assert [type(notice) for notice in told[-2:]] == [Interrupted, StoredEvent]
    said = capsys.readouterr().out
    assert (said.count("Redis is out of reach"), said.count("Redis is back")) == (1, 1)
    assert redis_server.PASSWORD not in said


async def test_redis_that_comes_back_with_what_it_saved_knows_no_members_and_no_epochs_of_before(
    own_world: World, own_redis: RedisServer
) -> None:
    store, members = await own_world.replica()
    await members.add(SESSION)
    before = await store.publish(SESSION, RUN, EVENT, n=1)
    closed = SESSION._replace(session_id="closed")
    await store.close(closed)
    await own_world.redis.save()
    await members.remove(SESSION)
    own_redis.stop()
    own_redis.start()
    await eventually(lambda: is_back(store), what="Redis")
    assert not await members.has(SESSION)
    view = await store.read(SESSION)
    assert before is not None
    assert (view.head.epoch != before.epoch, view.head.seq, view.buffer) == (True, 0, ())
    with pytest.raises(SessionNotFound):
        await store.read(closed)
    await members.add(SESSION)
    assert await members.has(SESSION)


async def test_redis_that_does_not_answer_keeps_nobody_waiting_for_long(
    own_world: World, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.6)
    store = await own_world.store()
    heard = Heard()
    with store.listen(SESSION, heard):
        own_redis.send(signal.SIGSTOP)
        try:
            calls = [store.publish(SESSION, RUN, EVENT, n) for n in range(1, 4)]
            failed = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        finally:
            own_redis.send(signal.SIGCONT)
        assert [type(each) for each in failed] == [EventsUnavailable] * 3
        await eventually(lambda: is_back(store), what="Redis")
        # What was sent while it slept was done after all, or is now: once.
        assert [await store.publish(SESSION, RUN, EVENT, n) is not None for n in range(1, 4)] == [True] * 3
        await store.read(SESSION)
    assert [notice.id.seq for notice in heard if isinstance(notice, StoredEvent)] == [1, 2, 3]
