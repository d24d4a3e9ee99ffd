"""A service's server as its clients, operators and load balancers meet it: over a real socket."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from codelab.agents.v1 import worker_space_service_pb2 as worker_spaces
from codelab.agents.v1 import worker_space_service_pb2_grpc as worker_spaces_grpc
from codelab.projects.v1 import project_pb2
from codelab.projects.v1 import project_service_pb2 as pb
from codelab.projects.v1 import project_service_pb2_grpc as pb_grpc
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from codelab_client import ApiError, connect
from services.runtime.auth import Keys, TokenMinter, TokenVerifier, current_caller
from services.runtime.channels import Peers, callers_metadata
from services.runtime.database import DatabaseUnavailable
from services.runtime.errors import CodelabError, InvalidArgument, NotFound, ResourceExhausted, StartupError
from services.runtime.ids import new_id
from services.runtime.server import ServiceServer
from services.runtime.settings import Settings
from services.runtime.telemetry import current_traceparent
from tests.e2e.polling import eventually
from tests.e2e.ports import free_ports

USER = new_id()
PROJECTS = "codelab.projects.v1.ProjectService"
WORKER_SPACES = "codelab.agents.v1.WorkerSpaceService"
CALLS = 40
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


class Servicer(pb_grpc.ProjectServiceServicer):
    """GetProject does what a test says; the other methods are not there."""

    def __init__(self) -> None:
        self.does: Callable[[], Awaitable[None]] = self.nothing
        self.began = asyncio.Event()
        self.peers: list[str] = []

    async def nothing(self) -> None: ...

    async def GetProject(self, request: pb.GetProjectRequest, context: Any) -> pb.GetProjectResponse:
        self.began.set()
        await self.does()
        return pb.GetProjectResponse(project=project_pb2.Project(user_id=current_caller().user_id))

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Any) -> pb.CreateProjectResponse:
        self.peers.append(context.peer())
        return pb.CreateProjectResponse()


class Spaces(worker_spaces_grpc.WorkerSpaceServiceServicer):
    async def CreateWorkerSpace(self, request: Any, context: Any) -> worker_spaces.CreateWorkerSpaceResponse:
        return worker_spaces.CreateWorkerSpaceResponse()


class Running:
    """A server, its servicer, and calls to it."""

    def __init__(
        self, server: ServiceServer, servicer: Servicer, channel: grpc.aio.Channel, settings: Settings
    ) -> None:
        self.server = server
        self.servicer = servicer
        self.channel = channel
        self.settings = settings
        self.minter = TokenMinter(Keys.of(settings))
        self.projects = pb_grpc.ProjectServiceStub(channel)

    def metadata(self, **more: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.minter.user_token(USER, 60)}"), *more.items())

    async def get(self, project_id: str = "p", **metadata: str) -> project_pb2.Project:
        """Raise ApiError."""
        try:
            request = pb.GetProjectRequest(project_id=project_id)
            return (await self.projects.GetProject(request, timeout=30, metadata=self.metadata(**metadata))).project
        except grpc.aio.AioRpcError as error:
            raise ApiError.of(error) from error

    async def fails_with(self, error: BaseException) -> ApiError:
        async def fail() -> None:
            raise error

        self.servicer.does = fail
        with pytest.raises(ApiError) as caught:
            await self.get()
        return caught.value


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[Running]:
    port = str(free_ports())
    settings = Settings.load(
        {"CODELAB_DATA_DIR": str(folder), "CODELAB_GRPC_PORT_BASE": port, "CODELAB_DRAIN_SECONDS": "0.3", **environ}
    )
    server = ServiceServer("projects", settings, TokenVerifier(Keys.of(settings)))
    servicer = Servicer()
    server.add(pb_grpc.add_ProjectServiceServicer_to_server, servicer, pb.DESCRIPTOR.services_by_name["ProjectService"])
    server.add(
        worker_spaces_grpc.add_WorkerSpaceServiceServicer_to_server,
        Spaces(),
        worker_spaces.DESCRIPTOR.services_by_name["WorkerSpaceService"],
    )
    await server.start()
    try:
        async with connect(settings.listen_address("projects")) as channel:
            yield Running(server, servicer, channel, settings)
    finally:
        await server.stop()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as running:
        yield running


# Health


@pytest.mark.parametrize("service", ["", PROJECTS, WORKER_SPACES])
async def test_health_is_told_per_service_without_a_token(running: Running, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_found(running: Running) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="x"), timeout=30)
    assert caught.value.code() is StatusCode.NOT_FOUND


# Calls


async def test_busy_server_takes_many_calls_in_one_turn_of_its_loop(running: Running) -> None:
    """gRPC's own takes one or two in five turns, however many there are. All of them in one turn is what is seen."""
    begun, turn = Counter[int](), 0

    async def begin() -> None:
        begun[turn] += 1

    async def keep_busy() -> None:
        nonlocal turn
        while True:
            turn += 1
            time.sleep(0.01)  # noqa: ASYNC251 - so busy that calls come faster than turns
            await asyncio.sleep(0)

    running.servicer.does = begin
    await running.get()
    begun.clear()
    busy = asyncio.create_task(keep_busy())
    try:
        await asyncio.gather(*(running.get() for _ in range(CALLS)))
    finally:
        busy.cancel()
    assert begun.total() == CALLS
    assert max(begun.values()) >= CALLS / 4


