"""How a call ends that is not just answered, and how much of it may be on its way, whatever way it takes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from services.runtime.errors import NotFound
from tests.conformance.call_ways import (
    KIB,
    MIB,
    WAYS,
    Calling,
    Context,
    Flood,
    Happening,
    calling,
    rest,
    say,
    soon,
    stands_still,
)
from tests.e2e.polling import eventually

ENDED_IN_WRITING = StatusCode.INTERNAL
"""What gRPC itself makes of a call that ends while somebody writes to it, whatever it ended with."""


# Cancelled by the caller


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_cancel_before_any_answer_reaches_both_ends(called: Calling, happening: Happening, shape: str) -> None:
    call = called.call(shape)
    waiting = asyncio.ensure_future(_heard(call, shape))
    await soon(happening.began)
    assert call.cancel()
    await soon(happening.cancelled)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await _heard(call, shape)
    assert call.done()
    assert call.cancelled()
    assert not call.cancel()
    assert await call.code() is StatusCode.CANCELLED
    assert await call.details()
    assert len(await call.trailing_metadata()) == len(await call.initial_metadata()) == 0


async def _heard(call: Any, shape: str) -> Any:
    return await call if shape.endswith("unary") else await call.read()


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_call_that_is_cancelled_at_once_leaves_nothing_running(
    called: Calling, happening: Happening, shape: str
) -> None:
    call = called.call(shape)
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await _heard(call, shape)
    if happening.began.is_set():
        await soon(happening.cancelled)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_cancelled_task_that_waits_for_an_answer_ends_the_call(
    called: Calling, happening: Happening, shape: str
) -> None:
    call = called.call(shape)
    waiting = asyncio.ensure_future(_heard(call, shape))
    await soon(happening.began)
    waiting.cancel()
    await soon(happening.cancelled)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()


async def test_task_that_is_cancelled_while_it_waits_for_the_status_leaves_the_call_alone(
    called: Calling, happening: Happening
) -> None:
    call = called.call("unary_unary")
    asking = [asyncio.ensure_future(ask()) for ask in (call.code, call.initial_metadata)]
    await soon(happening.began)
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)
    happening.may_end.set()
    assert await call == b"done"


async def test_cancel_in_mid_stream_takes_back_what_is_unread(called: Calling) -> None:
    happening = Happening()

    async def answer(request: bytes, context: Context) -> None:
        for number in range(10):
            await say(context, b"%d" % number)
        await happening.wait()

    called.handlers.unary_stream = answer
    call = called.call("unary_stream")
    assert await call.read() == b"0"
    await soon(happening.began)
    assert call.cancel()
    await soon(happening.cancelled)
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError):
            await call.read()


@pytest.mark.parametrize("fails", [False, True])
async def test_stream_that_is_cancelled_before_all_is_read_does_not_look_complete(called: Calling, fails: bool) -> None:
    finished = asyncio.Event()

    async def answer(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        context.add_done_callback(lambda _: finished.set())
        yield b"1"
        yield b"2"
        if fails:
            raise NotFound("no third")

    called.handlers.unary_stream = answer
    call = called.call("unary_stream")
    await soon(finished)
    assert await call.read() == b"1"
    assert not call.done()
    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is StatusCode.CANCELLED


async def test_cancel_after_the_answer_changes_nothing(called: Calling) -> None:
    answered = asyncio.Event()
    call = called.call("unary_unary", b"a")
    call.add_done_callback(lambda _: answered.set())
    await soon(answered)
    assert not call.cancel()
    assert await call == b"a"
    assert await call.code() is StatusCode.OK


@pytest.mark.parametrize("by", ["call", "task"])
async def test_cancel_reaches_both_ends_while_the_caller_writes(called: Calling, happening: Happening, by: str) -> None:
    call = called.call("stream_stream")
    flood = Flood(call)
    await soon(happening.began)
    await stands_still(lambda: flood.written)
    if by == "call":
        call.cancel()
    else:
        flood.task.cancel()
    await soon(happening.cancelled)
    with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError, grpc.aio.AioRpcError)):
        await flood.task
    assert await call.code() in (StatusCode.CANCELLED, ENDED_IN_WRITING)


async def test_cancel_reaches_a_handler_that_writes(called: Calling) -> None:
    ended = asyncio.Event()
    written = 0

    async def answer(request: bytes, context: Context) -> None:
        nonlocal written
        try:
            while True:
                await say(context, bytes(64 * KIB))
                written += 1
        finally:
            ended.set()

    called.handlers.unary_stream = answer
    call = called.call("unary_stream")
    await stands_still(lambda: written)
    call.cancel()
    await soon(ended)


async def test_handler_that_is_cancelled_cleans_up_undisturbed(called: Calling) -> None:
    began, clean_up, clean = asyncio.Event(), asyncio.Event(), asyncio.Event()
    told: list[bool] = []

    async def act(request: bytes, context: Context) -> bytes:
        context.add_done_callback(lambda _: told.append(clean.is_set()))
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await clean_up.wait()
            clean.set()
        return b""

    called.handlers.unary_unary = act
    call = called.call("unary_unary")
    await soon(began)
    call.cancel()
    call.cancel()
    stopping = asyncio.ensure_future(called.server.stop())
    await asyncio.sleep(0)
    clean_up.set()
    await stopping
    await soon(clean)
    await eventually(lambda: told == [True])


# Ended by the handler


@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.ABORTED])
async def test_handler_that_ends_frees_who_writes(called: Calling, happening: Happening, code: StatusCode) -> None:
    async def answer(requests: AsyncIterator[bytes], context: Context) -> None:
        await happening.wait()
        context.set_code(code)

    called.handlers.stream_stream = answer
    call = called.call("stream_stream")
    flood = Flood(call)
    await soon(happening.began)
    await stands_still(lambda: flood.written)
    happening.may_end.set()
    with pytest.raises((asyncio.InvalidStateError, grpc.aio.AioRpcError)):
        await flood.task
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(b"")
    await call.done_writing()
    assert await call.code() in (code, ENDED_IN_WRITING)


async def test_nothing_is_written_after_the_end_of_writing(called: Calling) -> None:
    call = called.call("stream_unary")
    await call.write(b"a")
    await call.done_writing()
    await call.done_writing()
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(b"b")
    assert await call == b"a"
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(b"c")
    await call.done_writing()


async def test_handler_that_reads_on_finds_the_end_again(called: Calling) -> None:
    async def answer(requests: AsyncIterator[bytes], context: Context) -> bytes:
        first = [each async for each in requests]
        return b"%d %d" % (len(first), len([each async for each in requests]))

    called.handlers.stream_unary = answer
    call = called.call("stream_unary")
    await call.write(b"a")
    await call.done_writing()
    assert await call == b"1 0"


# How much may be on its way


async def test_handler_waits_for_a_caller_that_does_not_read(called: Calling) -> None:
    chunks, written = 8 * MIB // (64 * KIB), 0

    async def answer(request: bytes, context: Context) -> None:
        nonlocal written
        for number in range(chunks):
            await say(context, b"%08d" % number + bytes(64 * KIB))
            written += 64 * KIB

    called.handlers.unary_stream = answer
    call = called.call("unary_stream")
    assert int((await call.read())[:8]) == 0
    assert await stands_still(lambda: written) < 8 * MIB
    assert [int(each[:8]) async for each in rest(call)] == list(range(1, chunks))
    assert written == 8 * MIB


async def test_caller_waits_for_a_handler_that_does_not_read(called: Calling) -> None:
    may_read = asyncio.Event()

    async def answer(requests: AsyncIterator[bytes], context: Context) -> bytes:
        await may_read.wait()
        return b"%d" % sum([len(each) async for each in requests])

    called.handlers.stream_unary = answer
    call = called.call("stream_unary")
    flood = Flood(call)
    assert await stands_still(lambda: flood.written) < 8 * MIB
    may_read.set()
    await flood.task
    assert int(await call) == 8 * MIB


# The server's beginning and end


@pytest.mark.parametrize("way", WAYS)
async def test_server_that_is_not_started_is_unavailable(way: str, tmp_path: Path) -> None:
    async with calling(WAYS[way], tmp_path) as made:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.call("unary_unary")
        assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_server_that_stops_lets_a_call_finish_and_takes_no_other(called: Calling, happening: Happening) -> None:
    under_way = called.call("unary_unary")
    await soon(happening.began)
    stopping = asyncio.ensure_future(called.server.stop())
    await asyncio.sleep(0)
    happening.may_end.set()
    assert await under_way == b"done"
    await stopping
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await called.call("unary_unary")
    assert caught.value.code() is StatusCode.UNAVAILABLE


@pytest.mark.parametrize("shape", ["unary_unary", "stream_stream"])
async def test_server_that_stops_cuts_off_what_does_not_end(called: Calling, happening: Happening, shape: str) -> None:
    call = called.call(shape)
    await soon(happening.began)
    stopping = asyncio.ensure_future(called.server.stop())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _heard(call, shape)
    assert caught.value.code() in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
    await soon(happening.cancelled)
    await stopping


async def test_channel_that_is_closed_ends_its_calls(called: Calling, happening: Happening) -> None:
    call = called.call("unary_stream")
    reading = asyncio.ensure_future(call.read())
    await soon(happening.began)
    await called.channel.close()
    await soon(happening.cancelled)
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(grpc.aio.UsageError):
        await called.call("unary_unary")
