"""`SessionDirectory` by asking the orchestrator, the one call that goes up."""

import grpc
from codelab.orchestrator.v1 import session_service_pb2, session_service_pb2_grpc

from services.runtime.auth import current_caller
from services.runtime.channels import Peers, callers_metadata
from services.runtime.status import from_rpc_error
from services.streams.errors import SessionsUnknown
from services.streams.store import SessionKey

TIMEOUT_SECONDS = 5.0


class OrchestratorSessions:
    """Asks in the caller's name: what they may not see, the orchestrator does not show."""

    def __init__(self, peers: Peers) -> None:
        service = session_service_pb2.DESCRIPTOR.services_by_name["SessionService"]
        self._peers = peers
        self._stub = session_service_pb2_grpc.SessionServiceStub(peers.channel("orchestrator", service))

    async def has(self, session: SessionKey) -> bool:
        request = session_service_pb2.GetSessionRequest(project_id=session.project_id, session_id=session.session_id)
        try:
            await self._stub.GetSession(request, timeout=TIMEOUT_SECONDS, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.NOT_FOUND:
                    return False
                case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise SessionsUnknown from None
                case _:
                    raise from_rpc_error(error, "orchestrator") from None
        return True

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        caller = current_caller()
        # A ticket opens nothing at the orchestrator.
        return self._peers.metadata(caller.user_id, TIMEOUT_SECONDS) if caller.token is None else callers_metadata()
