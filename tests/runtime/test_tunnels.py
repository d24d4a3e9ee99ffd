"""What a tunnel takes from whoever opens one, and how calls in it fare when a server leaves or falls silent."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
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
from services.runtime.calls import tunnel_client
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours
from services.runtime.calls.tunnel_frames import metadata_message
from services.runtime.calls.tunnel_server import INSTANCE
from tests.conformance.call_ways import KIB, WAYS, Calling, Context, Happening, Place, calling, say, soon
from tests.e2e.polling import eventually


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


async def stands_still(count: Callable[[], int]) -> int:
    """What it counts to, once it counts no more."""
    last, same = -1, 0
    while same < 10:
        same = same + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.02)
    return last


@pytest.fixture
async def met(tmp_path: Path) -> AsyncIterator[Meeting]:
    async with meeting(tmp_path) as made:
        yield made


# What a server that leaves does with calls that begin


async def test_call_that_begins_once_the_server_leaves_does_not_run_and_breaks_none_under_way(met: Meeting) -> None:
    happening, ran = Happening(), []

    async def act(asked: bytes, context: Context) -> bytes:
        ran.append(asked)
        await happening.wait()
        return asked

    met.handlers.unary_unary = act
    peer = met.peer()
    await peer.say(peer.begin(1, "unary_unary", b"first"))
    await soon(happening.began)
    await met.server.drain()
    assert (await peer.hear()).leaving
    await peer.say(peer.begin(2, "unary_unary", b"second"))
    assert await peer.hear() == pb.ServerFrame(call=2, unbegun=True)
    happening.may_end.set()
    assert BytesValue.FromString((await peer.hear()).message).value == b"first"
    assert [frame.end.code for frame in await peer.rest()] == [StatusCode.OK.value[0]]
    assert ran == [b"first"]


async def test_server_that_leaves_opens_no_tunnel_and_says_that_another_may(met: Meeting) -> None:
    await met.server.drain()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await met.peer().hear()
    assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_tunnel_whose_caller_says_no_more_lets_its_calls_finish(met: Meeting) -> None:
    async def act(asked: bytes, context: Context) -> None:
        # Longer than it takes to hear that nothing follows.
        await asyncio.sleep(0.1)
        await say(context, asked)

    met.handlers.unary_stream = act
    peer = met.peer()
    await peer.say(peer.begin(1, "unary_stream", b"a"))
    await peer.tunnel.done_writing()
    answered = [BytesValue.FromString(frame.message).value for frame in await peer.rest() if frame.HasField("message")]
    assert answered == [b"a"]


# What nobody says by mistake


@pytest.mark.parametrize(
    "method",
    [
        "/codelab.tunnel.v1.TunnelService/Open",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/",
        "//\n",
        "/test.Calls/unary_unary/",
        "/TEST.Calls/unary_unary",
    ],
)
async def test_what_is_no_method_of_the_services_is_not_there_in_a_tunnel(met: Meeting, method: str) -> None:
    peer = met.peer()
    await peer.say(peer.begin(1, method, b""), peer.begin(2, "unary_unary", b""))
    assert (await peer.end_of(1)).code == StatusCode.UNIMPLEMENTED.value[0]
    assert (await peer.end_of(2)).code == StatusCode.OK.value[0]


@pytest.mark.parametrize("number", [0, 1])
async def test_number_that_is_none_or_taken_ends_the_tunnel_and_its_calls(met: Meeting, number: int) -> None:
    happening = Happening()

    async def act(asked: bytes, context: Context) -> bytes:
        await happening.wait()
        return b""

    met.handlers.unary_unary = act
    peer = met.peer()
    await peer.say(peer.begin(1, "unary_unary", b""))
    await soon(happening.began)
    await peer.say(peer.begin(number, "unary_unary", b""))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await peer.rest()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
    await soon(happening.cancelled)


async def test_what_is_said_of_no_call_is_passed_over(met: Meeting) -> None:
    peer = met.peer()
    of_none = [pb.CallerFrame(call=call, grant=2**32 - 1) for call in (0, 1, 2**32 - 1)]
    of_none += [pb.CallerFrame(call=1, message=b"x"), pb.CallerFrame(call=1, finish=True), pb.CallerFrame(cancel=True)]
    await peer.say(*of_none, peer.begin(1, "unary_unary", b""))
    assert (await peer.end_of(1)).code == StatusCode.OK.value[0]
    await peer.say(*of_none, pb.CallerFrame(ping=True))
    assert (await peer.hear()).ping


@pytest.mark.parametrize("metadata", [[("x", "x" * 40 * KIB)], [("", "")] * 2000])
async def test_metadata_beyond_the_limit_is_refused(met: Meeting, metadata: list[tuple[str, str | bytes]]) -> None:
    peer = met.peer()
    begin = peer.begin(1, "unary_unary", b"")
    begin.begin.metadata.extend(metadata_message(tuple(metadata)))
    await peer.say(begin)
    assert (await peer.end_of(1)).code == StatusCode.RESOURCE_EXHAUSTED.value[0]


async def test_name_in_upper_case_or_in_lines_is_not_the_one_that_admits(met: Meeting) -> None:
    peer = met.peer()
    for call, name in enumerate(("Authorization", "authorization\n", "authorization-bin"), 1):
        begin = peer.begin(call, "unary_unary", b"", token=False)
        value: str | bytes = dict(met.called.metadata())["authorization"]
        begin.begin.metadata.extend(metadata_message(((name, value),)))
        await peer.say(begin)
        assert (await peer.end_of(call)).code == StatusCode.UNAUTHENTICATED.value[0]


async def test_call_ends_at_its_deadline_though_its_caller_says_nothing(met: Meeting) -> None:
    happening = Happening()

    async def act(asked: bytes, context: Context) -> bytes:
        await happening.wait()
        return b""

    met.handlers.unary_unary = act
    peer = met.peer()
    begin = peer.begin(1, "unary_unary", b"")
    begin.begin.timeout = 200
    await peer.say(begin)
    assert (await peer.end_of(1)).code == StatusCode.DEADLINE_EXCEEDED.value[0]
    assert happening.cancelled.is_set()


async def test_calls_that_never_ask_do_not_pile_up_and_keep_out_nobody_who_asks(met: Meeting) -> None:
    peer = met.peer()
    await peer.say(*(peer.begin(call, "unary_unary", token=False) for call in range(1, 1002)))
    assert (await peer.end_of(1001)).code == StatusCode.RESOURCE_EXHAUSTED.value[0]
    await peer.say(peer.begin(1002, "unary_unary", b""), pb.CallerFrame(call=1, cancel=True))
    assert (await peer.end_of(1002)).code == StatusCode.OK.value[0]
    await peer.say(peer.begin(1003, "unary_unary"), pb.CallerFrame(call=1003, message=b""))
    assert (await peer.end_of(1003)).code == StatusCode.OK.value[0]


# How much waits for whom


class Answering:
    """A handler that answers without end, and how much it wrote."""

    def __init__(self) -> None:
        self.written = 0

    async def answer(self, asked: bytes, context: Context) -> None:
        while True:
            await say(context, bytes(16 * KIB))
            self.written += 16 * KIB


async def test_window_is_never_larger_whatever_is_granted(met: Meeting) -> None:
    answering = Answering()
    met.handlers.unary_stream = answering.answer
    peer = met.peer()
    await peer.say(peer.begin(1, "unary_stream", b""))
    for _ in range(3):
        await peer.say(*[pb.CallerFrame(call=1, grant=2**32 - 1)] * 10)
    # Each time all that was said has been taken, and written as much as there is room for.
    assert await stands_still(lambda: answering.written) <= 4 * 80 * KIB


async def test_callers_that_do_not_read_their_tunnel_do_not_fill_the_server(met: Meeting) -> None:
    answering = Answering()
    met.handlers.unary_stream = answering.answer
    peer = met.peer()
    await peer.tunnel.initial_metadata()
    await peer.say(*(peer.begin(call, "unary_stream", b"") for call in range(1, 2001)))
    # What gRPC and the kernel take besides differs, up to twelve MiB were seen; the windows have room for 125 MiB.
    assert await stands_still(lambda: answering.written) <= 32 * 1024 * KIB


async def test_requests_beyond_the_window_end_the_call_and_no_other(met: Meeting) -> None:
    happening = Happening()

    async def act(asked: AsyncIterator[bytes], context: Context) -> bytes:
        await happening.wait()
        return b""

    met.handlers.stream_unary = act
    peer = met.peer()
    await peer.say(peer.begin(1, "stream_unary"), peer.begin(2, "unary_unary"))
    await soon(happening.began)
    message = pb.CallerFrame(call=1, message=BytesValue(value=bytes(60 * KIB)).SerializeToString())
    await peer.say(message, message)
    assert not happening.cancelled.is_set()
    await peer.say(message)
    assert (await peer.end_of(1)).code == StatusCode.CANCELLED.value[0]
    await peer.say(pb.CallerFrame(call=2, message=b""))
    assert (await peer.end_of(2)).code == StatusCode.OK.value[0]


# Callers and replicas


class Replica(ABC):
    """One that has tunnels and nothing else."""

    def __init__(self) -> None:
        self.address = ""
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self.open, pb.OpenRequest.FromString, pb.OpenResponse.SerializeToString
        )
        name = pb.DESCRIPTOR.services_by_name["TunnelService"].full_name
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Open": handler}),))

    @abstractmethod
    async def open(self, requests: AsyncIterator[pb.OpenRequest], context: Context) -> None:
        """Carry a tunnel."""

    async def start(self) -> None:
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)


class Mute(Replica):
    """One that is frozen: it opens tunnels, if at all, and says nothing else."""

    def __init__(self, opens: bool) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self._opens = opens

    async def open(self, requests: AsyncIterator[pb.OpenRequest], context: Context) -> None:
        if self._opens:
            await context.send_initial_metadata(((INSTANCE, "mute"),))
        self.asked.set()
        async for _ in requests:
            pass


class Leaver(Replica):
    """One that is about to stop, and still opens tunnels: it leaves each at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def open(self, requests: AsyncIterator[pb.OpenRequest], context: Context) -> None:
        self.asked += 1
        await context.send_initial_metadata(((INSTANCE, "leaver"),))
        await context.write(pb.OpenResponse(frames=[pb.ServerFrame(leaving=True)]))
        async for request in requests:
            begun = (frame.call for frame in request.frames if frame.HasField("begin"))
            await context.write(pb.OpenResponse(frames=[pb.ServerFrame(call=each, unbegun=True) for each in begun]))


