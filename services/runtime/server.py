"""The gRPC server of a service: health, reflection, interceptors, and an orderly end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from codelab.tunnel.v1 import tunnel_service_pb2, tunnel_service_pb2_grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import _async as reflection
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from codelab_client.channel import TRANSPORT_BYTES
from services.runtime.accepting import AcceptingServer
from services.runtime.auth import AuthInterceptor, TokenVerifier
from services.runtime.calls.call_server import CallServer
from services.runtime.calls.neighbours import Neighbours
from services.runtime.calls.tunnel_server import TunnelServicer
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from services.runtime.status import ErrorInterceptor
from services.runtime.telemetry import TelemetryInterceptor
from services.runtime.validation import ValidationInterceptor

log = structlog.get_logger()

_REFLECTION = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)


class _MethodsToo:
    """The default descriptor pool, finding files by the names of methods too, which operators ask for."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The file that defines `symbol`. Raise KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


class ServiceServer:
    """One service's server. `add` servicers, `start`, and `stop` when asked to end.

    What is registered with `on_drain` runs when the server begins to stop, after it reports NOT_SERVING and before it
    waits for calls to finish: streams end there, because gRPC would wait the whole grace for them.
    """

    def __init__(self, service: str, settings: Settings, verifier: TokenVerifier) -> None:
        self.service = service
        self._settings = settings
        self._address = settings.listen_address(service)
        self._health = health.aio.HealthServicer()
        self._names: list[str] = []
        self._drains: list[Callable[[], Awaitable[None]]] = []
        self._draining = False
        interceptors = (
            TelemetryInterceptor(),
            ErrorInterceptor(),
            AuthInterceptor(verifier),
            ValidationInterceptor(),
        )
        self._calls = CallServer(interceptors)
        self._tunnels = TunnelServicer(self._calls)
        self._neighbours = Neighbours()
        self._server = AcceptingServer(
            interceptors,
            options=[
                # Two servers on one port would each get half of the calls, silently.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", TRANSPORT_BYTES),
                ("grpc.max_send_message_length", TRANSPORT_BYTES),
                # A token too long is told so by us, not by the transport, whose limit would be 8 KiB.
                ("grpc.max_metadata_size", 32 * 1024),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_permit_without_calls", 1),
                # Without a grace: what runs on an old connection ends when it is done, and only new calls go elsewhere.
                ("grpc.max_connection_age_ms", round(settings.connection_seconds * 1000)),
                # Clients ping every 30 s, also between calls.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )

    def add(
        self,
        register: Callable[[Any, grpc.aio.Server], None],
        servicer: object,
        service: ServiceDescriptor,
    ) -> None:
        """Serve `service` by `servicer`; `register` is the generated `add_…Servicer_to_server`."""
        server: Any
        for server in (self._server, self._calls):
            register(servicer, server)
        self._names.append(service.full_name)

    def on_drain(self, drain: Callable[[], Awaitable[None]]) -> None:
        """Run `drain` when the server begins to stop."""
        self._drains.append(drain)

    async def start(self) -> None:
        """Listen, and report SERVING. Raise StartupError if the port is taken."""
        server: Any = self._server
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        tunnels: Any = self._tunnels
        tunnel_service_pb2_grpc.add_TunnelServiceServicer_to_server(tunnels, server)
        self._names.append(tunnel_service_pb2.DESCRIPTOR.services_by_name["TunnelService"].full_name)
        if self._settings.reflection:
            self._add_reflection()
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError:
            raise StartupError(
                f"{self.service} cannot listen on {self._address}: the port is taken, or the address is not this"
                " machine's. Stop what uses it, or set CODELAB_GRPC_PORT_BASE or CODELAB_HOST"
            ) from None
        await self._server.start()
        self._calls.start()
        self._neighbours.add(self._address, self._calls)
        await self.report(serving=True)
        log.debug("service started", service=self.service, address=self._address)

    async def report(self, *, serving: bool) -> None:
        """Say over gRPC's health service whether calls can be served. Once it drains, a server cannot."""
        response = health_pb2.HealthCheckResponse
        for name in (*self._names, ""):
            await self._health.set(name, response.SERVING if serving else response.NOT_SERVING)

    async def drain(self) -> None:
        """Report NOT_SERVING and end streams; calls under way go on. Idempotent."""
        if not self._draining:
            self._draining = True
            await self._health.enter_graceful_shutdown()
            await asyncio.gather(*(drain() for drain in self._drains), self._tunnels.leave())

    async def stop(self) -> None:
        """Drain, let calls finish within the drain time, then cut off what is left."""
        await self.drain()
        self._neighbours.remove(self._address)
        grace = self._settings.drain_seconds
        await asyncio.gather(self._server.stop(grace), self._calls.stop(grace))
        log.debug("service stopped", service=self.service)

    def _add_reflection(self) -> None:
        names = [*self._names, health.SERVICE_NAME, *_REFLECTION]
        servicer = reflection.ReflectionServicer(service_names=names, pool=_MethodsToo())
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self._server)
        # The library serves v1alpha only. v1 has the same messages under another service name.
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_REFLECTION[0], {"ServerReflectionInfo": handler}),)
        )
