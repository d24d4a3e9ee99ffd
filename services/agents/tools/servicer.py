"""The gRPC face of tools and their policy: protobuf in, protobuf out, nothing decided."""

from dataclasses import asdict
from typing import Any

import grpc
from codelab.agents.v1 import tool_pb2, tool_service_pb2, tool_service_pb2_grpc

from services.agents.tools.policy import PlanApproval, ToolPolicy, ToolRule
from services.agents.tools.service import OfferedTool, ToolService
from services.agents.translating import owner_of
from services.runtime.messages import fill, plain

Context = grpc.aio.ServicerContext[Any, Any]


class ToolServicer(tool_service_pb2_grpc.ToolServiceServicer):
    """codelab.agents.v1.ToolService."""

    def __init__(self, tools: ToolService) -> None:
        self._tools = tools

    async def ListTools(
        self, request: tool_service_pb2.ListToolsRequest, context: Context
    ) -> tool_service_pb2.ListToolsResponse:
        """See the contract."""
        agent_id = request.agent_id if request.HasField("agent_id") else None
        tools = await self._tools.list(owner_of(request.project_id), agent_id)
        return tool_service_pb2.ListToolsResponse(tools=map(_tool_message, tools))

    async def GetToolPolicy(
        self, request: tool_service_pb2.GetToolPolicyRequest, context: Context
    ) -> tool_service_pb2.GetToolPolicyResponse:
        """See the contract."""
        policy = await self._tools.get_policy(owner_of(request.project_id))
        return tool_service_pb2.GetToolPolicyResponse(policy=_policy_message(policy))

    async def UpdateToolPolicy(
        self, request: tool_service_pb2.UpdateToolPolicyRequest, context: Context
    ) -> tool_service_pb2.UpdateToolPolicyResponse:
        """See the contract."""
        policy = await self._tools.set_policy(owner_of(request.project_id), _policy(request.policy))
        return tool_service_pb2.UpdateToolPolicyResponse(policy=_policy_message(policy))


def _tool_message(tool: OfferedTool) -> tool_pb2.Tool:
    message = tool_pb2.Tool()
    fill(
        message,
        {
            "name": tool.spec.name,
            "description": tool.spec.description,
            "risk": tool.spec.risk,
            "parameters": tool.spec.parameters,
            "decision": tool.decision,
            "unavailable": tool.unavailable,
        },
    )
    return message


def _policy_message(policy: ToolPolicy) -> tool_pb2.ToolPolicy:
    message = tool_pb2.ToolPolicy()
    fill(message, asdict(policy))
    return message


def _policy(message: tool_pb2.ToolPolicy) -> ToolPolicy:
    # Only what is taken is made plain: a time that is ignored may be none.
    approval = plain(message.plan_approval)
    return ToolPolicy(
        tuple(ToolRule(**plain(rule)) for rule in message.rules),
        PlanApproval(
            approval["mode"] or "never",
            approval["max_tasks"],
            approval["max_tokens"],
            tuple(dict.fromkeys(approval["risks"])),
        ),
    )
