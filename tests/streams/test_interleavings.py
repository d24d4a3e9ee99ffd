"""Whatever the order of publishing, taking over, joining, leaving and returning: every reader rebuilds the truth."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from redis.asyncio import Redis

from services.runtime.redis_client import redis_of
from services.streams.errors import EventsUnavailable, RunSuperseded
from services.streams.redis_scripts import LIVE
from services.streams.redis_store import redis_stores
from services.streams.store import (
    BUFFER_EVENTS,
    BUFFER_SECONDS,
    SESSION_SECONDS,
    EventStore,
    Interrupted,
    NewEvent,
    Notice,
    RunKey,
    SessionKey,
    StoredEvent,
    TextDelta,
    TextSnapshot,
    View,
)
from services.streams.subscription import (
    EndReason,
    Filter,
    Frame,
    Heartbeat,
    Read,
    ResyncRequired,
    StreamEnded,
    Subscription,
)
from tests import redis_server
from tests.conformance.event_stores import Clock, RedisClock, database_of_streams, in_memory, patience
from tests.e2e.polling import eventually
from tests.redis_server import RedisServer

SESSION = SessionKey("user", "project", "session")
ALPHABET = "ab é🦜𐍈\n"


@dataclass
class Publisher:
    """A run's owner: it may publish twice what was not acknowledged, and be replaced."""

    run: RunKey
    acknowledged: int = 0
    generation: int = 1
    text: str = ""
    finished: bool = False
    forgotten: int = 0
    """Up to this n, nobody knows its events any more."""

    @property
    def message_id(self) -> str:
        return f"message of {self.run.run_id}"


@dataclass
class Reader:
    """What a client does: keep the last id, append events, build texts."""

    wanted: Filter
    events: list[str] = field(default_factory=list)
    texts: dict[str, tuple[int, str]] = field(default_factory=dict)
    last_id: str | None = None
    resyncs: int = 0
    since: int = 0
    subscription: Subscription | None = None
    listening: ExitStack = field(default_factory=ExitStack)
    waiting: "asyncio.Future[Frame] | None" = None
    """Has read all there was: what comes is passed on at once, two times out of three."""
    takes: Iterator[bool] = field(default_factory=lambda: itertools.cycle([True, True, False]))

    deaf: bool = False

    async def join(self, store: EventStore, room: int, read: Read) -> None:
        self.subscription = Subscription(SESSION, self.wanted, float("inf"), room, read)
        self.subscription.pass_to(lambda frame: next(self.takes) and self.receive(frame))
        self.listening.enter_context(store.listen(SESSION, self.hear))
        # A client that returns builds its texts from snapshots alone.
        self.texts.clear()
        await self.subscription.start(self.last_id or "start")

    def hear(self, position: int, notice: Notice) -> None:
        assert self.subscription is not None
        if not self.deaf:
            self.interrupt(notice)
            self.subscription.hear(position, notice)

    def hears_again(self) -> None:
        """What passed meanwhile is gone; what is known is that something may have."""
        if self.deaf and self.subscription is not None:
            self.interrupt(Interrupted())
            self.subscription.hear(0, Interrupted())
        self.deaf = False

    def interrupt(self, notice: Notice) -> None:
        """Reading again is a step of its own here, and no task's in the background."""
        if isinstance(notice, Interrupted) and self.waiting is not None and self.waiting.cancel():
            self.waiting = None

    def leave(self) -> None:
        self.listening.close()
        if self.waiting is not None:
            self.waiting.cancel()
        self.subscription, self.waiting, self.deaf = None, None, False

    async def take(self, at_most: int) -> None:
        """Read some of what there is, as a client would, then wait for more."""
        for _ in range(at_most):
            if self.subscription is None:
                return
            has_more = bool(self.subscription._queue) or self.subscription.interrupted
            if not has_more and (self.waiting is None or not self.waiting.done()):
                if self.waiting is None:
                    self.waiting = asyncio.ensure_future(anext(self.subscription))
                    # It begins to wait.
                    await asyncio.sleep(0)
                return
            waiting, self.waiting = self.waiting, None
            frame = await (waiting or anext(self.subscription))
            self.receive(frame)

    def receive(self, frame: Frame) -> bool:
        """Take it in."""
        match frame:
            case StoredEvent():
                self.events.append(frame.payload.decode())
                self.last_id = str(frame.id)
                if frame.final:
                    self.texts.pop(f"message of {frame.run_id}", None)
            case TextSnapshot():
                self.texts[frame.message_id] = (frame.generation, frame.text)
            case TextDelta():
                generation, text = self.texts.get(frame.message_id, (0, ""))
                if frame.generation > generation:
                    generation, text = frame.generation, ""
                assert (frame.generation, frame.offset) == (generation, len(text)), "a gap or a repeat"
                self.texts[frame.message_id] = (generation, text + frame.text)
            case Heartbeat(id):
                self.last_id = str(id) if id else self.last_id
            case ResyncRequired():
                self.resyncs += 1
                # Reloading gives everything up to latest_id.
                self.events = ["reloaded"]
                self.texts.clear()
                self.last_id = str(frame.latest)
            case StreamEnded(reason):
                assert reason in (EndReason.SLOW_READER, EndReason.RUN_FINISHED)
                self.leave()
        return True


