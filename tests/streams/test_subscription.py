"""Where a stream begins, what passes its filter, and how it ends."""

import asyncio
from collections.abc import Sequence

import pytest

from services.runtime.event_ids import EventId
from services.streams.errors import EventsUnavailable, SessionNotFound
from services.streams.store import (
    Content,
    Interrupted,
    SessionClosed,
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
    ResyncRequired,
    Start,
    StreamEnded,
    Subscription,
    start_of,
)

SESSION = SessionKey("user", "project", "session")


def event(seq: int, run_id: str = "run", type: str = "agent_started", final: bool = False) -> StoredEvent:
    return StoredEvent(EventId("e1", seq), run_id, type, final, b"")


def delta(offset: int, text: str, run_id: str = "run") -> TextDelta:
    return TextDelta(run_id, "m", None, "agent", 1, offset, text, 0.0)


def snapshot(text: str, run_id: str = "run") -> TextSnapshot:
    return TextSnapshot(run_id, "m", None, "agent", 1, text, 0.0)


def view(
    buffer: Sequence[StoredEvent] = (),
    head: int | None = None,
    partials: Sequence[TextSnapshot] = (),
    tail: int = 0,
    final_seq: int | None = None,
) -> View:
    seq = head if head is not None else buffer[-1].id.seq if buffer else 0
    return View(EventId("e1", seq), tuple(buffer), tuple(partials), tail, final_seq)


def subscribed(*views: View | Exception, wanted: Filter | None = None, room: int = 100) -> Subscription:
    """A subscription that is not started. Each time it reads it gets the next of these."""
    answers = iter(views)

    async def read(session: SessionKey, run_id: str | None) -> View:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Subscription(SESSION, wanted or Filter(), float("inf"), room, read)


async def opened(
    view: View, after: str | None = None, wanted: Filter | None = None, heard: Sequence[Content] = (), room: int = 100
) -> Subscription:
    subscription = subscribed(view, wanted=wanted, room=room)
    await subscription.start(after)
    for position, content in enumerate(heard, view.tail + 1):
        subscription.hear(position, content)
    return subscription


def queued(subscription: Subscription) -> list[Frame]:
    """What the reader would be sent now."""
    return list(subscription._queue)


SIX_OF_TEN = [event(seq) for seq in range(5, 11)]


@pytest.mark.parametrize(
    ("after", "start"),
    [
        (None, Start(EventId("e1", 10))),
        ("start", Start(EventId("e1", 4), tuple(SIX_OF_TEN))),
        ("e1-10", Start(EventId("e1", 10))),
        ("e1-9", Start(EventId("e1", 9), tuple(SIX_OF_TEN[5:]))),
        ("e1-4", Start(EventId("e1", 4), tuple(SIX_OF_TEN))),
        ("e1-3", Start(EventId("e1", 10), resync="buffer_exceeded")),
        ("e1-11", Start(EventId("e1", 10), resync="unknown_cursor")),
        ("e2-9", Start(EventId("e1", 10), resync="epoch_changed")),
        ("nonsense", Start(EventId("e1", 10), resync="unknown_cursor")),
        ("", Start(EventId("e1", 10), resync="unknown_cursor")),
    ],
)
def test_where_a_stream_begins(after: str | None, start: Start) -> None:
    assert start_of(view(SIX_OF_TEN), after) == start


def test_a_quiet_spell_longer_than_the_buffers_life_is_not_a_resync() -> None:
    assert start_of(view(head=10), "e1-10") == Start(EventId("e1", 10))
    assert start_of(view(head=10), "e1-9").resync == "buffer_exceeded"
    assert start_of(view(head=10), "start") == Start(EventId("e1", 10))


async def test_the_cursor_comes_first_then_events_then_texts_then_what_happens() -> None:
    begun, later = [event(1), event(2)], event(3)
    subscription = await opened(view(begun, partials=[snapshot("ab")]), after="start", heard=[delta(2, "c"), later])
    assert queued(subscription) == [
        Heartbeat(EventId("e1", 0)),
        *begun,
        snapshot("ab"),
        delta(2, "c"),
        later,
    ]


async def test_a_resync_comes_before_any_id_so_that_who_is_cut_off_is_told_again() -> None:
    subscription = await opened(view(SIX_OF_TEN, partials=[snapshot("ab")]), after="e0-1")
    assert queued(subscription) == [
        ResyncRequired("epoch_changed", EventId("e1", 10)),
        Heartbeat(EventId("e1", 10)),
        snapshot("ab"),
    ]


async def test_what_was_heard_before_the_view_was_taken_is_not_sent_twice() -> None:
    seen, unseen = event(1), event(2)
    subscription = subscribed(view([seen], partials=[snapshot("a")], tail=2))
    for position, content in enumerate([seen, delta(0, "a"), delta(1, "b"), unseen], 1):
        subscription.hear(position, content)
    await subscription.start("start")
    assert queued(subscription) == [Heartbeat(EventId("e1", 0)), seen, snapshot("a"), delta(1, "b"), unseen]


