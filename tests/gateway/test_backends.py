"""Backends that are down, come later, change, or cannot be served."""

import asyncio
import re
import socket
from pathlib import Path

import httpx
import pytest
import structlog
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

import gateway as gateway_package
from gateway.server import GatewayServer
from gateway.site import shipped_descriptors
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from tests.e2e.ports import free_ports
from tests.gateway.conftest import Gateway, settings_for
from tests.gateway.garden import SERVICE, Garden, compile_protos, growing, pool_for

PLANT = "/garden/b/plants/p"
MEADOW = "acme.meadow.v1.GardenService"


def meadow_of(descriptors: descriptor_pb2.FileDescriptorSet, *, moved: bool) -> Garden:
    """A garden in another package; `moved`: on other paths too."""
    copy = descriptor_pb2.FileDescriptorSet()
    for file in descriptors.file:
        # As long as the old names, so that lengths in the serialized file stay right.
        text = file.SerializeToString().replace(b"acme.garden.v1", b"acme.meadow.v1")
        copy.file.add().ParseFromString(_on_other_paths(text) if moved else text)
    return Garden(pool_for(copy), services=[MEADOW])


def _on_other_paths(text: bytes) -> bytes:
    for old, new in ((b"/garden/", b"/meadow/"), (b"/shed/", b"/barn/"), (b"/drawers/", b"/closets/")):
        text = text.replace(old, new)
    return text


async def answers(client: httpx.AsyncClient, path: str, status: int) -> None:
    """Return once `path` is answered with `status`."""

    async with asyncio.timeout(30):
        while (await client.get(path)).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def refused_start(settings: Settings) -> str:
    """The line that a gateway refuses to start with."""
    server = GatewayServer(settings)
    with pytest.raises(StartupError) as refused:
        await server.start()
    await server.stop()
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_route_of_a_backend_that_is_down_is_503_and_works_when_it_comes(
    gateway: Gateway, garden_pool: DescriptorPool
) -> None:
    address = f"127.0.0.1:{free_ports()}"
    async with gateway(address) as client:
        # Known from the descriptors that are shipped; nobody has described the garden yet.
        known = await client.get("/my")
        assert (known.status_code, known.json()["reason"]) == (503, "BACKEND_UNAVAILABLE")
        assert known.json()["detail"] == "the service behind this route is not reachable, try again"
        assert known.headers["retry-after"] == "1"
        assert (await client.get("/my", headers={"authorization": ""})).status_code == 401
        assert (await client.get(PLANT)).status_code == 404
        async with growing(Garden(garden_pool), address):
            await answers(client, PLANT, 200)
            # With everybody reached, what nobody offers does not exist.
            assert (await client.get("/my")).status_code == 404


async def test_backend_that_dies_is_503_and_serves_again_after_its_restart(
    gateway: Gateway, garden_pool: DescriptorPool
) -> None:
    garden = Garden(garden_pool)
    address = await garden.start()
    async with gateway(address) as client:
        assert (await client.get(PLANT)).status_code == 200
        await garden.stop()
        answer = await client.post(f"{PLANT}:water", json={})
        assert (answer.status_code, answer.json()["reason"]) == (503, "BACKEND_UNAVAILABLE")
        assert "127.0.0.1" not in answer.text
        assert "refused" not in answer.text
        async with growing(Garden(garden_pool), address):
            await answers(client, PLANT, 200)


async def test_backend_that_restarts_with_new_routes_is_described_anew(
    gateway: Gateway, garden_pool: DescriptorPool, garden_descriptors: descriptor_pb2.FileDescriptorSet
) -> None:
    garden = Garden(garden_pool)
    address = await garden.start()
    async with gateway(address) as client:
        assert (await client.get(PLANT)).status_code == 200
        await garden.stop()
        async with growing(meadow_of(garden_descriptors, moved=True), address):
            await answers(client, "/meadow/b/plants/p", 200)
            assert (await client.get(PLANT)).status_code == 404
            assert "/meadow/{bed_id}/plants" in (await client.get("/openapi.json")).json()["paths"]