class World:
    absences = 30
    """How often a reader leaves, in the test of resyncs."""

    def __init__(self, seed: int, stores: Sequence[EventStore], clock: Clock) -> None:
        """`stores` are those of the replicas that share what is published."""
        self.random = random.Random(seed)
        self.stores = stores
        self.clock = clock
        self.now = 1_000_000.0
        # Where the buffer begins, if nothing but its length counts.
        self.buffered_from = 0
        self.published: list[tuple[str, str, str]] = []
        self.publishers: list[Publisher] = []
        self.readers = [
            Reader(Filter()),
            Reader(Filter()),
            Reader(Filter(types=frozenset({"task_started", "run_failed", "message_delta"}))),
        ]
        self.settling = False
        self.steps: dict[Callable[[], Awaitable[None]], float] = {
            self.publish: 30,
            self.repeat: 6,
            self.write: 30,
            self.take_over: 3,
            self.join_or_leave: 8,
            self.interrupt: 4,
            self.read: 30,
            self.lose_the_buffer: 0.5,
            self.lose_the_session: 0.2,
        }

    @property
    def store(self) -> EventStore:
        """That of some replica."""
        return self.random.choice(self.stores)

    async def step(self) -> None:
        await self.random.choices(list(self.steps), list(self.steps.values()))[0]()

    def publisher(self) -> Publisher | None:
        running = [each for each in self.publishers if not each.finished]
        if len(running) < 2:
            self.publishers.append(Publisher(RunKey(f"run{len(self.publishers)}", 1)))
            return self.publishers[-1]
        return self.random.choice(running)

    async def publish(self) -> None:
        publisher = self.publisher()
        publisher.acknowledged += 1
        final = self.random.random() < 0.05
        type = "run_failed" if final else self.random.choice(["task_started", "agent_started"])
        name = f"{publisher.run.run_id}:{publisher.acknowledged}"
        await self.store.publish(SESSION, publisher.run, NewEvent(type, final, name.encode()), publisher.acknowledged)
        publisher.finished = final
        self.published.append((publisher.run.run_id, type, name))

    async def repeat(self) -> None:
        """An acknowledgement was lost: the event comes again."""
        publisher = self.publisher()
        if publisher.acknowledged > publisher.forgotten:
            n = self.random.randint(publisher.forgotten + 1, publisher.acknowledged)
            await self.store.publish(SESSION, publisher.run, NewEvent("task_started", False, b"again"), n)

    async def write(self) -> None:
        publisher = self.publisher()
        more = "".join(self.random.choices(ALPHABET, k=self.random.randint(1, 5)))
        start = max(0, len(publisher.text) - self.random.choice([0, 0, 0, 3]))
        offset, publisher.text = start, publisher.text + more
        store, delta = self.store, self.delta(publisher, offset, publisher.text[offset:])
        if self.random.random() < 0.5 or not store.publish_text_now(SESSION, publisher.run, delta):
            await store.publish_text(SESSION, publisher.run, delta)

    async def take_over(self) -> None:
        """Another process owns the run: it opens with a snapshot, of a new attempt; the old one is not silent yet."""
        publisher = self.publisher()
        old = publisher.run
        publisher.run = RunKey(old.run_id, old.epoch + 1)
        await self.store.open_run(SESSION, publisher.run)
        stale = self.delta(publisher, len(publisher.text), "stale")
        publisher.generation += 1
        publisher.text = self.random.choice(["", "begun"])
        await self.store.publish_text(SESSION, publisher.run, self.snapshot(publisher))
        await self.store.publish_text(SESSION, old, stale)
        with pytest.raises(RunSuperseded):
            await self.store.publish(
                SESSION, old, NewEvent("task_started", False, b"stale"), publisher.acknowledged + 1
            )

    async def join_or_leave(self) -> None:
        reader = self.random.choice(self.readers)
        if reader.subscription is None:
            await self.join(reader)
        else:
            reader.leave()

    async def interrupt(self) -> None:
        """A reader's replica is cut off from what keeps the events, or finds it again."""
        reader = self.random.choice(self.readers)
        if reader.deaf:
            reader.hears_again()
        else:
            reader.deaf = reader.subscription is not None

    async def lose_the_buffer(self) -> None:
        await self.clock.advance(BUFFER_SECONDS)
        self.buffered_from = len(self.published)

    async def lose_the_session(self) -> None:
        for reader in self.readers:
            reader.leave()
        await self.clock.advance(SESSION_SECONDS)
        await self.begin_anew()

    async def begin_anew(self) -> None:
        """What was published is forgotten: who publishes has to open again, and begins with its text so far."""
        self.buffered_from = len(self.published)
        for publisher in self.publishers:
            publisher.forgotten = publisher.acknowledged
            if publisher.finished:
                continue
            await self.store.open_run(SESSION, publisher.run)
            if publisher.text or publisher.generation > 1:
                await self.store.publish_text(SESSION, publisher.run, self.snapshot(publisher))

    async def join(self, reader: Reader) -> None:
        store = self.store

        async def read(session: SessionKey, run_id: str | None) -> View:
            # Others go on before the store reads, and before its answer is here.
            await self.others_go_on()
            view = await self.view(reader, store)
            await self.others_go_on()
            return view

        await reader.join(store, 1_000 if self.settling else self.random.choice([5, 1_000]), read)

    async def view(self, reader: Reader, store: EventStore) -> View:
        if reader.last_id is None:
            # The whole buffer is not the whole past.
            reader.since = max(self.buffered_from, len(self.published) - BUFFER_EVENTS)
        return await store.read(SESSION)

    async def others_go_on(self) -> None:
        for _ in range(0 if self.settling else self.random.randint(0, 4)):
            await self.random.choice([self.publish, self.write])()

    async def read(self) -> None:
        reader = self.random.choice(self.readers)
        if reader.subscription is not None:
            if self.random.random() < 0.2:
                reader.subscription.beat()
            await reader.take(self.random.randint(1, 30))

    def delta(self, publisher: Publisher, offset: int, text: str) -> TextDelta:
        return TextDelta(
            publisher.run.run_id, publisher.message_id, None, "agent", publisher.generation, offset, text, self.now
        )

    def snapshot(self, publisher: Publisher) -> TextSnapshot:
        return TextSnapshot(
            publisher.run.run_id, publisher.message_id, None, "agent", publisher.generation, publisher.text, self.now
        )

    async def settle(self) -> None:
        """Everyone returns and reads to the end, and nothing else happens."""
        self.settling = True
        for store in self.stores:
            # Who listens to it has heard everything then.
            await store.read(SESSION)
        for reader in self.readers:
            reader.hears_again()
            while True:
                if reader.subscription is None:
                    await self.join(reader)
                await reader.take(10_000)
                if reader.subscription is not None:
                    break
        self.settling = False

    def check(self) -> None:
        texts = {
            each.message_id: (each.generation, each.text)
            for each in self.publishers
            if not each.finished and (each.text or each.generation > 1)
        }
        for reader in self.readers:
            expected = [
                name
                for _, type, name in self.published[reader.since :]
                if not reader.wanted.types or type in reader.wanted.types
            ]
            if reader.resyncs:
                after = reader.events[1:]
                assert reader.events[0] == "reloaded"
                assert after == expected[len(expected) - len(after) :]
            else:
                assert reader.events == expected
            assert reader.texts == texts


