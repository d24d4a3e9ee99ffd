"""Who is calling: user JWTs, service tokens, and the interceptor that puts the caller where code finds it.

What a token must be to prove anything, at the gateway and in every service:

- sent once, as `Authorization: Bearer <token>`, of at most 8 KiB;
- signed as configured and no other way: users' by HS256 with `JWT_SECRET_KEY`, or by RS256, ES256 or EdDSA with the key
  of `JWT_JWKS_URL` that its `kid` names; services' by HS256 with `SERVICE_TOKEN_KEY`. What else a token's header says
  (`jku`, `jwk`, `x5u`) is not looked at;
- with `sub`, the user's UUID, and the numbers `iat` and `exp`, and `nbf` if it likes. `exp` is sharp; `iat` and `nbf`
  may lie up to 10 s ahead of our clock, which is not the issuer's;
- users': `iss` and `aud` as `JWT_ISSUER` and `JWT_AUDIENCE` say where they are set, and never an `aud` of ours;
- services': `aud` is `codelab-internal`, and `act` names the service.

Internal RPCs admit services' tokens only, other RPCs both, HTTP only users'. An RPC whose request has a field for a
ticket (`codelab.options.v1.field`) also admits that instead of the header; where the header is sent too, it alone
counts. A ticket is such a token, but

- sent in that field and nowhere else;
- signed by HS256 with `SERVICE_TOKEN_KEY`, `aud` being `codelab-stream`, and `sub` the user who asked for it;
- with the ids of exactly what the request is about, by their kinds: `project` and `session`;
- with `token_exp`, when the token ends that it was made with: whoever it admits may stay until then. Its own `exp` is
  never later.

A refusal is UNAUTHENTICATED, its reason TOKEN_MISSING, TOKEN_INVALID or TOKEN_EXPIRED; PERMISSION_DENIED for a user on
an internal RPC; UNAVAILABLE with KEYS_UNAVAILABLE where the issuer's keys cannot be had. It never repeats the token,
and nor does a log.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import jwt
from google.protobuf.message import Message

from codelab_client.tokens import INTERNAL_AUDIENCE, service_token
from services.runtime.claims import STREAM_AUDIENCE, Claims, TokenInvalid, TokenMissing
from services.runtime.data_folder import DataFolder
from services.runtime.errors import PermissionDenied
from services.runtime.interceptors import Call, Check, Interceptor
from services.runtime.settings import Settings
from services.runtime.tickets import resources_of, ticket_field

if TYPE_CHECKING:
    from services.runtime.published_keys import PublishedKey

_CLOCK_SKEW_SECONDS = 10
_MOST_TOKEN_BYTES = 8192
_CACHED_TOKENS = 4096
# The characters of RFC 6750, of which a JWT's are a part.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
# Health checks and reflection are for operators and load balancers, who have no user.
_OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")


@dataclass(frozen=True)
class Caller:
    """Who a call is made for. `service` names the service that makes it, None if the user does.

    `token` is None where a ticket admitted the call; `expires_at` is then the end of the token it was made with.
    """

    user_id: str
    token: str | None
    expires_at: float
    email: str | None = None
    service: str | None = None


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC being served. Raise LookupError outside of one."""
    return _caller.get()


@dataclass(frozen=True)
class Keys:
    """What tokens are signed and verified with. `jwks_url` replaces `user_secret` for verifying."""

    user_secret: str
    service_secret: str
    jwks_url: str = ""
    jwks_cache_seconds: float = 300.0
    issuer: str = ""
    audience: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Keys":
        """The configured keys; those that are not are made once in the data folder."""
        folder = DataFolder(settings.data_dir)
        return cls(
            user_secret="" if settings.jwt_jwks_url else settings.jwt_secret_key or folder.secret("jwt"),
            service_secret=settings.service_token_key or folder.secret("service-token"),
            jwks_url=settings.jwt_jwks_url,
            jwks_cache_seconds=settings.jwt_jwks_cache_seconds,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )


@dataclass(frozen=True)
class _Proof:
    """A caller whose token was good, and the published key that said so."""

    caller: Caller
    key: "PublishedKey | None"


class TokenVerifier:
    """Verifies tokens; remembers good ones until they expire, because a signature costs more than a look-up.

    A token signed with a published key is remembered for as long as that key is published.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._published = None
        if keys.jwks_url:
            # Brings an HTTP client, which only this needs.
            from services.runtime.published_keys import PublishedKeys

            self._published = PublishedKeys(keys.jwks_url, keys.jwks_cache_seconds)
        self._known: OrderedDict[str, _Proof] = OrderedDict()

    async def verify(self, *authorization: str, services_only: bool = False) -> Caller:
        """Return the caller that the values of the header `authorization` prove: one `Bearer <token>`.

        User JWTs and service tokens are admitted, with `services_only` just the latter. Raise TokenMissing,
        TokenInvalid, TokenExpired, PermissionDenied or KeysUnavailable; see the rules above.
        """
        token = _sent(authorization)
        proof = self._known.get(token)
        if proof is None or not await self._holds(proof):
            self._known.pop(token, None)
            proof = self._known[token] = await self._prove(token)
            while len(self._known) > _CACHED_TOKENS:
                self._known.popitem(last=False)
        if services_only and proof.caller.service is None:
            raise PermissionDenied("only services may call this")
        return proof.caller

    def verify_ticket(self, ticket: str, resources: Mapping[str, str]) -> Caller:
        """Return the caller that a ticket for these resources (ids by kind) proves.

        Raise TokenMissing if it is empty, TokenInvalid or TokenExpired; see the rules above.
        """
        if not ticket:
            raise _missing()
        if len(ticket) > _MOST_TOKEN_BYTES:
            raise _too_long()
        claims = Claims.of(_read(ticket))
        if claims.audience != [STREAM_AUDIENCE]:
            raise TokenInvalid("this token is no ticket: it belongs into the authorization header")
        _check_signature(ticket, self._keys.service_secret, "HS256")
        user_id, _ = claims.check_subject_and_times(time.time(), _CLOCK_SKEW_SECONDS)
        return Caller(user_id, None, claims.check_ticket(resources))

    async def _holds(self, proof: _Proof) -> bool:
        if proof.caller.expires_at <= time.time():
            return False
        if proof.key is None or self._published is None:
            return True
        return await self._published.find(proof.key.kid, proof.key.algorithm) == proof.key

    async def _prove(self, token: str) -> _Proof:
        claims = Claims.of(_read(token))
        if claims.audience == [INTERNAL_AUDIENCE]:
            _check_signature(token, self._keys.service_secret, "HS256")
            return _Proof(_caller_of(claims, token, claims.service()), None)
        key = None
        if self._published is None:
            _check_signature(token, self._keys.user_secret, "HS256")
        else:
            header = _read_header(token)
            key = await self._published.find(header.get("kid", ""), str(header.get("alg")))
            if key is None:
                raise TokenInvalid("the token is signed with no key that its issuer publishes")
            _check_signature(token, key.public, key.algorithm)
        claims.check_issued(self._keys.issuer, self._keys.audience)
        return _Proof(_caller_of(claims, token, None), key)


def _sent(authorization: tuple[str, ...]) -> str:
    """The token of the header's values."""
    if len(authorization) > 1:
        raise TokenInvalid("the authorization header was sent more than once")
    value = authorization[0].strip(" \t") if authorization else ""
    if not value:
        raise _missing()
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "bearer" or not rest:
        raise TokenMissing("the authorization header must be `Bearer <token>`")
    if len(value) > _MOST_TOKEN_BYTES:
        raise _too_long()
    found = _BEARER.fullmatch(value)
    if found is None:
        raise TokenInvalid("the token is malformed: after `Bearer` comes one token and nothing else")
    return found[1]


