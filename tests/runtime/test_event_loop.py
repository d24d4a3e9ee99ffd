"""The loop: gRPC wakes it as often as it likes."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from services.runtime.event_loop import EventLoop

STREAMS = 100
ROUNDS = 3
MOST_TURNS = 150
"""That all streams' messages may take to be echoed, all rounds together: some 25 are seen here. A loop that reads one
byte a turn needs over 1,000, as each message is four events."""


async def echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


ECHO = grpc.method_handlers_generic_handler("echo.Echo", {"Echo": grpc.stream_stream_rpc_method_handler(echo)})


async def test_many_events_take_a_busy_loop_few_turns() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((ECHO,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = [channel.stream_stream("/echo.Echo/Echo")() for _ in range(STREAMS)]

        async def echoed(call: grpc.aio.StreamStreamCall, said: bytes) -> bytes:
            await call.write(said)
            return await call.read()

        assert await asyncio.gather(*(echoed(call, b"open") for call in calls)) == [b"open"] * STREAMS
        turns = 0

        async def keep_busy() -> None:
            nonlocal turns
            while True:
                turns += 1
                time.sleep(0.002)  # noqa: ASYNC251 - so busy that events come faster than turns
                await asyncio.sleep(0)

        busy = asyncio.create_task(keep_busy())
        try:
            for number in range(ROUNDS):
                said = b"%d" % number
                assert await asyncio.gather(*(echoed(call, said) for call in calls)) == [said] * STREAMS
        finally:
            busy.cancel()
        for call in calls:
            await call.done_writing()
        for call in calls:
            assert await call.code() is grpc.StatusCode.OK
    await server.stop(None)
    assert isinstance(asyncio.get_running_loop(), EventLoop)
    assert turns <= MOST_TURNS


async def test_readers_of_others_read_what_they_ask_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        read: asyncio.Queue[bytes] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: read.put_nowait(ours.recv(1)))
        try:
            theirs.sendall(b"ab")
            assert (await read.get(), await read.get()) == (b"a", b"b")
        finally:
            loop.remove_reader(ours)
