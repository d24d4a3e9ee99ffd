"""The streams service as a process: `python -m services.streams`."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from codelab.streams.v1 import event_service_pb2, publish_service_pb2, publish_service_pb2_grpc

from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.channels import Peers
from services.runtime.process import main
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from services.runtime.tasks import repeating
from services.streams.orchestrator_sessions import OrchestratorSessions
from services.streams.service import StreamLimits, StreamService
from services.streams.servicer import EventServicer, PublishServicer, add_event_servicer_to_server
from services.streams.store_choice import stores_of


@asynccontextmanager
async def serving(
    settings: Settings, clock: Callable[[], float] = time.time, limits: StreamLimits | None = None
) -> AsyncIterator[tuple[ServiceServer, StreamService]]:
    """Serve until the block ends; then end the streams and let calls finish."""
    limits = limits or StreamLimits(
        heartbeat_seconds=settings.heartbeat_seconds,
        user_streams=settings.user_streams,
        rotate_seconds=settings.connection_seconds,
    )
    keys = Keys.of(settings)
    minter = TokenMinter(keys)
    peers = Peers("streams", settings, minter)
    try:
        async with stores_of(settings, clock) as (events, members):
            service = StreamService(events, members, OrchestratorSessions(peers), clock, limits)
            server = _server(settings, keys, minter, service, clock)
            async with repeating("stream sweep", service.sweep, limits.sweep_seconds):
                await server.start()
                try:
                    yield server, service
                finally:
                    await server.stop()
    finally:
        await peers.close()


def _server(
    settings: Settings, keys: Keys, minter: TokenMinter, service: StreamService, clock: Callable[[], float]
) -> ServiceServer:
    server = ServiceServer("streams", settings, TokenVerifier(keys))
    server.add(
        add_event_servicer_to_server,
        EventServicer(service, clock, minter, settings.ticket_seconds),
        event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    )
    server.add(
        publish_service_pb2_grpc.add_PublishServiceServicer_to_server,
        PublishServicer(service, clock),
        publish_service_pb2.DESCRIPTOR.services_by_name["PublishService"],
    )
    # gRPC would wait the whole drain time for open streams.
    server.on_drain(service.stop)
    return server


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[ServiceServer]:
    """The service, listening while the block runs."""
    async with serving(settings) as (server, _):
        yield server


if __name__ == "__main__":
    main("streams", running)