def _missing() -> TokenMissing:
    return TokenMissing("a bearer token is required: send the header `authorization: Bearer <token>`")


def _too_long() -> TokenInvalid:
    return TokenInvalid(f"the token is longer than {_MOST_TOKEN_BYTES} bytes")


def _read(token: str) -> bytes:
    """The payload, whoever signed it."""
    return bytes(_decoded(token, None, None)["payload"])


def _read_header(token: str) -> dict[str, Any]:
    header: dict[str, Any] = _decoded(token, None, None)["header"]
    return header


def _check_signature(token: str, key: Any, algorithm: str) -> None:
    _decoded(token, key, algorithm)


def _decoded(token: str, key: Any, algorithm: str | None) -> dict[str, Any]:
    try:
        if algorithm is None:
            return jwt.PyJWS().decode_complete(token, options={"verify_signature": False})
        return jwt.PyJWS().decode_complete(token, key, algorithms=[algorithm])
    except jwt.InvalidSignatureError:
        raise TokenInvalid("the token's signature is wrong") from None
    except jwt.InvalidAlgorithmError:
        raise TokenInvalid("the token is not signed with the algorithm that is required here") from None
    except (jwt.PyJWTError, ValueError):
        raise TokenInvalid("the token is not a signed JWT") from None


def _caller_of(claims: Claims, token: str, service: str | None) -> Caller:
    user_id, expires_at = claims.check_subject_and_times(time.time(), _CLOCK_SKEW_SECONDS)
    return Caller(user_id, token, expires_at, claims.email(), service)


class TokenMinter:
    """Signs tokens: for users where this installation is its own identity provider, for services always."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def user_token(self, user_id: str, lifetime_seconds: float, email: str | None = None) -> str:
        """A token that lets its holder act as the user. HS256 with `JWT_SECRET_KEY`."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": user_id,
            "iat": now,
            "exp": now + int(lifetime_seconds),
        }
        if self._keys.issuer:
            claims["iss"] = self._keys.issuer
        if self._keys.audience:
            claims["aud"] = self._keys.audience
        if email:
            claims["email"] = email
        return jwt.encode(claims, self._keys.user_secret, algorithm="HS256")

    def service_token(self, service: str, user_id: str, lifetime_seconds: float) -> str:
        """A token that lets `service` call internal RPCs, and public ones, for the user."""
        lifetime = lifetime_seconds + _CLOCK_SKEW_SECONDS
        return service_token(service, user_id, self._keys.service_secret, lifetime)

    def ticket(self, caller: Caller, resources: Mapping[str, str], lifetime_seconds: float) -> tuple[str, int]:
        """A ticket for these resources (ids by kind) in the caller's name, and the Unix time at which it ends."""
        now = time.time()
        expires_at = int(min(now + lifetime_seconds, caller.expires_at))
        claims: dict[str, Any] = {
            **resources,
            "aud": STREAM_AUDIENCE,
            "sub": caller.user_id,
            "iat": int(now),
            "exp": expires_at,
            "token_exp": caller.expires_at,
        }
        return jwt.encode(claims, self._keys.service_secret, algorithm="HS256"), expires_at


class AuthInterceptor(Interceptor):
    """Refuses calls without a valid token and lets `current_caller` answer in those it admits."""

    # A ticket is in the request. Whoever sends a token is judged before anything of theirs is parsed.
    parses = True

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def before(self, call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if call.rules.open or call.method.startswith(_OPEN_PREFIXES):
            return
        authorization = call.texts("authorization")
        if authorization or ticket_field(call.method) is None:
            _caller.set(await self._verifier.verify(*authorization, services_only=call.rules.internal))

    def check_of(self, call: Call) -> Check | None:
        """Judge the ticket where it is all that was sent."""
        field = ticket_field(call.method)
        if field is None or call.texts("authorization"):
            return None

        def judge(request: Message) -> None:
            _caller.set(self._verifier.verify_ticket(getattr(request, field), resources_of(request)))

        return judge