class RedisWorld(World):
    """Two replicas on one Redis, with what happens to connections and to Redis itself."""

    absences = 8

    def __init__(self, seed: int, stores: Sequence[EventStore], clock: Clock, client: Redis) -> None:
        super().__init__(seed, stores, clock)
        self.client = client
        self.steps |= {self.cut_off: 2, self.fall_behind: 2}

    async def cut_off(self, *first: str) -> None:
        """The connections break on which replicas hear of what is published, while Redis does what it is told first."""
        together = self.client.pipeline()
        if first:
            together.execute_command(*first)
        for each in await self.client.client_list():
            if each["cmd"] == "xread":
                together.client_kill_filter(_id=each["id"])
        await together.execute()

    async def fall_behind(self) -> None:
        """What replicas could not hear in time is not there any more."""
        await self.cut_off("ACL", "SETUSER", "default", "-xread")
        for _ in range(self.random.randint(1, 4)):
            await self.random.choice([self.publish, self.write])()
        await self.client.xtrim(LIVE, maxlen=self.random.randint(0, 2), approximate=False)
        await self.client.execute_command("ACL", "SETUSER", "default", "+xread")


@asynccontextmanager
async def _in_memory(seed: int) -> AsyncIterator[World]:
    async with in_memory() as (store, _, clock):
        yield World(seed, [store], clock)


