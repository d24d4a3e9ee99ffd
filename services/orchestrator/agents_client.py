"""The agents service over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
from codelab.agents.v1 import execution_service_pb2 as pb
from codelab.agents.v1 import planning_service_pb2 as planning_pb
from codelab.agents.v1 import tool_pb2, usage_pb2
from codelab.agents.v1.execution_service_pb2_grpc import ExecutionServiceStub
from codelab.agents.v1.memory_pb2 import InteractionType
from codelab.agents.v1.planning_service_pb2_grpc import PlanningServiceStub

from services.orchestrator.leases import Lease
from services.orchestrator.model import Agent, Failure, Message, Mode, Task, Usage
from services.orchestrator.ports import (
    AgentsUnreachable,
    Answer,
    Assignment,
    Choice,
    Completed,
    Consultation,
    Delta,
    Happening,
    ModelCalled,
    Paused,
    PlannableAgent,
    PlanPolicy,
    Progress,
    Proposal,
    Rejected,
    Result,
    ToolEvent,
    Wanted,
)
from services.runtime.channels import Peers
from services.runtime.database import DatabaseUnavailable
from services.runtime.errors import CodelabError, DeadlineExceeded, Unavailable
from services.runtime.messages import json_object, plain
from services.runtime.status import from_rpc_error

# Embedding a request and the descriptions of many agents, the model for that loaded first.
_CHOOSE_SECONDS = 30.0
LONGEST_REJECTED = 50_000
"""Code points of a rejected proposal that are sent back: many times what the model is shown of it."""
_INTERACTIONS = {
    Mode.DIRECT: InteractionType.INTERACTION_TYPE_DIRECT_CALL,
    Mode.ORCHESTRATED: InteractionType.INTERACTION_TYPE_TASK,
}
# What another attempt may not meet again. A model that is out of reach was tried again already, where it was called.
_PASSING = (
    *(Unavailable.reason, DeadlineExceeded.reason, DatabaseUnavailable.reason),
    *("AGENT_QUEUE_UNAVAILABLE", "SLOT_LOST"),
)


class AgentsClient:
    """`Agents` by the service's ExecutionService and PlanningService."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        # Not PlanningService: what the channel repeats by itself would ask the model again, and nobody would count it.
        channel = peers.channel("agents", pb.DESCRIPTOR.services_by_name["ExecutionService"])
        self._stub = ExecutionServiceStub(channel)
        self._planning = PlanningServiceStub(channel)

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        request = pb.ResolveAgentRequest(project_id=project_id, target=target)
        try:
            response = await self._stub.ResolveAgent(
                request, timeout=timeout, metadata=self._peers.metadata(user_id, timeout)
            )
        except grpc.aio.AioRpcError as error:
            raise _agents_error(error) from None
        return Agent(response.agent.id, response.agent.name)

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        lease, task = assignment.lease, assignment.task
        request = pb.ExecuteRequest(
            project_id=lease.project_id,
            agent_id=task.agent_id,
            session_id=lease.session_id,
            run_id=lease.run_id,
            task_id=task.id,
            run_epoch=lease.epoch,
            attempt=task.attempt,
            instruction=task.instruction,
            history=_history(assignment.history),
            inputs=_inputs(assignment.results),
            interaction_type=_INTERACTIONS[lease.mode],
            request=assignment.request,
            state=assignment.state,
            answers=map(_answer, assignment.answers),
            approved_tools=assignment.approved_tools,
            unattended=assignment.unattended,
        )
        call = self._stub.Execute(request, metadata=self._peers.metadata(lease.user_id, None))
        async with _closing(call):
            async for response in call:
                yield _happening(response, task)

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        asked = planning_pb.ProposePlanRequest(
            project_id=lease.project_id, request=request, history=_history(history), max_tasks=max_tasks
        )
        if rejected is not None:
            asked.rejected.text = rejected.text[:LONGEST_REJECTED]
            asked.rejected.problems.extend(problem.detail for problem in rejected.problems)
        # Without a deadline: how long a model may be silent the agents service knows.
        call = self._planning.ProposePlan(asked, metadata=self._peers.metadata(lease.user_id, None))
        async with _closing(call):
            response = await call
        agents = tuple(map(_plannable, response.agents))
        return Proposal(response.text, agents, _usage(response.usage), _policy(response.plan_approval))

    async def choose(self, lease: Lease, request: str) -> Choice:
        asked = planning_pb.ChooseAgentRequest(project_id=lease.project_id, request=request)
        call = self._planning.ChooseAgent(
            asked, timeout=_CHOOSE_SECONDS, metadata=self._peers.metadata(lease.user_id, _CHOOSE_SECONDS)
        )
        async with _closing(call):
            response = await call
        return Choice(_plannable(response.agent), _policy(response.plan_approval))

    async def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        asked = planning_pb.CombineResultsRequest(
            project_id=lease.project_id,
            request=request,
            history=_history(history),
            results=_inputs(results),
            failed=[planning_pb.FailedPart(title=title, detail=failure.detail) for title, failure in failed],
        )
        call = self._planning.CombineResults(asked, metadata=self._peers.metadata(lease.user_id, None))
        async with _closing(call):
            async for response in call:
                yield _said(response)


