"""The gRPC face of the service: protobuf in, protobuf out, nothing decided."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any, cast

import grpc
from codelab.agents.v1 import (
    agent_pb2,
    agent_service_pb2,
    agent_service_pb2_grpc,
    execution_service_pb2,
    execution_service_pb2_grpc,
    memory_pb2,
    worker_space_service_pb2,
    worker_space_service_pb2_grpc,
)

from services.agents.agent import Agent, AgentConfig, AgentDraft
from services.agents.events import (
    ContextRetrieved,
    ExecutionEvent,
    Paused,
    PendingCall,
    StatusChanged,
    ToolCompleted,
    ToolStarted,
    WantedApproval,
    WantedConsultation,
    Working,
)
from services.agents.execution import Executions
from services.agents.memory.model import Found, InteractionType
from services.agents.memory.servicer import memory_message
from services.agents.service import AgentService
from services.agents.store import Claim
from services.agents.task import Task
from services.agents.tools.calling import CallAnswer
from services.agents.translating import fill_answer, history_of, inputs_of, owner_of
from services.runtime.messages import enum_word, fill, json_object, plain
from services.runtime.validation import mask_paths

Context = grpc.aio.ServicerContext[Any, Any]

_KIND = execution_service_pb2.ExecuteRequest.DESCRIPTOR.fields_by_name["interaction_type"]
_LONGEST_SHOWN = 1_000


class WorkerSpaceServicer(worker_space_service_pb2_grpc.WorkerSpaceServiceServicer):
    """codelab.agents.v1.WorkerSpaceService."""

    def __init__(self, agents: AgentService) -> None:
        self._agents = agents

    async def CreateWorkerSpace(
        self, request: worker_space_service_pb2.CreateWorkerSpaceRequest, context: Context
    ) -> worker_space_service_pb2.CreateWorkerSpaceResponse:
        """See the contract."""
        agents = await self._agents.create_space(owner_of(request.project_id))
        return worker_space_service_pb2.CreateWorkerSpaceResponse(agents=map(_to_proto, agents))

    async def DeleteWorkerSpace(
        self, request: worker_space_service_pb2.DeleteWorkerSpaceRequest, context: Context
    ) -> worker_space_service_pb2.DeleteWorkerSpaceResponse:
        """See the contract."""
        await self._agents.delete_space(owner_of(request.project_id))
        return worker_space_service_pb2.DeleteWorkerSpaceResponse()


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """codelab.agents.v1.AgentService."""

    def __init__(self, agents: AgentService) -> None:
        self._agents = agents

    async def CreateAgent(
        self, request: agent_service_pb2.CreateAgentRequest, context: Context
    ) -> agent_service_pb2.CreateAgentResponse:
        """See the contract."""
        request_id = request.request_id if request.HasField("request_id") else None
        agent = await self._agents.create(owner_of(request.project_id), _draft(request.agent), request_id)
        return agent_service_pb2.CreateAgentResponse(agent=_to_proto(agent))

    async def ListAgents(
        self, request: agent_service_pb2.ListAgentsRequest, context: Context
    ) -> agent_service_pb2.ListAgentsResponse:
        """See the contract."""
        page = await self._agents.list(owner_of(request.project_id), request.page_size, request.page_token)
        return agent_service_pb2.ListAgentsResponse(
            agents=map(_to_proto, page.agents), total=page.total, next_page_token=page.next_page_token
        )

    async def GetAgent(
        self, request: agent_service_pb2.GetAgentRequest, context: Context
    ) -> agent_service_pb2.GetAgentResponse:
        """See the contract."""
        agent = await self._agents.get(owner_of(request.project_id), request.agent_id)
        return agent_service_pb2.GetAgentResponse(agent=_to_proto(agent))

    async def UpdateAgent(
        self, request: agent_service_pb2.UpdateAgentRequest, context: Context
    ) -> agent_service_pb2.UpdateAgentResponse:
        """See the contract."""
        paths = frozenset(mask_paths(request.update_mask, agent_pb2.Agent.DESCRIPTOR))
        agent = await self._agents.update(owner_of(request.project_id), request.agent_id, _draft(request.agent), paths)
        return agent_service_pb2.UpdateAgentResponse(agent=_to_proto(agent))

    async def DeleteAgent(
        self, request: agent_service_pb2.DeleteAgentRequest, context: Context
    ) -> agent_service_pb2.DeleteAgentResponse:
        """See the contract."""
        await self._agents.delete(owner_of(request.project_id), request.agent_id)
        return agent_service_pb2.DeleteAgentResponse()


class ExecutionServicer(execution_service_pb2_grpc.ExecutionServiceServicer):
    """codelab.agents.v1.ExecutionService."""

    def __init__(self, agents: AgentService, executions: Executions) -> None:
        self._agents = agents
        self._executions = executions

    async def ResolveAgent(
        self, request: execution_service_pb2.ResolveAgentRequest, context: Context
    ) -> execution_service_pb2.ResolveAgentResponse:
        """See the contract."""
        agent = await self._agents.resolve(owner_of(request.project_id), request.target)
        return execution_service_pb2.ResolveAgentResponse(agent=_to_proto(agent))

    async def Execute(
        self, request: execution_service_pb2.ExecuteRequest, context: Context
    ) -> AsyncIterator[execution_service_pb2.ExecuteResponse]:
        """See the contract."""
        async with aclosing(self._executions.execute(_task(request))) as events:
            async for event in events:
                yield _event(event)


def _draft(agent: agent_pb2.Agent) -> AgentDraft:
    return AgentDraft(agent.name, AgentConfig.of(plain(agent.config)))


def _to_proto(agent: Agent) -> agent_pb2.Agent:
    message = agent_pb2.Agent()
    fill(
        message,
        {
            "id": agent.id,
            "project_id": agent.owner.project_id,
            "name": agent.name,
            "status": agent.status,
            "config": asdict(agent.config),
            "created_at": agent.created_at,
            "updated_at": agent.updated_at,
        },
    )
    return message


def _task(request: execution_service_pb2.ExecuteRequest) -> Task:
    return Task(
        owner_of(request.project_id),
        request.agent_id,
        Claim(request.run_id, request.task_id, request.run_epoch, request.attempt),
        request.instruction,
        history_of(request.history),
        inputs_of(request.inputs),
        request.session_id,
        _kind(request),
        request.request,
        request.state,
        tuple(map(_answer, request.answers)),
        tuple(request.approved_tools),
        request.unattended,
    )


def _answer(answer: execution_service_pb2.CallAnswer) -> CallAnswer:
    match answer.WhichOneof("answer"):
        case "approved":
            changed = answer.approved.HasField("arguments")
            arguments = json_object(answer.approved.arguments) if changed else None
            return CallAnswer(answer.call, "approved", arguments=arguments)
        case "done":
            return CallAnswer(answer.call, "done", answer.done.output, answer.done.success)
        case _:
            return CallAnswer(answer.call, "refused", answer.refused.detail or "It must not run.")


def _kind(request: execution_service_pb2.ExecuteRequest) -> InteractionType:
    number = request.interaction_type or memory_pb2.INTERACTION_TYPE_DIRECT_CALL
    return cast(InteractionType, enum_word(_KIND, number))


def _shown(found: Found) -> memory_pb2.Memory:
    """What watchers see of a recalled memory. An event is kept, copied and sent many times."""
    memory = found.memory
    content = memory.content
    if len(content) > _LONGEST_SHOWN:
        content = f"{content[:_LONGEST_SHOWN]}…"
    return memory_message(replace(memory, content=content, metadata={}), found.score)


def _pending(call: PendingCall) -> dict[str, Any]:
    values = {"call_id": call.call_id, "tool": call.tool, "arguments": call.arguments}
    match call.wanted:
        case WantedApproval():
            return {**values, "approval": asdict(call.wanted)}
        case WantedConsultation():
            return {**values, "consultation": asdict(call.wanted)}


def _event(event: ExecutionEvent) -> execution_service_pb2.ExecuteResponse:
    response = execution_service_pb2.ExecuteResponse()
    match event:
        case Working(phase, position):
            fill(response.working, {"phase": phase, "position": position})
            response.working.SetInParent()
        case ContextRetrieved(found, unavailable):
            response.context.SetInParent()
            response.context.memories.extend(_shown(each) for each in found)
            fill(response.context, {"unavailable": unavailable})
        case StatusChanged(status):
            fill(response.status_changed, {"status": status})
        case ToolStarted(call_id, tool, arguments):
            fill(response.tool_started, {"call_id": call_id, "tool": tool, "arguments": arguments})
        case ToolCompleted(call_id, tool, output):
            fill(
                response.tool_completed,
                {
                    "call_id": call_id,
                    "tool": tool,
                    "success": output.success,
                    "output": output.text,
                    "truncated": output.truncated,
                },
            )
        case Paused(state, calls, usage):
            fill(response.paused, {"state": state, "calls": map(_pending, calls), "usage": asdict(usage)})
        case _:
            fill_answer(response, event)
    return response
