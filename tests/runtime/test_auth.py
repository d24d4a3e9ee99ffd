"""Which token proves whom, and which proves nothing."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.runtime.auth import INTERNAL_AUDIENCE, Caller, Keys, TokenMinter, TokenVerifier
from services.runtime.errors import CodelabError, PermissionDenied, Unauthenticated
from services.runtime.ids import new_id

KEYS = Keys(user_secret="u" * 32, service_secret="s" * 32)
USER = new_id()


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims of a user's token, but for what is changed; None removes a claim."""
    now = int(time.time())
    made = {"sub": USER, "iat": now, "exp": now + 600, **changed}
    return {name: value for name, value in made.items() if value is not None}


def signed(secret: Any = KEYS.user_secret, algorithm: str = "HS256", **changed: Any) -> str:
    return jwt.encode(claims(**changed), secret, algorithm=algorithm)


def raw(header: bytes, payload: bytes) -> str:
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, payload, b"x"))


HEADER = b'{"alg":"HS256","typ":"JWT"}'
SERVICE = {"aud": INTERNAL_AUDIENCE, "act": "orchestrator"}

REFUSED: dict[str, Callable[[], str | None]] = {
    "missing": lambda: None,
    "empty": lambda: "",
    "no scheme": lambda: signed(),
    "other scheme": lambda: f"Basic {signed()}",
    "no token": lambda: "Bearer ",
    "no JWT": lambda: "Bearer x",
    "garbage": lambda: "Bearer a.b.c",
    "not ASCII": lambda: "Bearer ä.ö.ü",
    "payload that is no object": lambda: "Bearer " + raw(HEADER, b"[]"),
    "payload without end": lambda: "Bearer " + raw(HEADER, b"[" * 5000),
    "header without end": lambda: "Bearer " + raw(b'{"alg":' + b"[" * 5000, b"{}"),
    "cut signature": lambda: f"Bearer {signed()[:-2]}",
    "expired": lambda: f"Bearer {signed(exp=int(time.time()) - 1)}",
    "not yet valid": lambda: f"Bearer {signed(nbf=int(time.time()) + 60)}",
    "issued in the future": lambda: f"Bearer {signed(iat=int(time.time()) + 60)}",
    "wrong key": lambda: f"Bearer {signed('x' * 32)}",
    "alg none": lambda: f"Bearer {signed(None, 'none')}",
    "other algorithm": lambda: f"Bearer {signed('u' * 64, 'HS512')}",
    "no sub": lambda: f"Bearer {signed(sub=None)}",
    "no iat": lambda: f"Bearer {signed(iat=None)}",
    "no exp": lambda: f"Bearer {signed(exp=None)}",
    "exp that is no number": lambda: f"Bearer {signed(exp='soon')}",
    "exp without bounds": lambda: f"Bearer {signed(exp=1e400)}",
    "exp beyond a double": lambda: f"Bearer {signed(exp=10**400)}",
    "sub that is no UUID": lambda: f"Bearer {signed(sub='admin')}",
    "service token with the users' key": lambda: f"Bearer {signed(**SERVICE)}",
    "user token with the services' key": lambda: f"Bearer {signed(KEYS.service_secret)}",
    "expired service token": lambda: f"Bearer {signed(KEYS.service_secret, **SERVICE, exp=int(time.time()) - 60)}",
    "service token of nobody": lambda: f"Bearer {signed(KEYS.service_secret, aud=INTERNAL_AUDIENCE)}",
    "service token without end": lambda: f"Bearer {signed(KEYS.service_secret, **SERVICE, exp=None)}",
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(case: str) -> None:
    authorization = REFUSED[case]()
    with pytest.raises(Unauthenticated) as caught:
        await TokenVerifier(KEYS).verify(authorization)
    assert authorization is None or len(authorization) < 20 or authorization not in caught.value.detail


async def test_user_token_proves_its_user() -> None:
    token = TokenMinter(KEYS).user_token(USER.upper(), 600, "a@example.com")
    caller = await TokenVerifier(KEYS).verify(f"bearer {token}")
    assert caller == Caller(USER, token, caller.expires_at, "a@example.com", None)
    assert abs(caller.expires_at - time.time() - 600) < 5


@pytest.mark.parametrize("email", ["", 5, ["a@example.com"], None])
async def test_odd_email_is_none(email: object) -> None:
    assert (await TokenVerifier(KEYS).verify(f"Bearer {signed(email=email)}")).email is None


async def test_service_token_proves_service_and_user() -> None:
    token = TokenMinter(KEYS).service_token("orchestrator", USER, 5)
    for services_only in (True, False):
        caller = await TokenVerifier(KEYS).verify(f"Bearer {token}", services_only=services_only)
        assert (caller.user_id, caller.service) == (USER, "orchestrator")


async def test_user_token_is_not_enough_for_internal_calls() -> None:
    verifier = TokenVerifier(KEYS)
    for _ in range(2):  # Fresh, then remembered.
        with pytest.raises(PermissionDenied):
            await verifier.verify(f"Bearer {signed()}", services_only=True)
        await verifier.verify(f"Bearer {signed()}")


async def test_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(TokenVerifier):
        verified = 0

        async def _verify_anew(self, token: str) -> Caller:
            self.verified += 1
            return await super()._verify_anew(token)

    verifier = Counting(KEYS)
    token = f"Bearer {signed()}"
    for _ in range(3):
        await verifier.verify(token)
    assert verifier.verified == 1
    later = time.time() + 601
    monkeypatch.setattr("services.runtime.auth.time.time", lambda: later)
    await verifier.verify(token)
    assert verifier.verified == 2


@pytest.mark.parametrize("changed", [{"iss": "other"}, {"iss": None}, {"aud": "other"}, {"aud": None}])
async def test_configured_issuer_and_audience_are_required(changed: dict[str, Any]) -> None:
    keys = Keys(user_secret="u" * 32, service_secret="s" * 32, issuer="https://id", audience="codelab")
    verifier = TokenVerifier(keys)
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"Bearer {signed(**{'iss': 'https://id', 'aud': 'codelab', **changed})}")
    assert await verifier.verify(f"Bearer {TokenMinter(keys).user_token(USER, 60)}")
    assert await verifier.verify(f"Bearer {TokenMinter(keys).service_token('agents', USER, 60)}")


