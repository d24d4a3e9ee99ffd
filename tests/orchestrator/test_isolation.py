"""Whatever is somebody else's, or another project's, is answered like what does not exist: for every RPC."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from codelab.options.v1 import options_pb2
from codelab.orchestrator.v1 import lifecycle_service_pb2, run_service_pb2, session_service_pb2
from google.protobuf.message import Message

from services.runtime.ids import new_id
from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import Client, Stage, answers, decoded, rest

SERVICES = (
    session_service_pb2.DESCRIPTOR.services_by_name["SessionService"],
    run_service_pb2.DESCRIPTOR.services_by_name["RunService"],
    lifecycle_service_pb2.DESCRIPTOR.services_by_name["LifecycleService"],
)
METHODS = [
    (service.name, method.name)
    for service in SERVICES
    for method in service.methods
    if not method.GetOptions().Extensions[options_pb2.method].internal
]
PARENTS_ONLY = {"CreateSession", "ListSessions", "ListRuns"}
"""These name a project and nothing in it."""
STREAMING = {"StreamMessage"}


def request_of(service: str, method: str, project_id: str, session_id: str, run_id: str) -> Message:
    """The method's request with everything it asks for."""
    descriptor = next(each for each in SERVICES if each.name == service).methods_by_name[method].input_type
    module = run_service_pb2 if service == "RunService" else session_service_pb2
    ids = {"project_id": project_id, "session_id": session_id, "run_id": run_id}
    known = {**ids, "content": "Hi!", "target_agent": "CodeAssistant"}
    request: Message = getattr(module, descriptor.name)(
        **{name: value for name, value in known.items() if name in descriptor.fields_by_name}
    )
    if method == "UpdateSession":
        request.session.title = "Mine now"  # type: ignore[attr-defined]
        request.update_mask.paths.append("title")  # type: ignore[attr-defined]
    return request


async def call(client: Client, service: str, method: str, request: Message) -> Any:
    """Call as the client. Raise ApiError."""
    stub = client.runs if service == "RunService" else client.sessions
    started = getattr(stub, method)(request, metadata=client.metadata, timeout=10)
    if method not in STREAMING:
        return await decoded(started)

    async def read() -> list[Any]:
        return await rest(started)

    return await decoded(read())


@pytest.mark.parametrize("stranger", ["another user", "own other project"])
@pytest.mark.parametrize(("service", "method"), METHODS)
async def test_what_is_not_mine_is_missing(ann: Client, stage: Stage, service: str, method: str, stranger: str) -> None:
    stage.agents.script("Wait.", [HOLD])
    run = await ann.create("Wait.", request_id="k")
    await stage.agents.execution("Wait.")
    before = (
        stage.query("SELECT id, title, message_count, deleted FROM chat_sessions"),
        stage.query("SELECT id, state, epoch FROM runs"),
    )
    user_id = new_id() if stranger == "another user" else ann.user_id
    async with stage.client(user_id) as other:
        # The stranger's own project is fine; Ann's ids under it are not, nor is her project under their token.
        tried: list[Callable[[str, str], Message]] = [
            lambda session_id, run_id: request_of(service, method, other.project_id, session_id, run_id)
        ]
        if stranger == "another user":
            tried.append(lambda session_id, run_id: request_of(service, method, ann.project_id, session_id, run_id))
        for number, request in enumerate(tried):
            for session_id, run_id in ((ann.session_id, run.id), (new_id(), new_id())):
                if method in PARENTS_ONLY and number == 0:
                    if method == "ListRuns":
                        listed = await call(other, service, method, request(session_id, run_id))
                        assert (listed.total, list(listed.runs)) == (0, [])
                    continue
                reason = "RUN_NOT_FOUND" if "run_id" in request("", "").DESCRIPTOR.fields_by_name else None
                reason = reason or ("PROJECT_NOT_FOUND" if method in PARENTS_ONLY else "SESSION_NOT_FOUND")
                with answers(grpc.StatusCode.NOT_FOUND, reason):
                    await call(other, service, method, request(session_id, run_id))
        rows = stage.query(
            "SELECT id, title, message_count, deleted FROM chat_sessions WHERE id != ?", other.session_id
        )
        assert [row for row in rows if row in before[0]] == before[0]
        assert stage.query("SELECT id, state, epoch FROM runs") == before[1]


@pytest.mark.parametrize("method", ["AdmitProject", "DeleteProject"])
async def test_users_cannot_call_what_is_internal(ann: Client, method: str) -> None:
    request = getattr(lifecycle_service_pb2, f"{method}Request")(project_id=ann.project_id)
    with answers(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"):
        await decoded(getattr(ann.lifecycle, method)(request, metadata=ann.metadata, timeout=10))
    assert (await ann.send("Hi!")).content == "Echo: Hi!"


async def test_every_rpc_wants_a_token(ann: Client) -> None:
    for service, method in METHODS:
        stub: Any = ann.runs if service == "RunService" else ann.sessions
        started = getattr(stub, method)(request_of(service, method, "p", "s", "r"), timeout=10)
        with answers(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING"):
            await decoded(rest(started) if method in STREAMING else started)