@asynccontextmanager
async def _closing(call: grpc.aio.Call) -> AsyncIterator[None]:
    """Cancel the call with the block: that reaches the model's connection. Raise its errors as ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _agents_error(error) from None
    finally:
        # Some versions of grpc do not cancel a call that is merely abandoned.
        call.cancel()


def _history(messages: Sequence[Message]) -> list[pb.HistoryMessage]:
    return [pb.HistoryMessage(role=message.role, content=message.content) for message in messages]


def _inputs(results: Sequence[Result]) -> list[pb.TaskInput]:
    return [pb.TaskInput(task_id=each.task_id, title=each.title, output=each.output) for each in results]


def _plannable(agent: planning_pb.PlannableAgent) -> PlannableAgent:
    values = plain(agent)
    return PlannableAgent(agent.id, agent.name, agent.max_tokens, tuple(values["risks"]))


def _policy(approval: tool_pb2.PlanApproval) -> PlanPolicy:
    """Of a service that knows no policies yet, one that never asks."""
    values = plain(approval)
    return PlanPolicy(values["mode"] or "never", values["max_tasks"], values["max_tokens"], tuple(values["risks"]))


def _usage(usage: usage_pb2.Usage) -> Usage:
    return Usage(usage.prompt_tokens, usage.completion_tokens, usage.model_calls)


def _said(response: pb.ExecuteResponse | planning_pb.CombineResultsResponse) -> Delta | ModelCalled | Completed:
    """What a model says, whoever asked it."""
    match response.WhichOneof("event"):
        case "delta":
            return Delta(response.delta.offset, response.delta.text)
        case "model_called":
            return ModelCalled(response.model_called.prompt_tokens)
        case "completed":
            return Completed(response.completed.output, _usage(response.completed.usage))
        case unknown:
            raise AgentsUnreachable(f"the agents service said something unknown: {unknown}")


def _happening(response: pb.ExecuteResponse, task: Task) -> Happening:
    agent = {"agent_id": task.agent_id, "task_id": task.id}
    match response.WhichOneof("event"):
        case "working":
            return Progress("agent_working", {**agent, "agent_name": task.agent_name, **plain(response.working)})
        case "context":
            return Progress("context_retrieved", {**agent, **plain(response.context)})
        case "status_changed":
            return Progress("agent_status_changed", {"agent_id": task.agent_id, **plain(response.status_changed)})
        case "tool_started":
            return ToolEvent("tool_started", {**agent, **plain(response.tool_started)})
        case "tool_completed":
            return ToolEvent("tool_completed", {**agent, **plain(response.tool_completed)})
        case "paused":
            return _paused(response.paused)
        case _:
            return _said(response)


def _paused(paused: pb.ExecutionPaused) -> Paused:
    wanted, consultations = [], []
    for call in paused.calls:
        if call.WhichOneof("wanted") == "consultation":
            consultations.append(Consultation(call.call_id, call.consultation.agent, call.consultation.question))
        else:
            approval = plain(call.approval)
            asked = {"tool": call.tool, "risk": approval["risk"], "arguments": json_object(call.arguments)}
            wanted.append(Wanted(call.call_id, {**asked, "warnings": approval["warnings"]}, approval["parameters"]))
    return Paused(paused.state, tuple(wanted), tuple(consultations), _usage(paused.usage))


def _answer(answer: Answer) -> pb.CallAnswer:
    result = pb.CallAnswer(call=answer.call_id)
    match answer.kind:
        case "approved":
            result.approved.SetInParent()
            if answer.arguments is not None:
                result.approved.arguments.update(answer.arguments)
                result.approved.arguments.SetInParent()
        case "done":
            result.done.CopyFrom(pb.CallDone(success=answer.success, output=answer.detail))
        case "refused":
            result.refused.detail = answer.detail
    return result


def _agents_error(error: grpc.aio.AioRpcError) -> CodelabError:
    """The service's own errors as they are; as AgentsUnreachable what the transport says, or its database."""
    decoded = from_rpc_error(error, "agents")
    if decoded.reason in _PASSING:
        return AgentsUnreachable(decoded.detail, retry_after=decoded.retry_after)
    return decoded
