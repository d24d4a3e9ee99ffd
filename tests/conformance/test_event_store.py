"""The promises of `EventStore`, kept by every backend."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from services.runtime.event_ids import EventId
from services.streams.errors import RunSuperseded, SessionNotFound
from services.streams.store import (
    BUFFER_EVENTS,
    BUFFER_SECONDS,
    REMEMBERED_RUNS,
    SESSION_SECONDS,
    Content,
    EventStore,
    NewEvent,
    RunKey,
    SessionClosed,
    SessionKey,
    StoredEvent,
    TextDelta,
    TextSnapshot,
)
from tests.conformance.event_stores import STORES, Clock

SESSION = SessionKey("user", "project", "session")
RUN = RunKey("run", 1)
EVENT = NewEvent("agent_started", final=False, payload=b"payload")
FINAL = NewEvent("agent_completed", final=True, payload=b"answer")


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    positions: list[int] = field(default_factory=list)
    contents: list[Content | SessionClosed] = field(default_factory=list)

    def __call__(self, position: int, content: Content | SessionClosed) -> None:
        self.positions.append(position)
        self.contents.append(content)

    @property
    def ids(self) -> list[EventId]:
        return [content.id for content in self.contents if isinstance(content, StoredEvent)]


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "redis")) for name in STORES])
async def store_and_clock(request: pytest.FixtureRequest) -> AsyncIterator[tuple[EventStore, Clock]]:
    async with STORES[request.param](request)() as (events, _, clock):
        yield events, clock


@pytest.fixture
def store(store_and_clock: tuple[EventStore, Clock]) -> EventStore:
    return store_and_clock[0]


@pytest.fixture
def clock(store_and_clock: tuple[EventStore, Clock]) -> Clock:
    return store_and_clock[1]


@asynccontextmanager
async def hearing(store: EventStore, session: SessionKey = SESSION) -> AsyncIterator[Heard]:
    """Listen while the block runs, and then until all is heard that happened in it, and nothing from before."""
    heard = Heard()
    # Returns when all is heard that happened before, where that is later.
    with suppress(SessionNotFound):
        await store.read(session)
    with store.listen(session, heard):
        yield heard
        # Raises SessionNotFound where it was closed: all is heard then too.
        with suppress(SessionNotFound):
            await store.read(session)


def delta(offset: int, text: str, generation: int = 1, message_id: str = "m", run_id: str = "run") -> TextDelta:
    return TextDelta(run_id, message_id, None, "agent", generation, offset, text, timestamp=1.0)


def snapshot(text: str, generation: int = 1, message_id: str = "m", run_id: str = "run") -> TextSnapshot:
    return TextSnapshot(run_id, message_id, None, "agent", generation, text, timestamp=1.0)


async def texts(store: EventStore) -> dict[str, tuple[int, str]]:
    return {each.message_id: (each.generation, each.text) for each in (await store.read(SESSION)).partials}


# Ids and the buffer


async def test_an_unknown_session_begins_empty_at_seq_0(store: EventStore) -> None:
    view = await store.read(SESSION)
    assert (view.head.seq, view.buffer, view.partials, view.final_seq) == (0, (), (), None)
    assert (await store.read(SESSION)).head == view.head


async def test_seq_counts_without_holes_whoever_publishes(store: EventStore) -> None:
    epoch = (await store.read(SESSION)).head.epoch
    ids = [
        await store.publish(SESSION, RUN, EVENT, n=1),
        await store.publish(SESSION, RunKey("other", 1), EVENT, n=1),
        await store.publish(SESSION, RUN, EVENT, n=None),
    ]
    assert ids == [EventId(epoch, 1), EventId(epoch, 2), EventId(epoch, 3)]


async def test_an_event_keeps_what_it_was_given(store: EventStore) -> None:
    await store.publish(SESSION, RUN, FINAL, n=1)
    (event,) = (await store.read(SESSION)).buffer
    assert (event.type, event.final, event.payload, event.run_id) == ("agent_completed", True, b"answer", "run")


async def test_an_id_reads_back_as_itself(store: EventStore) -> None:
    id = await store.publish(SESSION, RUN, EVENT, n=1)
    assert id == EventId.parse(str(id))


@pytest.mark.parametrize("text", ["", "start", "7", "e1-", "-1", "e1--1", "e1-1\n", "e1-1 ", "E1-1", "e1-1-1", "é-1"])
def test_what_is_no_id_is_not_read_as_one(text: str) -> None:
    assert EventId.parse(text) is None


async def test_the_buffer_keeps_the_last_events(store: EventStore) -> None:
    for n in range(1, BUFFER_EVENTS + 8):
        await store.publish(SESSION, RUN, EVENT, n)
    view = await store.read(SESSION)
    assert [event.id.seq for event in view.buffer] == list(range(8, BUFFER_EVENTS + 8))
    assert view.head == view.buffer[-1].id


async def test_the_buffer_expires_after_its_last_event_and_the_head_stays(store: EventStore, clock: Clock) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    await clock.advance(BUFFER_SECONDS - 1)
    await store.publish(SESSION, RUN, EVENT, n=2)
    await clock.advance(BUFFER_SECONDS - 1)
    assert len((await store.read(SESSION)).buffer) == 2
    await clock.advance(1)
    view = await store.read(SESSION)
    assert (view.head.seq, view.buffer) == (2, ())
    third = await store.publish(SESSION, RUN, EVENT, n=3)
    assert third == EventId(view.head.epoch, 3)
    assert [event.id for event in (await store.read(SESSION)).buffer] == [third]


async def test_a_day_after_its_last_use_a_session_begins_a_new_epoch(store: EventStore, clock: Clock) -> None:
    before = await store.publish(SESSION, RUN, FINAL, n=1)
    await clock.advance(SESSION_SECONDS - 1)
    assert (await store.read(SESSION, RUN.run_id)).final_seq == 1
    await clock.advance(SESSION_SECONDS)
    view = await store.read(SESSION, RUN.run_id)
    assert before is not None
    assert view.head.epoch != before.epoch
    assert (view.head.seq, view.final_seq) == (0, None)


async def test_a_session_that_is_listened_to_keeps_its_epoch(store: EventStore, clock: Clock) -> None:
    epoch = (await store.read(SESSION)).head.epoch
    with store.listen(SESSION, Heard()):
        await clock.advance(3 * SESSION_SECONDS)
        assert await store.publish(SESSION, RUN, EVENT, n=1) == EventId(epoch, 1)
        await clock.advance(SESSION_SECONDS - 1)
    await clock.advance(SESSION_SECONDS - 1)
    assert (await store.read(SESSION)).head == EventId(epoch, 1)


async def test_a_listener_does_not_bring_a_forgotten_session_back(store: EventStore, clock: Clock) -> None:
    epoch = (await store.read(SESSION)).head.epoch
    await clock.advance(SESSION_SECONDS)
    with store.listen(SESSION, Heard()):
        assert (await store.read(SESSION)).head.epoch != epoch


async def test_sessions_of_other_owners_are_other_streams(store: EventStore) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    await store.publish_text(SESSION, RUN, delta(0, "secret"))
    for other in (SESSION._replace(user_id="else"), SESSION._replace(project_id="else")):
        async with hearing(store, other) as heard:
            await store.publish(SESSION, RUN, EVENT, n=2)
        view = await store.read(other)
        assert (view.head.seq, view.buffer, view.partials, heard.contents) == (0, (), (), [])


# Publishing the same again, and takeovers


async def test_a_known_n_is_not_published_twice_and_keeps_its_id(store: EventStore) -> None:
    async with hearing(store) as heard:
        first = await store.publish(SESSION, RUN, EVENT, n=1)
        await store.publish(SESSION, RUN, EVENT, n=2)
        assert await store.publish(SESSION, RUN, EVENT, n=1) == first
    assert [id.seq for id in heard.ids] == [1, 2]


async def test_a_known_n_is_known_after_its_event_left_the_buffer(store: EventStore, clock: Clock) -> None:
    first = await store.publish(SESSION, RUN, EVENT, n=1)
    await clock.advance(BUFFER_SECONDS)
    assert await store.publish(SESSION, RUN, EVENT, n=1) == first


async def test_the_new_owner_of_a_run_goes_on_where_the_old_one_stopped(store: EventStore) -> None:
    first = await store.publish(SESSION, RUN, EVENT, n=1)
    later = RunKey("run", 2)
    assert await store.publish(SESSION, later, EVENT, n=1) == first
    second = await store.publish(SESSION, later, EVENT, n=2)
    assert second is not None
    assert second.seq == 2


@pytest.mark.parametrize("told_by", ["open", "event", "text"])
async def test_an_older_epoch_is_refused_its_state_and_loses_the_rest(store: EventStore, told_by: str) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    later = RunKey("run", 2)
    match told_by:
        case "open":
            await store.open_run(SESSION, later)
        case "event":
            await store.publish(SESSION, later, EVENT, n=None)
        case "text":
            await store.publish_text(SESSION, later, delta(0, ""))
    async with hearing(store) as heard:
        for n in (1, 2):
            with pytest.raises(RunSuperseded):
                await store.publish(SESSION, RUN, EVENT, n)
        assert await store.publish(SESSION, RUN, EVENT, n=None) is None
        await store.publish_text(SESSION, RUN, delta(0, "old"))
    assert heard.contents == []


async def test_an_older_epoch_that_opens_changes_nothing(store: EventStore) -> None:
    await store.open_run(SESSION, RunKey("run", 2))
    await store.open_run(SESSION, RUN)
    with pytest.raises(RunSuperseded):
        await store.publish(SESSION, RUN, EVENT, n=1)
    assert await store.publish(SESSION, RunKey("run", 2), EVENT, n=1) is not None


async def test_a_runs_end_is_remembered_after_its_event_left_the_buffer(store: EventStore, clock: Clock) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    await store.publish(SESSION, RUN, FINAL, n=2)
    await clock.advance(BUFFER_SECONDS)
    assert (await store.read(SESSION, "run")).final_seq == 2
    assert (await store.read(SESSION, "other")).final_seq is None
    assert (await store.read(SESSION)).final_seq is None


async def test_what_is_remembered_of_runs_is_bounded(store: EventStore) -> None:
    await store.publish(SESSION, RUN, FINAL, n=1)
    later = [RunKey(f"run{number}", 1) for number in range(REMEMBERED_RUNS)]
    await asyncio.gather(*(store.publish(SESSION, run, FINAL, n=1) for run in later))
    assert (await store.read(SESSION, "run")).final_seq is None
    assert (await store.read(SESSION, "run0")).final_seq == 2


# Texts


async def test_deltas_add_up_in_code_points(store: EventStore) -> None:
    async with hearing(store) as heard:
        for offset, text in ((0, "a🦜"), (2, "é"), (3, "𐍈")):
            await store.publish_text(SESSION, RUN, delta(offset, text))
    assert await texts(store) == {"m": (1, "a🦜é𐍈")}
    assert heard.contents == [delta(0, "a🦜"), delta(2, "é"), delta(3, "𐍈")]


async def test_texts_have_no_id_and_are_not_buffered(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "a"))
    view = await store.read(SESSION)
    assert (view.head.seq, view.buffer) == (0, ())


async def test_of_an_overlapping_delta_only_the_new_part_is_told(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "🦜bc"))
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, delta(1, "bcd"))
        await store.publish_text(SESSION, RUN, delta(1, "bc"))
        await store.publish_text(SESSION, RUN, delta(0, "🦜bcde"))
    assert heard.contents == [delta(3, "d"), delta(4, "e")]
    assert await texts(store) == {"m": (1, "🦜bcde")}


@pytest.mark.parametrize("wrong", [delta(4, "x"), delta(1, "x"), delta(3, ""), delta(0, "old", generation=0)])
async def test_a_delta_that_does_not_fit_is_dropped(store: EventStore, wrong: TextDelta) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "abc"))
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, wrong)
    assert heard.contents == []
    assert await texts(store) == {"m": (1, "abc")}


async def test_a_text_without_its_beginning_waits_for_a_snapshot(store: EventStore) -> None:
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, delta(3, "d"))
        await store.publish_text(SESSION, RUN, snapshot("abcd"))
        await store.publish_text(SESSION, RUN, delta(4, "e"))
    assert heard.contents == [snapshot("abcd"), delta(4, "e")]
    assert await texts(store) == {"m": (1, "abcde")}


async def test_a_higher_generation_resets_the_text_and_a_lower_one_is_dropped(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "first"))
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, delta(3, "lost its beginning", generation=2))
        await store.publish_text(SESSION, RUN, delta(0, "second", generation=2))
        await store.publish_text(SESSION, RUN, delta(5, "late"))
        await store.publish_text(SESSION, RUN, snapshot("first, late"))
    assert heard.contents == [delta(0, "second", generation=2)]
    assert await texts(store) == {"m": (2, "second")}


async def test_a_snapshot_tells_only_what_is_new(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "ab"))
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, snapshot("ab"))
        await store.publish_text(SESSION, RUN, snapshot("a"))
        await store.publish_text(SESSION, RUN, snapshot("abc"))
        await store.publish_text(SESSION, RUN, snapshot("ax"))
        await store.publish_text(SESSION, RUN, snapshot("", generation=2))
    assert heard.contents == [delta(2, "c"), snapshot("ax"), snapshot("", generation=2)]
    assert await texts(store) == {"m": (2, "")}


async def test_a_view_is_not_changed_by_what_comes_later(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, snapshot("a"))
    view = await store.read(SESSION)
    await store.publish_text(SESSION, RUN, replace(delta(1, "b"), timestamp=2.0))
    assert list(view.partials) == [snapshot("a")]


async def test_a_runs_final_event_ends_its_texts_only(store: EventStore) -> None:
    await store.publish_text(SESSION, RUN, delta(0, "a"))
    await store.publish_text(SESSION, RunKey("other", 1), delta(0, "b", message_id="m2", run_id="other"))
    await store.publish(SESSION, RUN, FINAL, n=1)
    assert await texts(store) == {"m2": (1, "b")}


async def test_text_that_comes_after_the_runs_end_is_dropped(store: EventStore) -> None:
    await store.publish(SESSION, RUN, FINAL, n=1)
    async with hearing(store) as heard:
        await store.publish_text(SESSION, RUN, delta(0, "a"))
        await store.publish_text(SESSION, RUN, snapshot("a"))
    assert (heard.contents, await texts(store)) == ([], {})


# Listening


async def test_a_listener_hears_all_in_order_until_it_leaves(store: EventStore) -> None:
    async with hearing(store) as heard:
        first = await store.publish(SESSION, RUN, EVENT, n=1)
        await store.publish_text(SESSION, RUN, delta(0, "a"))
        second = await store.publish(SESSION, RUN, EVENT, n=2)
    await store.publish(SESSION, RUN, EVENT, n=3)
    assert (heard.ids, heard.contents[1]) == ([first, second], delta(0, "a"))
    assert heard.positions == sorted(set(heard.positions))
    assert len(heard.positions) == 3


async def test_a_views_tail_parts_what_it_contains_from_what_it_does_not(store: EventStore) -> None:
    async with hearing(store) as heard:
        await store.publish(SESSION, RUN, EVENT, n=1)
        await store.publish_text(SESSION, RUN, delta(0, "a"))
        view = await store.read(SESSION)
        await store.publish_text(SESSION, RUN, delta(1, "b"))
        await store.publish(SESSION, RUN, EVENT, n=2)
    assert [position > view.tail for position in heard.positions] == [False, False, True, True]


async def test_one_listener_leaving_does_not_deafen_the_others(store: EventStore) -> None:
    async with hearing(store) as staying:
        async with hearing(store) as leaving:
            await store.publish(SESSION, RUN, EVENT, n=1)
        await store.publish(SESSION, RUN, EVENT, n=2)
    assert (len(staying.ids), len(leaving.ids)) == (2, 1)


# Closing


async def test_closing_tells_listeners_and_forgets(store: EventStore) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    async with hearing(store) as heard:
        await store.close(SESSION)
        await store.close(SESSION)
    assert isinstance(heard.contents[0], SessionClosed)


async def test_what_is_published_late_does_not_bring_a_closed_session_back(store: EventStore, clock: Clock) -> None:
    await store.close(SESSION)
    await clock.advance(SESSION_SECONDS - 1)
    with pytest.raises(SessionNotFound):
        await store.open_run(SESSION, RUN)
    with pytest.raises(SessionNotFound):
        await store.publish(SESSION, RUN, EVENT, n=1)
    with pytest.raises(SessionNotFound):
        await store.publish_text(SESSION, RUN, delta(0, "a"))
    with pytest.raises(SessionNotFound):
        await store.read(SESSION)


async def test_nobody_closes_anothers_session(store: EventStore) -> None:
    await store.publish(SESSION, RUN, EVENT, n=1)
    await store.close(SESSION._replace(user_id="else"))
    await store.close(SESSION._replace(project_id="else"))
    assert (await store.read(SESSION)).head.seq == 1
