"""What our own ways of calls promise where gRPC is silent: nothing is left, nobody hears of others' errors."""

import asyncio
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.tunnel.v1 import tunnel_service_pb2 as pb
from codelab.tunnel.v1.tunnel_service_pb2_grpc import TunnelServiceStub
from google.protobuf.wrappers_pb2 import BytesValue

from services.runtime.calls.served import ServedCall
from services.runtime.calls.tunnel_frames import metadata_message
from services.runtime.errors import Unavailable
from tests.conformance.call_ways import (
    KIB,
    WAYS,
    Calling,
    Context,
    Flood,
    Happening,
    calling,
    happening_at,
    say,
    soon,
    stands_still,
)
from tests.e2e.polling import eventually


async def test_neighbours_need_no_connection(tmp_path: Path) -> None:
    async with calling(WAYS["neighbours"], tmp_path) as made:
        await made.server.start()
        assert await made.call("unary_unary", b"a") == b"a"
        assert made.channel.get_state() is grpc.ChannelConnectivity.IDLE
        await made.server.stop()


@pytest.fixture(params=[name for name in WAYS if name != "network"])
async def called_ours(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Calling]:
    async with calling(WAYS[request.param], tmp_path) as made:
        await made.server.start()
        yield made
        await made.server.stop()


async def test_empty_messages_count_too(called_ours: Calling) -> None:
    written = 0

    async def answer(request: bytes, context: Context) -> None:
        nonlocal written
        for _ in range(100_000):
            await say(context, b"")
            written += 1

    called_ours.handlers.unary_stream = answer
    call = called_ours.call("unary_stream")
    assert await call.read() == b""
    assert await stands_still(lambda: written) < 100_000
    call.cancel()


async def test_answers_that_need_not_wait_are_given_until_there_is_no_room_and_in_order(called_ours: Calling) -> None:
    given: list[bool] = []
    more = asyncio.Event()

    async def answer(request: bytes, context: Context) -> None:
        assert isinstance(context, ServedCall)
        assert not context.write_now(serialized(bytes(17 * 1024 * KIB)))
        given.extend(context.write_now(serialized(str(number).encode().rjust(16 * KIB))) for number in range(8))
        await say(context, str(given.count(True)).encode())
        more.set()
        given.append(context.write_now(serialized(b"last")))

    called_ours.handlers.unary_stream = answer

    def serialized(answer: bytes) -> bytes:
        return BytesValue(value=answer).SerializeToString()

    call = called_ours.call("unary_stream")
    await eventually(lambda: len(given) == 8)
    assert given == [True] * given.count(True) + [False] * given.count(False)
    assert 4 <= given.count(True) < 8
    assert not more.is_set()
    read = [int(answer) async for answer in call if answer != b"last"]
    assert read == list(range(len(read)))
    assert given[-1]


async def test_second_task_that_reads_or_writes_is_told_that_it_must_not(called_ours: Calling) -> None:
    happening = Happening()

    async def act(requests: AsyncIterator[bytes], context: Context) -> None:
        await happening.wait()

    called_ours.handlers.stream_stream = act
    call = called_ours.call("stream_stream")
    reading, flood = asyncio.ensure_future(call.read()), Flood(call)
    await soon(happening.began)
    await stands_still(lambda: flood.written)
    for other in (call.read(), call.write(b"")):
        with pytest.raises(grpc.aio.UsageError):
            await other
    call.cancel()
    await asyncio.wait([reading, flood.task])
    assert reading.cancelled()


async def test_done_callback_that_fails_harms_nobody(called_ours: Calling) -> None:
    happening = happening_at(called_ours)
    failures: list[dict[str, Any]] = []
    told: list[str] = []

    def fail(_: Any) -> None:
        raise ValueError("from a callback")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, failure: failures.append(failure))
    try:
        call = called_ours.call("unary_stream")
        call.add_done_callback(fail)
        call.add_done_callback(lambda _: told.append("caller"))
        await soon(happening.began)
        call.cancel()
        await soon(happening.cancelled)
    finally:
        loop.set_exception_handler(None)
    assert told == ["caller"]
    assert [str(failure["exception"]) for failure in failures] == ["from a callback"]


async def test_done_callback_sees_what_its_task_saw(called_ours: Calling) -> None:
    seen: list[str] = []

    async def act(requests: AsyncIterator[bytes], context: Context) -> bytes:
        _who.set("handler")
        context.add_done_callback(lambda _: seen.append(_who.get()))
        return b""

    called_ours.handlers.stream_unary = act
    _who.set("caller")
    call = called_ours.call("stream_unary")
    call.add_done_callback(lambda _: seen.append(_who.get()))
    await call
    await eventually(lambda: sorted(seen) == ["caller", "handler"])


_who: ContextVar[str] = ContextVar("who")