# Public keys


class KeySet:
    """What an identity provider publishes, and its private halves."""

    def __init__(self) -> None:
        self.private: dict[str, tuple[Any, str]] = {}
        self.fetched = 0

    def add(self, kid: str, algorithm: str) -> None:
        made: dict[str, Callable[[], Any]] = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        self.private[kid] = (made[algorithm](), algorithm)

    def token(self, kid: str, **changed: Any) -> str:
        key, algorithm = self.private[kid]
        return "Bearer " + jwt.encode(claims(**changed), key, algorithm=algorithm, headers={"kid": kid})

    def document(self) -> dict[str, Any]:
        self.fetched += 1
        keys = []
        for kid, (key, algorithm) in self.private.items():
            public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
            keys.append({**public, "kid": kid, "alg": algorithm, "use": "sig"})
        return {"keys": keys}


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> tuple[KeySet, TokenVerifier]:
    keys = KeySet()
    for algorithm in ("RS256", "ES256", "EdDSA"):
        keys.add(algorithm, algorithm)
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda client: _fetched(client, keys))
    verifier = TokenVerifier(Keys(user_secret="", service_secret="s" * 32, jwks_url="https://id.example/keys"))
    return keys, verifier


def _fetched(client: Any, keys: KeySet) -> dict[str, Any]:
    document = keys.document()
    client.jwk_set_cache.put(document)
    return document


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_published_key_verifies(published: tuple[KeySet, TokenVerifier], algorithm: str) -> None:
    keys, verifier = published
    assert (await verifier.verify(keys.token(algorithm))).user_id == USER
    with pytest.raises(Unauthenticated):
        await verifier.verify(keys.token(algorithm, exp=1))


async def test_key_published_later_is_fetched(published: tuple[KeySet, TokenVerifier]) -> None:
    keys, verifier = published
    await verifier.verify(keys.token("RS256"))
    keys.add("new", "RS256")
    assert await verifier.verify(keys.token("new"))
    assert keys.fetched == 2


async def test_token_signed_with_the_public_key_is_refused(published: tuple[KeySet, TokenVerifier]) -> None:
    keys, verifier = published
    public = keys.private["RS256"][0].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = json.dumps({"alg": "HS256", "kid": "RS256"}).encode()
    # PyJWT refuses to sign like this, an attacker does not.
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, json.dumps(claims()).encode())]
    signature = jwt.get_algorithm_by_name("HS256").sign(b".".join(parts), pem)
    token = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
    with pytest.raises(Unauthenticated):
        await verifier.verify(f"Bearer {token}")


async def test_secret_verifies_nothing_where_keys_are_published(published: tuple[KeySet, TokenVerifier]) -> None:
    _, verifier = published
    for token in (signed(), signed("s" * 32), signed(None, "none")):
        with pytest.raises(Unauthenticated):
            await verifier.verify(f"Bearer {token}")


async def test_key_set_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeySet()
    keys.add("RS256", "RS256")
    # Nothing listens on the discard port.
    verifier = TokenVerifier(Keys(user_secret="", service_secret="s" * 32, jwks_url="http://127.0.0.1:9/keys"))
    with pytest.raises(CodelabError, match="out of reach"):
        await verifier.verify(keys.token("RS256"))
