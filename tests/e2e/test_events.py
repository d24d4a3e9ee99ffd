"""The tests' own stream reader: it parses what the standards say and catches what the contract forbids."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.events import Answers, Frame, Watch, ndjson_frames, sse_frames


async def bytewise(text: str) -> AsyncIterator[bytes]:
    for byte in text.encode():
        yield bytes([byte])


def delta(offset: int, text: str, generation: int = 1) -> dict[str, Any]:
    payload = {"message_id": "m", "generation": generation, "offset": offset, "text": text}
    return {"type": "message_delta", "id": None, "final": False, "payload": payload}


def snapshot(text: str, generation: int = 1) -> dict[str, Any]:
    payload = {"message_id": "m", "generation": generation, "text": text}
    return {"type": "message_snapshot", "id": None, "final": False, "payload": payload}


async def test_sse_is_read_byte_by_byte() -> None:
    text = 'retry: 1000\n\n: hi\n\nid: 1-0\n\nid: 1-1\nevent: x\ndata: {"type": "x",\ndata: "text": "𝄞\u2028"}\n\n'
    text += 'data: {"cut'
    assert [frame async for frame in sse_frames(bytewise(text))] == [
        Frame(comment="hi"),
        Frame(id="1-0"),
        Frame(id="1-1", name="x", event={"type": "x", "text": "𝄞\u2028"}),
    ]


async def test_ndjson_is_read_byte_by_byte() -> None:
    frames = [frame async for frame in ndjson_frames(bytewise('{"type": "a", "id": "1"}\r\n\n{"type": "b"}'))]
    assert [(frame.name, frame.id) for frame in frames] == [("a", "1"), ("b", None)]


def rebuilt(*events: dict[str, Any]) -> str:
    answers = Answers()
    for event in events:
        answers.take(event)
    return answers.texts["m"]


def test_text_is_rebuilt_in_code_points() -> None:
    assert rebuilt(delta(0, "𝄞e\u0301"), delta(3, "!"), snapshot("𝄞e\u0301! And"), delta(8, ".")) == "𝄞e\u0301! And."


def test_higher_generation_begins_again_and_a_lower_one_is_old_news() -> None:
    assert rebuilt(delta(0, "first"), snapshot("se", 2), delta(5, "!", 1), delta(2, "cond", 2)) == "second"


@pytest.mark.parametrize("offset", [2, 4, 0])
def test_gap_and_repetition_are_caught(offset: int) -> None:
    with pytest.raises(AssertionError, match="gap or came twice"):
        rebuilt(delta(0, "abc"), delta(offset, "d"))


def test_snapshot_that_takes_text_back_is_caught() -> None:
    with pytest.raises(AssertionError, match="took text back"):
        rebuilt(delta(0, "abc"), snapshot("ab"))


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([{"type": "x", "id": "1-1", "final": False}] * 2, "came twice"),
        ([{"type": name, "id": None, "final": False} for name in ("stream_ended", "x")], "came after stream_ended"),
    ],
)
def test_watch_catches_repeated_events_and_those_after_the_end(events: list[dict[str, Any]], complaint: str) -> None:
    watch = Watch()
    watch.take(Frame(event=events[0]))
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        watch.take(Frame(event=events[1]))
