"""A gateway on a real socket in front of a real gRPC server."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from gateway.server import GatewayServer
from services.runtime.auth import Keys, TokenMinter
from services.runtime.settings import Settings
from tests.e2e.ports import free_ports
from tests.gateway.garden import Garden, compile_protos, pool_for

USER = "11111111-1111-4111-8111-111111111111"
ORIGIN = "https://app.example.com"

Gateway = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def settings_for(folder: Path, *addresses: str, **more: str) -> Settings:
    """Settings of a gateway in front of `addresses`."""
    return Settings.load(
        {
            "CODELAB_DATA_DIR": str(folder),
            "CODELAB_BACKENDS": ",".join(addresses),
            "CODELAB_HTTP_PORT": str(free_ports()),
            "CORS_ORIGINS": ORIGIN,
            **more,
        }
    )


@pytest.fixture(scope="session")
def garden_descriptors(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pb2.FileDescriptorSet:
    return compile_protos(Path(__file__).parent / "protos", tmp_path_factory.mktemp("protos"))


@pytest.fixture(scope="session")
def garden_pool(garden_descriptors: descriptor_pb2.FileDescriptorSet) -> DescriptorPool:
    return pool_for(garden_descriptors)


@pytest.fixture(scope="session")
async def shared_garden(garden_pool: DescriptorPool) -> AsyncIterator[Garden]:
    garden = Garden(garden_pool)
    await garden.start()
    yield garden
    await garden.stop()


@pytest.fixture
def garden(shared_garden: Garden) -> Garden:
    """The garden behind `client`, as if it had just started."""
    shared_garden.forget()
    return shared_garden


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """Runs a gateway in front of addresses; its client carries a valid token."""

    @asynccontextmanager
    async def run(*addresses: str, **more: str) -> AsyncIterator[httpx.AsyncClient]:
        settings = settings_for(tmp_path_factory.mktemp("gateway"), *addresses, **more)
        server = GatewayServer(settings)
        await server.start()
        token = TokenMinter(Keys.of(settings)).user_token(USER, 3600)
        try:
            async with httpx.AsyncClient(
                base_url=f"http://{settings.host}:{settings.http_port}",
                headers={"authorization": f"Bearer {token}"},
                timeout=30,
            ) as client:
                client.server = server  # type: ignore[attr-defined]
                yield client
        finally:
            await server.stop(1)

    return run


@pytest.fixture(scope="session")
async def client(shared_garden: Garden, gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway in front of the garden."""
    async with gateway(shared_garden.address) as client:
        yield client
