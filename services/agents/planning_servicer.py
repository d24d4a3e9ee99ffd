"""The gRPC face of planning: protobuf in, protobuf out, nothing decided."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import grpc
from codelab.agents.v1 import planning_service_pb2, planning_service_pb2_grpc, tool_pb2, usage_pb2

from services.agents.combining_prompt import FailedPart
from services.agents.planning import Planning
from services.agents.planning_prompt import Rejected
from services.agents.ranking import Candidate
from services.agents.tools.policy import PlanApproval
from services.agents.translating import fill_answer, history_of, inputs_of, owner_of
from services.runtime.messages import fill

Context = grpc.aio.ServicerContext[Any, Any]


class PlanningServicer(planning_service_pb2_grpc.PlanningServiceServicer):
    """codelab.agents.v1.PlanningService."""

    def __init__(self, planning: Planning) -> None:
        self._planning = planning

    async def ProposePlan(
        self, request: planning_service_pb2.ProposePlanRequest, context: Context
    ) -> planning_service_pb2.ProposePlanResponse:
        """See the contract."""
        proposal = await self._planning.propose(
            owner_of(request.project_id),
            request.request,
            history_of(request.history),
            request.max_tasks,
            _rejected(request),
        )
        return planning_service_pb2.ProposePlanResponse(
            text=proposal.text,
            agents=map(_to_proto, proposal.agents),
            usage=usage_pb2.Usage(**asdict(proposal.usage)),
            plan_approval=_approval_message(proposal.approval),
        )

    async def ChooseAgent(
        self, request: planning_service_pb2.ChooseAgentRequest, context: Context
    ) -> planning_service_pb2.ChooseAgentResponse:
        """See the contract."""
        choice = await self._planning.choose(owner_of(request.project_id), request.request)
        return planning_service_pb2.ChooseAgentResponse(
            agent=_to_proto(choice.agent), plan_approval=_approval_message(choice.approval)
        )

    async def CombineResults(
        self, request: planning_service_pb2.CombineResultsRequest, context: Context
    ) -> AsyncIterator[planning_service_pb2.CombineResultsResponse]:
        """See the contract."""
        failed = tuple(FailedPart(each.title, each.detail) for each in request.failed)
        combined = self._planning.combine(
            request.request, history_of(request.history), inputs_of(request.results), failed
        )
        async with aclosing(combined) as events:
            async for event in events:
                response = planning_service_pb2.CombineResultsResponse()
                fill_answer(response, event)
                yield response


def _rejected(request: planning_service_pb2.ProposePlanRequest) -> Rejected | None:
    if not request.HasField("rejected"):
        return None
    return Rejected(request.rejected.text, tuple(request.rejected.problems))


def _to_proto(agent: Candidate) -> planning_service_pb2.PlannableAgent:
    message = planning_service_pb2.PlannableAgent()
    fill(message, {"id": agent.id, "name": agent.name, "risks": agent.risks, "max_tokens": agent.max_tokens})
    return message


def _approval_message(approval: PlanApproval) -> tool_pb2.PlanApproval:
    message = tool_pb2.PlanApproval()
    fill(message, asdict(approval))
    return message
