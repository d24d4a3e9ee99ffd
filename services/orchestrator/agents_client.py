"""The agents service over gRPC."""

from collections.abc import AsyncGenerator

import grpc
from codelab.agents.v1 import execution_service_pb2 as pb
from codelab.agents.v1.execution_service_pb2_grpc import ExecutionServiceStub
from codelab.agents.v1.memory_pb2 import InteractionType

from services.orchestrator.model import Agent, Lease, Message, Usage
from services.orchestrator.ports import AgentsUnreachable, Completed, Delta, Progress
from services.runtime.channels import Peers
from services.runtime.database import DatabaseUnavailable
from services.runtime.errors import CodelabError, DeadlineExceeded, Unavailable
from services.runtime.messages import plain
from services.runtime.status import from_rpc_error

# What another attempt may not meet again. A model that is out of reach was tried again already, where it was called.
_PASSING = (
    *(Unavailable.reason, DeadlineExceeded.reason, DatabaseUnavailable.reason),
    *("AGENT_QUEUE_UNAVAILABLE", "SLOT_LOST"),
)


class AgentsClient:
    """`Agents` by the service's ExecutionService."""

    def __init__(self, peers: Peers) -> None:
        service = pb.DESCRIPTOR.services_by_name["ExecutionService"]
        self._peers = peers
        self._stub = ExecutionServiceStub(peers.channel("agents", service))

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        request = pb.ResolveAgentRequest(project_id=project_id, target=target)
        try:
            response = await self._stub.ResolveAgent(
                request, timeout=timeout, metadata=self._peers.metadata(user_id, timeout)
            )
        except grpc.aio.AioRpcError as error:
            raise _agents_error(error) from None
        return Agent(response.agent.id, response.agent.name)

    async def execute(self, lease: Lease, history: list[Message]) -> AsyncGenerator[Progress | Delta | Completed, None]:
        task = lease.task
        request = pb.ExecuteRequest(
            project_id=lease.project_id,
            agent_id=task.agent_id,
            session_id=lease.session_id,
            run_id=lease.run_id,
            task_id=task.id,
            run_epoch=lease.epoch,
            attempt=task.attempt,
            instruction=task.instruction,
            history=[pb.HistoryMessage(role=message.role, content=message.content) for message in history],
            interaction_type=InteractionType.INTERACTION_TYPE_DIRECT_CALL,
        )
        call = self._stub.Execute(request, metadata=self._peers.metadata(lease.user_id, None))
        try:
            async for response in call:
                if not response.HasField("model_called"):
                    yield _happening(response, lease)
        except grpc.aio.AioRpcError as error:
            raise _agents_error(error) from None
        finally:
            # Reaches the model's connection. Some versions of grpc do not cancel a call that is merely abandoned.
            call.cancel()


def _happening(response: pb.ExecuteResponse, lease: Lease) -> Progress | Delta | Completed:
    task = lease.task
    match response.WhichOneof("event"):
        case "delta":
            return Delta(response.delta.offset, response.delta.text)
        case "completed":
            usage = response.completed.usage
            return Completed(
                response.completed.output, Usage(usage.prompt_tokens, usage.completion_tokens, usage.model_calls)
            )
        case "working":
            agent = {"agent_id": task.agent_id, "agent_name": task.agent_name, "task_id": task.id}
            return Progress("agent_working", {**agent, **plain(response.working)})
        case "context":
            found = {"agent_id": task.agent_id, "task_id": task.id, **plain(response.context)}
            return Progress("context_retrieved", found)
        case "status_changed":
            return Progress("agent_status_changed", {"agent_id": task.agent_id, **plain(response.status_changed)})
        case unknown:
            raise AgentsUnreachable(f"the agents service said something unknown: {unknown}")


def _agents_error(error: grpc.aio.AioRpcError) -> CodelabError:
    """The service's own errors as they are; as AgentsUnreachable what the transport says, or its database."""
    decoded = from_rpc_error(error, "agents")
    if decoded.reason in _PASSING:
        return AgentsUnreachable(decoded.detail, retry_after=decoded.retry_after)
    return decoded
