"""Server-streaming RPCs as SSE and NDJSON."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from codelab.orchestrator.v1.event_pb2 import AgentStarted, Event
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.errors import FailedPrecondition, NotFound, Unavailable
from services.runtime.ids import new_id
from services.streams.service import StreamLimits
from services.streams.store import NewEvent, RunKey, SessionKey
from tests.gateway.conftest import Gateway
from tests.gateway.garden import Garden, fail
from tests.streams.world import ANN, a_world

EVENTS = "/garden/b/events"
NDJSON = {"accept": "application/x-ndjson"}


def events(garden: Garden, *frames: Any) -> Any:
    """An answer that streams `frames`: messages, or functions that are awaited with the context."""

    async def answer(_: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async def run() -> AsyncIterator[Any]:
            await context.send_initial_metadata(())
            for frame in frames:
                if callable(frame):
                    await frame(context)
                else:
                    yield garden.of("WatchBedResponse", event=garden.of("Event", **frame))

        return run()

    return answer


GROWN = {"id": "1-2", "bed_id": "b", "grown": {"centimetres": 1.5, "text": "höher\nund höher"}}
RAINED = {"bed_id": "b", "rained": {}}
CURSOR = {"id": "1-1", "quiet": {}}
QUIET = {"quiet": {}}


async def test_sse_blocks_have_id_event_and_data(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("WatchBed", events(garden, CURSOR, GROWN, RAINED, QUIET))
    answer = await client.get(EVENTS, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    blocks = answer.text.split("\n\n")
    assert blocks[0] == "retry: 1000\nid: 1-1"
    identity, event, data = blocks[1].split("\n")
    assert (identity, event) == ("id: 1-2", "event: grown")
    assert json.loads(data.removeprefix("data: ")) == {
        "id": "1-2",
        "bed_id": "b",
        "kind": "grown",
        "data": {"centimetres": 1.5, "text": "höher\nund höher"},
    }
    assert blocks[2].startswith("event: rained\ndata: {")
    assert blocks[3:] == [": heartbeat", ""]


async def test_ndjson_has_one_object_a_line_heartbeats_included(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("WatchBed", events(garden, CURSOR, GROWN, QUIET))
    answer = await client.get(EVENTS, headers=NDJSON)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["kind"] for line in answer.text.splitlines()] == ["quiet", "grown", "quiet"]
    assert answer.text.endswith("\n")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("text/*", "text/event-stream"),
        ("application/*", "application/x-ndjson"),
        ("application/x-ndjson, */*", "application/x-ndjson"),
        ("application/x-ndjson;q=0.5, text/event-stream;q=0.4", "application/x-ndjson"),
        ("text/event-stream;q=0, */*", "application/x-ndjson"),
        ("text/event-stream, application/x-ndjson", "text/event-stream"),
        ("application/json", None),
        ("text/html, image/*", None),
        ("*/*;q=0", None),
    ],
)
async def test_accept_chooses_the_form(
    client: httpx.AsyncClient, garden: Garden, accept: str | None, media_type: str | None
) -> None:
    garden.on("WatchBed", events(garden, CURSOR))
    request = client.build_request("GET", EVENTS)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    answer = await client.send(request)
    if media_type is None:
        assert (answer.status_code, answer.json()["reason"]) == (406, "NOT_ACCEPTABLE")
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


async def test_posted_stream_is_answered_like_a_read_one(client: httpx.AsyncClient, garden: Garden) -> None:
    async def grow(request: Any, _: Any) -> AsyncIterator[Any]:
        async def run() -> AsyncIterator[Any]:
            yield garden.of("GrowPlantResponse", event=garden.of("Event", id="9", grown={"text": request.name}))

        return run()

    garden.on("GrowPlant", grow)
    answer = await client.post("/garden/b/plants:grow", json={"name": "fern"}, headers=NDJSON)
    assert json.loads(answer.text)["data"] == {"centimetres": 0.0, "text": "fern"}


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_refusal_before_the_first_frame_is_a_problem(
    client: httpx.AsyncClient, garden: Garden, accept: str
) -> None:
    garden.on("WatchBed", NotFound("bed b does not exist", bed_id="b"))
    for _ in range(20):
        answer = await client.get(EVENTS, headers={"accept": accept})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["metadata"] == {"bed_id": "b"}


async def test_failure_after_the_first_frame_is_the_last_frame(client: httpx.AsyncClient, garden: Garden) -> None:
    async def break_off(context: grpc.aio.ServicerContext) -> None:
        await fail(context, FailedPrecondition("the bed froze"))

    garden.on("WatchBed", events(garden, GROWN, break_off))
    answer = await client.get(EVENTS)
    assert answer.status_code == 200
    *_, last, end = answer.text.split("\n\n")
    assert end == ""
    event, data = last.split("\n")
    problem = json.loads(data.removeprefix("data: "))
    assert event == "event: problem"
    assert (problem["status"], problem["detail"], problem["trace_id"]) == (
        409,
        "the bed froze",
        answer.headers["x-trace-id"],
    )
    lines = (await client.get(EVENTS, headers=NDJSON)).text.splitlines()
    assert json.loads(lines[-1])["problem"]["reason"] == "FAILED_PRECONDITION"
    assert json.loads(lines[0])["kind"] == "grown"


async def test_failure_after_acceptance_but_before_a_frame_is_the_last_frame(
    client: httpx.AsyncClient, garden: Garden
) -> None:
    answered = asyncio.Event()

    async def break_off(context: grpc.aio.ServicerContext) -> None:
        await answered.wait()
        await fail(context, Unavailable("no light"))

    garden.on("WatchBed", events(garden, break_off))
    async with asyncio.timeout(30), client.stream("GET", EVENTS) as answer:
        assert answer.status_code == 200
        answered.set()
        assert b"event: problem" in await answer.aread()


async def test_headers_come_before_the_first_frame(client: httpx.AsyncClient, garden: Garden) -> None:
    released = asyncio.Event()

    async def wait(_: grpc.aio.ServicerContext) -> None:
        await released.wait()

    garden.on("WatchBed", events(garden, wait, GROWN))
    async with asyncio.timeout(30), client.stream("GET", EVENTS) as answer:
        assert answer.status_code == 200
        blocks = answer.aiter_text()
        assert await anext(blocks) == "retry: 1000\n"
        released.set()
        assert (await anext(blocks)).startswith("id: 1-2\n")


async def test_client_that_goes_away_cancels_the_call(client: httpx.AsyncClient, garden: Garden) -> None:
    async def for_ever(_: grpc.aio.ServicerContext) -> None:
        await asyncio.Event().wait()

    garden.on("WatchBed", events(garden, GROWN, for_ever))
    async with client.stream("GET", EVENTS) as answer:
        await anext(answer.aiter_text())
    async with asyncio.timeout(30):
        while not garden.cancelled:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_slow_client_slows_the_service_down(client: httpx.AsyncClient, garden: Garden) -> None:
    sent = 0
    text = "x" * 100_000

    async def flood(_: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async def run() -> AsyncIterator[Any]:
            nonlocal sent
            for _ in range(2_000):
                yield garden.of("WatchBedResponse", event=garden.of("Event", grown={"text": text}))
                sent += 1

        return run()

    garden.on("WatchBed", flood)
    async with client.stream("GET", EVENTS) as answer:
        await anext(answer.aiter_raw())
        before = -1
        async with asyncio.timeout(30):
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
    # 200 MB were on offer; sockets and flow control windows hold the rest back.
    assert sent < 400


async def test_last_event_id_fills_the_cursor_and_wins_over_the_query(
    client: httpx.AsyncClient, garden: Garden
) -> None:
    garden.on("WatchBed", events(garden))
    await client.get(f"{EVENTS}?since=1-1", headers={"last-event-id": "1-7"})
    assert garden.requests[-1].since == "1-7"
    await client.get(f"{EVENTS}?since=1-1")
    assert garden.requests[-1].since == "1-1"
    await client.get(EVENTS, headers={"last-event-id": "é".encode()})
    assert garden.requests[-1].since == "é"
    await client.get(EVENTS)
    assert not garden.requests[-1].HasField("since")


async def test_head_of_a_stream_ends_after_its_headers(client: httpx.AsyncClient, garden: Garden) -> None:
    async def for_ever(_: grpc.aio.ServicerContext) -> None:
        await asyncio.Event().wait()

    garden.on("WatchBed", events(garden, for_ever))
    answer = await client.head(EVENTS)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"


async def test_streams_have_no_deadline(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("WatchBed", events(garden))
    await client.get(EVENTS)
    assert garden.remaining[-1] is None


async def test_gateway_that_stops_ends_its_streams_at_once(gateway: Gateway, shared_garden: Garden) -> None:
    async def for_ever(_: grpc.aio.ServicerContext) -> None:
        await asyncio.Event().wait()

    shared_garden.forget()
    shared_garden.on("WatchBed", events(shared_garden, GROWN, for_ever))
    async with gateway(shared_garden.address) as client, client.stream("GET", EVENTS, headers=NDJSON) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        begun = asyncio.get_running_loop().time()
        stopping = asyncio.create_task(client.server.stop(10))  # type: ignore[attr-defined]
        assert json.loads(await anext(lines))["problem"]["reason"] == "GATEWAY_STOPPING"
        await stopping
        assert asyncio.get_running_loop().time() - begun < 8


async def test_frame_that_cannot_be_written_ends_its_stream_and_no_other_of_its_tunnel(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with (
        a_world(tmp_path, StreamLimits()) as world,
        gateway(world.address, CODELAB_DATA_DIR=str(tmp_path)) as client,
        AsyncExitStack() as opened,
    ):
        # As a damaged store might hold it: beyond the year 9999.
        timeless = Event(timestamp=Timestamp(seconds=2**63 - 1), agent_started=AgentStarted()).SerializeToString()

        async def watch(session_id: str) -> AsyncIterator[str]:
            world.orchestrator.sessions.add((world.project_id, session_id))
            path = f"/my/projects/{world.project_id}/chat/{session_id}/events"
            answer = await opened.enter_async_context(client.stream("GET", path, headers=dict(world.user())))
            return answer.aiter_lines()

        async def publish(session_id: str, n: int, payload: bytes) -> None:
            session = SessionKey(ANN, world.project_id, session_id)
            event = NewEvent("agent_started", final=False, payload=payload)
            await world.service._store.publish(session, RunKey(world.run_id, 1), event, n)

        async def happens(lines: AsyncIterator[str]) -> None:
            async with asyncio.timeout(20):
                while await anext(lines) != "event: agent_started":
                    pass

        whole, other = await watch(world.session_id), new_id()
        broken = await watch(other)
        for session_id, lines in ((world.session_id, whole), (other, broken)):
            await publish(session_id, 1, Event(agent_started=AgentStarted()).SerializeToString())
            await happens(lines)
        await publish(other, 2, timeless)
        with pytest.raises(httpx.RemoteProtocolError):
            await happens(broken)
        await publish(world.session_id, 2, Event(agent_started=AgentStarted()).SerializeToString())
        await happens(whole)
