"""Health and documentation pages."""

import re

import httpx
import pytest
from grpc_health.v1 import health_pb2

from gateway import docs
from tests.e2e.ports import free_ports
from tests.gateway.conftest import Gateway
from tests.gateway.garden import Garden

BROWSERS = [
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "text/html, application/xhtml+xml, image/jxr, */*",
    "text/*, application/json;q=0.5",
]


async def test_openapi_is_served_with_the_live_routes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json", headers={"authorization": ""})
    assert answer.json()["openapi"] == "3.1.0"
    assert "/garden/{bed_id}/plants" in answer.json()["paths"]
    assert {"/health", "/ready"} <= answer.json()["paths"].keys()


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/", "/redoc/"])
async def test_viewers_load_nothing_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"authorization": ""})
    assert answer.status_code == 200
    assert not re.findall(r"https?://|//[a-z]", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for reference in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        asset = await client.get(reference)
        assert asset.status_code == 200, reference
        assert asset.content


async def test_missing_viewer_says_how_to_install_it(
    gateway: Gateway, shared_garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "_assets", lambda: None)
    async with gateway(shared_garden.address) as client:
        answer = await client.get("/docs")
        assert answer.status_code == 200
        assert "pip install --no-deps --require-hashes -r requirements-assets.lock" in answer.text


@pytest.mark.parametrize("accept", BROWSERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_home_leads_a_browser_to_the_documentation(client: httpx.AsyncClient, method: str, accept: str) -> None:
    answer = await client.request(method, "/", headers={"authorization": "", "accept": accept})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
    assert "accept" in answer.headers["vary"].lower()


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.9", "image/png", ""])
async def test_home_tells_a_program_where_it_is_described(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/", headers={"authorization": "", "accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "accept" in answer.headers["vary"].lower()
    home = answer.json()
    assert (home.pop("name"), home.pop("version")) == ("CodeLab Core", (await client.get("/health")).json()["version"])
    for path in home.values():
        assert (await client.get(path)).status_code == 200, path
    head = await client.head("/", headers={"authorization": "", "accept": accept})
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")


async def test_home_is_described_as_it_is(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    schema = described["components"]["schemas"]["Home"]
    assert (await client.get("/")).json().keys() == schema["properties"].keys() == set(schema["required"])
    operation = described["paths"]["/"]["get"]
    assert (operation["security"], sorted(operation["responses"])) == ([], ["200", "307"])


async def test_health_is_always_200(client: httpx.AsyncClient, gateway: Gateway) -> None:
    answer = await client.get("/health/", headers={"authorization": ""})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["version"]
    async with gateway(f"127.0.0.1:{free_ports()}") as alone:
        assert (await alone.get("/health")).status_code == 200


async def test_ready_tells_each_backend(client: httpx.AsyncClient, gateway: Gateway, garden: Garden) -> None:
    answer = await client.get("/ready", headers={"authorization": ""})
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": {garden.address: "ready"}})
    nobody = f"127.0.0.1:{free_ports()}"
    async with gateway(garden.address, nobody) as half:
        answer = await half.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"] == {garden.address: "ready", nobody: "unreachable"}
    async with gateway(nobody) as none:
        answer = await none.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    await garden.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    answer = await client.get("/ready")
    await garden.health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert (answer.status_code, answer.json()["checks"]) == (503, {garden.address: "not_serving"})
