"""Calling a running agents service as another service does."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.agents.v1 import (
    agent_pb2,
    agent_service_pb2,
    agent_service_pb2_grpc,
    execution_service_pb2,
    execution_service_pb2_grpc,
    memory_service_pb2_grpc,
    planning_service_pb2,
    planning_service_pb2_grpc,
    tool_pb2,
    tool_service_pb2,
    tool_service_pb2_grpc,
    worker_space_service_pb2,
    worker_space_service_pb2_grpc,
)

from codelab_client.errors import ApiError
from services.agents.__main__ import running
from services.runtime.auth import Keys, TokenMinter
from services.runtime.settings import Settings
from tests.e2e.ports import free_ports

Metadata = tuple[tuple[str, str], ...]
SECONDS = 30.0


def new_uuid() -> str:
    return str(uuid.uuid4())


@dataclass
class User:
    """A user, called for by a service, with one project."""

    metadata: Metadata
    id: str
    project_id: str = field(default_factory=new_uuid)


class Agents:
    """Stubs of the service and tokens for it."""

    def __init__(self, channel: grpc.aio.Channel, minter: TokenMinter) -> None:
        self.spaces = worker_space_service_pb2_grpc.WorkerSpaceServiceStub(channel)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.executions = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        self.memories = memory_service_pb2_grpc.MemoryServiceStub(channel)
        self.planning = planning_service_pb2_grpc.PlanningServiceStub(channel)
        self.tools = tool_service_pb2_grpc.ToolServiceStub(channel)
        self._minter = minter

    def user(self) -> User:
        user_id = new_uuid()
        token = self._minter.service_token("tests", user_id, 600)
        return User((("authorization", f"Bearer {token}"),), user_id)

    def persons_metadata(self, user: User) -> Metadata:
        """What a browser sends: a user token, which internal RPCs do not admit."""
        return (("authorization", f"Bearer {self._minter.user_token(user.id, 600)}"),)

    async def create_space(self, user: User, project_id: str | None = None) -> list[agent_pb2.Agent]:
        request = worker_space_service_pb2.CreateWorkerSpaceRequest(project_id=project_id or user.project_id)
        response = await self.spaces.CreateWorkerSpace(request, metadata=user.metadata, timeout=SECONDS)
        return list(response.agents)

    async def delete_space(self, user: User, project_id: str | None = None) -> None:
        request = worker_space_service_pb2.DeleteWorkerSpaceRequest(project_id=project_id or user.project_id)
        await self.spaces.DeleteWorkerSpace(request, metadata=user.metadata, timeout=SECONDS)

    async def create(
        self, user: User, agent: agent_pb2.Agent, project_id: str | None = None, request_id: str | None = None
    ) -> agent_pb2.Agent:
        request = agent_service_pb2.CreateAgentRequest(
            project_id=project_id or user.project_id, agent=agent, request_id=request_id
        )
        return (await self.agents.CreateAgent(request, metadata=user.metadata, timeout=SECONDS)).agent

    async def get(self, user: User, agent_id: str, project_id: str | None = None) -> agent_pb2.Agent:
        request = agent_service_pb2.GetAgentRequest(project_id=project_id or user.project_id, agent_id=agent_id)
        return (await self.agents.GetAgent(request, metadata=user.metadata, timeout=SECONDS)).agent

    async def list(
        self, user: User, page_size: int = 0, page_token: str = "", project_id: str | None = None
    ) -> agent_service_pb2.ListAgentsResponse:
        request = agent_service_pb2.ListAgentsRequest(
            project_id=project_id or user.project_id, page_size=page_size, page_token=page_token
        )
        return await self.agents.ListAgents(request, metadata=user.metadata, timeout=SECONDS)

    async def update(
        self, user: User, agent_id: str, agent: agent_pb2.Agent, *paths: str, project_id: str | None = None
    ) -> agent_pb2.Agent:
        request = agent_service_pb2.UpdateAgentRequest(
            project_id=project_id or user.project_id, agent_id=agent_id, agent=agent
        )
        request.update_mask.paths.extend(paths)
        return (await self.agents.UpdateAgent(request, metadata=user.metadata, timeout=SECONDS)).agent

    async def delete(self, user: User, agent_id: str, project_id: str | None = None) -> None:
        request = agent_service_pb2.DeleteAgentRequest(project_id=project_id or user.project_id, agent_id=agent_id)
        await self.agents.DeleteAgent(request, metadata=user.metadata, timeout=SECONDS)

    async def resolve(self, user: User, target: str, project_id: str | None = None) -> agent_pb2.Agent:
        request = execution_service_pb2.ResolveAgentRequest(project_id=project_id or user.project_id, target=target)
        return (await self.executions.ResolveAgent(request, metadata=user.metadata, timeout=SECONDS)).agent

    async def propose(
        self, user: User, request: str, max_tasks: int = 12, **fields: Any
    ) -> planning_service_pb2.ProposePlanResponse:
        values = {"project_id": user.project_id, **fields}
        asked = planning_service_pb2.ProposePlanRequest(request=request, max_tasks=max_tasks, **values)
        return await self.planning.ProposePlan(asked, metadata=user.metadata, timeout=SECONDS)

    async def choose(self, user: User, request: str, project_id: str | None = None) -> str:
        """The name of the agent that was chosen."""
        return (await self.chosen(user, request, project_id)).agent.name

    async def chosen(
        self, user: User, request: str, project_id: str | None = None
    ) -> planning_service_pb2.ChooseAgentResponse:
        asked = planning_service_pb2.ChooseAgentRequest(project_id=project_id or user.project_id, request=request)
        return await self.planning.ChooseAgent(asked, metadata=user.metadata, timeout=SECONDS)

    async def set_policy(self, user: User, policy: tool_pb2.ToolPolicy) -> tool_pb2.ToolPolicy:
        asked = tool_service_pb2.UpdateToolPolicyRequest(project_id=user.project_id, policy=policy)
        return (await self.tools.UpdateToolPolicy(asked, metadata=user.metadata, timeout=SECONDS)).policy

    def combine(self, user: User, request: str, **fields: Any) -> "Combination":
        asked = planning_service_pb2.CombineResultsRequest(project_id=user.project_id, request=request, **fields)
        return self.planning.CombineResults(asked, metadata=user.metadata, timeout=SECONDS)

    def execute(
        self, user: User, agent_id: str, instruction: str, timeout: float = SECONDS, **fields: Any
    ) -> "Execution":
        values: dict[str, Any] = {
            "project_id": user.project_id,
            "session_id": new_uuid(),
            "run_id": new_uuid(),
            "task_id": new_uuid(),
            "run_epoch": 1,
            "attempt": 1,
        }
        request = execution_service_pb2.ExecuteRequest(
            agent_id=agent_id, instruction=instruction, **{**values, **fields}
        )
        return self.executions.Execute(request, metadata=user.metadata, timeout=timeout)


Combination = grpc.aio.UnaryStreamCall[
    planning_service_pb2.CombineResultsRequest, planning_service_pb2.CombineResultsResponse
]
Execution = grpc.aio.UnaryStreamCall[execution_service_pb2.ExecuteRequest, execution_service_pb2.ExecuteResponse]


async def events_of(call: Execution) -> list[execution_service_pb2.ExecuteResponse]:
    """Everything that the execution still sends."""
    # gRPC does not mix `async for` with `read`, which some tests began with.
    events = []
    while (event := await call.read()) is not grpc.aio.EOF:
        events.append(event)
    return events


@asynccontextmanager
async def serving(data_dir: Path, **environ: str) -> AsyncIterator[Agents]:
    """A service on a port of its own, and a channel to it."""
    base = free_ports(4)
    settings = Settings.load(
        {
            "CODELAB_DATA_DIR": str(data_dir),
            "CODELAB_GRPC_PORT_BASE": str(base),
            "CODELAB_DRAIN_SECONDS": "1",
            "EMBEDDING_MODEL": "hashing",
            **environ,
        }
    )
    async with running(settings), grpc.aio.insecure_channel(settings.peer_address("agents")) as channel:
        yield Agents(channel, TokenMinter(Keys.of(settings)))


@contextmanager
def refused(code: grpc.StatusCode, reason: str) -> Iterator[list[ApiError]]:
    """The block fails with this code and reason; the error is in the list afterwards."""
    errors: list[ApiError] = []
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield errors
    error = ApiError.of(raised.value)
    assert (error.code, error.reason) == (code, reason), error
    errors.append(error)
