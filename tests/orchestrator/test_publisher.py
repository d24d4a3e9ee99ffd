"""RunPublisher against a streams service that breaks."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.orchestrator import publisher as module
from services.orchestrator.model import Event
from services.orchestrator.ports import Frame, Opening, Progress, Text
from services.orchestrator.publisher import RunPublisher, TextOf
from tests.conformance.orchestrator_stores import NOW
from tests.orchestrator.fake_streams import FakeStreams, Line, rebuilt

OPENING = Opening("run", "session", "project", "user", 1)


def an_event(n: int, type: str = "agent_started", *, final: bool = False) -> Event:
    return Event(n, type, {}, NOW, final)


ANSWER = TextOf("answer-id", "answer", "agent")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(module, "_MAX_RETRY_SECONDS", 0.002)


@pytest.fixture
def slow_coalescing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text gathers until something else happens: a test need not race the clock."""
    monkeypatch.setattr(module, "COALESCE_SECONDS", 3600.0)


class Recorder(list[tuple[str, int, str]]):
    """What the publisher says is published."""

    def __call__(self, run_id: str, n: int, event_id: str) -> None:
        self.append((run_id, n, event_id))


@asynccontextmanager
async def publishing(
    streams: FakeStreams, recorder: Recorder | None = None, farewell_seconds: float = 10.0
) -> AsyncIterator[RunPublisher]:
    """A publisher that is closed, and waited for, at the end of the block."""
    publisher = RunPublisher(streams, OPENING, recorder if recorder is not None else Recorder(), farewell_seconds)
    task = publisher.open()
    try:
        yield publisher
        publisher.close()
        async with asyncio.timeout(30):
            await task
    finally:
        await publisher.abandon()


async def test_events_progress_and_text_come_in_the_order_in_which_they_happened() -> None:
    streams, recorder = FakeStreams(), Recorder()
    async with publishing(streams, recorder) as publisher:
        publisher.events([an_event(1, "message_received"), an_event(2)])
        publisher.begin_text(ANSWER, 1)
        publisher.progress(Progress("agent_working", {}))
        publisher.text(ANSWER, "Hel")
        publisher.text(ANSWER, "lo")
        publisher.events([an_event(3, "agent_completed", final=True)])
    (frames,) = streams.connections
    assert [type(frame) for frame in frames] == [Event, Event, Progress, Text, Event]
    assert rebuilt(frames) == (1, "Hello")
    assert recorder == [("run", 1, "e-1"), ("run", 2, "e-2"), ("run", 3, "e-3")]
    assert streams.openings == [OPENING]


async def test_first_text_goes_at_once_and_the_rest_gathers(slow_coalescing: None) -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        publisher.text(ANSWER, "a")
        await streams.until(lambda: len(streams.texts()) == 1)
        for piece in "bcd":
            publisher.text(ANSWER, piece)
            await asyncio.sleep(0)
        publisher.events([an_event(1)])
        await streams.until(lambda: len(streams.heard) == 1)
    # What happens next does not wait for the text, and does not overtake it.
    (frames,) = streams.connections
    assert [
        frame.text if isinstance(frame, Text) else frame.n for frame in frames if not isinstance(frame, Progress)
    ] == ["a", "bcd", 1]


async def test_gathered_text_goes_after_its_time() -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        for piece in "abc":
            publisher.text(ANSWER, piece)
            await streams.until(lambda piece=piece: rebuilt(streams.said())[1].endswith(piece))  # type: ignore[misc]


async def test_last_text_goes_when_the_run_ends(slow_coalescing: None) -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        publisher.text(ANSWER, "a")
        await streams.until(lambda: len(streams.texts()) == 1)
        publisher.text(ANSWER, "b")
    assert rebuilt(streams.said()) == (1, "ab")


async def test_offsets_count_code_points() -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        for piece in ("👋🏽", "é", "x"):
            publisher.text(ANSWER, piece)
            await streams.until(lambda piece=piece: rebuilt(streams.said())[1].endswith(piece))  # type: ignore[misc]
    assert [text.offset for text in streams.texts()] == [0, 2, 3]


async def test_what_was_not_acknowledged_is_sent_again_before_what_is_new() -> None:
    streams, recorder = FakeStreams([Line(acknowledges=False, frames=3)]), Recorder()
    async with publishing(streams, recorder) as publisher:
        publisher.events([an_event(n) for n in (1, 2, 3, 4)])
    assert [[frame.n for frame in frames if isinstance(frame, Event)] for frames in streams.connections] == [
        [1, 2, 3],
        [1, 2, 3, 4],
    ]
    assert [n for _, n, _ in recorder] == [1, 2, 3, 4]


