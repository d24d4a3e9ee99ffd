"""The orchestrator on real sockets, with scripted agents and the real streams service beside it."""

import asyncio
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.agents.v1 import execution_service_pb2, planning_service_pb2
from codelab.agents.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from codelab.agents.v1.planning_service_pb2_grpc import (
    PlanningServiceServicer,
    add_PlanningServiceServicer_to_server,
)
from codelab.orchestrator.v1 import (
    event_pb2,
    lifecycle_service_pb2,
    message_pb2,
    run_pb2,
    run_service_pb2,
    session_service_pb2,
)
from codelab.orchestrator.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from codelab.orchestrator.v1.run_service_pb2_grpc import RunServiceStub
from codelab.orchestrator.v1.session_service_pb2_grpc import SessionServiceStub
from codelab.streams.v1 import event_service_pb2
from codelab.streams.v1.event_service_pb2_grpc import EventServiceStub

from codelab_client.channel import connect
from codelab_client.errors import ApiError
from services.orchestrator.__main__ import running as orchestrator_running
from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.ids import new_id
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from services.streams.__main__ import serving as streams_serving
from services.streams.service import StreamLimits
from tests.e2e.ports import free_ports
from tests.orchestrator.agents import ScriptedAgents

SUCCEEDED, FAILED, CANCELLED = run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED
FINISHED = (SUCCEEDED, FAILED, CANCELLED)


