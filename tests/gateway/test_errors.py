"""What services raise, as problem+json."""

import asyncio
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gateway import transcoding
from services.runtime.errors import (
    AlreadyExists,
    CodelabError,
    InvalidArgument,
    InvalidPageToken,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from tests.gateway.garden import Garden

PLANT = "/garden/b/plants/p"
MEMBERS = {"type", "title", "status", "detail", "code", "reason", "errors", "trace_id", "metadata"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 422),
        ("OUT_OF_RANGE", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("FAILED_PRECONDITION", 409),
        ("ABORTED", 409),
        ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("UNKNOWN", 500),
        ("DATA_LOSS", 500),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
    ],
)
async def test_every_code_has_its_status(client: httpx.AsyncClient, garden: Garden, code: str, status: int) -> None:
    error = CodelabError("the sentence", plant="p")
    error.code, error.reason = code, "SOME_REASON"
    garden.on("WaterPlant", error)
    answer = await client.post(f"{PLANT}:water", json={})
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() == MEMBERS
    assert (problem["code"], problem["reason"], problem["detail"]) == (code, "SOME_REASON", "the sentence")
    assert problem["metadata"] == {"plant": "p"}
    assert problem["type"] == "about:blank"
    assert problem["title"]
    challenge = 'Bearer realm="codelab", error="invalid_token", error_description="the sentence"'
    assert answer.headers.get("www-authenticate") == (challenge if status == 401 else None)


