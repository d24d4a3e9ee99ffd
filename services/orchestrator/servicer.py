"""gRPC to use cases and back."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from codelab.orchestrator.v1 import (
    lifecycle_service_pb2,
    lifecycle_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
)

from services.orchestrator.leases import Accepted
from services.orchestrator.model import OnBusy, Owner, RunState
from services.orchestrator.run_events import RunEvents
from services.orchestrator.service import RunService, Send, SessionService
from services.orchestrator.wire import event_message, message_message, run_message, session_message
from services.runtime.auth import current_caller
from services.runtime.channels import timeout_within
from services.runtime.messages import enum_word
from services.runtime.pages import page_size
from services.runtime.validation import mask_paths

Context = grpc.aio.ServicerContext[Any, Any]
SendRequest = (
    run_service_pb2.SendMessageRequest | run_service_pb2.StreamMessageRequest | run_service_pb2.CreateRunRequest
)

_RESOLVE_TIMEOUT_SECONDS = 5.0
_FROM_THE_START = "start"


def _owner(project_id: str) -> Owner:
    return Owner(current_caller().user_id, project_id)


class LifecycleServicer(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    """What the projects service tells the orchestrator."""

    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions

    async def AdmitProject(
        self, request: lifecycle_service_pb2.AdmitProjectRequest, context: Context
    ) -> lifecycle_service_pb2.AdmitProjectResponse:
        await self._sessions.admit_project(_owner(request.project_id))
        return lifecycle_service_pb2.AdmitProjectResponse()

    async def DeleteProject(
        self, request: lifecycle_service_pb2.DeleteProjectRequest, context: Context
    ) -> lifecycle_service_pb2.DeleteProjectResponse:
        await self._sessions.delete_project(_owner(request.project_id))
        return lifecycle_service_pb2.DeleteProjectResponse()


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """Sessions and their messages."""

    def __init__(self, sessions: SessionService) -> None:
        self._sessions = sessions

    async def CreateSession(
        self, request: session_service_pb2.CreateSessionRequest, context: Context
    ) -> session_service_pb2.CreateSessionResponse:
        session = await self._sessions.create(
            _owner(request.project_id), _title(request.session), _optional(request, "request_id")
        )
        return session_service_pb2.CreateSessionResponse(session=session_message(session))

    async def GetSession(
        self, request: session_service_pb2.GetSessionRequest, context: Context
    ) -> session_service_pb2.GetSessionResponse:
        session = await self._sessions.get(_owner(request.project_id), request.session_id)
        return session_service_pb2.GetSessionResponse(session=session_message(session))

    async def ListSessions(
        self, request: session_service_pb2.ListSessionsRequest, context: Context
    ) -> session_service_pb2.ListSessionsResponse:
        page = await self._sessions.list(_owner(request.project_id), page_size(request.page_size), request.page_token)
        return session_service_pb2.ListSessionsResponse(
            sessions=[session_message(each) for each in page.elements],
            total=page.total,
            next_page_token=page.next_page_token,
        )

    async def UpdateSession(
        self, request: session_service_pb2.UpdateSessionRequest, context: Context
    ) -> session_service_pb2.UpdateSessionResponse:
        owner = _owner(request.project_id)
        if "title" in mask_paths(request.update_mask, session_pb2.Session.DESCRIPTOR):
            session = await self._sessions.rename(owner, request.session_id, _title(request.session))
        else:
            session = await self._sessions.get(owner, request.session_id)
        return session_service_pb2.UpdateSessionResponse(session=session_message(session))

    async def DeleteSession(
        self, request: session_service_pb2.DeleteSessionRequest, context: Context
    ) -> session_service_pb2.DeleteSessionResponse:
        await self._sessions.delete(_owner(request.project_id), request.session_id)
        return session_service_pb2.DeleteSessionResponse()

    async def ListMessages(
        self, request: session_service_pb2.ListMessagesRequest, context: Context
    ) -> session_service_pb2.ListMessagesResponse:
        page = await self._sessions.list_messages(
            _owner(request.project_id), request.session_id, page_size(request.page_size), request.page_token
        )
        return session_service_pb2.ListMessagesResponse(
            messages=[message_message(each) for each in page.elements],
            total=page.total,
            next_page_token=page.next_page_token,
        )


class RunServicer(run_service_pb2_grpc.RunServiceServicer):
    """Messages and the runs they become."""

    def __init__(self, runs: RunService, events: RunEvents, send_deadline_seconds: float) -> None:
        self._runs = runs
        self._events = events
        self._send_deadline_seconds = send_deadline_seconds

    async def SendMessage(
        self, request: run_service_pb2.SendMessageRequest, context: Context
    ) -> run_service_pb2.SendMessageResponse:
        accepted = await self._send(request, context)
        # A little less than the caller waits, so that it hears which run goes on.
        seconds = timeout_within(context, self._send_deadline_seconds + 0.5) - 0.5
        message = await self._runs.answer(_owner(request.project_id), accepted, seconds)
        return run_service_pb2.SendMessageResponse(message=message_message(message))

    async def StreamMessage(
        self, request: run_service_pb2.StreamMessageRequest, context: Context
    ) -> AsyncIterator[run_service_pb2.StreamMessageResponse]:
        accepted = await self._send(request, context)
        events = self._events.of(_owner(request.project_id), accepted.run, request.after or _FROM_THE_START)
        async with aclosing(events):
            async for event in events:
                yield run_service_pb2.StreamMessageResponse(event=event)

    async def CreateRun(
        self, request: run_service_pb2.CreateRunRequest, context: Context
    ) -> run_service_pb2.CreateRunResponse:
        accepted = await self._send(request, context)
        return run_service_pb2.CreateRunResponse(run=run_message(accepted.run))

    async def GetRun(self, request: run_service_pb2.GetRunRequest, context: Context) -> run_service_pb2.GetRunResponse:
        run = await self._runs.get(_owner(request.project_id), request.run_id)
        return run_service_pb2.GetRunResponse(run=run_message(run))

    async def ListRuns(
        self, request: run_service_pb2.ListRunsRequest, context: Context
    ) -> run_service_pb2.ListRunsResponse:
        field = request.DESCRIPTOR.fields_by_name["state"]
        page = await self._runs.list(
            _owner(request.project_id),
            [RunState(enum_word(field, each)) for each in request.state],
            _optional(request, "session_id"),
            page_size(request.page_size),
            request.page_token,
        )
        return run_service_pb2.ListRunsResponse(
            runs=[run_message(each) for each in page.elements],
            total=page.total,
            next_page_token=page.next_page_token,
        )

    async def RetryRun(
        self, request: run_service_pb2.RetryRunRequest, context: Context
    ) -> run_service_pb2.RetryRunResponse:
        run = await self._runs.retry(
            _owner(request.project_id), request.run_id, _on_busy(request), _optional(request, "request_id")
        )
        return run_service_pb2.RetryRunResponse(run=run_message(run))

    async def CancelRun(
        self, request: run_service_pb2.CancelRunRequest, context: Context
    ) -> run_service_pb2.CancelRunResponse:
        run = await self._runs.cancel(_owner(request.project_id), request.run_id)
        return run_service_pb2.CancelRunResponse(run=run_message(run))

    async def ListRunEvents(
        self, request: run_service_pb2.ListRunEventsRequest, context: Context
    ) -> run_service_pb2.ListRunEventsResponse:
        owner = _owner(request.project_id)
        run = await self._runs.get(owner, request.run_id)
        page = await self._runs.list_events(owner, run.id, page_size(request.page_size), request.page_token)
        return run_service_pb2.ListRunEventsResponse(
            events=[event_message(each, run.session_id, run.id) for each in page.elements],
            total=page.total,
            next_page_token=page.next_page_token,
        )

    async def _send(self, request: SendRequest, context: Context) -> Accepted:
        send = Send(
            session_id=request.session_id,
            content=request.content,
            target_agent=_optional(request, "target_agent"),
            on_busy=_on_busy(request),
            request_id=_optional(request, "request_id"),
        )
        return await self._runs.send(
            _owner(request.project_id), send, timeout_within(context, _RESOLVE_TIMEOUT_SECONDS)
        )


def _optional(request: Any, field: str) -> str | None:
    return getattr(request, field) if request.HasField(field) else None


def _on_busy(request: SendRequest | run_service_pb2.RetryRunRequest) -> OnBusy:
    word = enum_word(request.DESCRIPTOR.fields_by_name["on_busy"], request.on_busy)
    return OnBusy(word) if request.on_busy else OnBusy.QUEUE


def _title(session: session_pb2.Session) -> str | None:
    return session.title if session.HasField("title") else None
