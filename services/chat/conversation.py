"""A conversation with one agent of one project, over gRPC."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Self, TypeVar

import grpc
from codelab.agents.v1.agent_pb2 import Agent
from codelab.agents.v1.agent_service_pb2 import ListAgentsRequest
from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalScope
from codelab.orchestrator.v1.approval_service_pb2 import ApproveRequest, ListApprovalsRequest, RejectRequest
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.orchestrator.v1.message_pb2 import Message
from codelab.orchestrator.v1.run_pb2 import Run
from codelab.orchestrator.v1.run_service_pb2 import CancelRunRequest, CreateRunRequest, GetRunRequest
from codelab.orchestrator.v1.session_pb2 import Session
from codelab.orchestrator.v1.session_service_pb2 import (
    CreateSessionRequest,
    GetSessionRequest,
    ListMessagesRequest,
    ListSessionsRequest,
)
from codelab.projects.v1.project_pb2 import Project
from codelab.projects.v1.project_service_pb2 import CreateProjectRequest, ListProjectsRequest

from codelab_client import ApiError, Client
from services.terminal import one_line

PROJECT, AGENT = "Chat", "CodeAssistant"
_PAGE = 200
_TITLE_CELLS = 60
# A suite that is started again is back within this time, also where it takes long.
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0)

Answered = TypeVar("Answered")


class NoSuchThing(Exception):
    """What was named is not there. The text says what is."""


class Conversation:
    """Whom one talks to, and where. A session is made by the first message: who says nothing leaves none behind."""

    def __init__(self, client: Client, project: Project, agents: Sequence[Agent], agent: Agent) -> None:
        self.client = client
        self.project = project
        self.agents = agents
        self.agent = agent
        self.session: Session | None = None

    @classmethod
    async def open(cls, client: Client, project: str | None, agent: str | None, session: str | None) -> Self:
        """Find the project, by default the one for chats, which is made; its agent, and the session if one is named.

        Raise NoSuchThing or ApiError.
        """
        found = await _project(client, project)
        agents = await _agents(client, found.id)
        opened = cls(client, found, agents, _agent(agents, agent or AGENT))
        if session is not None:
            await opened.go_to(session)
        return opened

    async def choose(self, name: str) -> None:
        """Talk to another agent from now on. Raise NoSuchThing."""
        self.agents = await _agents(self.client, self.project.id)
        self.agent = _agent(self.agents, name)

    def begin_anew(self) -> None:
        """Leave the session; the next message begins another."""
        self.session = None

    async def go_to(self, session_id: str) -> None:
        """Go on in a session. Raise ApiError."""
        request = GetSessionRequest(project_id=self.project.id, session_id=session_id)
        self.session = (await self.client.sessions.GetSession(request)).session

    async def send(self, text: str) -> Run:
        """Send a message to the agent. Raise ApiError."""
        if self.session is None:
            request = CreateSessionRequest(project_id=self.project.id, request_id=str(uuid.uuid4()))
            if title := one_line(text, _TITLE_CELLS):
                request.session.title = title
            self.session = (await _persistently(lambda: self.client.sessions.CreateSession(request))).session
        message = CreateRunRequest(
            project_id=self.project.id,
            session_id=self.session.id,
            content=text,
            target_agent=self.agent.id,
            request_id=str(uuid.uuid4()),
        )
        return (await _persistently(lambda: self.client.runs.CreateRun(message))).run

    def watch(self, run: Run, on_wait: Callable[[ApiError, float], None]) -> AsyncGenerator[Event, None]:
        """The run's events from its beginning to its end, whatever happens to the connection. Raise ApiError.

        `on_wait` is that of Client.subscribe.
        """
        after = run.last_event_id if run.HasField("last_event_id") else "start"
        return self.client.subscribe(self.project.id, run.session_id, after=after, run_id=run.id, on_wait=on_wait)

    async def run(self, run_id: str) -> Run:
        """The run as it is now, asked for until the suite is back. Raise ApiError."""
        request = GetRunRequest(project_id=self.project.id, run_id=run_id)
        return (await _persistently(lambda: self.client.runs.GetRun(request))).run

    async def cancel(self, run: Run) -> Run:
        """Stop the run. Raise ApiError."""
        request = CancelRunRequest(project_id=self.project.id, run_id=run.id)
        return (await self.client.runs.CancelRun(request, timeout=10)).run

    async def approvals(self, most: int) -> Sequence[Approval]:
        """What waits in the project for a decision, the latest of it, oldest first. Raise ApiError."""
        request = ListApprovalsRequest(project_id=self.project.id, page_size=most)
        return (await self.client.approvals.ListApprovals(request)).approvals[::-1]

    async def approve(self, approval: Approval, for_run: bool) -> None:
        """Say yes, to every later call of the tool in the run too where `for_run`. Raise ApiError."""
        scope = ApprovalScope.APPROVAL_SCOPE_RUN if for_run else ApprovalScope.APPROVAL_SCOPE_ONCE
        request = ApproveRequest(project_id=self.project.id, approval_id=approval.id, scope=scope)
        await _persistently(lambda: self.client.approvals.Approve(request))

    async def reject(self, approval: Approval, reason: str) -> None:
        """Say no, and why if there is a reason. Raise ApiError."""
        request = RejectRequest(project_id=self.project.id, approval_id=approval.id, reason=reason or None)
        await _persistently(lambda: self.client.approvals.Reject(request))

    async def answer_to(self, run: Run) -> str:
        """The stored answer of a run that is over, as `run` asks; empty if it has none. Raise ApiError."""
        messages = await _persistently(lambda: self.messages(_PAGE, run.session_id))
        found = [each for each in messages if each.id == run.message_id]
        return found[0].content if found else ""

    async def messages(self, most: int, session_id: str = "") -> Sequence[Message]:
        """The latest messages of the session, oldest first; none where there is no session yet. Raise ApiError."""
        session_id = session_id or (self.session.id if self.session else "")
        if not session_id:
            return []
        request = ListMessagesRequest(project_id=self.project.id, session_id=session_id, page_size=most)
        return (await self.client.sessions.ListMessages(request)).messages

    async def sessions(self, most: int) -> Sequence[Session]:
        """The project's sessions, newest first. Raise ApiError."""
        request = ListSessionsRequest(project_id=self.project.id, page_size=most)
        return (await self.client.sessions.ListSessions(request)).sessions