@asynccontextmanager
async def beside(replica: Replica, folder: Path) -> AsyncIterator[Calling]:
    """A server that is not started, and a channel to it and to a replica."""
    place = Place(folder)
    await replica.start()
    async with reach(f"{replica.address}+{place.address}", Neighbours()) as channel:
        called = Calling(place, place.make(), channel)
        try:
            yield called
        finally:
            await channel.close()
            await called.server.stop()
            await replica.stop()


async def answers(call: Any) -> list[bytes]:
    return [answer async for answer in call]


async def test_replica_that_opens_no_tunnel_does_not_hold_up_the_calls_to_another(tmp_path: Path) -> None:
    mute = Mute(opens=False)
    async with beside(mute, tmp_path) as called:
        calling = asyncio.ensure_future(answers(called.call("unary_stream", b"a", timeout=60)))
        await soon(mute.asked)
        await called.server.start()
        assert await calling == [b"a0", b"a1", b"a2"]


async def test_replica_that_falls_silent_gets_no_more_calls_while_there_is_another(tmp_path: Path) -> None:
    mute, happening = Mute(opens=True), Happening()

    async def act(asked: bytes, context: Context) -> None:
        if asked == b"wait":
            await happening.wait()

    async with beside(mute, tmp_path) as called:
        called.handlers.unary_stream = act
        await called.server.start()
        waiting: list[Any] = []
        while not (mute.asked.is_set() and happening.began.is_set()):
            # From then on the mute one has the fewest calls.
            waiting.append(called.call("unary_stream", b"wait"))
            await asyncio.sleep(0.05)
        waiting += [called.call("unary_stream", b"wait") for _ in range(10)]

        async def is_answered() -> bool:
            with suppress(grpc.aio.AioRpcError):
                return await answers(called.call("unary_stream", timeout=1)) == []
            return False

        await eventually(is_answered)
        for _ in range(3):
            assert await is_answered()
        for call in waiting:
            call.cancel()