async def test_acknowledged_events_are_not_sent_again() -> None:
    streams, recorder = FakeStreams([Line(frames=3, loses_last=True)]), Recorder()
    async with publishing(streams, recorder) as publisher:
        publisher.events([an_event(n) for n in (1, 2, 3)])
    assert [frame.n for frame in streams.connections[1] if isinstance(frame, Event)] == [3]
    assert [n for _, n, _ in recorder] == [1, 2, 3]


async def test_stream_that_opens_again_begins_with_a_snapshot(slow_coalescing: None) -> None:
    streams = FakeStreams([Line(frames=2)])
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        publisher.text(ANSWER, "Hello")
        await streams.until(lambda: len(streams.texts()) == 1)
        publisher.text(ANSWER, ", wor")
        publisher.progress(Progress("agent_working", {}))  # Lets the text go, and breaks the line.
        await streams.until(lambda: len(streams.connections) == 2 and len(streams.connections[1]) >= 1)
        publisher.text(ANSWER, "ld")
    first, *rest = [frame for frame in streams.connections[1] if isinstance(frame, Text)]
    assert (first.snapshot, first.text) == (True, "Hello, wor")
    assert [(text.snapshot, text.offset, text.text) for text in rest] == [(False, 10, "ld")]


async def test_first_stream_begins_without_a_snapshot_of_nothing() -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        publisher.events([an_event(1)])
    assert streams.texts() == []


async def test_later_generation_resets_the_text_at_once(slow_coalescing: None) -> None:
    streams = FakeStreams()
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        publisher.text(ANSWER, "Wro")
        await streams.until(lambda: len(streams.texts()) == 1)
        publisher.text(ANSWER, "ng")
        publisher.events([an_event(1)])
        publisher.begin_text(ANSWER, 2)
        await streams.until(lambda: rebuilt(streams.said()) == (2, ""))
        publisher.text(ANSWER, "Right")
    assert rebuilt(streams.said()) == (2, "Right")
    assert not any("ng" in text.text for text in streams.texts() if text.generation == 2)


async def test_who_is_superseded_says_nothing_more() -> None:
    streams, recorder = FakeStreams(usually=Line(refuses=True)), Recorder()
    async with publishing(streams, recorder) as publisher:
        publisher.events([an_event(1)])
        await streams.until(lambda: len(streams.openings) == 1)
        publisher.begin_text(ANSWER, 1)
        publisher.text(ANSWER, "more")
    assert (len(streams.openings), recorder) == (1, [])


async def test_run_goes_on_while_nobody_can_be_told() -> None:
    streams = FakeStreams(usually=Line(frames=0))
    async with publishing(streams) as publisher:
        publisher.begin_text(ANSWER, 1)
        for n in range(1, 50):
            publisher.events([an_event(n)])
            publisher.text(ANSWER, "x")
        await streams.until(lambda: len(streams.openings) > 3)
        streams.usually = Line()
    assert [event.n for _, event in streams.heard] == list(range(1, 50))
    assert rebuilt(streams.connections[-1]) == (1, "x" * 49)


@pytest.mark.parametrize("line", [Line(frames=0), Line(acknowledges=False)], ids=["no streams", "no answer"])
async def test_farewell_is_bounded(line: Line) -> None:
    streams = FakeStreams(usually=line)
    publisher = RunPublisher(streams, OPENING, Recorder(), farewell_seconds=0.05)
    task = publisher.open()
    publisher.events([an_event(1), an_event(2)])
    await streams.until(lambda: len(streams.openings) >= 1)
    publisher.close()
    async with asyncio.timeout(30):
        await task
    assert publisher.left == 2


async def test_farewell_of_one_that_never_had_its_turn_is_bounded_too() -> None:
    never = asyncio.create_task(asyncio.Event().wait())
    streams = FakeStreams()
    publisher = RunPublisher(streams, OPENING, Recorder(), farewell_seconds=0.05)
    task = publisher.open(after=[never])  # type: ignore[list-item]
    publisher.events([an_event(1)])
    publisher.close()
    async with asyncio.timeout(30):
        await task
    never.cancel()
    assert (publisher.left, streams.openings) == (1, [])


