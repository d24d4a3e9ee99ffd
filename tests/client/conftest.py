"""A service on a real socket that answers as it is told, and one that streams for real."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.orchestrator.v1 import event_pb2
from codelab.projects.v1 import project_service_pb2 as projects_pb
from codelab.projects.v1 import project_service_pb2_grpc as projects_grpc
from codelab.streams.v1 import event_service_pb2 as events_pb
from codelab.streams.v1 import event_service_pb2_grpc as events_grpc
from grpc_status import rpc_status

from services.runtime.errors import CodelabError
from services.runtime.status import to_status
from services.streams.service import StreamLimits
from tests.cutting import Cut, cutting
from tests.streams.world import World, a_world

Script = list[CodelabError | None]


@dataclass
class Scripted(projects_grpc.ProjectServiceServicer, events_grpc.EventServiceServicer):
    """Fails as many calls as it is told to, then answers; tells what it was sent.

    `streams` are what each Subscribe answers in turn: events, and errors to end with. The last one, or each if it is to
    be `silent`, says nothing after them.
    """

    address: str = ""
    failures: Script = field(default_factory=list)
    streams: list[list[event_pb2.Event | CodelabError]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    afters: list[str | None] = field(default_factory=list)
    silent: bool = False
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def _answer(self, context: Any) -> None:
        self.tokens.append(dict(context.invocation_metadata())["authorization"].removeprefix("Bearer "))
        self.deadlines.append(context.time_remaining())
        if self.failures and (error := self.failures.pop(0)) is not None:
            await _abort(context, error)

    async def GetCurrentUser(self, request: Any, context: Any) -> projects_pb.GetCurrentUserResponse:
        await self._answer(context)
        return projects_pb.GetCurrentUserResponse()

    async def CreateProject(self, request: Any, context: Any) -> projects_pb.CreateProjectResponse:
        await self._answer(context)
        return projects_pb.CreateProjectResponse()

    async def Subscribe(
        self, request: events_pb.SubscribeRequest, context: Any
    ) -> AsyncIterator[events_pb.SubscribeResponse]:
        await self._answer(context)
        self.afters.append(request.after if request.HasField("after") else None)
        try:
            for event in self.streams.pop(0) if self.streams else []:
                if isinstance(event, CodelabError):
                    await _abort(context, event)
                else:
                    yield events_pb.SubscribeResponse(event=event)
            if self.silent or not self.streams:
                await asyncio.get_running_loop().create_future()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    ListProjects = GetProject = UpdateProject = DeleteProject = GetCurrentUser  # type: ignore[assignment]


async def _abort(context: Any, error: CodelabError) -> None:
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, tuple(status.trailing_metadata))


@asynccontextmanager
async def answering(service: Scripted, *add: Callable[[Any, grpc.aio.Server], None]) -> AsyncIterator[None]:
    """The service listens at its address; `add` registers what else it is."""
    server = grpc.aio.server()
    projects_grpc.add_ProjectServiceServicer_to_server(service, server)
    events_grpc.add_EventServiceServicer_to_server(service, server)
    for each in add:
        each(service, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    service = Scripted()
    async with answering(service):
        yield service


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, StreamLimits(heartbeat_seconds=0.2, sweep_seconds=0.05)) as made:
        yield made


@pytest.fixture
async def cut(world: World) -> AsyncIterator[Cut]:
    async with cutting(world.address) as proxy:
        yield proxy