def said(error: ApiError) -> str:
    """What went wrong, for people; without gRPC's words on connections."""
    return "the suite cannot be reached: does it still run?" if is_transport(error) else error.detail


def is_transport(error: ApiError) -> bool:
    """Whether nobody answered, rather than a service with a reason."""
    passing = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return error.reason is None and error.code in passing


async def _persistently(call: Callable[[], Awaitable[Answered]]) -> Answered:
    """Make a call that may be repeated, as one with a request id, until somebody answers, for a quarter of a minute."""
    for pause in _PAUSES_SECONDS:
        try:
            return await call()
        except ApiError as error:
            if not is_transport(error):
                raise
        await asyncio.sleep(pause)
    return await call()


async def _project(client: Client, name: str | None) -> Project:
    wanted, token, names = name or PROJECT, "", []
    while True:
        page = await client.projects.ListProjects(ListProjectsRequest(page_size=_PAGE, page_token=token))
        for project in page.projects:
            if wanted in (project.name, project.id):
                return project
            names.append(project.name)
        token = page.next_page_token
        if not token:
            break
    if name is not None:
        raise NoSuchThing(f"there is no project {name}{_instead(names)}")
    # Two chats that start at once find one project, not two.
    request = CreateProjectRequest(project=Project(name=PROJECT), request_id=f"codelab-chat-{PROJECT}")
    try:
        return (await client.projects.CreateProject(request)).project
    except ApiError as error:
        if error.reason != "PROJECT_NOT_FOUND":
            raise
        # The one that the key made was deleted since.
        request.request_id = str(uuid.uuid4())
        return (await client.projects.CreateProject(request)).project


async def _agents(client: Client, project_id: str) -> Sequence[Agent]:
    found: list[Agent] = []
    token = ""
    while True:
        request = ListAgentsRequest(project_id=project_id, page_size=_PAGE, page_token=token)
        page = await client.agents.ListAgents(request)
        found += page.agents
        token = page.next_page_token
        if not token:
            return found


def _agent(agents: Sequence[Agent], name: str) -> Agent:
    """The agent of that name or id; of that name in another case, if there is only one."""
    exact = [each for each in agents if name in (each.name, each.id)]
    alike = exact or [each for each in agents if each.name.casefold() == name.casefold()]
    if len(alike) != 1:
        raise NoSuchThing(f"there is no agent {name}{_instead([each.name for each in agents])}")
    return alike[0]


def _instead(names: Sequence[str]) -> str:
    return f": there is {', '.join(names[:20])}" if names else ""
