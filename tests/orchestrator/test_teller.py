"""Teller: who is told what, in which order, whoever died."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from services.orchestrator import publisher
from services.orchestrator import teller as module
from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Lease, Outbox
from services.orchestrator.model import Failure, OnBusy, Owner, Usage
from services.orchestrator.tables import run_events
from services.orchestrator.teller import Teller
from tests.conformance.orchestrator_stores import NOW, ONE, SECOND, TWO, Stores, lease_of, stores_in
from tests.databases import Place
from tests.orchestrator.endings import again, broken, done
from tests.orchestrator.fake_streams import FakeStreams, Line


@pytest.fixture
async def stores(database_place: Place) -> Stores:
    return await stores_in(database_place)


@pytest.fixture
async def ann(stores: Stores) -> Owner:
    return await stores.project()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(publisher, "_MAX_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 0.1)


class Clock:
    def __init__(self) -> None:
        self.now = NOW + SECOND

    def __call__(self) -> datetime:
        return self.now


def a_teller(
    stores: Stores, streams: FakeStreams, farewell_seconds: float = 10.0, clock: Clock | None = None
) -> Teller:
    return Teller(stores.runs, streams, clock or Clock(), farewell_seconds)


def an_outbox(lease: Lease) -> Outbox:
    return Outbox(lease.run_id, lease.session_id, lease.project_id, lease.user_id, lease.epoch, lease.events)


async def speak_and_lose_the_lease(teller: Teller, lease: Lease, streams: FakeStreams) -> None:
    """Let the beginning of the run be heard, then find out that it is somebody else's."""
    with suppress(LeaseLost):
        async with teller.speaking(lease):
            await streams.until(lambda: len(streams.heard) == 2)
            raise LeaseLost(lease.run_id)


async def unpublished(stores: Stores) -> list[str]:
    rows = await stores.execute(sa.select(run_events).where(run_events.c.published.is_(None)))
    return [row.run_id for row in rows]


async def test_live_run_is_told_and_what_was_told_is_recorded(stores: Stores, ann: Owner) -> None:
    streams = FakeStreams()
    teller = a_teller(stores, streams)
    lease = await stores.running(ann, await stores.session(ann))
    async with teller.speaking(lease) as speaker:
        ended = await stores.runs.end(lease, ONE, done(lease, "Hello."), NOW)
        speaker.events(ended.outbox.events)
    await teller.stop()
    assert streams.types() == ["message_received", "agent_started", "agent_completed"]
    assert await unpublished(stores) == []
    assert (await stores.runs.get_run(ann, lease.run_id)).last_event_id == "e-3"