async def test_a_run_filter_holds_over_replay_texts_and_what_happens() -> None:
    mine, other = event(1), event(2, run_id="other")
    subscription = await opened(
        view([mine, other], partials=[snapshot("a"), snapshot("b", run_id="other")]),
        after="start",
        wanted=Filter(run_id="run"),
        heard=[delta(1, "c", run_id="other"), delta(1, "d"), event(3, run_id="other")],
    )
    assert queued(subscription) == [Heartbeat(EventId("e1", 0)), mine, snapshot("a"), delta(1, "d")]


async def test_who_asks_for_deltas_gets_snapshots_as_well() -> None:
    subscription = await opened(
        view(partials=[snapshot("a")]),
        wanted=Filter(types=frozenset({"message_delta"})),
        heard=[delta(1, "b"), event(1)],
    )
    assert queued(subscription)[1:] == [snapshot("a"), delta(1, "b")]


async def test_who_asks_for_other_types_gets_no_text() -> None:
    subscription = await opened(
        view(partials=[snapshot("a")]), wanted=Filter(types=frozenset({"agent_started"})), heard=[delta(1, "b")]
    )
    assert len(queued(subscription)) == 1


async def test_a_run_stream_ends_after_the_final_event_even_if_its_type_is_not_wanted() -> None:
    last = event(2, type="agent_completed", final=True)
    wanted = Filter("run", frozenset({"agent_started"}))
    subscription = await opened(view(), wanted=wanted, heard=[event(1, run_id="other", final=True), last, event(3)])
    assert queued(subscription)[1:] == [StreamEnded(EndReason.RUN_FINISHED)]


async def test_a_run_stream_ends_with_the_replay_that_contains_its_final_event() -> None:
    last = event(2, final=True)
    subscription = await opened(view([event(1), last, event(3)], final_seq=2), after="start", wanted=Filter("run"))
    assert queued(subscription)[2:] == [last, StreamEnded(EndReason.RUN_FINISHED)]


@pytest.mark.parametrize("after", [None, "e1-2", "e1-9"])
async def test_the_stream_of_a_finished_run_ends_at_once(after: str | None) -> None:
    subscription = await opened(view(head=9, final_seq=2), after, Filter("run"))
    assert queued(subscription)[-1] == StreamEnded(EndReason.RUN_FINISHED)


async def test_a_session_stream_goes_on_after_a_runs_final_event() -> None:
    assert (await opened(view(final_seq=1, head=1), heard=[event(2, final=True)])).ended is None


async def test_a_heartbeat_moves_the_cursor_past_what_the_filter_held_back() -> None:
    subscription = await opened(view(), wanted=Filter("run"), heard=[event(1)])
    subscription.beat()
    assert queued(subscription)[-1] == Heartbeat(None)
    subscription.hear(2, event(2, run_id="other"))
    assert queued(subscription)[-1] == Heartbeat(None)
    subscription._queue.clear()
    subscription.beat()
    assert queued(subscription)[-1] == Heartbeat(EventId("e1", 2))
    subscription.hear(3, delta(0, "a"))
    subscription.beat()
    assert queued(subscription)[-1] == Heartbeat(None)


async def test_heartbeats_do_not_pile_up_for_a_reader_who_does_not_read() -> None:
    subscription = await opened(view(head=4))
    for _ in range(10):
        subscription.beat()
    assert queued(subscription) == [Heartbeat(EventId("e1", 4))]


async def test_a_slow_reader_gets_what_fitted_and_can_resume_after_it() -> None:
    subscription = await opened(view(SIX_OF_TEN), after="start", heard=[event(seq) for seq in range(11, 30)], room=3)
    frames = queued(subscription)
    assert frames[-1] == StreamEnded(EndReason.SLOW_READER)
    assert EndReason.SLOW_READER.resumable
    sent = [frame.id.seq for frame in frames if isinstance(frame, StoredEvent)]
    assert sent == list(range(5, 5 + len(sent)))
    assert len(sent) < 25


async def test_a_deleted_session_ends_its_streams_for_good() -> None:
    subscription = await opened(view())
    subscription.hear(1, SessionClosed())
    subscription.hear(2, event(1))
    assert queued(subscription)[1:] == [StreamEnded(EndReason.DELETED)]
    assert not EndReason.DELETED.resumable


async def test_iteration_waits_for_more_and_ends_with_the_stream() -> None:
    subscription = await opened(view())
    asyncio.get_running_loop().call_soon(subscription.hear, 1, event(1))
    asyncio.get_running_loop().call_later(0.01, subscription.end, EndReason.SHUTDOWN)
    assert [type(frame) async for frame in subscription] == [Heartbeat, StoredEvent, StreamEnded]


