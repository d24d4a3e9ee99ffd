"""The services that keep parts of a project, over gRPC."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog
from codelab.agents.v1 import worker_space_service_pb2 as worker_spaces
from codelab.agents.v1.worker_space_service_pb2_grpc import WorkerSpaceServiceStub
from codelab.orchestrator.v1 import lifecycle_service_pb2 as lifecycle
from codelab.orchestrator.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub

from codelab_client.errors import ApiError
from services.projects.errors import PartFailed, ProjectRolledBack
from services.runtime.channels import Peers
from services.runtime.status import from_rpc_error

log = structlog.get_logger()


class OrchestratorPart:
    """Sessions, messages and runs: the orchestrator has to admit a project before it takes them."""

    service = "orchestrator"

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._stub = LifecycleServiceStub(
            peers.channel(self.service, lifecycle.DESCRIPTOR.services_by_name["LifecycleService"])
        )

    async def make(self, user_id: str, project_id: str, timeout: float) -> None:
        """See ProjectPart."""
        with _failures_of(self.service, project_id):
            await self._stub.AdmitProject(
                lifecycle.AdmitProjectRequest(project_id=project_id),
                timeout=timeout,
                metadata=self._peers.metadata(user_id, timeout),
            )

    async def remove(self, user_id: str, project_id: str, timeout: float) -> None:
        """See ProjectPart."""
        with _failures_of(self.service, project_id):
            await self._stub.DeleteProject(
                lifecycle.DeleteProjectRequest(project_id=project_id),
                timeout=timeout,
                metadata=self._peers.metadata(user_id, timeout),
            )


class AgentsPart:
    """Agents and their memories: a worker space, which begins with the starter pack."""

    service = "agents"

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._stub = WorkerSpaceServiceStub(
            peers.channel(self.service, worker_spaces.DESCRIPTOR.services_by_name["WorkerSpaceService"])
        )

    async def make(self, user_id: str, project_id: str, timeout: float) -> None:
        """See ProjectPart."""
        with _failures_of(self.service, project_id):
            await self._stub.CreateWorkerSpace(
                worker_spaces.CreateWorkerSpaceRequest(project_id=project_id),
                timeout=timeout,
                metadata=self._peers.metadata(user_id, timeout),
            )

    async def remove(self, user_id: str, project_id: str, timeout: float) -> None:
        """See ProjectPart."""
        with _failures_of(self.service, project_id):
            await self._stub.DeleteWorkerSpace(
                worker_spaces.DeleteWorkerSpaceRequest(project_id=project_id),
                timeout=timeout,
                metadata=self._peers.metadata(user_id, timeout),
            )


@contextmanager
def _failures_of(service: str, project_id: str) -> Iterator[None]:
    """Raise what a failed call means to the user, who asked for a project and knows of no service behind it."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        answer = ApiError.of(error)
        if answer.reason == "PROJECT_DELETED":
            raise ProjectRolledBack(project_id) from error
        if answer.reason is None and answer.code in _TRANSPORT:
            raise from_rpc_error(error, service) from error
        # Their UNAUTHENTICATED is about our token, their INVALID_ARGUMENT about our request: neither is the user's.
        log.error("part failed", service=service, code=answer.code.name, reason=answer.reason, detail=answer.detail)
        raise PartFailed(service) from error


_TRANSPORT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
