"""A gRPC server that takes many calls in one turn of its event loop."""

import asyncio
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

import grpc

_AT_ONCE = 64


class AcceptingServer:
    """A grpc.aio.Server, as far as services need one.

    gRPC's own asks for the next call when it has taken one, and so takes one or two in five turns of the loop. A busy
    loop has twenty turns a second: eight calls, and the others wait for seconds, an operator's look at its health among
    them, while what streams is served. Here so many are asked for at once that none waits for another.

    It is gRPC's server that listens, serves and stops. What is done for a call that is taken is what gRPC does, by
    functions of its own that have no public name: they are of the line of grpcio that we ask for.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, Any]]) -> None:
        self._interceptors = tuple(interceptors)
        self._server: Any = grpc.aio.server(interceptors=interceptors, options=options)
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._accepting: list[asyncio.Task[None]] = []
        # The loop itself holds its tasks weakly.
        self._serving: set[asyncio.Task[None]] = set()

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """As gRPC's: those that are added as generic ones, too, are found there."""

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As gRPC's."""
        added = tuple(handlers)
        self._handlers += added
        self._server.add_generic_rpc_handlers(added)

    def add_insecure_port(self, address: str) -> int:
        """As gRPC's. Raise RuntimeError if the address cannot be had."""
        port: int = self._server.add_insecure_port(address)
        return port

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()
        self._accepting = [asyncio.create_task(self._accept(), name="accept calls") for _ in range(_AT_ONCE - 1)]

    async def stop(self, grace: float) -> None:
        """Take no more calls, let those under way finish within `grace` seconds, then cut them off. Idempotent."""
        await self._server.stop(grace)
        # What waits for a call is told that none will come.
        await asyncio.gather(*self._accepting)

    async def _accept(self) -> None:
        """Take one call after the other and let it be served, until the server stops."""
        inner: Any = import_module("grpc._cython.cygrpc")
        core = self._server._server
        loop = asyncio.get_running_loop()
        while True:
            try:
                call = await core._request_call()
            except inner._RequestCallError:
                return
            work = inner._handle_rpc(self._handlers, self._interceptors, call, loop, False)
            serving = loop.create_task(inner._schedule_rpc_coro(work, call, loop), name="serve call")
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
            # It would keep the call's memory until the next one comes.
            del call, work, serving