@asynccontextmanager
async def _on_redis(seed: int, server: RedisServer) -> AsyncIterator[RedisWorld]:
    url = database_of_streams(server)
    with patience():
        client = redis_of(url)
        await client.flushdb()
        # A world that failed may have left it without.
        await client.execute_command("ACL", "SETUSER", "default", "+xread")
        async with redis_stores(url) as (first, _), redis_stores(url) as (second, _):
            yield RedisWorld(seed, [first, second], RedisClock(client, first, second), client)
        await client.aclose()


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world on the backend and with the seed that `_worlds` chose."""
    backend, seed = request.param
    made = _in_memory(seed) if backend == "memory" else _on_redis(seed, request.getfixturevalue("shared_redis"))
    async with made as world:
        yield world
        for reader in world.readers:
            reader.leave()


def _worlds(in_memory: int, on_redis: int) -> pytest.MarkDecorator:
    """So many on each: a round trip takes its time."""
    memory = [pytest.param(("memory", seed), id=f"memory-{seed}") for seed in range(in_memory)]
    marks = pytest.mark.server_backed
    redis = [pytest.param(("redis", seed), id=f"redis-{seed}", marks=marks) for seed in range(on_redis)]
    return pytest.mark.parametrize("world", memory + redis, indirect=True)


async def _go_on(world: World, steps: int) -> None:
    for _ in range(steps):
        await world.step()


@_worlds(in_memory=60, on_redis=8)
async def test_every_reader_rebuilds_what_was_published(world: World) -> None:
    await _go_on(world, world.random.choice([60, 400]))
    await world.settle()
    world.check()


@_worlds(in_memory=20, on_redis=1)
async def test_a_resync_comes_only_where_the_buffer_or_the_epoch_was_missed(
    world: World,
) -> None:
    reader = Reader(Filter())
    world.readers = [reader]
    await world.publish()
    for _ in range(world.absences):
        await world.settle()
        resyncs, seen = reader.resyncs, len(world.published)
        reader.leave()
        for _ in range(world.random.choice([0, 1, 20, BUFFER_EVENTS - 1, BUFFER_EVENTS, BUFFER_EVENTS + 1, 150])):
            await world.publish()
        missed = len(world.published) - seen
        away = world.random.choice([0.0, BUFFER_SECONDS - 1, BUFFER_SECONDS, BUFFER_SECONDS * 1.2, SESSION_SECONDS])
        await world.clock.advance(away)
        await world.settle()
        lost = missed > BUFFER_EVENTS or (missed > 0 and away >= BUFFER_SECONDS) or away >= SESSION_SECONDS
        assert reader.resyncs - resyncs == int(lost)
    world.check()


@pytest.mark.server_backed
@pytest.mark.parametrize("seed", range(3))
async def test_every_reader_rebuilds_what_was_published_though_redis_is_started_again(seed: int) -> None:
    with redis_server.running() as server:
        async with _on_redis(seed, server) as world:
            for saved in world.random.sample([True, True, False], 3):
                await _go_on(world, 30)
                if saved:
                    # It comes back as it was here: what comes behind is lost.
                    await world.client.save()
                    await _go_on(world, 30)
                server.stop()
                server.start()
                for store in world.stores:
                    await eventually(partial(_answers, store), what="Redis")
                await world.begin_anew()
            await world.settle()
            world.check()


async def _answers(store: EventStore) -> bool:
    try:
        await store.read(SESSION)
    except EventsUnavailable:
        return False
    return True
