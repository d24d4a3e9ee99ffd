"""What a call of a client has without being told: a deadline, readable errors, patience while a service restarts."""

import asyncio

import grpc
import pytest
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.orchestrator.v1.run_service_pb2 import StreamMessageRequest
from codelab.projects.v1.project_service_pb2 import CreateProjectRequest, GetCurrentUserRequest
from codelab.streams.v1.event_service_pb2 import SubscribeRequest

from codelab_client import ApiError, Client
from services.runtime.errors import InvalidArgument, ResourceExhausted, Unavailable
from tests.client.conftest import Scripted


async def test_calls_have_deadlines_and_streams_none(scripted: Scripted) -> None:
    async with Client(scripted.address, token="t") as client:
        await client.projects.GetCurrentUser(GetCurrentUserRequest())
        await client.projects.CreateProject(CreateProjectRequest())
        await client.projects.CreateProject(CreateProjectRequest(), timeout=7)
        scripted.streams = [[], []]
        assert [_ async for _ in client.events.Subscribe(SubscribeRequest())] == []
    read, create, told, stream = scripted.deadlines
    assert stream is None
    assert [round(each or 0, -1) for each in (read, create, told)] == [30, 130, 10]


async def test_error_is_decoded(scripted: Scripted) -> None:
    scripted.failures = [InvalidArgument(("project.name", "is too long"), ("page_size", "is negative"))]
    async with Client(scripted.address, token="t") as client:
        with pytest.raises(ApiError) as caught:
            await client.projects.CreateProject(CreateProjectRequest())
        error = caught.value
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert error.violations == (("project.name", "is too long"), ("page_size", "is negative"))
        scripted.failures = [ResourceExhausted("too many", retry_after=1.5, limit="3")]
        with pytest.raises(ApiError, match="RESOURCE_EXHAUSTED: too many") as caught:
            await client.projects.CreateProject(CreateProjectRequest())
        assert (caught.value.retry_after, caught.value.metadata) == (1.5, {"limit": "3"})


async def test_error_of_a_stream_is_decoded(scripted: Scripted) -> None:
    async with Client(scripted.address, token="t") as client:
        scripted.streams = [[ResourceExhausted("too many")]]
        with pytest.raises(ApiError, match="RESOURCE_EXHAUSTED: too many"):
            async for _ in client.events.Subscribe(SubscribeRequest()):
                pass
        with pytest.raises(ApiError) as caught:
            async for _ in client.runs.StreamMessage(StreamMessageRequest()):
                pass
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNIMPLEMENTED, None)


async def test_read_is_repeated_while_its_service_is_unavailable_and_a_create_is_not(scripted: Scripted) -> None:
    async with Client(scripted.address, token="t") as client:
        scripted.failures = [Unavailable("starting"), Unavailable("starting")]
        await client.projects.GetCurrentUser(GetCurrentUserRequest())
        assert len(scripted.tokens) == 3
        scripted.failures = [Unavailable("starting")]
        with pytest.raises(ApiError, match="starting"):
            await client.projects.CreateProject(CreateProjectRequest())
    assert len(scripted.tokens) == 4


async def test_cancelled_call_is_cancelled_at_the_service(scripted: Scripted) -> None:
    async with Client(scripted.address, token="t") as client:
        reading = asyncio.ensure_future(anext(aiter(client.events.Subscribe(SubscribeRequest()))))
        while not scripted.tokens:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        reading.cancel()
        async with asyncio.timeout(30):
            await scripted.cancelled.wait()


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
async def test_stream_that_is_left_is_cancelled_at_the_service(scripted: Scripted, how: str) -> None:
    async with Client(scripted.address, token="t") as client:
        scripted.streams = [[Event()]]
        stream = client.events.Subscribe(SubscribeRequest())
        async for _ in stream:
            break
        if how == "cancelled":
            assert stream.cancel()
        else:
            del stream
        async with asyncio.timeout(30):
            await scripted.cancelled.wait()


@pytest.mark.parametrize("backends", ["", "a:1,b:2", "a:1,b:2,c:3,d:4,e:5"])
async def test_client_wants_one_address_or_four(backends: str) -> None:
    with pytest.raises(ValueError, match="projects, agents, orchestrator and streams"):
        Client(backends, token="t")
