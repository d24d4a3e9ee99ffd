"""The services of CodeLab for other services: their stubs, and a session's events across broken connections."""

from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Self, cast

import grpc
from codelab.agents.v1 import agent_service_pb2, memory_service_pb2, tool_service_pb2
from codelab.agents.v1.agent_service_pb2_grpc import AgentServiceStub
from codelab.agents.v1.memory_service_pb2_grpc import MemoryServiceStub
from codelab.agents.v1.tool_service_pb2_grpc import ToolServiceStub
from codelab.orchestrator.v1 import approval_service_pb2, run_service_pb2, session_service_pb2
from codelab.orchestrator.v1.approval_service_pb2_grpc import ApprovalServiceStub
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.orchestrator.v1.run_service_pb2_grpc import RunServiceStub
from codelab.orchestrator.v1.session_service_pb2_grpc import SessionServiceStub
from codelab.projects.v1 import project_service_pb2
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub
from codelab.streams.v1 import event_service_pb2
from codelab.streams.v1.event_service_pb2 import SubscribeRequest
from codelab.streams.v1.event_service_pb2_grpc import EventServiceStub

from codelab_client.calls import SignedChannel
from codelab_client.channel import connect
from codelab_client.subscription import OnWait, events_of
from codelab_client.tokens import Token, TokenSource

_CONTRACTS = (
    project_service_pb2.DESCRIPTOR,
    agent_service_pb2.DESCRIPTOR,
    memory_service_pb2.DESCRIPTOR,
    tool_service_pb2.DESCRIPTOR,
    session_service_pb2.DESCRIPTOR,
    run_service_pb2.DESCRIPTOR,
    approval_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
)


class Client:
    """The public RPCs of every service, called with one caller's token.

        async with Client("127.0.0.1:9101,127.0.0.1:9102,127.0.0.1:9103,127.0.0.1:9104", token=token) as client:
            created = await client.projects.CreateProject(CreateProjectRequest(project=Project(name="Lab")))

    `backends` is what CODELAB_BACKENDS is: `host:port` of projects, agents, orchestrator and streams, separated by
    commas; or one address behind which all of them are. `token` is a token, or a function, async or not, that gets one.

    Calls are awaited, streams iterated, and both raise ApiError. A call without a `timeout` has a deadline of 30 s if
    it only reads or is idempotent, else of 130 s; streams have none. What is safe to repeat is repeated while its
    service cannot be reached, and once when the token was refused and there may be another. Metadata with an
    `authorization` of its own goes before the token.
    """

    projects: ProjectServiceStub
    agents: AgentServiceStub
    memories: MemoryServiceStub
    tools: ToolServiceStub
    sessions: SessionServiceStub
    runs: RunServiceStub
    approvals: ApprovalServiceStub
    events: EventServiceStub

    def __init__(self, backends: str, *, token: Token) -> None:
        addresses = [each.strip() for each in backends.split(",") if each.strip()]
        if len(addresses) not in (1, 4):
            raise ValueError(
                "backends must be the addresses of projects, agents, orchestrator and streams, or one for all"
            )
        tokens = TokenSource(token)
        services = [service for file in _CONTRACTS for service in file.services_by_name.values()]
        self._channels = [SignedChannel(connect(address, services), tokens) for address in addresses]
        # Stubs ask a channel for nothing but how to call a method.
        signed = cast("list[grpc.aio.Channel]", self._channels)
        projects, agents, orchestrator, streams = signed * (4 // len(addresses))
        self.projects = ProjectServiceStub(projects)
        self.agents = AgentServiceStub(agents)
        self.memories = MemoryServiceStub(agents)
        self.tools = ToolServiceStub(agents)
        self.sessions = SessionServiceStub(orchestrator)
        self.runs = RunServiceStub(orchestrator)
        self.approvals = ApprovalServiceStub(orchestrator)
        self.events = EventServiceStub(streams)

    def subscribe(
        self,
        project_id: str,
        session_id: str,
        *,
        after: str | None = None,
        run_id: str | None = None,
        types: Iterable[str] = (),
        on_wait: OnWait | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The session's events, each once and in order, across as many connections as it takes.

        `after`, `run_id` and `types` are those of SubscribeRequest. Reconnects for as long as it is iterated, ever more
        slowly while nobody answers, and with a fresh token when the old one has expired. Heartbeats are left out;
        `resync_required` says that events were lost: reload messages and runs, the next events follow those. Ends with
        a `stream_ended` that is not resumable. Raise ApiError for what trying again does not mend.

        `on_wait` is called whenever a service refuses for now, with the error and the seconds until it is asked again:
        as long as the error's `retry_after` at least. What it raises ends the iteration, so that it can give up where
        its user has to do something first, as with TOO_MANY_STREAMS. Without it, a limit that is reached is a warning
        of the logger `codelab_client`.

        Who leaves early closes it: `async with contextlib.aclosing(client.subscribe(…)) as events:`.
        """
        request = SubscribeRequest(project_id=project_id, session_id=session_id, run_id=run_id, type=types, after=after)
        return events_of(self.events, request, on_wait)

    async def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
