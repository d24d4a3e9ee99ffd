"""The streams service on a real socket, with a small orchestrator beside it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from codelab.orchestrator.v1 import event_pb2, session_pb2, session_service_pb2, session_service_pb2_grpc
from codelab.streams.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    publish_service_pb2,
    publish_service_pb2_grpc,
)

from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours
from services.runtime.ids import new_id
from services.runtime.settings import Settings
from services.streams.__main__ import serving
from services.streams.service import StreamLimits, StreamService
from tests.e2e.ports import free_ports

ANN, BOB = new_id(), new_id()
_SERVICES = (
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    publish_service_pb2.DESCRIPTOR.services_by_name["PublishService"],
)


@dataclass
class Clock:
    """Real time, which a test can push forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Orchestrator(session_service_pb2_grpc.SessionServiceServicer):
    """Knows sessions by the user's token, as the real one does. Counts what it is asked."""

    def __init__(self) -> None:
        self.sessions: set[tuple[str, str]] = set()
        self.asked: list[str] = []

    async def GetSession(
        self, request: session_service_pb2.GetSessionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> session_service_pb2.GetSessionResponse:
        metadata = dict(context.invocation_metadata() or ())
        self.asked.append(str(metadata["authorization"]))
        if (request.project_id, request.session_id) not in self.sessions:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such session")
        return session_service_pb2.GetSessionResponse(session=session_pb2.Session(id=request.session_id))


class Publishing:
    """An open Publish call."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def send(self, event: event_pb2.Event, n: int | None = None) -> str | None:
        """Publish; with `n`, wait for the acknowledgement and return the event's id."""
        frame = publish_service_pb2.PublishEvent(event=event, n=n)
        await self.call.write(publish_service_pb2.PublishRequest(event=frame))
        if n is None:
            return None
        acknowledged = await self.call.read()
        assert acknowledged.n == n
        return str(acknowledged.event_id)

    async def settle(self, n: int) -> str:
        """Know that all that was sent has its effect: what is acknowledged after it has."""
        id = await self.send(event("agent_started"), n)
        assert id is not None
        return id


def event(type: str, *, final: bool = False, **fields: Any) -> event_pb2.Event:
    """An event with the payload `type`."""
    made = event_pb2.Event(final=final)
    payload = getattr(made, type)
    payload.SetInParent()
    for name, value in fields.items():
        setattr(payload, name, value)
    return made


def delta(offset: int, text: str) -> event_pb2.Event:
    return event("message_delta", message_id="m", agent_id="a", generation=1, offset=offset, text=text)


def snapshot(text: str) -> event_pb2.Event:
    return event("message_snapshot", message_id="m", agent_id="a", generation=1, text=text)


@dataclass
class World:
    """The service, and what tests do with it. Everything is Ann's unless another user is named."""

    service: StreamService
    channel: grpc.aio.Channel
    orchestrator: Orchestrator
    orchestrator_server: grpc.aio.Server
    clock: Clock
    keys: Keys
    address: str
    stop: Callable[[], Awaitable[None]]
    project_id: str = field(default_factory=new_id)
    session_id: str = field(default_factory=new_id)
    run_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.publisher = publish_service_pb2_grpc.PublishServiceStub(self.channel)
        self.minter = TokenMinter(self.keys)
        self.verifier = TokenVerifier(self.keys)

    def user(self, user_id: str = ANN, lifetime_seconds: float = 3600) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.minter.user_token(user_id, lifetime_seconds)}"),)

    def internal(self, user_id: str = ANN) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.minter.service_token('orchestrator', user_id, 60)}"),)

    def subscribe(self, metadata: tuple[tuple[str, str], ...] | None = None, **fields: Any) -> Any:
        request = {"project_id": self.project_id, "session_id": self.session_id, **fields}
        return self.events.Subscribe(
            event_service_pb2.SubscribeRequest(**request), metadata=metadata or self.user(), timeout=30
        )

    @asynccontextmanager
    async def watching(self, metadata: tuple[tuple[str, str], ...] | None = None, **fields: Any) -> AsyncIterator[Any]:
        """A stream that is open: its cursor was read."""
        call = self.subscribe(metadata, **fields)
        try:
            await read(call)
            yield call
        finally:
            call.cancel()

    @asynccontextmanager
    async def publishing(self, epoch: int = 1, user_id: str = ANN) -> AsyncIterator[Publishing]:
        call = self.publisher.Publish(metadata=self.internal(user_id), timeout=30)
        try:
            opening = publish_service_pb2.PublishOpen(
                project_id=self.project_id, session_id=self.session_id, run_id=self.run_id, epoch=epoch
            )
            await call.write(publish_service_pb2.PublishRequest(open=opening))
            await call.initial_metadata()
            yield Publishing(call)
        finally:
            call.cancel()

    async def close_session(self) -> None:
        request = publish_service_pb2.CloseSessionsRequest(project_id=self.project_id, session_ids=[self.session_id])
        await self.publisher.CloseSessions(request, metadata=self.internal(), timeout=30)


async def read(call: Any) -> event_pb2.Event:
    """The next frame's event."""
    response = await call.read()
    assert response is not grpc.aio.EOF, "the stream ended"
    return response.event


def in_tunnels(address: str) -> grpc.aio.Channel:
    """A channel of ours, on which calls go as they do between services."""
    return reach(address, Neighbours(), _SERVICES)


@asynccontextmanager
async def a_world(
    folder: Path, limits: StreamLimits, channel_to: Callable[[str], grpc.aio.Channel] = grpc.aio.insecure_channel
) -> AsyncIterator[World]:
    """Everything runs, and Ann's session exists."""
    settings = Settings.load({"CODELAB_DATA_DIR": str(folder), "CODELAB_GRPC_PORT_BASE": str(free_ports(4))})
    orchestrator, clock = Orchestrator(), Clock()
    orchestrator_server = grpc.aio.server()
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(orchestrator, orchestrator_server)
    orchestrator_server.add_insecure_port(settings.listen_address("orchestrator"))
    await orchestrator_server.start()
    address = settings.listen_address("streams")
    try:
        async with channel_to(address) as channel, AsyncExitStack() as running:
            _, service = await running.enter_async_context(serving(settings, clock, limits))
            world = World(
                service,
                channel,
                orchestrator,
                orchestrator_server,
                clock,
                Keys.of(settings),
                address,
                stop=running.aclose,
            )
            orchestrator.sessions.add((world.project_id, world.session_id))
            yield world
    finally:
        await orchestrator_server.stop(None)