async def test_handler_that_ignores_its_cancellation_can_say_nothing_more(called_ours: Calling) -> None:
    tried: list[BaseException | bytes | None] = []
    began, over = asyncio.Event(), asyncio.Event()

    async def act(requests: AsyncIterator[bytes], context: Context) -> None:
        context.add_done_callback(lambda _: over.set())
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            tried.append(error)
        tried.append(await anext(requests, None))
        try:
            await say(context, b"late")
        except grpc.aio.UsageError as error:
            tried.append(error)

    called_ours.handlers.stream_stream = act
    call = called_ours.call("stream_stream")
    await soon(began)
    call.cancel()
    await soon(over)
    assert [type(each) for each in tried] == [asyncio.CancelledError, type(None), grpc.aio.UsageError]


@pytest.mark.parametrize("timeout", [0, -1])
async def test_call_whose_deadline_has_passed_does_not_begin(called_ours: Calling, timeout: float) -> None:
    began: list[bytes] = []

    async def answer(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        began.append(request)
        yield b""

    called_ours.handlers.unary_stream = answer
    late, other = called_ours.call("unary_stream", b"late", timeout=timeout), called_ours.call("unary_stream", b"other")
    assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [each async for each in other] == [b""]
    assert began == [b"other"]


async def _to_the_end(call: Any) -> None:
    assert len([answer async for answer in call]) == 3


async def _broken_off(call: Any) -> None:
    async for _ in call:
        break
    call.cancel()


async def _unread(call: Any) -> None:
    call.cancel()


async def _too_late(call: Any) -> None:
    passed = asyncio.Event()
    call.add_done_callback(lambda _: passed.set())
    await soon(passed)
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


async def _cancelled_in_reading(call: Any) -> None:
    async def read() -> None:
        await asyncio.sleep(0)
        while await call.read() is not grpc.aio.EOF:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    call.cancel()


@pytest.mark.parametrize("end", [_to_the_end, _broken_off, _unread, _too_late, _cancelled_in_reading])
async def test_nothing_is_left_of_a_call_that_has_ended(
    called_ours: Calling, end: Callable[[Any], Awaitable[None]]
) -> None:
    ends: list[Any] = []

    async def answer(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        ends.append(weakref.ref(context))
        for _ in range(3):
            yield b""

    await _to_the_end(called_ours.call("unary_stream"))
    called_ours.handlers.unary_stream = answer
    before = asyncio.all_tasks()
    call = called_ours.call("unary_stream", timeout=0.05 if end is _too_late else 3600)
    ends.append(weakref.ref(call))
    await end(call)
    del call
    await eventually(lambda: asyncio.all_tasks() <= before and not any(each() for each in ends), within=5)


async def test_call_that_has_ended_is_not_made_again(tmp_path: Path) -> None:
    attempts: Counter[bytes] = Counter()

    async def fail(request: bytes, context: Context) -> bytes:
        attempts[request] += 1
        raise Unavailable("not yet")

    async with calling(WAYS["neighbours"], tmp_path) as made:
        await made.server.start()
        made.handlers.unary_unary = fail
        left, late, patient = (
            made.call("unary_unary", name, method="again", timeout=timeout)
            for name, timeout in ((b"left", 30), (b"late", 0.05), (b"patient", 30))
        )
        await eventually(lambda: attempts[b"left"] and attempts[b"patient"])
        assert left.cancel()
        assert [(await each.code()).name for each in (left, late)] == ["CANCELLED", "DEADLINE_EXCEEDED"]
        # One each, if this machine is not too busy; the patient one has its others still before it.
        before = dict(attempts)
        assert (await patient.code()).name == "UNAVAILABLE"
        assert attempts == {**before, b"patient": 4}
        await made.server.stop()


async def test_call_that_comes_as_a_server_leaves_is_served_or_never_begun(tmp_path: Path) -> None:
    began: list[bytes] = []

    async def answer(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        began.append(request)
        await asyncio.sleep(0.05 * (len(began) - 1))
        yield request

    async with calling(WAYS["network"], tmp_path) as made:
        made.handlers.unary_stream = answer
        await made.server.start()
        tunnel: Any = TunnelServiceStub(made.channel).Open()

        async def begin(number: int) -> None:
            begin = pb.CallBegin(method="/test.Calls/unary_stream", request=b"")
            begin.metadata.extend(metadata_message(made.metadata()))
            await tunnel.write(pb.OpenRequest(frames=[pb.CallerFrame(call=number, begin=begin)]))

        await begin(1)
        told: list[tuple[int, str | None]] = []
        left = False
        async for response in tunnel:
            told += [(frame.call, frame.WhichOneof("frame")) for frame in response.frames if frame.call]
            if not left and (1, "end") in told:
                left = True
                # It has just said something: what it says of its leaving waits a moment, in which this arrives.
                await asyncio.gather(made.server.drain(), begin(2))
        served = [(number + 1, what) for number in range(len(began)) for what in ("message", "end")]
        assert told in (served, [*served, (len(began) + 1, "unbegun")])
        await made.server.stop()