async def test_what_could_not_be_recorded_is_recorded_the_next_time(
    stores: Stores, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = FakeStreams()
    teller = a_teller(stores, streams)
    lease = await stores.running(ann, await stores.session(ann))
    begun, acknowledge = asyncio.Event(), stores.runs.acknowledge

    async def never(published: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with teller.speaking(lease):
        await streams.until(lambda: len(streams.heard) == 2)
        monkeypatch.setattr(stores.runs, "acknowledge", never)
        recording = asyncio.create_task(teller.record())
        await begun.wait()
        recording.cancel()
        await asyncio.wait([recording])
        monkeypatch.setattr(stores.runs, "acknowledge", acknowledge)
    await teller.stop()
    assert await unpublished(stores) == []


async def test_stopping_waits_for_what_is_being_recorded(
    stores: Stores, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = FakeStreams()
    teller = a_teller(stores, streams)
    lease = await stores.running(ann, await stores.session(ann))
    begun, go, acknowledge = asyncio.Event(), asyncio.Event(), stores.runs.acknowledge

    async def late(published: list[tuple[str, int, str]]) -> None:
        begun.set()
        await go.wait()
        await acknowledge(published)

    monkeypatch.setattr(stores.runs, "acknowledge", late)
    async with teller.working(sweep_seconds=3600):
        async with teller.speaking(lease):
            await streams.until(lambda: len(streams.heard) == 2)
        await begun.wait()
        stopping = asyncio.create_task(teller.stop())
        # Who has nothing to wait for would be done by then.
        await asyncio.wait([stopping], timeout=0.05)
        go.set()
        await stopping
    assert await unpublished(stores) == []


async def test_who_lost_the_lease_stops_speaking(stores: Stores, ann: Owner) -> None:
    streams = FakeStreams(usually=Line(acknowledges=False))
    teller = a_teller(stores, streams, farewell_seconds=3600)
    lease = await stores.running(ann, await stores.session(ann))
    await speak_and_lose_the_lease(teller, lease, streams)
    assert teller._speaking == {}
    async with asyncio.timeout(30):
        await teller.stop()
    assert len(await unpublished(stores)) == 2


async def test_end_of_a_replaced_run_comes_before_the_message_that_replaced_it(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    # The first three connections fail: the order must hold though those who come later could be heard sooner.
    streams = FakeStreams([Line(), *[Line(frames=0)] * 3])
    teller = a_teller(stores, streams)
    first = await stores.running(ann, chat)
    waiting = await stores.send(ann, chat)
    await speak_and_lose_the_lease(teller, first, streams)
    accepted = await stores.send(ann, chat, on_busy=OnBusy.REPLACE)
    for outbox in accepted.outbox:
        teller.tell(outbox)
    lease = lease_of(accepted)
    async with teller.speaking(lease) as speaker:
        speaker.events((await stores.runs.end(lease, ONE, done(lease, "Hello."), NOW)).outbox.events)
    await streams.until(lambda: streams.types()[-1] == "agent_completed")
    assert [(run, event.type) for run, event in streams.heard] == [
        (first.run_id, "message_received"),
        (first.run_id, "agent_started"),
        (first.run_id, "run_cancelled"),
        (waiting.run.id, "message_received"),
        (waiting.run.id, "run_cancelled"),
        (lease.run_id, "message_received"),
        (lease.run_id, "agent_started"),
        (lease.run_id, "agent_completed"),
    ]
    await teller.stop()


async def test_end_of_a_run_comes_before_what_it_set_free(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    streams = FakeStreams([Line(frames=3, loses_last=True), Line(frames=0), Line(frames=0)])
    teller = a_teller(stores, streams)
    lease = await stores.running(ann, chat)
    await stores.send(ann, chat)
    async with teller.speaking(lease) as speaker:
        await streams.until(lambda: len(streams.heard) == 2)
        ended = await stores.runs.end(lease, ONE, done(lease, "Hello."), NOW)
        speaker.events(ended.outbox.events)
    assert ended.promoted is not None
    async with teller.speaking(ended.promoted):
        await streams.until(lambda: len(streams.heard) == 4)
    assert streams.types() == ["message_received", "agent_started", "agent_completed", "message_received"]
    await teller.stop()


async def test_message_that_waits_is_told_while_another_run_is_live(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    streams = FakeStreams()
    teller = a_teller(stores, streams)
    lease = await stores.running(ann, chat)
    async with teller.speaking(lease):
        waiting = await stores.send(ann, chat)
        teller.tell(waiting.outbox[0])
        await streams.until(lambda: streams.types(waiting.run.id) == ["message_received"])
    await teller.stop()


async def test_zombie_and_its_successor_are_heard_in_order_and_once(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    streams = FakeStreams([Line(frames=2, loses_last=True)])
    zombie, successor = a_teller(stores, streams), Teller(stores.others, streams, Clock())
    lease = await stores.running(ann, chat)
    async with zombie.speaking(lease) as ghost:
        await streams.until(lambda: len(streams.heard) == 1)
        await stores.expire(lease.run_id)
        over = await stores.others.adopt(chat, TWO, NOW)
        assert isinstance(over, Lease)
        async with successor.speaking(over) as speaker:
            over = await stores.others.advance(over, TWO, again(over), Usage(), NOW)
            speaker.events(over.events)
            await streams.until(lambda: len(streams.heard) == 3)
            # Wakes up and speaks on in its old epoch.
            ghost.events(lease.events)
            speaker.events((await stores.others.end(over, TWO, done(over, "Hello."), NOW)).outbox.events)
            await streams.until(lambda: len(streams.heard) == 4)
    await asyncio.gather(zombie.stop(), successor.stop())
    assert [event.n for _, event in streams.heard] == [1, 2, 3, 4]


async def test_at_the_start_everything_left_is_published_at_once(stores: Stores, ann: Owner) -> None:
    streams = FakeStreams()
    leases = [await stores.running(ann, await stores.session(ann)) for _ in range(module._SWEEP_LIMIT + 5)]
    teller = a_teller(stores, streams)
    async with teller.working(sweep_seconds=3600):
        await streams.until(lambda: len(streams.heard) == 2 * len(leases))
    await teller.stop()
    assert await unpublished(stores) == []


async def test_later_only_what_is_old_is_taken_for_left(stores: Stores, ann: Owner) -> None:
    streams, clock = FakeStreams(), Clock()
    teller = a_teller(stores, streams, clock=clock)
    await teller.sweep()
    lease = await stores.running(ann, await stores.session(ann))
    await teller.sweep()
    assert streams.heard == []
    clock.now += timedelta(seconds=10)
    await teller.sweep()
    assert [run for run, _ in streams.heard] == [lease.run_id] * 2
    assert await unpublished(stores) == []


async def test_sweep_leaves_live_runs_to_those_who_run_them(stores: Stores, ann: Owner) -> None:
    streams = FakeStreams([Line(acknowledges=False)])
    teller = a_teller(stores, streams, farewell_seconds=0.01)
    live = await stores.running(ann, await stores.session(ann))
    left = await stores.running(ann, await stores.session(ann))
    async with teller.speaking(live):
        await streams.until(lambda: len(streams.heard) == 2)
        await teller.sweep()
        assert [opening.run_id for opening in streams.openings] == [live.run_id, left.run_id]
    await teller.stop()


async def test_sweep_of_one_session_keeps_its_runs_in_order(stores: Stores, ann: Owner) -> None:
    chat = await stores.session(ann)
    lease = await stores.running(ann, chat)
    second = (await stores.send(ann, chat, now=NOW + SECOND / 4)).run.id
    third = (await stores.send(ann, chat, now=NOW + SECOND / 2)).run.id
    await stores.runs.end(lease, ONE, broken(lease, Failure("MODEL_FAILED", "it broke off")), NOW)
    streams = FakeStreams([Line(frames=0), Line(frames=2)])
    await a_teller(stores, streams).sweep()
    assert [run for run, _ in streams.heard] == [lease.run_id] * 4 + [second, third]


async def test_sweep_gives_up_while_streams_are_away(stores: Stores, ann: Owner) -> None:
    await stores.running(ann, await stores.session(ann))
    streams = FakeStreams(usually=Line(frames=0))
    teller = a_teller(stores, streams, farewell_seconds=0.02)
    async with asyncio.timeout(30):
        await teller.sweep()
    assert len(await unpublished(stores)) == 2


async def test_sweep_that_is_refused_ends(stores: Stores, ann: Owner) -> None:
    await stores.running(ann, await stores.session(ann))
    streams = FakeStreams(usually=Line(refuses=True))
    async with asyncio.timeout(30):
        await a_teller(stores, streams).sweep()
    assert len(streams.openings) == 1


async def test_stopping_waits_for_last_words_but_not_for_ever(
    stores: Stores, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LAST_WORDS_SECONDS", 1.0)
    streams = FakeStreams([Line(acknowledges=False)])
    teller = a_teller(stores, streams, farewell_seconds=3600)
    mute, heard = [await stores.running(ann, await stores.session(ann)) for _ in range(2)]
    teller.tell(an_outbox(mute))
    await streams.until(lambda: len(streams.heard) == 2)
    teller.tell(an_outbox(heard))
    async with asyncio.timeout(30):
        await teller.stop()
    assert await unpublished(stores) == [mute.run_id] * 2
    teller.tell(an_outbox(mute))
    await teller.stop()
    assert len(streams.openings) == 2