class Stage:
    """Services that can be started and stopped one by one, on the same ports and data."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            "CODELAB_DATA_DIR": str(folder),
            "CODELAB_GRPC_PORT_BASE": str(free_ports(4)),
            "CODELAB_LEASE_SECONDS": "1",
            "CODELAB_DRAIN_SECONDS": "5",
            "CODELAB_LOG_LEVEL": "warning",
        }
        self.settings = Settings.load(self.environment)
        self.keys = Keys.of(self.settings)
        self.minter = TokenMinter(self.keys)
        self.agents = ScriptedAgents()
        self.planning = PlanningServiceServicer()
        """Of the agents service too; as it is, no method is served."""

    @asynccontextmanager
    async def serving_agents(self) -> AsyncIterator[ServiceServer]:
        """The agents service. Ends as if it were killed."""
        server = ServiceServer("agents", self.settings, TokenVerifier(self.keys))
        server.add(
            add_ExecutionServiceServicer_to_server,
            self.agents,
            execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"],
        )
        server.add(
            add_PlanningServiceServicer_to_server,
            self.planning,
            planning_service_pb2.DESCRIPTOR.services_by_name["PlanningService"],
        )
        await server.start()
        try:
            yield server
        finally:
            await server._server.stop(0)

    @asynccontextmanager
    async def serving_streams(self, **limits: Any) -> AsyncIterator[None]:
        """The streams service; what it buffers ends with it."""
        async with streams_serving(self.settings, limits=StreamLimits(**limits)):
            yield

    @asynccontextmanager
    async def serving_orchestrator(self) -> AsyncIterator[None]:
        """The orchestrator; ends with a drain, as on SIGTERM."""
        async with orchestrator_running(self.settings):
            yield

    @asynccontextmanager
    async def serving_all(self) -> AsyncIterator[None]:
        async with self.serving_streams(), self.serving_agents(), self.serving_orchestrator():
            yield

    @asynccontextmanager
    async def orchestrator_process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The orchestrator as a process of its own, listening; killed at the end of the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.orchestrator", env={**os.environ, **self.environment}
        )
        try:
            async with asyncio.timeout(30):
                while not _listens(self.settings.listen_address("orchestrator")):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @asynccontextmanager
    async def client(self, user_id: str | None = None) -> AsyncIterator["Client"]:
        """A user with a project and a session. The orchestrator must be listening."""
        async with self.client_later(user_id) as client:
            await client.begin()
            yield client

    @asynccontextmanager
    async def client_later(self, user_id: str | None = None) -> AsyncIterator["Client"]:
        """A user who has still to `begin`, and outlives the orchestrator."""
        client = Client(self, user_id or new_id())
        try:
            yield client
        finally:
            await client.close()

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Read the orchestrator's database behind its back."""
        with closing(sqlite3.connect(self.settings.data_dir / "orchestrator.db", timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()


class Client:
    """A user who talks to the orchestrator and watches streams, in one project and one session."""

    def __init__(self, stage: Stage, user_id: str) -> None:
        self.stage = stage
        self.user_id = user_id
        self.project_id = new_id()
        self.session_id = ""
        self._channels = [connect(stage.settings.peer_address(each)) for each in ("orchestrator", "streams")]
        orchestrator, streams = self._channels
        self.runs = RunServiceStub(orchestrator)
        self.sessions = SessionServiceStub(orchestrator)
        self.lifecycle = LifecycleServiceStub(orchestrator)
        self.events = EventServiceStub(streams)
        self.metadata = (("authorization", f"Bearer {stage.minter.user_token(user_id, 600)}"),)
        self.internal = (("authorization", f"Bearer {stage.minter.service_token('projects', user_id, 600)}"),)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def begin(self) -> None:
        """Have the project admitted, and a session."""
        request = lifecycle_service_pb2.AdmitProjectRequest(project_id=self.project_id)
        await self.lifecycle.AdmitProject(request, metadata=self.internal, timeout=30, wait_for_ready=True)
        self.session_id = await self.new_session()

    async def delete_project(self) -> None:
        request = lifecycle_service_pb2.DeleteProjectRequest(project_id=self.project_id)
        await self.lifecycle.DeleteProject(request, metadata=self.internal, timeout=30)

    async def new_session(self) -> str:
        request = session_service_pb2.CreateSessionRequest(project_id=self.project_id)
        response = await self.sessions.CreateSession(request, metadata=self.metadata, timeout=30)
        return response.session.id

    async def delete_session(self) -> None:
        request = session_service_pb2.DeleteSessionRequest(project_id=self.project_id, session_id=self.session_id)
        await self.sessions.DeleteSession(request, metadata=self.metadata, timeout=30)

    def _message(self, content: str, fields: dict[str, Any]) -> dict[str, Any]:
        here = {"project_id": self.project_id, "session_id": self.session_id, "target_agent": "CodeAssistant"}
        return {**here, "content": content, **fields}

    async def send(self, content: str, timeout: float = 30, **fields: Any) -> message_pb2.Message:
        """Send and wait for the answer. Raise ApiError."""
        request = run_service_pb2.SendMessageRequest(**self._message(content, fields))
        return (
            await decoded(self.runs.SendMessage(request, metadata=self.metadata, timeout=timeout, wait_for_ready=True))
        ).message

    async def create(self, content: str, **fields: Any) -> run_pb2.Run:
        """Send and do not wait. Raise ApiError."""
        request = run_service_pb2.CreateRunRequest(**self._message(content, fields))
        return (await decoded(self.runs.CreateRun(request, metadata=self.metadata, timeout=30))).run

    def stream(self, content: str, **fields: Any) -> Any:
        """Send and watch: the call."""
        request = run_service_pb2.StreamMessageRequest(**self._message(content, fields))
        return self.runs.StreamMessage(request, metadata=self.metadata, timeout=30)

    def watch(self, after: str | None = "start", **fields: Any) -> Any:
        """The session's stream: the call."""
        request = event_service_pb2.SubscribeRequest(
            project_id=self.project_id, session_id=self.session_id, after=after, **fields
        )
        return self.events.Subscribe(request, metadata=self.metadata, timeout=30, wait_for_ready=True)

    async def run(self, run_id: str) -> run_pb2.Run:
        request = run_service_pb2.GetRunRequest(project_id=self.project_id, run_id=run_id)
        return (await decoded(self.runs.GetRun(request, metadata=self.metadata, timeout=30, wait_for_ready=True))).run

    async def until_said(self, *contents: str) -> None:
        """Wait until this is what was said in the session."""
        async with asyncio.timeout(30):
            while await self.said() != [*contents]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def finished(self, run_id: str) -> run_pb2.Run:
        """The run, when it is over."""
        async with asyncio.timeout(30):
            while (run := await self.run(run_id)).state not in FINISHED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return run

    async def cancel(self, run_id: str) -> run_pb2.Run:
        request = run_service_pb2.CancelRunRequest(project_id=self.project_id, run_id=run_id)
        return (await decoded(self.runs.CancelRun(request, metadata=self.metadata, timeout=30))).run

    async def timeline(self, run_id: str) -> list[event_pb2.Event]:
        request = run_service_pb2.ListRunEventsRequest(project_id=self.project_id, run_id=run_id)
        return list((await self.runs.ListRunEvents(request, metadata=self.metadata, timeout=30)).events)

    async def said(self) -> list[str]:
        """What was said in the session, in order."""
        request = session_service_pb2.ListMessagesRequest(project_id=self.project_id, session_id=self.session_id)
        response = await self.sessions.ListMessages(request, metadata=self.metadata, timeout=30)
        return [message.content for message in response.messages]

    async def heard(self, finals: int, **fields: Any) -> list[event_pb2.Event]:
        """The state events of the session's stream from its start, until so many runs have ended."""
        call = self.watch(**fields)
        events: list[event_pb2.Event] = []
        try:
            async for response in call:
                if response.event.HasField("id") and kind(response.event) != "heartbeat":
                    events.append(response.event)
                    finals -= response.event.final
                if finals <= 0:
                    break
        finally:
            call.cancel()
        return events


def kind(event: event_pb2.Event) -> str:
    """The event's type."""
    return event.WhichOneof("payload") or ""


async def rest(call: Any) -> list[event_pb2.Event]:
    """What else a stream says, to its end."""
    events = []
    while (response := await call.read()) is not grpc.aio.EOF:
        events.append(response.event)
    return events


async def decoded(call: Awaitable[Any]) -> Any:
    """The call's answer. Raise ApiError."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise ApiError.of(error) from None


@contextmanager
def answers(code: grpc.StatusCode, reason: str | None) -> Iterator[pytest.ExceptionInfo[ApiError]]:
    """The block's call is answered with this error."""
    with pytest.raises(ApiError) as caught:
        yield caught
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def eventually(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until `condition()` holds. For what another service does, which tells nobody."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
