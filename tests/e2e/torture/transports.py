"""The three ways to a session's stream, as their standards have them: what comes is a sequence of frames."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import grpc
import httpx
from codelab.streams.v1 import event_service_pb2, event_service_pb2_grpc

from tests.e2e.events import Format, Frame, ndjson_frames, sse_frames
from tests.e2e.torture.knowledge import Wanted
from tests.e2e.torture.published import event_of

# A stream that has nothing to say sends a heartbeat every half second here; one that says nothing for longer is broken.
SILENCE_SECONDS = 20.0
PASSING = (503, 504)
"""Says a gateway whose services have just died, or stop: it has passed by the next try, or the one after."""
# gRPC's own pauses between two tries to connect grow to two minutes.
CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


class Transport(StrEnum):
    SSE = "SSE"
    NDJSON = "NDJSON"
    GRPC = "gRPC"


class Refused(Exception):
    """The stream was not opened, or its last frame is an error. `passing` says whether to try again."""

    def __init__(self, code: str, told: str, *, passing: bool) -> None:
        super().__init__(f"{code} {told}")
        self.code = code
        self.passing = passing


class CutOff(Exception):
    """The connection broke."""


@dataclass(frozen=True)
class Session:
    """Where a stream is, and whose."""

    user_id: str
    project_id: str
    session_id: str

    @property
    def path(self) -> str:
        return f"/my/projects/{self.project_id}/chat/{self.session_id}"


@dataclass(frozen=True)
class Ask:
    """What is asked of a stream."""

    session: Session
    token: str
    after: str | None
    wanted: Wanted
    ticket: str | None = None


@dataclass
class Doors:
    """The suite's doors: one gateway, and every replica of the streams service."""

    http: httpx.AsyncClient
    """Without a token of its own."""
    thin: httpx.AsyncClient
    """The same, but the system buffers hardly anything of what it does not read."""
    addresses: Sequence[str]
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        return self._channels[address]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    def open(
        self, transport: Transport, ask: Ask, address: str, *, thin: bool = False
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[Frame]]:
        """Open a stream; leaving the block closes it. Raise Refused or CutOff, also while frames come."""
        if transport is Transport.GRPC:
            return _over_grpc(self.channel(address), ask)
        return _over_http(self.thin if thin else self.http, transport, ask)


@contextlib.asynccontextmanager
async def _over_http(http: httpx.AsyncClient, transport: Transport, ask: Ask) -> AsyncIterator[AsyncIterator[Frame]]:
    accept = Format.SSE if transport is Transport.SSE else Format.NDJSON
    headers, query = {"Accept": accept.value}, [("type", each) for each in ask.wanted.types]
    if ask.wanted.run_id is not None:
        query.append(("run_id", ask.wanted.run_id))
    if ask.ticket is None:
        headers["Authorization"] = f"Bearer {ask.token}"
    else:
        query.append(("ticket", ask.ticket))
    if ask.after is not None and (transport is Transport.SSE and ask.after != "start"):
        headers["Last-Event-ID"] = ask.after
    elif ask.after is not None:
        query.append(("after", ask.after))
    try:
        opened = http.stream(
            "GET", f"{ask.session.path}/events", headers=headers, params=query, timeout=SILENCE_SECONDS
        )
        async with opened as response:
            if response.status_code != 200:
                told = (await response.aread()).decode()
                raise Refused(str(response.status_code), told, passing=response.status_code in PASSING)
            assert response.headers["content-type"].partition(";")[0] == accept.value
            parse = sse_frames if accept is Format.SSE else ndjson_frames
            yield without_problems(parse(response.aiter_bytes()))
    except httpx.TransportError as error:
        raise CutOff(type(error).__name__) from None


async def without_problems(frames: AsyncIterator[Frame]) -> AsyncIterator[Frame]:
    """The frames of a stream over HTTP. Raise Refused where its last one is a problem: of SSE an event of that name,
    of NDJSON an object with that key."""
    async for frame in frames:
        problem = None
        if frame.event is not None:
            problem = frame.event if frame.name == "problem" else frame.event.get("problem")
        if problem is not None:
            raise Refused(str(problem["status"]), json.dumps(problem), passing=problem["status"] in PASSING)
        yield frame


@contextlib.asynccontextmanager
async def _over_grpc(channel: grpc.aio.Channel, ask: Ask) -> AsyncIterator[AsyncIterator[Frame]]:
    request = event_service_pb2.SubscribeRequest(
        project_id=ask.session.project_id,
        session_id=ask.session.session_id,
        after=ask.after,
        run_id=ask.wanted.run_id,
        type=ask.wanted.types,
        ticket=ask.ticket,
    )
    metadata = () if ask.ticket is not None else (("authorization", f"Bearer {ask.token}"),)
    call = event_service_pb2_grpc.EventServiceStub(channel).Subscribe(request, metadata=metadata)
    try:
        yield _frames(call)
    except grpc.aio.AioRpcError as error:
        code = error.code()
        raise Refused(code.name, str(error.details()), passing=code is grpc.StatusCode.UNAVAILABLE) from None
    finally:
        call.cancel()


async def _frames(call: Any) -> AsyncIterator[Frame]:
    async for response in call:
        event = event_of(response.event)
        yield Frame(id=event["id"], name=event["type"], event=event)