async def test_what_comes_while_iteration_waits_is_passed_on_and_what_is_refused_is_iterated() -> None:
    subscription = await opened(view())
    passed: list[Frame] = []
    refused = event(3)

    def send(frame: Frame) -> bool:
        if frame is not refused:
            passed.append(frame)
        return frame is not refused

    subscription.pass_to(send)
    subscription.hear(1, event(1))
    first = [await anext(subscription), await anext(subscription)]
    assert [type(frame) for frame in first] == [Heartbeat, StoredEvent]
    assert passed == []

    rest = asyncio.ensure_future(frames(subscription, 3))
    await asyncio.sleep(0)
    told = event(2), refused, event(4)
    for position, each in enumerate(told, 2):
        subscription.hear(position, each)
    subscription.end(EndReason.SHUTDOWN)
    assert await rest == [*told[1:], StreamEnded(EndReason.SHUTDOWN)]
    assert passed == [told[0]]


async def test_the_end_is_iterated_even_where_all_else_is_passed_on() -> None:
    subscription = await opened(view(), wanted=Filter("run"))
    passed: list[Frame] = []
    subscription.pass_to(lambda frame: not passed.append(frame))
    assert await frames(subscription, 1) == [Heartbeat(EventId("e1", 0))]
    rest = asyncio.ensure_future(frames(subscription, 1))
    await asyncio.sleep(0)
    last = event(1, final=True)
    subscription.hear(1, last)
    assert passed == [last]
    assert await rest == [StreamEnded(EndReason.RUN_FINISHED)]


async def frames(subscription: Subscription, count: int) -> list[Frame]:
    """What the reader is sent next, as its stream takes it."""
    return [await anext(subscription) for _ in range(count)]


async def test_after_an_interruption_a_stream_goes_on_where_it_was() -> None:
    first, missed, later = event(1), event(2), event(3)
    begun = view([first], tail=5)
    subscription = subscribed(begun, view([first, missed], partials=[snapshot("ab")], tail=1))
    await subscription.start("start")
    subscription.hear(1, Interrupted())
    subscription.hear(1, delta(1, "b"))
    subscription.hear(2, later)
    assert await frames(subscription, 6) == [
        *(Heartbeat(EventId("e1", 0)), first),
        *(Heartbeat(EventId("e1", 1)), missed, snapshot("ab"), later),
    ]


async def test_a_view_that_an_interruption_overtook_is_read_again() -> None:
    there = event(1)
    views = [view(tail=9), view([there], tail=1)]

    async def read(session: SessionKey, run_id: str | None) -> View:
        if len(views) == 2:
            subscription.hear(10, delta(0, "of the past"))
            subscription.hear(11, Interrupted())
        return views.pop(0)

    subscription = Subscription(SESSION, Filter(), float("inf"), 100, read)
    await subscription.start("start")
    assert queued(subscription) == [Heartbeat(EventId("e1", 0)), there]


async def test_a_backend_that_lost_its_events_is_a_resync() -> None:
    subscription = subscribed(view([event(1)]), View(EventId("e2", 0), (), (), 0, None))
    await subscription.start("start")
    subscription.hear(1, Interrupted())
    await frames(subscription, 2)
    assert await frames(subscription, 2) == [
        ResyncRequired("epoch_changed", EventId("e2", 0)),
        Heartbeat(EventId("e2", 0)),
    ]


async def test_heartbeats_and_the_end_of_a_token_go_on_while_the_backend_is_away() -> None:
    subscription = subscribed(view(), *[EventsUnavailable()] * 10)
    await subscription.start(None)
    subscription.hear(1, Interrupted())
    await frames(subscription, 1)
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    subscription.beat()
    assert await waiting == Heartbeat(None)
    subscription.end(EndReason.TOKEN_EXPIRED)
    assert await frames(subscription, 1) == [StreamEnded(EndReason.TOKEN_EXPIRED)]


async def test_a_session_deleted_during_an_interruption_ends_its_streams() -> None:
    subscription = subscribed(view(), SessionNotFound("session"))
    await subscription.start(None)
    subscription.hear(1, Interrupted())
    assert await frames(subscription, 2) == [Heartbeat(EventId("e1", 0)), StreamEnded(EndReason.DELETED)]


async def test_more_than_a_queue_holds_while_the_backend_reads_is_a_slow_reader() -> None:
    subscription = subscribed(view(), view(), room=3)
    await subscription.start(None)
    subscription.hear(1, Interrupted())
    for position in range(4):
        subscription.hear(position, event(position + 1))
    assert await frames(subscription, 2) == [Heartbeat(EventId("e1", 0)), StreamEnded(EndReason.SLOW_READER)]