async def test_challenge_is_a_header_whatever_the_sentence_holds(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("WaterPlant", Unauthenticated('no "quotes", \\ or naïve\r\nlines'))
    answer = await client.post(f"{PLANT}:water", json={})
    assert answer.headers["www-authenticate"].endswith("""error_description="no 'quotes', ' or na've''lines\"""")


async def test_violations_are_named_as_the_caller_wrote_them(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("CreatePlant", InvalidArgument(("plant.care.litres", "must be at most 9"), ("once", "is too long")))
    problem = (await client.post("/garden/b/plants", json={})).json()
    assert problem["errors"] == [
        {"field": "care.litres", "detail": "must be at most 9"},
        {"field": "once", "detail": "is too long"},
    ]
    assert problem["detail"] == "care.litres: must be at most 9; once: is too long"
    garden.on("ListPlants", InvalidPageToken())
    answer = await client.get("/garden/b/plants")
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_PAGE_TOKEN")
    assert answer.json()["errors"][0]["field"] == "page_token"


async def test_retry_info_becomes_retry_after(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("GetPlant", ResourceExhausted("too much water", retry_after=2.2))
    answer = await client.get(PLANT)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


async def test_quota_failure_names_its_subjects(client: httpx.AsyncClient, garden: Garden) -> None:
    status = status_pb2.Status(code=8, message="enough")
    for detail in (
        error_details_pb2.ErrorInfo(reason="QUOTA", domain="codelab"),
        error_details_pb2.QuotaFailure(violations=[{"subject": "plants", "description": "at most 9"}]),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        answer = rpc_status.to_status(status)
        await context.abort(answer.code, answer.details, answer.trailing_metadata)

    garden.on("GetPlant", refuse)
    problem = (await client.get(PLANT)).json()
    assert problem["errors"] == [{"field": "plants", "detail": "at most 9"}]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (grpc.StatusCode.UNAVAILABLE, False),
        (grpc.StatusCode.INTERNAL, False),
        (grpc.StatusCode.UNKNOWN, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (grpc.StatusCode.NOT_FOUND, True),
        (grpc.StatusCode.FAILED_PRECONDITION, True),
    ],
)
async def test_text_that_may_be_the_transports_is_not_shown(
    client: httpx.AsyncClient, garden: Garden, code: grpc.StatusCode, shown: bool
) -> None:
    garden.on("WaterPlant", (code, "connect to 10.0.0.7:9101 refused"))
    answer = await client.post(f"{PLANT}:water", json={})
    assert ("10.0.0.7" in answer.text) == shown


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
async def test_backend_that_is_lost_in_mid_call_is_unavailable(
    client: httpx.AsyncClient, garden: Garden, code: grpc.StatusCode
) -> None:
    garden.on("WaterPlant", (code, "the server stops"))
    answer = await client.post(f"{PLANT}:water", json={})
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["reason"]) == (503, "UNAVAILABLE", "BACKEND_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_handler_that_breaks_is_an_internal_error(client: httpx.AsyncClient, garden: Garden) -> None:
    async def explode(*_: Any) -> None:
        raise RuntimeError("secret")

    garden.on("WaterPlant", explode)
    answer = await client.post(f"{PLANT}:water", json={})
    assert (answer.status_code, answer.json()["detail"]) == (500, "internal error")


async def test_success_statuses_come_from_the_contract(client: httpx.AsyncClient, garden: Garden) -> None:
    assert (await client.post("/garden/b/plants", json={})).status_code == 201
    answer = await client.delete(PLANT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    answer = await client.post(f"{PLANT}:water", json={"litres": 2})
    assert (answer.status_code, answer.json()) == (200, {"litres": 0.0})


async def test_unset_response_body_is_null(client: httpx.AsyncClient, garden: Garden) -> None:
    assert (await client.get(PLANT)).json() is None


async def test_known_path_with_another_method_says_what_it_takes(client: httpx.AsyncClient, garden: Garden) -> None:
    answer = await client.post(PLANT)
    assert (answer.status_code, answer.json()["reason"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    answer = await client.options(PLANT)
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
    assert garden.requests == []


async def test_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    for method in ("GET", "POST", "OPTIONS", "PROPFIND"):
        answer = await client.request(method, "/nothing/here")
        assert (answer.status_code, answer.json()["reason"]) == (404, "ROUTE_NOT_FOUND")
    answer = await client.post("/health")
    assert (answer.status_code, answer.json()["reason"], answer.headers["allow"]) == (
        405,
        "METHOD_NOT_ALLOWED",
        "GET, HEAD",
    )


async def test_internal_rpc_has_no_route(client: httpx.AsyncClient) -> None:
    assert (await client.get("/garden/fertilize")).status_code == 404


async def test_head_is_get_without_a_body(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("GetPlant", garden.of("GetPlantResponse", plant={"name": "fern"}))
    answer = await client.head(PLANT)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


async def test_json_must_be_acceptable(client: httpx.AsyncClient) -> None:
    assert (await client.get(PLANT, headers={"accept": "text/html"})).json()["reason"] == "NOT_ACCEPTABLE"
    assert (await client.get(PLANT, headers={"accept": "text/html, */*;q=0.1"})).status_code == 200


async def test_reads_wait_less_than_writes(client: httpx.AsyncClient, garden: Garden) -> None:
    await client.get(PLANT)
    await client.post(f"{PLANT}:water", json={})
    read, write = garden.remaining
    assert read is not None
    assert write is not None
    assert 25 < read < 35
    assert 125 < write < 135


async def test_reads_are_repeated_while_unavailable_and_writes_are_not(
    client: httpx.AsyncClient, garden: Garden
) -> None:
    garden.on("GetPlant", Unavailable("not yet"))
    garden.on("WaterPlant", Unavailable("not yet"))
    assert (await client.get(PLANT)).status_code == 503
    assert len(garden.requests) == 4
    garden.forget()
    garden.on("WaterPlant", Unavailable("not yet"))
    assert (await client.post(f"{PLANT}:water", json={})).status_code == 503
    assert len(garden.requests) == 1


async def test_errors_of_the_domain_keep_their_reasons(client: httpx.AsyncClient, garden: Garden) -> None:
    for error, status in ((NotFound("a"), 404), (AlreadyExists("b"), 409), (Unauthenticated("c"), 401)):
        garden.on("WaterPlant", error)
        answer = await client.post(f"{PLANT}:water", json={})
        assert (answer.status_code, answer.json()["reason"]) == (status, error.reason)


async def test_many_at_once_do_not_mix(client: httpx.AsyncClient, garden: Garden) -> None:
    async def echo(request: Any, _: Any) -> Any:
        await asyncio.sleep(0.01)
        return garden.of("GetPlantResponse", plant={"name": request.plant_id})

    garden.on("GetPlant", echo)
    answers = await asyncio.gather(*(client.get(f"/garden/b/plants/{number}") for number in range(50)))
    assert [answer.json()["name"] for answer in answers] == [str(number) for number in range(50)]


async def test_client_that_goes_away_ends_a_long_call(
    client: httpx.AsyncClient, garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "_PATIENCE_SECONDS", 0.0)
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(*_: Any) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    garden.on("WaterPlant", wait)
    asking = asyncio.create_task(client.post(f"{PLANT}:water", json={}))
    async with asyncio.timeout(30):
        await began.wait()
        asking.cancel()
        await ended.wait()


async def test_long_call_is_answered(client: httpx.AsyncClient, garden: Garden) -> None:
    async def wait(*_: Any) -> Any:
        await asyncio.sleep(0.7)
        return garden.of("WaterPlantResponse", litres=3)

    garden.on("WaterPlant", wait)
    assert (await client.post(f"{PLANT}:water", json={})).json() == {"litres": 3.0}
