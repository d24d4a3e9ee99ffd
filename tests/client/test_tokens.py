"""Which token a client sends, and when it gets another."""

import asyncio
import time

import grpc
import jwt
import pytest
from codelab.projects.v1.project_service_pb2 import CreateProjectRequest, GetCurrentUserRequest

from codelab_client import ApiError, Client, service_tokens
from codelab_client.tokens import TokenSource
from services.runtime.auth import Keys, TokenVerifier
from services.runtime.claims import TokenExpired, TokenInvalid
from services.runtime.errors import NotFound
from tests.client.conftest import Scripted
from tests.tokens import USER

KEY = "s" * 32


class Issuer:
    """Issues tokens that live so many seconds, numbered; each takes a moment."""

    def __init__(self, seconds: float = 3600) -> None:
        self.seconds = seconds
        self.issued = 0

    async def __call__(self) -> str:
        await asyncio.sleep(0)
        self.issued += 1
        return jwt.encode({"n": self.issued, "exp": time.time() + self.seconds}, KEY)


async def test_token_is_sent_with_every_call_and_fetched_once_for_all_that_come_together(scripted: Scripted) -> None:
    issuer = Issuer()
    async with Client(scripted.address, token=issuer) as client:
        await asyncio.gather(*(client.projects.GetCurrentUser(GetCurrentUserRequest()) for _ in range(20)))
    assert issuer.issued == 1
    assert len(scripted.tokens) == 20
    assert len(set(scripted.tokens)) == 1


@pytest.mark.parametrize("kind", ["text", "function", "async function"])
async def test_token_may_be_text_or_come_from_a_function(scripted: Scripted, kind: str) -> None:
    async def get() -> str:
        return "t0ken"

    token = {"text": "t0ken", "function": lambda: "t0ken", "async function": get}[kind]
    async with Client(scripted.address, token=token) as client:
        await client.projects.GetCurrentUser(GetCurrentUserRequest())
    assert scripted.tokens == ["t0ken"]


async def test_call_may_bring_a_token_of_its_own(scripted: Scripted) -> None:
    async with Client(scripted.address, token="ours") as client:
        await client.projects.GetCurrentUser(GetCurrentUserRequest(), metadata=(("authorization", "Bearer theirs"),))
    assert scripted.tokens == ["theirs"]


@pytest.mark.parametrize(("seconds", "good_for"), [(3600, 3570), (10, 5)])
async def test_token_is_renewed_before_it_expires(seconds: float, good_for: float) -> None:
    now = time.time()
    issuer = Issuer(seconds)
    source = TokenSource(issuer, lambda: now)
    first = await source.token()
    now += good_for - 2
    assert await source.token() == first
    now += 4
    assert await source.token() != first
    assert issuer.issued == 2


async def test_token_that_says_no_time_is_kept_until_it_is_refused() -> None:
    tokens = iter("ab")
    source = TokenSource(lambda: next(tokens), lambda: time.time() + 10**9)
    assert [await source.token(), await source.token()] == ["a", "a"]
    assert source.refuse("a")
    assert await source.token() == "b"
    assert source.refuse("a")
    assert await source.token() == "b", "a late refusal of the last token is none of the next"


async def test_read_that_is_refused_for_its_token_is_repeated_once_with_another(scripted: Scripted) -> None:
    scripted.failures = [TokenExpired()]
    async with Client(scripted.address, token=Issuer()) as client:
        await client.projects.GetCurrentUser(GetCurrentUserRequest())
        assert len(set(scripted.tokens)) == 2
        scripted.failures = [TokenExpired(), TokenExpired()]
        with pytest.raises(ApiError) as caught:
            await client.projects.GetCurrentUser(GetCurrentUserRequest())
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    assert len(scripted.tokens) == 4


async def test_what_is_not_safe_to_repeat_or_has_no_other_token_is_not_repeated(scripted: Scripted) -> None:
    scripted.failures = [TokenExpired(), TokenInvalid("no"), NotFound("no")]
    async with Client(scripted.address, token=Issuer()) as client, Client(scripted.address, token="x") as fixed:
        with pytest.raises(ApiError, match="TOKEN_EXPIRED"):
            await client.projects.CreateProject(CreateProjectRequest())
        with pytest.raises(ApiError, match="TOKEN_INVALID"):
            await fixed.projects.GetCurrentUser(GetCurrentUserRequest())
        with pytest.raises(ApiError, match="NOT_FOUND"):
            await client.projects.GetCurrentUser(GetCurrentUserRequest())
    assert len(scripted.tokens) == 3


async def test_failure_to_get_a_token_is_the_callers(scripted: Scripted) -> None:
    def broken() -> str:
        raise LookupError("no token today")

    async with Client(scripted.address, token=broken) as client:
        for _ in range(2):
            with pytest.raises(LookupError, match="today"):
                await client.projects.GetCurrentUser(GetCurrentUserRequest())


async def test_what_is_no_token_is_named_and_not_sent(scripted: Scripted) -> None:
    async with Client(scripted.address, token=lambda: None) as client:  # type: ignore[arg-type,return-value]
        with pytest.raises(TypeError, match="must return a str, not NoneType"):
            await client.projects.GetCurrentUser(GetCurrentUserRequest())
    assert scripted.tokens == []


async def test_service_signs_its_own_tokens_and_services_admit_them() -> None:
    keys = Keys(user_secret="u" * 32, service_secret=KEY)
    token = service_tokens("reporting", USER, KEY)()
    caller = await TokenVerifier(keys).verify(f"Bearer {token}", services_only=True)
    assert (caller.user_id, caller.service) == (USER, "reporting")
    assert 0 < caller.expires_at - time.time() <= 300