async def test_it_waits_for_its_turn() -> None:
    turn = asyncio.Event()
    before = asyncio.create_task(turn.wait())
    streams = FakeStreams()
    publisher = RunPublisher(streams, OPENING, Recorder())
    task = publisher.open(after=[before])  # type: ignore[list-item]
    publisher.events([an_event(1)])
    for _ in range(20):
        await asyncio.sleep(0)
    assert streams.openings == []
    turn.set()
    publisher.close()
    await task
    assert [event.n for _, event in streams.heard] == [1]


async def test_abandoned_publisher_stops_at_once() -> None:
    streams = FakeStreams(usually=Line(acknowledges=False))
    publisher = RunPublisher(streams, OPENING, Recorder())
    task = publisher.open()
    publisher.events([an_event(1)])
    await streams.until(lambda: len(streams.heard) == 1)
    publisher.events([an_event(2)])
    await publisher.abandon()
    assert task.cancelled()
    assert [event.n for _, event in streams.heard] == [1]


@pytest.mark.parametrize("seed", range(60))
async def test_nothing_is_lost_or_reordered_wherever_the_stream_breaks(seed: int) -> None:
    chance = random.Random(seed)
    lines = [
        Line(frames=chance.randrange(0, 9), loses_last=chance.random() < 0.5, acknowledges=chance.random() < 0.8)
        for _ in range(chance.randrange(1, 12))
    ]
    streams, recorder = FakeStreams(lines), Recorder()
    n, generation, expected = 0, 1, ""
    async with publishing(streams, recorder) as publisher:
        publisher.begin_text(ANSWER, 1)
        for _ in range(chance.randrange(10, 80)):
            match chance.choice(["event", "text", "text", "text", "progress", "wait", "again"]):
                case "event":
                    n += 1
                    publisher.events([an_event(n)])
                case "text":
                    piece = chance.choice(["a", "bb", "🎈", "né"])
                    expected += piece
                    publisher.text(ANSWER, piece)
                case "progress":
                    publisher.progress(Progress("agent_working", {}))
                case "wait":
                    await asyncio.sleep(chance.choice([0, 0, 0.001]))
                case "again" if chance.random() < 0.2:
                    generation, expected = generation + 1, ""
                    publisher.begin_text(ANSWER, generation)
        n += 1
        publisher.events([an_event(n, "agent_completed", final=True)])
    assert [event.n for _, event in streams.heard] == list(range(1, n + 1))
    assert sorted(number for _, number, _ in recorder) == list(range(1, n + 1))
    # A watcher's text after each connection, as streams would merge them.
    if expected or generation > 1:
        assert rebuilt(streams.said()) == (generation, expected)


async def test_texts_that_are_written_at_once_gather_each_by_itself(slow_coalescing: None) -> None:
    streams = FakeStreams()
    others = [TextOf(f"text-{number}", f"task-{number}", "agent") for number in range(3)]
    async with publishing(streams) as publisher:
        for text in others:
            publisher.begin_text(text, 1)
            publisher.text(text, f"{text.task_id}: ")
        await streams.until(lambda: len(streams.texts()) == 3)
        for piece in "abc":
            for text in others:
                publisher.text(text, piece)
                await asyncio.sleep(0)
    texts = streams.texts()
    assert len(texts) == 6
    for text in others:
        mine: list[Frame] = [each for each in texts if each.message_id == text.message_id]
        assert rebuilt(mine) == (1, f"{text.task_id}: abc")


async def test_whole_text_is_sent_to_its_end_and_needs_no_snapshot_later() -> None:
    streams = FakeStreams([Line(frames=4)])
    whole, other = TextOf("text-1", "task-1", "agent"), TextOf("text-2", "task-2", "agent")
    async with publishing(streams) as publisher:
        for text in (whole, other):
            publisher.begin_text(text, 1)
            publisher.text(text, "Hel")
        await streams.until(lambda: len(streams.texts()) == 2)
        publisher.text(whole, "lo")
        publisher.end_text(whole)
        await streams.until(lambda: len(streams.texts()) == 3)
        publisher.text(other, "p")
        await streams.until(lambda: len(streams.connections) == 2)
    assert rebuilt([each for each in streams.texts() if each.message_id == "text-1"]) == (1, "Hello")
    [again] = [each for each in streams.connections[1] if isinstance(each, Text)]
    assert (again.message_id, again.snapshot, again.text) == ("text-2", True, "Help")
