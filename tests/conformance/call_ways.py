"""The ways that a call can take to a server, and the server that calls are made to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.wrappers_pb2 import BytesValue

from codelab_client import connect
from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours, together
from services.runtime.ids import new_id
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from tests.e2e.ports import free_ports

ANN, BOB = new_id(), new_id()
KIB = 1024
MIB = 1024 * KIB

Context = grpc.aio.ServicerContext[Any, Any]


async def echo(request: bytes, context: Context) -> bytes:
    return request


async def thrice(request: bytes, context: Context) -> AsyncGenerator[bytes, None]:
    for number in range(3):
        yield request + b"%d" % number


async def joined(requests: AsyncIterator[bytes], context: Context) -> bytes:
    return b"".join([request async for request in requests])


async def echoes(requests: AsyncIterator[bytes], context: Context) -> AsyncGenerator[bytes, None]:
    async for request in requests:
        yield request


class Handlers:
    """What the server under test does, by the shape of the method; a test puts its own in."""

    def __init__(self) -> None:
        self.unary_unary: Callable[[bytes, Context], Awaitable[bytes]] = echo
        self.unary_stream: Callable[[bytes, Context], AsyncGenerator[bytes, None] | Awaitable[None]] = thrice
        self.stream_unary: Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]] = joined
        self.stream_stream: Callable[[AsyncIterator[bytes], Context], AsyncGenerator[bytes, None] | Awaitable[None]] = (
            echoes
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Have them served, as methods named after their shapes. They see and give the bytes of BytesValues."""

        async def unary_unary(request: BytesValue, context: Context) -> BytesValue:
            return BytesValue(value=await self.unary_unary(request.value, context))

        async def unary_stream(request: BytesValue, context: Context) -> None:
            await _answer(self.unary_stream(request.value, context), context)

        async def stream_unary(requests: AsyncIterator[BytesValue], context: Context) -> BytesValue:
            return BytesValue(value=await self.stream_unary(_values(requests), context))

        async def stream_stream(requests: AsyncIterator[BytesValue], context: Context) -> None:
            await _answer(self.stream_stream(_values(requests), context), context)

        coding: Any = (BytesValue.FromString, BytesValue.SerializeToString)
        methods: dict[str, Any] = {
            "unary_unary": grpc.unary_unary_rpc_method_handler(unary_unary, *coding),
            "again": grpc.unary_unary_rpc_method_handler(unary_unary, *coding),
            "unary_stream": grpc.unary_stream_rpc_method_handler(cast(Any, unary_stream), *coding),
            "stream_unary": grpc.stream_unary_rpc_method_handler(cast(Any, stream_unary), *coding),
            "stream_stream": grpc.stream_stream_rpc_method_handler(cast(Any, stream_stream), *coding),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", methods),))


async def _values(requests: AsyncIterator[BytesValue]) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.value


async def _answer(answers: AsyncGenerator[bytes, None] | Awaitable[None], context: Context) -> None:
    if isinstance(answers, Awaitable):
        await answers
        return
    async with aclosing(answers):
        async for answer in answers:
            await say(context, answer)


async def say(context: Context, answer: bytes) -> None:
    """What a handler does that writes its answers itself."""
    await context.write(BytesValue(value=answer))


def _described() -> ServiceDescriptor:
    """As much of the service as servers and channels ask for: its name, and that `again` may be called again."""
    file = descriptor_pb2.FileDescriptorProto(name="test_calls.proto", package="test", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    type_name = ".google.protobuf.BytesValue"
    method = file.service.add(name="Calls").method.add(name="again", input_type=type_name, output_type=type_name)
    method.options.idempotency_level = descriptor_pb2.MethodOptions.IDEMPOTENT
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool.FindServiceByName("test.Calls")


SERVICE = _described()


class Place:
    """Where a server is made and found."""

    def __init__(self, folder: Path) -> None:
        environ = {"CODELAB_DATA_DIR": str(folder), "CODELAB_GRPC_PORT_BASE": str(free_ports())}
        self.settings = Settings.load({**environ, "CODELAB_DRAIN_SECONDS": "0.2"})
        self.address = self.settings.listen_address("projects")
        self.keys = Keys.of(self.settings)

    def make(self) -> ServiceServer:
        return ServiceServer("projects", self.settings, TokenVerifier(self.keys))


class Way(Protocol):
    """How calls get to a server, made at a place but not started; the channel for them."""

    def __call__(self, place: Place) -> AbstractAsyncContextManager[tuple[ServiceServer, grpc.aio.Channel]]: ...


@asynccontextmanager
async def network(place: Place) -> AsyncIterator[tuple[ServiceServer, grpc.aio.Channel]]:
    async with connect(place.address, [SERVICE]) as channel:
        yield place.make(), channel


@asynccontextmanager
async def neighbours(place: Place) -> AsyncIterator[tuple[ServiceServer, grpc.aio.Channel]]:
    with together():
        server, here = place.make(), Neighbours()
    async with reach(place.address, here, [SERVICE]) as channel:
        yield server, channel


@asynccontextmanager
async def tunnel(place: Place) -> AsyncIterator[tuple[ServiceServer, grpc.aio.Channel]]:
    # Only what streams goes through it, the rest over the network.
    async with reach(place.address, Neighbours(), [SERVICE]) as channel:
        yield place.make(), channel


WAYS: dict[str, Way] = {"network": network, "neighbours": neighbours, "tunnel": tunnel}


class Calling:
    """A server, what it does, and calls to it."""

    def __init__(self, place: Place, server: ServiceServer, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.channel = channel
        self.handlers = Handlers()
        server.add(lambda handlers, to: handlers.register(to), self.handlers, SERVICE)
        self._minter = TokenMinter(place.keys)

    def metadata(self, user_id: str = ANN) -> tuple[tuple[str, str | bytes], ...]:
        return (("authorization", f"Bearer {self._minter.user_token(user_id, 60)}"),)

    def call(
        self,
        shape: str,
        request: bytes | None = None,
        *,
        user: str = ANN,
        method: str = "",
        metadata: Iterable[tuple[str, str | bytes]] = (),
        timeout: float | None = 30,
    ) -> Any:
        """Call the method of this shape, or another one by it. What is asked and answered are bytes."""
        path = f"/test.Calls/{method or shape}"
        callable_ = getattr(self.channel, shape)(path, _asked, _answered)
        sent = (*self.metadata(user), *metadata)
        if shape.startswith("stream"):
            return callable_(timeout=timeout, metadata=sent)
        return callable_(request or b"", timeout=timeout, metadata=sent)


def _asked(value: bytes) -> bytes:
    return BytesValue(value=value).SerializeToString()


def _answered(data: bytes) -> bytes:
    return BytesValue.FromString(data).value


@asynccontextmanager
async def calling(way: Way, folder: Path) -> AsyncIterator[Calling]:
    """A server that is not started, found by `way`."""
    place = Place(folder)
    async with way(place) as (server, channel):
        yield Calling(place, server, channel)


class Happening:
    """Something that a handler does: whether it began, how it ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.may_end = asyncio.Event()

    async def wait(self) -> None:
        """Be at it until told to end, or cancelled."""
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def soon(event: asyncio.Event) -> None:
    """Wait for what must happen."""
    async with asyncio.timeout(20):
        await event.wait()


def happening_at(called: Calling) -> Happening:
    """What the methods do from now on: wait before they answer anything, and before they read anything."""
    happening = Happening()

    async def once(asked: Any, context: Context) -> bytes:
        await happening.wait()
        return b"done"

    async def many(asked: Any, context: Context) -> None:
        await happening.wait()

    called.handlers.unary_unary = called.handlers.stream_unary = once
    called.handlers.unary_stream = called.handlers.stream_stream = many
    return happening


class Flood:
    """A task that writes to a call as much as that takes, until all of it or the call's end."""

    def __init__(self, call: Any, most: int = 8 * MIB) -> None:
        self.written = 0
        self.task = asyncio.create_task(self._write(call, most), name="flood")

    async def _write(self, call: Any, most: int) -> None:
        while self.written < most:
            await call.write(bytes(64 * KIB))
            self.written += 64 * KIB
        await call.done_writing()


async def stands_still(count: Callable[[], int]) -> int:
    """What it counts to, once it counts no more."""
    last, same = -1, 0
    while same < 10:
        same = same + 1 if count() == last else 0
        last = count()
        await asyncio.sleep(0.01)
    return last


async def rest(call: Any) -> AsyncIterator[Any]:
    """What is left to be read of a call."""
    while (answer := await call.read()) is not grpc.aio.EOF:
        yield answer
