"""Tokens signed with keys that an identity provider publishes, on a real socket: rotation, trouble, and abuse."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.runtime.auth import Keys, TokenMinter, TokenVerifier
from services.runtime.claims import TokenExpired, TokenInvalid
from services.runtime.errors import Unauthenticated
from services.runtime.published_keys import KeysUnavailable, PublishedKeys
from tests.fakes.identity_provider import IdentityProvider, identity_provider
from tests.tokens import ATTACKER_KEY, USER, bad_tokens, claims, encoded, forged, public_pem, signed

LIFE, FLOOR = 300.0, 5.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as started:
        yield started


def verifier_of(provider: IdentityProvider, clock: Clock) -> TokenVerifier:
    verifier = TokenVerifier(Keys(user_secret="", service_secret="s" * 32, jwks_url=provider.url))
    verifier._published = PublishedKeys(provider.url, LIFE, clock)
    return verifier


@pytest.fixture
def verifier(provider: IdentityProvider, clock: Clock) -> TokenVerifier:
    return verifier_of(provider, clock)


async def admitted(verifier: TokenVerifier, token: str) -> bool:
    try:
        return (await verifier.verify(f"Bearer {token}")).user_id == USER
    except TokenInvalid:
        return False


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_published_key_verifies(provider: IdentityProvider, verifier: TokenVerifier, algorithm: str) -> None:
    assert await admitted(verifier, provider.token(algorithm))
    with pytest.raises(TokenExpired):
        await verifier.verify(f"Bearer {provider.token(algorithm, exp=1)}")
    assert provider.asked == 1


async def test_service_tokens_need_no_published_key(provider: IdentityProvider, verifier: TokenVerifier) -> None:
    await provider.stop()
    token = TokenMinter(Keys(user_secret="", service_secret="s" * 32)).service_token("agents", USER, 60)
    assert await admitted(verifier, token)


# Rotation


async def test_key_that_appears_is_known_within_the_floor(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock
) -> None:
    assert await admitted(verifier, provider.token("RS256"))
    provider.add("new", "ES256")
    assert not await admitted(verifier, provider.token("new"))
    clock.now += FLOOR
    assert await admitted(verifier, provider.token("new"))
    assert provider.asked == 2


@pytest.mark.parametrize("how", ["withdrawn", "replaced under its name"])
async def test_key_that_is_gone_is_refused_after_its_life_also_to_tokens_that_were_good(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock, how: str
) -> None:
    token = provider.token("RS256")
    assert await admitted(verifier, token)
    provider.withdraw("RS256")
    if how == "replaced under its name":
        provider.add("RS256", "RS256")
    clock.now += LIFE - 1
    assert await admitted(verifier, token), "a key is trusted for its life, and fetched anew meanwhile"
    await asyncio.wait({verifier._published._fetching})  # type: ignore[union-attr,arg-type]
    assert not await admitted(verifier, token)
    assert provider.asked == 2


async def test_first_token_after_a_long_silence_is_not_judged_by_old_keys(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock
) -> None:
    token = provider.token("RS256")
    assert await admitted(verifier, token)
    provider.withdraw("RS256")
    clock.now += LIFE
    assert not await admitted(verifier, token)


async def test_empty_set_withdraws_every_key(provider: IdentityProvider, verifier: TokenVerifier, clock: Clock) -> None:
    assert await admitted(verifier, provider.token("RS256"))
    provider.published = []
    clock.now += LIFE
    assert not await admitted(verifier, provider.token("RS256"))


# Trouble


async def test_out_of_reach_at_the_start_is_unavailable_and_over_once_it_is_back(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock
) -> None:
    await provider.stop()
    for _ in range(3):
        with pytest.raises(KeysUnavailable) as caught:
            await verifier.verify(f"Bearer {provider.token('RS256')}")
        assert caught.value.retry_after == FLOOR
    await provider.start()
    clock.now += FLOOR
    assert await admitted(verifier, provider.token("RS256"))


TROUBLE: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "redirect": {"status": 302},
    "not JSON": {"body": b"<html>"},
    "not UTF-8": {"body": b"\xff\xfe"},
    "without end": {"body": b"[" * 100_000},
    "a list": {"body": b"[]"},
    "no keys": {"body": b"{}"},
    "keys that are no list": {"body": b'{"keys": {"a": 1}}'},
    "too large": {"body": b'{"keys": [' + b" " * 2_000_000 + b"]}"},
}


@pytest.mark.parametrize("trouble", [*TROUBLE, "gone"])
async def test_known_keys_go_on_working_and_unknown_ones_are_unavailable(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock, trouble: str
) -> None:
    assert await admitted(verifier, provider.token("RS256"))
    provider.add("new", "RS256")
    for name, value in TROUBLE.get(trouble, {}).items():
        setattr(provider, name, value)
    if trouble == "gone":
        await provider.stop()
    for _ in range(3):
        clock.now += LIFE
        assert await admitted(verifier, provider.token("RS256"))
        with pytest.raises(KeysUnavailable):
            await verifier.verify(f"Bearer {provider.token('new')}")


async def test_slow_provider_is_given_up_and_holds_up_nobody_who_has_a_known_key(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await admitted(verifier, provider.token("RS256"))
    provider.holding = asyncio.Event()
    clock.now += FLOOR
    stranger = asyncio.create_task(verifier.verify(f"Bearer {provider.token('RS256', sub=USER)[:-4]}AAAA"))
    waiting = asyncio.create_task(verifier.verify(f"Bearer {encoded_unknown(provider)}"))
    with pytest.raises(TokenInvalid):
        await stranger
    for _ in range(20):
        assert await admitted(verifier, provider.token("RS256"))
    assert not waiting.done()
    provider.holding.set()
    with pytest.raises(TokenInvalid):
        await waiting


def encoded_unknown(provider: IdentityProvider) -> str:
    """A token that names a key which nobody published."""
    _, payload, signature = provider.token("RS256").split(".")
    return ".".join([encoded({"alg": "RS256", "kid": "nobody's"}), payload, signature])


async def test_fetch_that_takes_too_long_fails(
    provider: IdentityProvider, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.published_keys._FETCH_SECONDS", 0.05)
    provider.holding = asyncio.Event()
    with pytest.raises(KeysUnavailable):
        await verifier.verify(f"Bearer {provider.token('RS256')}")


# Abuse


async def test_tokens_with_unknown_keys_do_not_make_us_fetch(
    provider: IdentityProvider, verifier: TokenVerifier, clock: Clock
) -> None:
    _, payload, signature = provider.token("RS256").split(".")
    for number in range(200):
        head = encoded({"alg": "RS256", "kid": f"nobody's {number}"})
        assert not await admitted(verifier, f"{head}.{payload}.{signature}")
    assert provider.asked == 1


async def test_all_who_come_at_once_share_one_fetch(provider: IdentityProvider, verifier: TokenVerifier) -> None:
    tokens = [provider.token(algorithm, iat=number) for number in range(10) for algorithm in ("RS256", "ES256")]
    assert all(await asyncio.gather(*(admitted(verifier, token) for token in tokens)))
    assert provider.asked == 1


async def test_fetch_outlives_the_caller_who_began_it(provider: IdentityProvider, verifier: TokenVerifier) -> None:
    provider.holding = asyncio.Event()
    first, second = (asyncio.create_task(admitted(verifier, provider.token(kid))) for kid in ("RS256", "ES256"))
    await asyncio.sleep(0)
    first.cancel()
    provider.holding.set()
    assert await second
    assert provider.asked == 1


async def test_nothing_but_the_named_key_verifies(provider: IdentityProvider, verifier: TokenVerifier) -> None:
    provider.add("mine", "RS256", ATTACKER_KEY)
    key = provider.private["RS256"][0]
    tried = {
        "public key as a secret": forged({"alg": "HS256", "kid": "mine"}, claims(), public_pem(), "HS256"),
        "HS256 with the services' key": signed("s" * 32, {"kid": "RS256"}),
        "HS256 with nothing": signed("", {"kid": "RS256"}),
        "none": forged({"alg": "none", "kid": "RS256"}, claims()),
        "another's kid": renamed(provider.token("mine"), "RS256"),
        "no kid": renamed(provider.token("RS256"), None),
        "kid of another algorithm": renamed(provider.token("RS256"), "ES256"),
        "PS256 with the right key": _encode(key, "PS256", "RS256"),
        "RS512 with the right key": _encode(key, "RS512", "RS256"),
    }
    assert [name for name, token in tried.items() if await admitted(verifier, token)] == []


def _encode(key: Any, algorithm: str, kid: str) -> str:
    return jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})


def renamed(token: str, kid: str | None) -> str:
    _, payload, signature = token.split(".")
    head = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}
    return ".".join([encoded(head), payload, signature])


async def test_what_is_refused_with_a_secret_is_refused_with_published_keys(verifier: TokenVerifier) -> None:
    table = bad_tokens(Keys(user_secret="u" * 32, service_secret="s" * 32))
    for name, bad in table.items():
        with pytest.raises(Unauthenticated):
            print(name, await verifier.verify(*bad.authorization))


UNUSABLE: dict[str, dict[str, Any]] = {
    "for encryption": {"use": "enc"},
    "for other operations": {"key_ops": ["encrypt"]},
    "of another algorithm": {"alg": "RS512"},
    "without its modulus": {"n": None},
    "with a broken modulus": {"n": "!"},
    "of no kind": {"kty": "RSA-X"},
    "of a kind that is no text": {"kty": ["RSA"]},
    "without a name": {"kid": ""},
    "with a name that is no text": {"kid": 5},
    "leaked": {"d": "AQAB"},
}


@pytest.mark.parametrize("why", UNUSABLE)
async def test_key_is_not_used(provider: IdentityProvider, verifier: TokenVerifier, why: str) -> None:
    provider.add("odd", "RS256", **UNUSABLE[why])
    assert not await admitted(verifier, provider.token("odd"))
    assert await admitted(verifier, provider.token("EdDSA")), "one bad key does not spoil the others"


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
async def test_weak_and_foreign_keys_and_secrets_are_not_used(
    provider: IdentityProvider, verifier: TokenVerifier
) -> None:
    provider.add("weak", "RS256", rsa.generate_private_key(65537, 1024))
    provider.add("P-384", "ES256", ec.generate_private_key(ec.SECP384R1()), crv="P-384")
    provider.published += [
        {"kty": "oct", "kid": "secret", "k": encoded(b"k" * 32), "alg": "HS256", "use": "sig"},
        {"kty": "oct", "kid": "RSA", "k": encoded(b"k" * 32), "alg": "RS256"},
        "nonsense",  # type: ignore[list-item]
        None,  # type: ignore[list-item]
    ]
    assert not await admitted(verifier, provider.token("weak"))
    assert not await admitted(verifier, signed("k" * 32, {"kid": "secret"}))
    assert not await admitted(verifier, signed("k" * 32, {"kid": "RSA", "alg": "RS256"}))
    assert await admitted(verifier, provider.token("ES256"))


async def test_first_of_two_keys_with_one_name_counts(provider: IdentityProvider, verifier: TokenVerifier) -> None:
    first = provider.token("RS256")
    provider.add("RS256", "RS256")
    assert await admitted(verifier, first)
    assert not await admitted(verifier, provider.token("RS256"))
