"""The least that events cost which reach their readers through two processes, a gRPC call a reader.

`python -m tests.bench.bare_relay source PORT GRPC_PORT` is `plain_sse` that streams the same blocks over gRPC, too;
`python -m tests.bench.bare_relay relay PORT GRPC_PORT` passes them on over HTTP, byte for byte. What costs more than
that does so for what it knows: tokens, cursors, filters, JSON.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.bench.plain_sse import ROUTES, blocks, serve

_SERVICE, _METHOD = "bench.Relay", "Stream"


def source(port: int, grpc_port: int) -> None:
    """Publish, and stream what is published over gRPC."""

    async def stream(session_id: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async for block in blocks(session_id.decode()):
            await context.write(block.encode())

    @asynccontextmanager
    async def streaming(app: Starlette) -> AsyncIterator[None]:
        behaviour: Any = stream
        handlers = {_METHOD: grpc.unary_stream_rpc_method_handler(behaviour)}
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        server.add_insecure_port(f"127.0.0.1:{grpc_port}")
        await server.start()
        yield
        await server.stop(None)

    serve(Starlette(routes=ROUTES, lifespan=streaming), port)


def relay(port: int, grpc_port: int) -> None:
    """Answer requests for streams with those of the source."""
    channels: list[grpc.aio.Channel] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not channels:
            channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}"))
        session_id = scope["path"].split("/")[2].encode()
        call: Any = channels[0].unary_stream(f"/{_SERVICE}/{_METHOD}")(session_id)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        leaving = asyncio.create_task(leave(receive, call))
        with suppress(asyncio.CancelledError):
            while (block := await call.read()) is not grpc.aio.EOF:
                await send({"type": "http.response.body", "body": block, "more_body": True})
        leaving.cancel()

    async def leave(receive: Receive, call: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        call.cancel()

    serve(app, port)


if __name__ == "__main__":
    {"source": source, "relay": relay}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
