"""gRPC to the use cases of approvals and back."""

from typing import Any

import grpc
from codelab.orchestrator.v1 import approval_service_pb2, approval_service_pb2_grpc

from services.orchestrator.approvals import ApprovalService
from services.orchestrator.model import ApprovalScope, ApprovalState, Decision, Owner
from services.orchestrator.wire import approval_message
from services.runtime.auth import current_caller
from services.runtime.messages import enum_word, json_object
from services.runtime.pages import page_size

Context = grpc.aio.ServicerContext[Any, Any]


class ApprovalServicer(approval_service_pb2_grpc.ApprovalServiceServicer):
    """What waits for its user, and deciding it."""

    def __init__(self, approvals: ApprovalService) -> None:
        self._approvals = approvals

    async def ListApprovals(
        self, request: approval_service_pb2.ListApprovalsRequest, context: Context
    ) -> approval_service_pb2.ListApprovalsResponse:
        field = request.DESCRIPTOR.fields_by_name["state"]
        page = await self._approvals.list(
            _owner(request.project_id),
            [ApprovalState(enum_word(field, each)) for each in request.state],
            request.run_id if request.HasField("run_id") else None,
            page_size(request.page_size),
            request.page_token,
        )
        return approval_service_pb2.ListApprovalsResponse(
            approvals=[approval_message(each) for each in page.elements],
            total=page.total,
            next_page_token=page.next_page_token,
        )

    async def GetApproval(
        self, request: approval_service_pb2.GetApprovalRequest, context: Context
    ) -> approval_service_pb2.GetApprovalResponse:
        approval = await self._approvals.get(_owner(request.project_id), request.approval_id)
        return approval_service_pb2.GetApprovalResponse(approval=approval_message(approval))

    async def Approve(
        self, request: approval_service_pb2.ApproveRequest, context: Context
    ) -> approval_service_pb2.ApproveResponse:
        decision = Decision(
            approve=True,
            arguments=json_object(request.arguments) if request.HasField("arguments") else None,
            plan=json_object(request.plan) if request.HasField("plan") else None,
            scope=_scope(request),
        )
        approval = await self._approvals.decide(_owner(request.project_id), request.approval_id, decision)
        return approval_service_pb2.ApproveResponse(approval=approval_message(approval))

    async def Reject(
        self, request: approval_service_pb2.RejectRequest, context: Context
    ) -> approval_service_pb2.RejectResponse:
        decision = Decision(approve=False, reason=request.reason if request.HasField("reason") else None)
        approval = await self._approvals.decide(_owner(request.project_id), request.approval_id, decision)
        return approval_service_pb2.RejectResponse(approval=approval_message(approval))


def _owner(project_id: str) -> Owner:
    return Owner(current_caller().user_id, project_id)


def _scope(request: approval_service_pb2.ApproveRequest) -> ApprovalScope:
    if not request.HasField("scope"):
        return ApprovalScope.ONCE
    return ApprovalScope(enum_word(request.DESCRIPTOR.fields_by_name["scope"], request.scope))