# Reflection


async def reflect(channel: grpc.aio.Channel, version: str, **question: str) -> Any:
    # As one question: whoever still writes when the call is refused may see gRPC's own error instead.
    call = channel.unary_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(reflection_pb2.ServerReflectionRequest(**question), timeout=30)
    try:
        return await call.read()
    finally:
        call.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes_without_a_token(running: Running, version: str) -> None:
    listed = await reflect(running.channel, version, list_services="")
    names = {each.name for each in listed.list_services_response.service}
    assert {PROJECTS, WORKER_SPACES, "grpc.health.v1.Health"} <= names
    assert {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"} <= names
    described = await reflect(running.channel, version, file_containing_symbol=PROJECTS)
    assert b"ProjectService" in described.file_descriptor_response.file_descriptor_proto[0]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_can_be_turned_off(tmp_path: Path, version: str) -> None:
    async with serving(tmp_path, CODELAB_REFLECTION="false") as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflect(running.channel, version, list_services="")
        assert caught.value.code() is StatusCode.UNIMPLEMENTED
        assert await running.get()


# Who may call what


async def test_call_without_a_token_is_refused_before_its_values_are_looked_at(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.projects.CreateProject(pb.CreateProjectRequest(), timeout=30)
    assert ApiError.of(caught.value).reason == "TOKEN_MISSING"


async def test_handler_knows_its_caller(running: Running) -> None:
    assert (await running.get()).user_id == USER


async def test_internal_call_takes_a_service_token_and_no_other(running: Running) -> None:
    stub = worker_spaces_grpc.WorkerSpaceServiceStub(running.channel)
    request = worker_spaces.CreateWorkerSpaceRequest(project_id=new_id())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CreateWorkerSpace(request, timeout=30, metadata=running.metadata())
    assert caught.value.code() is StatusCode.PERMISSION_DENIED
    peers = Peers("projects", running.settings, running.minter)
    assert await stub.CreateWorkerSpace(request, timeout=30, metadata=peers.metadata(USER, 5)) is not None
    answer = await running.projects.GetProject(
        pb.GetProjectRequest(project_id="p"), timeout=30, metadata=peers.metadata(USER, 5)
    )
    assert answer.project.user_id == USER


async def test_wrong_values_are_refused_before_the_handler(running: Running) -> None:
    with pytest.raises(ApiError) as caught:
        await running.get("")
    assert caught.value.violations == (("project_id", "is required"),)
    assert not running.servicer.began.is_set()


# Errors


class OutOfSeats(ResourceExhausted):
    reason = "OUT_OF_SEATS"


async def test_error_of_the_domain_is_answered_whole(running: Running) -> None:
    answer = await running.fails_with(OutOfSeats("no seat is free – sorry", retry_after=1.5, limit="3"))
    assert (answer.code, answer.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_SEATS")
    assert (answer.detail, answer.retry_after) == ("no seat is free – sorry", 1.5)
    assert answer.metadata == {"limit": "3"}


def every_error() -> list[type[CodelabError]]:
    return [each for each in CodelabError.__subclasses__() if each.__module__ == "services.runtime.errors"]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
async def test_every_kind_of_error_has_its_code(running: Running, kind: type[CodelabError]) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "InvalidArgument": (("name", "is odd"),),
        "InvalidPageToken": (),
        "MalformedMessage": (),
    }
    answer = await running.fails_with(kind(*arguments.get(kind.__name__, ("detail",))))
    assert (answer.code.name, answer.reason) == (kind.code, kind.reason)


@pytest.mark.parametrize("sent", [b"\xff", b"\x0a\x01\xff", b"\x0a\xff\xff\xff\xff\x0f"])
async def test_bytes_that_are_no_message_are_refused_by_reason(running: Running, sent: bytes) -> None:
    call: Any = running.channel.unary_unary(f"/{PROJECTS}/GetProject")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(sent, timeout=30, metadata=running.metadata())
    error = ApiError.of(caught.value)
    assert (error.code, error.reason) == (StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert not running.servicer.began.is_set()


async def test_nothing_is_parsed_for_those_without_a_token(running: Running) -> None:
    call: Any = running.channel.unary_unary(f"/{PROJECTS}/GetProject")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff", timeout=30)
    assert caught.value.code() is StatusCode.UNAUTHENTICATED


async def test_unforeseen_error_is_logged_with_its_trace_and_says_nothing(running: Running) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await running.fails_with(RuntimeError("password is hunter2"))
    assert (answer.code, answer.reason, answer.detail) == (StatusCode.INTERNAL, "INTERNAL", "internal error")
    [line] = [line for line in lines if line["event"] == "unforeseen error"]
    assert len(line["trace_id"]) == 32


async def test_cause_of_an_outage_is_in_the_log_and_not_in_the_answer(running: Running) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await running.fails_with(DatabaseUnavailable("deadlock detected"))
    assert (answer.reason, "deadlock" in answer.detail) == ("DATABASE_UNAVAILABLE", False)
    [line] = [line for line in lines if line.get("cause") == "deadlock detected"]
    assert (line["reason"], len(line["trace_id"])) == ("DATABASE_UNAVAILABLE", 32)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument(*((f"agent.config.tools[{n}]", "must have at least 1 character") for n in range(2000))),
        NotFound("x" * 100_000),
        NotFound("🦉" * 10_000),
        NotFound("lost", id="y" * 100_000),
        InvalidArgument(*(("update_mask", "🦉" * 1000) for _ in range(50))),
    ],
    ids=["violations", "detail", "owls", "metadata", "all"],
)
async def test_error_too_large_for_metadata_keeps_its_code_and_reason(running: Running, error: CodelabError) -> None:
    answer = await running.fails_with(error)
    assert (answer.code.name, answer.reason) == (error.code, error.reason)
    assert answer.detail
    assert answer.violations[:1] == error.violations[:1] or "…" in answer.violations[0][1]


async def test_method_that_is_not_there_is_unimplemented(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.projects.GetCurrentUser(pb.GetCurrentUserRequest(), timeout=30, metadata=running.metadata())
    assert caught.value.code() is StatusCode.UNIMPLEMENTED
    assert ApiError.of(caught.value).reason == "UNIMPLEMENTED"


# Telemetry


async def test_trace_of_the_caller_is_passed_on(running: Running) -> None:
    seen = []

    async def look() -> None:
        seen.append((current_traceparent(), dict(callers_metadata())["traceparent"]))

    running.servicer.does = look
    await running.get(traceparent=TRACE)
    assert seen == [(TRACE, TRACE)]


@pytest.mark.parametrize("sent", ["", "x", TRACE.replace("0123456789abcdef0123456789abcdef", "0" * 32), TRACE + "0"])
async def test_trace_begins_here_if_the_caller_has_no_good_one(running: Running, sent: str) -> None:
    seen = []

    async def look() -> None:
        seen.append(current_traceparent())

    running.servicer.does = look
    for _ in range(2):
        await running.get(traceparent=sent)
    assert len(set(seen)) == 2
    assert all(len(each) == 55 and each != sent for each in seen)


async def test_each_call_is_a_line_at_debug_level(running: Running) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await running.get(traceparent=TRACE)
        await running.fails_with(NotFound("lost"))
        # The caller of a call that fails may know before the server has written its line.
        await eventually(lambda: [line["event"] for line in lines].count("call served") == 2, what="the second line")
    served = [line for line in lines if line["event"] == "call served"]
    assert [(line["code"], line["log_level"]) for line in served] == [("OK", "debug"), ("NOT_FOUND", "debug")]
    assert served[0]["method"] == f"/{PROJECTS}/GetProject"
    assert served[0]["trace_id"] == TRACE[3:35] != served[1]["trace_id"]
    assert "Bearer" not in json.dumps(lines, default=str)


# Beginning and end


async def test_taken_port_is_one_line(running: Running) -> None:
    second = ServiceServer("projects", running.settings, TokenVerifier(Keys.of(running.settings)))
    with pytest.raises(StartupError) as caught:
        await second.start()
    assert running.settings.listen_address("projects") in str(caught.value)
    assert "CODELAB_GRPC_PORT_BASE" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_drain_reports_not_serving_and_lets_calls_finish(tmp_path: Path) -> None:
    async with serving(tmp_path, CODELAB_DRAIN_SECONDS="10") as running:
        finish = asyncio.Event()
        drained = asyncio.Event()

        async def wait() -> None:
            await finish.wait()

        async def drain() -> None:
            drained.set()

        running.servicer.does = wait
        running.server.on_drain(drain)
        watching = health_pb2_grpc.HealthStub(running.channel).Watch(
            health_pb2.HealthCheckRequest(service=PROJECTS), timeout=30
        )
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = asyncio.ensure_future(running.get())
        await running.servicer.began.wait()
        stopping = asyncio.ensure_future(running.server.stop())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await drained.wait()
        assert not stopping.done()
        watching.cancel()
        finish.set()
        assert (await call).user_id == USER
        # Not the whole drain time: nothing is left to wait for.
        await asyncio.wait_for(stopping, 5)


async def test_old_connection_carries_what_runs_to_its_end_and_new_calls_take_another(tmp_path: Path) -> None:
    async with serving(tmp_path, CODELAB_CONNECTION_SECONDS="1") as running:
        finish = asyncio.Event()

        async def wait() -> None:
            await finish.wait()

        running.servicer.does = wait
        watching = health_pb2_grpc.HealthStub(running.channel).Watch(
            health_pb2.HealthCheckRequest(service=PROJECTS), timeout=30
        )
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = asyncio.ensure_future(running.get())
        await running.servicer.began.wait()
        # Creating is no call that anybody repeats: not one may fail.
        request, peers = pb.CreateProjectRequest(project=project_pb2.Project(name="x")), running.servicer.peers
        async with asyncio.timeout(30):
            while len(set(peers)) < 2:
                await running.projects.CreateProject(request, metadata=running.metadata(), timeout=30)
                await asyncio.sleep(0.01)
        assert not call.done()
        finish.set()
        assert (await call).user_id == USER
        await running.server.report(serving=False)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watching.cancel()


async def test_call_that_outlives_the_drain_is_cut_off(running: Running) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    running.servicer.does = hang
    call = asyncio.ensure_future(running.get())
    await running.servicer.began.wait()
    await asyncio.wait_for(running.server.stop(), 5)
    with pytest.raises(ApiError) as caught:
        await call
    assert caught.value.code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