async def test_server_that_leaves_is_not_asked_for_tunnels_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the next look for replicas comes before all stands still.
    monkeypatch.setattr(tunnel_client, "BESIDE_SECONDS", 0.05)
    leaver = Leaver()
    async with beside(leaver, tmp_path) as called:
        # Nobody else is there.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answers(called.call("unary_stream"))
        assert caught.value.code() is StatusCode.UNAVAILABLE
        await called.server.start()

        async def is_answered() -> bool:
            with suppress(grpc.aio.AioRpcError):
                return len(await answers(called.call("unary_stream"))) == 3
            return False

        await eventually(is_answered)
        before = leaver.asked
        assert await stands_still(lambda: min(leaver.asked, before + 50)) < before + 50


async def test_many_calls_with_large_metadata_begin_at_once(tmp_path: Path) -> None:
    async with calling(WAYS["tunnel"], tmp_path) as called:
        await called.server.start()
        large = (("x", "x" * 30 * KIB),)
        # Together more than a message may be.
        calls = [called.call("unary_stream", b"a", metadata=large) for _ in range(600)]
        assert await asyncio.gather(*map(answers, calls)) == [[b"a0", b"a1", b"a2"]] * 600
        await called.server.stop()


async def test_tunnel_without_calls_is_closed_and_the_next_call_opens_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_client, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(tunnel_client, "BESIDE_SECONDS", 0.1)
    async with calling(WAYS["tunnel"], tmp_path) as called:
        await called.server.start()
        for _ in range(2):
            assert len(await answers(called.call("unary_stream"))) == 3
            assert "tunnel" in names_of_tasks()
            await eventually(lambda: "tunnel" not in names_of_tasks())
        await called.server.stop()


def names_of_tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}
