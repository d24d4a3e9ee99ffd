"""Who may call, from which pages, and what is logged of it."""

import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import structlog

from services.runtime.auth import Keys, TokenMinter
from services.runtime.settings import Settings
from tests.gateway.conftest import ORIGIN, USER
from tests.gateway.garden import Garden

PLANT = "/garden/b/plants/p"


@pytest.fixture(scope="module")
def settings(client: httpx.AsyncClient) -> Settings:
    return client.server._settings  # type: ignore[attr-defined]


def signed(claims: dict[str, Any], key: str | None, algorithm: str = "HS256") -> str:
    return jwt.encode({key: value for key, value in claims.items() if value is not None}, key, algorithm=algorithm)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": USER, "iat": now, "exp": now + 60} | changes


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_no_token_is_401_on_every_route(client: httpx.AsyncClient, garden: Garden, method: str) -> None:
    request = client.build_request(method, PLANT)
    del request.headers["authorization"]
    answer = await client.send(request)
    assert (answer.status_code, answer.json()["reason"]) == (401, "TOKEN_MISSING")
    assert answer.headers["www-authenticate"] == 'Bearer realm="codelab"'
    assert garden.requests == []


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Basic dTpw", "Bearer a.b.c", "Bearer é", "bearer x y", "x" * 9000]
)
async def test_malformed_token_is_401(client: httpx.AsyncClient, garden: Garden, authorization: str) -> None:
    for path in (PLANT, "/garden/b/events"):
        answer = await client.get(path, headers={"authorization": authorization.encode()})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert garden.requests == []


async def test_wrong_tokens_are_401(client: httpx.AsyncClient, garden: Garden, settings: Settings) -> None:
    secret = Keys.of(settings).user_secret
    wrong = [
        signed(claims(exp=int(time.time()) - 1), secret),
        signed(claims(exp=None), secret),
        signed(claims(sub=None), secret),
        signed(claims(sub="me"), secret),
        signed(claims(nbf=int(time.time()) + 60), secret),
        signed(claims(), "another secret of at least 32 bytes!"),
        signed(claims(), None, "none"),
        signed(claims(), secret, "HS512"),
    ]
    for token in wrong:
        answer = await client.get(PLANT, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
        assert token not in answer.text
    assert garden.requests == []


async def test_token_is_checked_before_anything_else(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/garden/b/plants?nonsense=1", content=b"{", headers={"authorization": "x", "accept": "image/png"}
    )
    assert answer.status_code == 401


async def test_token_and_trace_are_passed_on(client: httpx.AsyncClient, garden: Garden) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await client.get(PLANT, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.headers["x-trace-id"] == trace
    assert garden.metadata[-1]["authorization"] == client.headers["authorization"]
    assert garden.metadata[-1]["traceparent"][3:35] == trace
    answer = await client.get(PLANT, headers={"traceparent": "00-nonsense"})
    assert garden.metadata[-1]["traceparent"][3:35] == answer.headers["x-trace-id"] != trace


async def test_ticket_stands_in_for_the_token(client: httpx.AsyncClient, garden: Garden) -> None:
    request = client.build_request("GET", "/garden/b/events?pass=t1cket")
    del request.headers["authorization"]
    answer = await client.send(request)
    assert answer.status_code == 200
    assert getattr(garden.requests[-1], "pass") == "t1cket"
    assert "authorization" not in garden.metadata[-1]
    many = "&x" * 501
    for query, status in (("?pass=", 401), ("?since=pass", 401), ("", 401), (f"?{many}", 401), (f"?pass=t{many}", 400)):
        request = client.build_request("GET", f"/garden/b/events{query}")
        del request.headers["authorization"]
        assert (await client.send(request)).status_code == status
    request = client.build_request("GET", f"{PLANT}?pass=t1cket")
    del request.headers["authorization"]
    assert (await client.send(request)).status_code == 401


async def test_one_line_is_logged_without_token_ticket_or_body(client: httpx.AsyncClient, garden: Garden) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.post("/garden/b/plants?once=k", json={"name": "private"})
        await client.get("/garden/b/events?p%61ss=t1cket&since=1")
        await client.get("/unknown?pass=t1cket")
        await client.get("/garden/b/events?access_token=t1cket&t1cket&since=1")
    served = [line for line in lines if line["event"] == "request served"]
    assert [(line["method"], line["route"], line["status"]) for line in served] == [
        ("POST", "/garden/{bed_id}/plants", 201),
        ("GET", "/garden/{bed_id}/events", 200),
        ("GET", "-", 404),
        ("GET", "/garden/{bed_id}/events", 400),
    ]
    assert [line.get("reason") for line in served] == [None, None, "ROUTE_NOT_FOUND", "UNKNOWN_FIELD"]
    assert served[1]["query"] == "pass=REDACTED&since=1"
    assert served[3]["query"] == "REDACTED&REDACTED&since=1"
    assert all(line["milliseconds"] >= 0 and len(line["trace_id"]) == 32 for line in served)
    token = client.headers["authorization"].removeprefix("Bearer ")
    for secret in (token, "t1cket", "private"):
        assert secret not in str(lines)


async def test_probes_are_not_logged_at_info(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.get("/health")
        await client.get("/ready")
    assert [line["log_level"] for line in lines if line["event"] == "request served"] == ["debug", "debug"]


async def test_preflight_needs_no_token(client: httpx.AsyncClient) -> None:
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "authorization, content-type",
        "authorization": "",
    }
    answer = await client.options(PLANT, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key", "last-event-id"))


async def test_answers_and_errors_carry_cors_headers(client: httpx.AsyncClient) -> None:
    for path, headers in ((PLANT, {}), (PLANT, {"authorization": "x"}), ("/nothing", {}), ("/health", {})):
        answer = await client.get(path, headers={"origin": ORIGIN, **headers})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert all(name in exposed for name in ("www-authenticate", "retry-after", "x-trace-id"))
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


async def test_other_origin_gets_no_cors_headers(client: httpx.AsyncClient) -> None:
    for method, headers in (("GET", {}), ("OPTIONS", {"access-control-request-method": "GET"})):
        answer = await client.request(method, PLANT, headers={"origin": "https://evil.example", **headers})
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_star_permits_every_origin(gateway: Any, shared_garden: Garden) -> None:
    async with gateway(shared_garden.address, CORS_ORIGINS="*") as client:
        answer = await client.get(PLANT, headers={"origin": "https://any.example"})
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_service_tokens_are_for_grpc_alone(
    client: httpx.AsyncClient, garden: Garden, settings: Settings, tmp_path: Path
) -> None:
    token = TokenMinter(Keys.of(settings)).service_token("reporting", USER, 60)
    answer = await client.get(PLANT, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["reason"]) == (401, "TOKEN_INVALID")