async def test_two_backends_share_a_gateway(
    gateway: Gateway, garden: Garden, garden_descriptors: descriptor_pb2.FileDescriptorSet
) -> None:
    meadow = meadow_of(garden_descriptors, moved=True)
    meadow.reflection_versions = ("v1alpha",)
    async with growing(meadow), gateway(garden.address, meadow.address) as client:
        assert (await client.get(PLANT)).status_code == 200
        assert (await client.get("/meadow/b/plants/p")).status_code == 200
    assert (len(garden.requests), len(meadow.requests)) == (1, 1)


async def test_two_rpcs_with_one_route_fail_the_start(
    tmp_path: Path, garden: Garden, garden_descriptors: descriptor_pb2.FileDescriptorSet
) -> None:
    async with growing(meadow_of(garden_descriptors, moved=False)) as twin:
        line = await refused_start(settings_for(tmp_path, garden.address, twin.address))
    assert "acme.garden.v1.GardenService.GetPlant" in line
    assert "acme.meadow.v1.GardenService.GetPlant" in line


async def test_late_backend_whose_routes_are_taken_changes_nothing(
    gateway: Gateway, garden: Garden, garden_descriptors: descriptor_pb2.FileDescriptorSet
) -> None:
    address = f"127.0.0.1:{free_ports()}"
    async with gateway(garden.address, address) as client:
        with structlog.testing.capture_logs() as lines:
            async with growing(meadow_of(garden_descriptors, moved=False), address):
                async with asyncio.timeout(30):
                    while "routes not updated" not in [line["event"] for line in lines]:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                assert (await client.get(PLANT)).status_code == 200
    assert len(garden.requests) == 1


async def test_annotation_that_names_no_field_fails_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "protos"
    folder.mkdir()
    (folder / "broken.proto").write_text(
        """
        syntax = "proto3";
        package acme.broken.v1;
        import "google/api/annotations.proto";
        service BrokenService {
          rpc Get(GetRequest) returns (GetResponse) { option (google.api.http) = {get: "/broken/{missing}"}; }
        }
        message GetRequest {}
        message GetResponse {}
        """
    )
    broken = Garden(pool_for(compile_protos(folder, tmp_path)), services=["acme.broken.v1.BrokenService"])
    async with growing(broken):
        line = await refused_start(settings_for(tmp_path, broken.address))
    assert "acme.broken.v1.BrokenService.Get: '/broken/{missing}' binds 'missing'" in line


async def test_taken_port_is_one_line(tmp_path: Path, garden: Garden) -> None:
    settings = settings_for(tmp_path, garden.address)
    with socket.socket() as taken:
        taken.bind((settings.host, settings.http_port))
        taken.listen()
        assert "CODELAB_HTTP_PORT" in await refused_start(settings)


async def test_gateway_starts_again_on_its_port(tmp_path: Path, shared_garden: Garden) -> None:
    settings = settings_for(tmp_path, shared_garden.address)
    for _ in range(2):
        server = GatewayServer(settings)
        await server.start()
        async with httpx.AsyncClient() as client:
            url = f"http://{settings.host}:{settings.http_port}/health"
            assert (await client.get(url)).status_code == 200
        await server.stop()


def test_code_of_the_gateway_names_no_service_rpc_or_route_variable() -> None:
    descriptors = shipped_descriptors()
    names: set[str] = {SERVICE}
    for file in descriptors.file:
        for service in file.service:
            names.add(service.name)
            names.update(method.name for method in service.method)
            for method in service.method:
                names.update(re.findall(r"\{(\w+)", str(method.options)))
            names.add(file.package)
    assert "project_id" in names
    folder = Path(next(iter(gateway_package.__path__)))
    for module in folder.rglob("*.py"):
        words = set(re.findall(r"[A-Za-z_][\w.]*", module.read_text()))
        assert not words & names, module
