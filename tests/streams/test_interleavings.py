"""Whatever the order of publishing, taking over, joining, leaving and returning: every reader rebuilds the truth."""

import random
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

import pytest

from services.streams.errors import RunSuperseded
from services.streams.memory_store import MemoryEventStore
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
    Heartbeat,
    Read,
    ResyncRequired,
    StreamEnded,
    Subscription,
)

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

    deaf: bool = False

    async def join(self, store: EventStore, room: int, read: Read) -> None:
        self.subscription = Subscription(SESSION, self.wanted, float("inf"), room, read)
        self.listening.enter_context(store.listen(SESSION, self.hear))
        # A client that returns builds its texts from snapshots alone.
        self.texts.clear()
        await self.subscription.start(self.last_id or "start")

    def hear(self, position: int, notice: Notice) -> None:
        assert self.subscription is not None
        if not self.deaf:
            self.subscription.hear(position, notice)

    def hears_again(self) -> None:
        """What passed meanwhile is gone; what is known is that something may have."""
        if self.deaf and self.subscription is not None:
            self.subscription.hear(0, Interrupted())
        self.deaf = False

    def leave(self) -> None:
        self.listening.close()
        self.subscription, self.deaf = None, False

    async def take(self, at_most: int) -> None:
        """Read some of what waits, as a client would."""
        assert self.subscription is not None
        for _ in range(at_most):
            if not (self.subscription._queue or self.subscription.interrupted):
                return
            frame = await anext(self.subscription)
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
                    self.last_id = str(frame.latest)
                case StreamEnded(reason):
                    assert reason in (EndReason.SLOW_READER, EndReason.RUN_FINISHED)
                    self.leave()
                    return


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1_000_000.0
        epochs = count(1)
        self.store = MemoryEventStore(lambda: self.now, lambda: f"e{next(epochs)}")
        self.published: list[tuple[str, str, str]] = []
        self.publishers: list[Publisher] = []
        self.readers = [
            Reader(Filter()),
            Reader(Filter()),
            Reader(Filter(types=frozenset({"task_started", "run_failed", "message_delta"}))),
        ]
        self.settling = False

    async def step(self) -> None:
        await self.random.choices(
            [self.publish, self.repeat, self.write, self.take_over, self.join_or_leave, self.interrupt, self.read],
            [30, 6, 30, 3, 8, 4, 30],
        )[0]()

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
        if publisher.acknowledged:
            n = self.random.randint(1, publisher.acknowledged)
            await self.store.publish(SESSION, publisher.run, NewEvent("task_started", False, b"again"), n)

    async def write(self) -> None:
        publisher = self.publisher()
        more = "".join(self.random.choices(ALPHABET, k=self.random.randint(1, 5)))
        start = max(0, len(publisher.text) - self.random.choice([0, 0, 0, 3]))
        offset, publisher.text = start, publisher.text + more
        await self.store.publish_text(SESSION, publisher.run, self.delta(publisher, offset, publisher.text[offset:]))

    async def take_over(self) -> None:
        """Another process owns the run: it opens with a snapshot, of a new attempt; the old one is not silent yet."""
        publisher = self.publisher()
        old = publisher.run
        publisher.run = RunKey(old.run_id, old.epoch + 1)
        await self.store.open_run(SESSION, publisher.run)
        stale = self.delta(publisher, len(publisher.text), "stale")
        publisher.generation += 1
        publisher.text = self.random.choice(["", "begun"])
        snapshot = TextSnapshot(
            old.run_id, publisher.message_id, None, "agent", publisher.generation, publisher.text, self.now
        )
        await self.store.publish_text(SESSION, publisher.run, snapshot)
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

    async def join(self, reader: Reader) -> None:
        async def read(session: SessionKey, run_id: str | None) -> View:
            # Others go on before the store reads, and before its answer is here.
            await self.others_go_on()
            view = await self.view(reader)
            await self.others_go_on()
            return view

        await reader.join(self.store, self.random.choice([5, 1_000]), read)

    async def view(self, reader: Reader) -> View:
        if reader.last_id is None:
            # The whole buffer is not the whole past.
            reader.since = max(0, len(self.published) - BUFFER_EVENTS)
        return await self.store.read(SESSION)

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

    async def settle(self) -> None:
        """Everyone returns and reads to the end, and nothing else happens."""
        self.settling = True
        for reader in self.readers:
            reader.hears_again()
            while True:
                if reader.subscription is None:
                    await reader.join(self.store, 1_000, lambda session, run_id, reader=reader: self.view(reader))
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


@pytest.mark.parametrize("seed", range(60))
async def test_every_reader_rebuilds_what_was_published(seed: int) -> None:
    world = World(seed)
    for _ in range(world.random.choice([60, 400])):
        await world.step()
    await world.settle()
    world.check()


@pytest.mark.parametrize("seed", range(20))
async def test_a_resync_comes_only_where_the_buffer_or_the_epoch_was_missed(seed: int) -> None:
    world = World(seed)
    reader = Reader(Filter())
    world.readers = [reader]
    await world.publish()
    for _ in range(30):
        await world.settle()
        resyncs, seen = reader.resyncs, len(world.published)
        reader.leave()
        for _ in range(world.random.choice([0, 1, 20, BUFFER_EVENTS - 1, BUFFER_EVENTS, BUFFER_EVENTS + 1, 150])):
            await world.publish()
        missed = len(world.published) - seen
        away = world.random.choice([0.0, BUFFER_SECONDS - 1, BUFFER_SECONDS, BUFFER_SECONDS * 1.2, SESSION_SECONDS])
        world.now += away
        await world.settle()
        lost = missed > BUFFER_EVENTS or (missed > 0 and away >= BUFFER_SECONDS) or away >= SESSION_SECONDS
        assert reader.resyncs - resyncs == int(lost)
    world.check()
