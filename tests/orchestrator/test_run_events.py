"""What a caller is told of a run whose stream does not tell its end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from codelab.orchestrator.v1 import event_pb2

from services.orchestrator.model import Event, Owner, RunState
from services.orchestrator.run_events import RunEvents
from services.runtime.ids import utc_now

OWNER = Owner("u", "p")
RUN: Any = SimpleNamespace(id="r", session_id="s", state=RunState.RUNNING)


@dataclass
class Runs:
    """One run, which is over since it was accepted."""

    events: list[Event]
    state: RunState = RunState.SUCCEEDED

    async def get(self, owner: Owner, run_id: str) -> Any:
        return SimpleNamespace(id=run_id, session_id="s", state=self.state)

    async def timeline(self, owner: Owner, run_id: str) -> AsyncIterator[Event]:
        for event in self.events:
            yield event


@dataclass
class Watches:
    """Tells these ids by heartbeats, and nothing more."""

    cursors: list[str]

    async def watch(
        self, owner: Owner, session_id: str, run_id: str, after: str
    ) -> AsyncGenerator[event_pb2.Event, None]:
        for id in self.cursors:
            yield event_pb2.Event(id=id, heartbeat=event_pb2.Heartbeat())
        await asyncio.Event().wait()


def committed(n: int, id: str | None, *, final: bool = False) -> Event:
    type = "run_cancelled" if final else "agent_started"
    return Event(n, type, {"reason": "cancelled"} if final else {"agent_name": "A"}, utc_now(), final, id)


async def told(runs: Runs, watches: Watches, after: str, count: int) -> list[tuple[str | None, str]]:
    """The first so many frames: their ids and types."""
    frames: list[tuple[str | None, str]] = []
    events = RunEvents(runs, watches, utc_now).of(OWNER, RUN, after)  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        async for event in events:
            frames.append((event.id or None, event.WhichOneof("payload") or ""))
            if len(frames) == count:
                break
    await events.aclose()
    return frames


async def test_end_that_was_lost_before_the_stream_began_is_told_from_the_timeline() -> None:
    runs = Runs([committed(1, "a-4"), committed(2, "a-6", final=True)])
    assert await told(runs, Watches(["b-0"]), "start", 5) == [
        ("b-0", "heartbeat"),
        (None, "heartbeat"),
        ("a-4", "agent_started"),
        ("a-6", "run_cancelled"),
        (None, "stream_ended"),
    ]


async def test_what_lies_before_the_cursor_is_not_told_again() -> None:
    runs = Runs([committed(1, "a-4"), committed(2, "a-6", final=True)])
    assert (await told(runs, Watches(["a-5"]), "a-4", 4))[1:] == [
        ("a-5", "heartbeat"),
        ("a-6", "run_cancelled"),
        (None, "stream_ended"),
    ]


async def test_stream_whose_run_goes_on_or_whose_end_is_still_to_be_published_goes_on() -> None:
    events = [committed(1, "a-4"), committed(2, None, final=True)]
    beats = Watches(["a-5", "a-7"])
    for runs in (Runs(events), replace(Runs(events), state=RunState.RUNNING)):
        assert await told(runs, beats, "start", 2) == [("a-5", "heartbeat"), ("a-7", "heartbeat")]
