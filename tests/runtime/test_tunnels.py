"""What a tunnel takes from whoever opens one, and how calls in it fare when a server leaves or falls silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.tunnel.v1 import tunnel_service_pb2 as pb
from codelab.tunnel.v1.tunnel_service_pb2_grpc import TunnelServiceStub
from google.protobuf.wrappers_pb2 import BytesValue
from grpc import StatusCode

from codelab_client import connect
from services.runtime.calls.tunnel_frames import metadata_message
from tests.conformance.call_ways import Calling, Context, Happening, Place, soon


class Peer:
    """A tunnel to a server, in which anything can be said."""

    def __init__(self, called: Calling, channel: grpc.aio.Channel) -> None:
        self._called = called
        self.tunnel: Any = TunnelServiceStub(channel).Open()
        self._heard: list[pb.ServerFrame] = []

    def begin(self, call: int, shape: str, request: bytes | None = None, token: bool = True) -> pb.CallerFrame:
        """The beginning of a call, of a method of this shape or of another path."""
        path = shape if "/" in shape else f"/test.Calls/{shape}"
        begin = pb.CallBegin(method=path, metadata=metadata_message(self._called.metadata() if token else ()))
        if request is not None:
            begin.request = BytesValue(value=request).SerializeToString()
        return pb.CallerFrame(call=call, begin=begin)

    async def say(self, *frames: pb.CallerFrame) -> None:
        await self.tunnel.write(pb.OpenRequest(frames=frames))

    async def hear(self) -> pb.ServerFrame:
        """The next frame. Raise AioRpcError, or EOFError if the tunnel ended in order."""
        async with asyncio.timeout(20):
            while not self._heard:
                answer = await self.tunnel.read()
                if answer is grpc.aio.EOF:
                    raise EOFError
                self._heard += answer.frames
        return self._heard.pop(0)

    async def rest(self) -> list[pb.ServerFrame]:
        """What is said until the tunnel ends in order."""
        frames = []
        with suppress(EOFError):
            while True:
                frames.append(await self.hear())
        return frames

    async def end_of(self, call: int) -> pb.CallEnd:
        """How a call ends."""
        while True:
            frame = await self.hear()
            if frame.call == call and frame.HasField("end"):
                return frame.end


class Meeting:
    """A server, and peers of it."""

    def __init__(self, called: Calling, place: Place) -> None:
        self.called = called
        self.server = called.server
        self.handlers = called.handlers
        self._place = place
        self._channels: list[grpc.aio.Channel] = []

    def peer(self) -> Peer:
        channel = connect(self._place.address)
        self._channels.append(channel)
        return Peer(self.called, channel)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


@asynccontextmanager
async def meeting(folder: Path) -> AsyncIterator[Meeting]:
    place = Place(folder)
    async with connect(place.address) as channel:
        made = Meeting(Calling(place, place.make(), channel), place)
        await made.server.start()
        try:
            yield made
        finally:
            await made.close()
            await made.server.stop()


@pytest.fixture
async def met(tmp_path: Path) -> AsyncIterator[Meeting]:
    async with meeting(tmp_path) as made:
        yield made


# What a server that leaves does with calls that begin


async def test_call_that_begins_while_the_server_stops_does_not_break_those_under_way(met: Meeting) -> None:
    happening = Happening()

    async def act(asked: bytes, context: Context) -> bytes:
        await happening.wait()
        return b"done"

    met.handlers.unary_unary = act
    peer = met.peer()
    await peer.say(peer.begin(1, "unary_unary", b""))
    await soon(happening.began)
    stopping = asyncio.ensure_future(met.server.stop())
    assert (await peer.hear()).leaving
    await peer.say(peer.begin(2, "unary_unary", b""))
    assert (await peer.hear()).call == 2
    happening.may_end.set()
    assert BytesValue.FromString((await peer.hear()).message).value == b"done"
    assert (await peer.end_of(1)).code == StatusCode.OK.value[0]
    await stopping


async def test_call_that_begins_as_an_idle_server_leaves_does_not_run(met: Meeting) -> None:
    ran = asyncio.Event()

    async def act(asked: bytes, context: Context) -> bytes:
        ran.set()
        return b""

    met.handlers.unary_unary = act
    peer = met.peer()
    await peer.tunnel.initial_metadata()
    await met.server.drain()
    await peer.say(peer.begin(1, "unary_unary", b""))
    # It ended in order: whoever began the call begins it elsewhere.
    assert all(not frame.HasField("end") for frame in await peer.rest())
    assert not ran.is_set()
