"""Event streams as a client sees them: SSE and NDJSON read byte by byte, and answers rebuilt from their text events."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

Event = dict[str, Any]

UNPUBLISHED = frozenset({"client_tool_requested"})
"""What the contract has and nobody publishes yet, as docs/events.md says: its examples of these come from no run."""


class Format(StrEnum):
    """How a stream is asked for."""

    SSE = "text/event-stream"
    NDJSON = "application/x-ndjson"


class StreamBroken(Exception):
    """The stream's last frame is a problem, not `stream_ended`."""


@dataclass(frozen=True)
class Frame:
    """One block of a stream. Comments and cursors carry no event."""

    id: str | None = None
    name: str | None = None
    event: Event | None = None
    comment: str | None = None


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split at LF only (after an optional CR): text may hold U+2028 and others that str.splitlines splits at."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


async def sse_frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[Frame]:
    """Parse text/event-stream. A block that the end of the stream cuts is dropped, as the standard says."""
    fields: dict[str, str] = {}
    async for raw in lines(chunks):
        line = raw.decode()
        if line.startswith(":"):
            yield Frame(comment=line[1:].strip())
        elif line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields['data']}\n{value}" if name == "data" and "data" in fields else value
        elif fields.keys() - {"retry"}:
            event = json.loads(fields["data"]) if "data" in fields else None
            yield Frame(id=fields.get("id"), name=fields.get("event"), event=event)
            fields = {}


async def ndjson_frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[Frame]:
    async for raw in lines(chunks):
        if raw:
            event = json.loads(raw)
            yield Frame(id=event.get("id"), name=event.get("type"), event=event)


@dataclass
class Answers:
    """The text of each answer, rebuilt as the contract tells a client to; what breaks the contract fails at once."""

    texts: dict[str, str] = field(default_factory=dict)
    _generations: dict[str, int] = field(default_factory=dict)

    def generation(self, message_id: str) -> int:
        """The attempt that the text is of; 0 if there is none."""
        return self._generations.get(message_id, 0)

    def take(self, event: Event) -> None:
        if event["type"] not in ("message_delta", "message_snapshot"):
            return
        payload = event["payload"]
        message, generation, text = payload["message_id"], payload["generation"], payload["text"]
        known = self._generations.get(message, 0)
        assert generation >= 1, event
        if generation < known:
            return
        so_far = self.texts.get(message, "") if generation == known else ""
        if event["type"] == "message_snapshot":
            assert text.startswith(so_far), f"a snapshot took text back: had {so_far!r}, got {text!r}"
            so_far = text
        else:
            assert payload["offset"] == len(so_far), f"a delta left a gap or came twice: had {so_far!r}, got {event}"
            so_far += text
        self.texts[message], self._generations[message] = so_far, generation


@dataclass
class Watch:
    """What a client knows of a session's stream, across as many connections as it takes."""

    answers: Answers = field(default_factory=Answers)
    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    _seen: set[str] = field(default_factory=set)
    _over: bool = False

    def take(self, frame: Frame) -> None:
        if frame.id:
            self.last_id = frame.id
        event = frame.event
        if event is None or event["type"] == "heartbeat":
            return
        if "type" in event and "reason" in event:
            raise StreamBroken(event["detail"])
        assert event["type"] not in UNPUBLISHED, f"docs/events.md says that nobody publishes it: {event}"
        assert not self._over, f"came after stream_ended: {event}"
        self._over = event["type"] == "stream_ended"
        if event["id"] is not None:
            assert event["id"] not in self._seen, f"came twice: {event}"
            self._seen.add(event["id"])
        self.events.append(event)
        self.answers.take(event)

    def connected(self) -> None:
        """A new connection goes on where the one before ended."""
        self._over = False

    def types(self, *, progress: bool = True) -> list[str]:
        """The types of what came, without text; without progress only what is committed."""
        text = {"message_delta", "message_snapshot"}
        maybe = set() if progress else {"context_retrieved", "agent_working", "agent_status_changed", "stream_ended"}
        return [event["type"] for event in self.events if event["type"] not in text | maybe]

    def of_type(self, name: str) -> list[Event]:
        return [event for event in self.events if event["type"] == name]

    def final(self) -> Event:
        """The one event that ends the run."""
        [event] = [event for event in self.events if event["final"]]
        return event

    @property
    def ended(self) -> Event:
        """The payload of `stream_ended`."""
        assert self.events[-1]["type"] == "stream_ended", self.types()
        payload: Event = self.events[-1]["payload"]
        return payload


@dataclass
class Stream:
    """One open connection of a Watch."""

    response: httpx.Response
    watch: Watch
    frames: AsyncIterator[Frame]

    async def read(self) -> Frame | None:
        """Take the next frame; None at the stream's end."""
        frame = await anext(self.frames, None)
        if frame is not None:
            self.watch.take(frame)
        return frame

    async def until(self, *types: str, count: int = 1) -> Event:
        """Read until so many events of these types came on this connection, and return the last of them."""
        async for event in self:
            if event["type"] in types:
                count -= 1
                if count == 0:
                    return event
        raise AssertionError(f"the stream ended without {types}: {self.watch.types()}")

    async def to_end(self) -> Watch:
        async for _ in self:
            pass
        return self.watch

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while (frame := await self.read()) is not None:
            if frame.event is not None:
                yield frame.event


@contextlib.asynccontextmanager
async def open_stream(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    accept: Format = Format.SSE,
    watch: Watch | None = None,
    **request: Any,
) -> AsyncIterator[Stream]:
    """Open a stream; with a Watch that has seen something, resume after it. Leaving the block closes the connection."""
    watch = watch or Watch()
    headers = {"Accept": accept.value}
    if watch.last_id is not None:
        headers["Last-Event-ID"] = watch.last_id
    # A stream that has nothing to say sends a heartbeat every 15 s; one that says nothing for longer is broken.
    async with http.stream(method, path, headers=headers, timeout=20, **request) as response:
        if response.status_code != 200:
            await response.aread()
            raise AssertionError(f"{method} {path} answered {response.status_code} {response.text}")
        assert response.headers["content-type"].partition(";")[0] == accept.value
        watch.connected()
        parse = sse_frames if accept is Format.SSE else ndjson_frames
        yield Stream(response, watch, parse(response.aiter_bytes()))
