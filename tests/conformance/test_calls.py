"""What a call is answered, whatever way it takes to its server: gRPC's own network is the measure of the others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from codelab_client import ApiError
from services.runtime.auth import current_caller
from services.runtime.errors import NotFound, Unavailable
from services.runtime.telemetry import current_traceparent
from tests.conformance.call_ways import ANN, BOB, MIB, Calling, Context, Happening, rest, say, soon

SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_asked_for: ContextVar[str] = ContextVar("asked_for", default="nobody")


def does(called: Calling, shape: str, act: Callable[[Context], Awaitable[None]]) -> None:
    """Let the method of this shape do that, and answer nothing but what it must."""

    async def once(asked: Any, context: Context) -> bytes:
        await act(context)
        return b""

    async def many(asked: Any, context: Context) -> None:
        await act(context)

    setattr(called.handlers, shape, once if shape.endswith("unary") else many)


async def ended(call: Any, shape: str) -> Any:
    """What the call answers, as a list if it streams."""
    if shape.startswith("stream"):
        await call.done_writing()
    return await call if shape.endswith("unary") else [answer async for answer in call]


async def refusal(call: Any, shape: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ended(call, shape)
    return caught.value


# Answers


async def test_every_shape_is_answered(called: Calling) -> None:
    assert await called.call("unary_unary", b"a") == b"a"
    assert [answer async for answer in called.call("unary_stream", b"a")] == [b"a0", b"a1", b"a2"]
    joining, echoing = called.call("stream_unary"), called.call("stream_stream")
    for each in (b"x", b"", b"y"):
        await joining.write(each)
        await echoing.write(each)
        assert await echoing.read() == each
    await joining.done_writing()
    await echoing.done_writing()
    assert await joining == b"xy"
    assert await echoing.read() is grpc.aio.EOF


async def test_answer_of_one_can_be_awaited_at_once_and_again(called: Calling) -> None:
    call = called.call("unary_unary", b"a")
    assert await asyncio.gather(*(_answer(call) for _ in range(3))) == [b"a"] * 3
    assert await call == b"a"
    refused = called.call("unary_unary", method="other")
    for _ in range(2):
        assert (await refusal(refused, "unary_unary")).code() is StatusCode.UNIMPLEMENTED


async def _answer(call: Any) -> Any:
    return await call


async def test_stream_is_at_its_end_however_often_it_is_read(called: Calling) -> None:
    call = called.call("unary_stream", b"a")
    assert [await call.read() for _ in range(3)] == [b"a0", b"a1", b"a2"]
    for _ in range(3):
        assert await call.read() is grpc.aio.EOF
    assert call.done()
    assert await call.code() is StatusCode.OK


@pytest.mark.parametrize("shape", SHAPES)
async def test_status_can_be_awaited_before_the_end_and_told_after_it(called: Calling, shape: str) -> None:
    happening = Happening()

    async def act(context: Context) -> None:
        await happening.wait()
        context.set_trailing_metadata((("left", "3"),))

    does(called, shape, act)
    call = called.call(shape)
    asking = [asyncio.ensure_future(ask()) for ask in (call.code, call.details, call.trailing_metadata)]
    await soon(happening.began)
    assert not call.done()
    assert not any(each.done() for each in asking)
    happening.may_end.set()
    await ended(call, shape)
    for answers in (await asyncio.gather(*asking), [await call.code(), await call.details(), await _trailing(call)]):
        code, details, trailing = answers
        assert (code, details, trailing["left"]) == (StatusCode.OK, "", "3")


async def _trailing(call: Any) -> Any:
    return await call.trailing_metadata()


async def test_who_wants_to_know_of_the_end_is_told_once(called: Calling) -> None:
    told: list[Any] = []
    call = called.call("unary_stream", b"a")
    call.add_done_callback(told.append)
    assert await call.read() == b"a0"
    assert told == []
    assert [answer async for answer in rest(call)] == [b"a1", b"a2"]
    assert told == [call]
    call.add_done_callback(told.append)
    assert told == [call, call]


# Refusals


@pytest.mark.parametrize("shape", SHAPES)
async def test_refusal_arrives_with_all_that_it_says(called: Calling, shape: str) -> None:
    async def refuse(context: Context) -> None:
        await context.abort(StatusCode.OUT_OF_RANGE, "too far – really", (("by", "7"), ("why-bin", b"\x00\xff")))

    does(called, shape, refuse)
    call = called.call(shape)
    error = await refusal(call, shape)
    assert (error.code(), error.details()) == (StatusCode.OUT_OF_RANGE, "too far – really")
    for trailing in (error.trailing_metadata(), await call.trailing_metadata()):
        assert (trailing["by"], trailing["why-bin"]) == ("7", b"\x00\xff")
    assert (await call.code(), await call.details()) == (StatusCode.OUT_OF_RANGE, "too far – really")
    assert call.done()
    assert not call.cancelled()


@pytest.mark.parametrize("shape", SHAPES)
async def test_error_of_the_domain_arrives_whole(called: Calling, shape: str) -> None:
    async def fail(context: Context) -> None:
        raise NotFound("project p is not here", project_id="p")

    does(called, shape, fail)
    error = ApiError.of(await refusal(called.call(shape), shape))
    assert (error.code, error.reason, error.metadata) == (StatusCode.NOT_FOUND, "NOT_FOUND", {"project_id": "p"})


@pytest.mark.parametrize("shape", SHAPES)
async def test_unforeseen_error_is_told_without_its_text(called: Calling, shape: str) -> None:
    async def fail(context: Context) -> None:
        raise ValueError("secret")

    does(called, shape, fail)
    error = await refusal(called.call(shape), shape)
    assert (error.code(), error.details()) == (StatusCode.INTERNAL, "internal error")


@pytest.mark.parametrize("shape", SHAPES)
async def test_method_that_is_not_there_is_unimplemented(called: Calling, shape: str) -> None:
    error = await refusal(called.call(shape, method="other"), shape)
    assert error.code() is StatusCode.UNIMPLEMENTED


async def test_caller_without_a_token_is_refused(called: Calling) -> None:
    error = await refusal(called.channel.unary_unary("/test.Calls/unary_unary")(b"", timeout=30), "unary_unary")
    assert ApiError.of(error).reason == "TOKEN_MISSING"


@pytest.mark.parametrize("shape", SHAPES)
async def test_bytes_that_are_no_message_are_refused(called: Calling, shape: str) -> None:
    call: Any = getattr(called.channel, shape)(f"/test.Calls/{shape}")
    if shape.startswith("stream"):
        asking = call(timeout=30, metadata=called.metadata())
        await asking.write(b"\xff")
    else:
        asking = call(b"\xff", timeout=30, metadata=called.metadata())
    error = ApiError.of(await refusal(asking, shape))
    assert (error.code, error.reason) == (StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


async def test_what_was_answered_before_a_refusal_is_read_before_it(called: Calling) -> None:
    async def answer(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        yield b"1"
        yield b"2"
        raise NotFound("no third")

    called.handlers.unary_stream = answer
    call = called.call("unary_stream")
    assert [await call.read(), await call.read()] == [b"1", b"2"]
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is StatusCode.NOT_FOUND


async def test_code_that_is_set_counts_more_than_an_answer(called: Calling) -> None:
    async def act(context: Context) -> None:
        context.set_code(StatusCode.DATA_LOSS)
        context.set_details("half of it")

    does(called, "unary_unary", act)
    error = await refusal(called.call("unary_unary"), "unary_unary")
    assert (error.code(), error.details()) == (StatusCode.DATA_LOSS, "half of it")


@pytest.mark.parametrize(("method", "attempts"), [("again", 3), ("unary_unary", 1)])
async def test_only_what_may_be_called_again_is_while_the_server_is_unavailable(
    called: Calling, method: str, attempts: int
) -> None:
    remaining: list[float] = []

    async def answer(request: bytes, context: Context) -> bytes:
        remaining.append(context.time_remaining())
        if len(remaining) < 3:
            raise Unavailable("not yet")
        return request

    called.handlers.unary_unary = answer
    call = called.call("unary_unary", b"a", method=method)
    if attempts == 1:
        assert (await refusal(call, "unary_unary")).code() is StatusCode.UNAVAILABLE
    else:
        assert await call == b"a"
    assert len(remaining) == attempts
    # Of the network, by another clock.
    assert all(20 < each < 31 for each in remaining)


# Messages of any size


@pytest.mark.parametrize("shape", SHAPES)
async def test_request_that_is_too_large_is_refused(called: Calling, shape: str) -> None:
    large = bytes(17 * MIB)
    if shape.startswith("unary"):
        assert (await refusal(called.call(shape, large), shape)).code() is StatusCode.RESOURCE_EXHAUSTED
        return
    call = called.call(shape)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.write(large)
    # gRPC itself tells who writes of an INTERNAL error.
    assert caught.value.code() in (StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL)
    await refusal(call, shape)


@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream"])
async def test_answer_that_is_too_large_is_refused(called: Calling, shape: str) -> None:
    async def once(request: bytes, context: Context) -> bytes:
        return bytes(17 * MIB)

    async def many(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        yield bytes(17 * MIB)

    called.handlers.unary_unary, called.handlers.unary_stream = once, many
    assert (await refusal(called.call(shape), shape)).code() is StatusCode.RESOURCE_EXHAUSTED


async def test_message_just_below_the_limit_passes_both_ways(called: Calling) -> None:
    large = bytes(16 * MIB - 100)
    call = called.call("stream_stream")
    writing = asyncio.ensure_future(call.write(large))
    assert await call.read() == large
    await writing
    call.cancel()


# Metadata


@pytest.mark.parametrize("shape", SHAPES)
async def test_metadata_passes_both_ways(called: Calling, shape: str) -> None:
    async def act(context: Context) -> None:
        sent = dict(context.invocation_metadata() or ())
        await context.send_initial_metadata((("got", sent["colour"]), ("got-bin", sent["raw-bin"])))
        context.set_trailing_metadata((("bye", sent["colour"]), ("bye-bin", sent["raw-bin"])))

    does(called, shape, act)
    call = called.call(shape, metadata=(("colour", "blue"), ("raw-bin", b"\x00\xfe")))
    await ended(call, shape)
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    assert (initial["got"], initial["got-bin"]) == ("blue", b"\x00\xfe")
    assert (trailing["bye"], trailing["bye-bin"]) == ("blue", b"\x00\xfe")


@pytest.mark.parametrize("shape", ["unary_stream", "stream_stream"])
async def test_call_that_is_accepted_is_told_so_before_the_first_answer(called: Calling, shape: str) -> None:
    happening = Happening()

    async def act(context: Context) -> None:
        await context.send_initial_metadata((("accepted", "yes"),))
        await happening.wait()
        await say(context, b"1")

    does(called, shape, act)
    call = called.call(shape)
    assert (await call.initial_metadata())["accepted"] == "yes"
    await call.wait_for_connection()
    assert not call.done()
    happening.may_end.set()
    assert await ended(call, shape) == [b"1"]


async def test_first_answer_begins_what_was_not_begun(called: Calling) -> None:
    async def act(context: Context) -> None:
        await say(context, b"1")
        await Happening().wait()

    does(called, "unary_stream", act)
    call = called.call("unary_stream")
    assert len(await call.initial_metadata()) == 0
    assert await call.read() == b"1"
    call.cancel()


async def test_nothing_is_told_twice_at_the_beginning(called: Calling) -> None:
    async def act(context: Context) -> None:
        await context.send_initial_metadata((("first", "yes"),))
        await context.send_initial_metadata((("second", "yes"),))

    does(called, "unary_stream", act)
    call = called.call("unary_stream")
    assert (await refusal(call, "unary_stream")).code() is StatusCode.INTERNAL
    assert "second" not in await call.initial_metadata()


# Deadlines


@pytest.mark.parametrize("shape", SHAPES)
async def test_deadline_ends_the_call_at_both_ends(called: Calling, shape: str) -> None:
    happening = Happening()
    remaining: list[float | None] = []

    async def act(context: Context) -> None:
        remaining.append(context.time_remaining())
        await happening.wait()

    does(called, shape, act)
    call = called.call(shape, timeout=0.2)
    assert 0 < call.time_remaining() <= 0.2
    assert (await refusal(call, shape)).code() is StatusCode.DEADLINE_EXCEEDED
    # On a machine that is too busy it may have passed before the handler began.
    if happening.began.is_set():
        await soon(happening.cancelled)
        assert remaining[0] is not None
        assert 0 <= remaining[0] < 2


async def test_call_without_a_deadline_has_none(called: Calling) -> None:
    remaining: list[float | None] = []

    async def act(context: Context) -> None:
        remaining.append(context.time_remaining())

    does(called, "unary_unary", act)
    call = called.call("unary_unary", timeout=None)
    assert call.time_remaining() is None
    await call
    assert remaining == [None]


@pytest.mark.parametrize("timeout", [0, -1])
async def test_call_whose_deadline_has_passed_does_not_begin(called: Calling, timeout: float) -> None:
    happening = Happening()
    does(called, "unary_unary", lambda context: happening.wait())
    error = await refusal(called.call("unary_unary", timeout=timeout), "unary_unary")
    assert error.code() is StatusCode.DEADLINE_EXCEEDED
    happening.may_end.set()
    does(called, "stream_unary", lambda context: happening.wait())
    await ended(called.call("stream_unary"), "stream_unary")
    assert await called.call("unary_unary", timeout=30) == b""


async def test_deadline_passes_for_answers_that_nobody_read(called: Calling) -> None:
    passed = asyncio.Event()
    call = called.call("unary_stream", timeout=0.2)
    call.add_done_callback(lambda _: passed.set())
    await soon(passed)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


# Who calls


async def test_nothing_of_the_callers_task_is_seen_by_the_handler(called: Calling) -> None:
    seen: dict[str, tuple[str, str, str]] = {}

    async def outer(request: bytes, context: Context) -> bytes:
        _asked_for.set("ann")
        before = current_caller()
        answer = called.call("unary_stream", user=BOB, metadata=(("traceparent", _TRACE),))
        assert [each async for each in answer] == [b"inner"]
        assert current_caller() is before
        seen["outer"] = (current_caller().user_id, current_traceparent(), _asked_for.get())
        return b""

    async def inner(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        seen["inner"] = (current_caller().user_id, current_traceparent(), _asked_for.get())
        _asked_for.set("bob")
        yield b"inner"

    called.handlers.unary_unary, called.handlers.unary_stream = outer, inner
    await called.call("unary_unary", user=ANN)
    assert seen["inner"] == (BOB, _TRACE, "nobody")
    user, trace, asked_for = seen["outer"]
    assert (user, asked_for) == (ANN, "ann")
    assert trace != _TRACE


_TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


async def test_trace_of_the_caller_is_not_the_handlers_unless_it_is_sent(called: Calling) -> None:
    traces: list[str] = []

    async def outer(request: bytes, context: Context) -> bytes:
        traces.append(current_traceparent())
        return await _ask_inner(called)

    async def inner(requests: AsyncIterator[bytes], context: Context) -> bytes:
        traces.append(current_traceparent())
        return b""

    called.handlers.unary_unary, called.handlers.stream_unary = outer, inner
    await called.call("unary_unary")
    assert len(set(traces)) == 2


async def _ask_inner(called: Calling) -> bytes:
    call = called.call("stream_unary")
    await call.done_writing()
    return bytes(await call)


async def test_calls_of_two_users_at_once_do_not_see_each_other(called: Calling) -> None:
    all_here = asyncio.Barrier(20)

    async def who(request: bytes, context: Context) -> bytes:
        before = current_caller().user_id
        async with asyncio.timeout(20):
            await all_here.wait()
        return f"{before} {current_caller().user_id}".encode()

    called.handlers.unary_unary = who
    users = [ANN, BOB] * 10
    answers = await asyncio.gather(*(_answer(called.call("unary_unary", user=user)) for user in users))
    assert answers == [f"{user} {user}".encode() for user in users]
