"""Which token proves whom, and which proves nothing."""

import time
from typing import Any

import pytest

from services.runtime.auth import Caller, Keys, TokenMinter, TokenVerifier, _Proof
from services.runtime.errors import PermissionDenied, Unauthenticated
from tests.tokens import USER, bad_tokens, signed

KEYS = Keys(user_secret="u" * 32, service_secret="s" * 32)
BAD = bad_tokens(KEYS)


def good(**changed: Any) -> str:
    return f"Bearer {signed(KEYS.user_secret, **changed)}"


@pytest.mark.parametrize("case", BAD)
async def test_refused_with_its_reason_and_without_an_echo(case: str) -> None:
    bad = BAD[case]
    for services_only in (False, True):
        with pytest.raises(Unauthenticated) as caught:
            await TokenVerifier(KEYS).verify(*bad.authorization, services_only=services_only)
        assert caught.value.reason == bad.reason
        assert not [secret for secret in bad.secrets() if secret in caught.value.detail]


@pytest.mark.parametrize(
    "authorization", ["Bearer ä.ö.ü", "Bearer \u00a0a.b.c", "Bearer\ta.b.c", "Bearer ", "Bearer a.b.c\x00"]
)
async def test_what_is_no_header_of_a_token_is_refused(authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        await TokenVerifier(KEYS).verify(authorization)


@pytest.mark.parametrize(
    "changed",
    [
        {"iat": time.time() + 5},
        {"nbf": time.time() + 5},
        {"nbf": 0},
        {"exp": time.time() + 3600.5},
        {"aud": "somebody", "iss": "somebody"},
        {"aud": [1, None, "x"]},
        {"header": {"jku": "http://127.0.0.1:9/", "kid": "x"}},
    ],
)
async def test_admitted(changed: dict[str, Any]) -> None:
    assert (await TokenVerifier(KEYS).verify(good(**changed))).user_id == USER


@pytest.mark.parametrize(
    "authorization", [good().replace("Bearer", "bEARER"), good().replace(" ", "   "), f" {good()} "]
)
async def test_scheme_is_read_in_any_case_and_spaces_do_not_matter(authorization: str) -> None:
    assert (await TokenVerifier(KEYS).verify(authorization)).user_id == USER


async def test_user_token_proves_its_user() -> None:
    token = TokenMinter(KEYS).user_token(USER.upper(), 600, "a@example.com")
    caller = await TokenVerifier(KEYS).verify(f"bearer {token}")
    assert caller == Caller(USER, token, caller.expires_at, "a@example.com", None)
    assert abs(caller.expires_at - time.time() - 600) < 5


@pytest.mark.parametrize("email", ["", 5, ["a@example.com"], None])
async def test_odd_email_is_none(email: object) -> None:
    assert (await TokenVerifier(KEYS).verify(good(email=email))).email is None


async def test_service_token_proves_service_and_user() -> None:
    token = TokenMinter(KEYS).service_token("orchestrator", USER, 5)
    for services_only in (True, False):
        caller = await TokenVerifier(KEYS).verify(f"Bearer {token}", services_only=services_only)
        assert (caller.user_id, caller.service) == (USER, "orchestrator")


async def test_user_token_is_not_enough_for_internal_calls() -> None:
    verifier, token = TokenVerifier(KEYS), good()
    for _ in range(2):  # Fresh, then remembered.
        with pytest.raises(PermissionDenied):
            await verifier.verify(token, services_only=True)
        await verifier.verify(token)


async def test_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(TokenVerifier):
        proved = 0

        async def _prove(self, token: str) -> _Proof:
            self.proved += 1
            return await super()._prove(token)

    verifier, token = Counting(KEYS), good()
    for _ in range(3):
        await verifier.verify(token)
    assert verifier.proved == 1
    later = time.time() + 3601
    monkeypatch.setattr("services.runtime.auth.time.time", lambda: later)
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            await verifier.verify(token)
    assert verifier.proved == 3


@pytest.mark.parametrize(
    "changed",
    [{"iss": "other"}, {"iss": ...}, {"iss": ["https://id"]}, {"aud": "other"}, {"aud": ...}, {"aud": ["other"]}],
)
async def test_configured_issuer_and_audience_are_required(changed: dict[str, Any]) -> None:
    keys = Keys(user_secret="u" * 32, service_secret="s" * 32, issuer="https://id", audience="codelab")
    verifier = TokenVerifier(keys)
    with pytest.raises(Unauthenticated):
        await verifier.verify(good(**{"iss": "https://id", "aud": "codelab", **changed}))
    assert await verifier.verify(good(iss="https://id", aud=["other", "codelab"]))
    assert await verifier.verify(f"Bearer {TokenMinter(keys).user_token(USER, 60)}")
    assert await verifier.verify(f"Bearer {TokenMinter(keys).service_token('agents', USER, 60)}")
