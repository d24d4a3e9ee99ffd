"""A whole suite whose users' tokens come from an identity provider: its keys rotate, and it is gone for a while."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio
from codelab.projects.v1 import project_service_pb2
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub

from codelab_client import ApiError, connect
from tests.e2e.client import problem
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.identity_provider import IdentityProvider, identity_provider

# A key that is gone is refused after this long, one that is new is admitted after a sixtieth of it.
CACHE_SECONDS = 1.5


@dataclass(frozen=True)
class House:
    """A suite, and the identity provider that it trusts."""

    provider: IdentityProvider
    suite: Suite
    http: httpx.AsyncClient

    async def ask(self, token: str) -> httpx.Response:
        return await self.http.get("/my", headers={"authorization": f"Bearer {token}"})

    async def status(self, token: str) -> int:
        return (await self.ask(token)).status_code

    async def becomes(self, token: str, status: int) -> None:
        async def is_so() -> bool:
            return await self.status(token) == status

        await eventually(is_so, what=f"status {status}")


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("published-keys")
    async with identity_provider() as provider:
        settings = {"JWT_JWKS_URL": provider.url, "JWT_JWKS_CACHE_SECONDS": str(CACHE_SECONDS), "NO_PROXY": "127.0.0.1"}
        # Started without the provider: services must come up and answer what they can.
        await provider.stop()
        async with (
            running(Layout.ONE, folder, **settings) as suite,
            httpx.AsyncClient(base_url=suite.url, timeout=30) as http,
        ):
            yield House(provider, suite, http)


async def test_provider_that_is_gone_makes_unknown_keys_unavailable_and_not_unauthenticated(house: House) -> None:
    answer = await house.ask(house.provider.token("RS256"))
    problem(answer, 503, "KEYS_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) >= 1
    assert "www-authenticate" not in answer.headers
    async with connect(house.suite.grpc_address("projects")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ProjectServiceStub(channel).GetCurrentUser(
                project_service_pb2.GetCurrentUserRequest(),
                metadata=(("authorization", f"Bearer {house.provider.token('ES256')}"),),
                timeout=30,
            )
    error = ApiError.of(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
    await house.provider.start()
    await house.becomes(house.provider.token("RS256"), 200)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_keys_rotate_without_a_restart_and_a_while_without_the_provider_is_not_noticed(
    house: House, algorithm: str
) -> None:
    provider, name = house.provider, str(uuid.uuid4())
    provider.add(name, algorithm)
    token = provider.token(name)
    await house.becomes(token, 200)
    await provider.stop()
    asked = provider.asked
    assert {await house.status(provider.token(name, sub=str(uuid.uuid4()))) for _ in range(20)} == {200}
    assert provider.asked == asked
    await provider.start()
    provider.withdraw(name)
    # The very token that was remembered as good.
    await house.becomes(token, 401)
    problem(await house.ask(token), 401, "TOKEN_INVALID")
    assert await house.status(provider.token(algorithm)) == 200


async def test_who_holds_no_key_is_refused_and_nobody_is_asked_for_what_they_name(house: House) -> None:
    async with identity_provider() as attacker:
        key, _ = attacker.private["RS256"]
        house.provider.private["attacker's"] = (key, "RS256")
        token = house.provider.token("attacker's")
        assert await house.status(token) == 401
        assert await house.status(attacker.token("RS256")) == 401
        assert attacker.asked == 0
