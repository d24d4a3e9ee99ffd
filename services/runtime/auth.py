"""Who is calling: user JWTs, service tokens, and the interceptor that puts the caller where code finds it."""

import asyncio
import time
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
import jwt

from services.runtime.data_folder import DataFolder
from services.runtime.errors import PermissionDenied, Unauthenticated
from services.runtime.ids import is_uuid
from services.runtime.interceptors import Call, Interceptor
from services.runtime.settings import Settings

INTERNAL_AUDIENCE = "codelab-internal"
_PUBLIC_KEY_ALGORITHMS = ["RS256", "ES256", "EdDSA"]
_CLOCK_SKEW_SECONDS = 10
_CACHED_TOKENS = 4096
# Health checks and reflection are for operators and load balancers, who have no user.
_OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")


@dataclass(frozen=True)
class Caller:
    """Who a call is made for. `service` names the service that makes it, None if the user does."""

    user_id: str
    token: str
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
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )


class TokenVerifier:
    """Verifies tokens; remembers good ones until they expire, because a signature costs more than a look-up."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._jwks = jwt.PyJWKClient(keys.jwks_url, cache_keys=True, timeout=5) if keys.jwks_url else None
        self._known: OrderedDict[str, Caller] = OrderedDict()

    async def verify(self, authorization: str | None, *, services_only: bool = False) -> Caller:
        """Return the caller that `Bearer <token>` proves.

        User JWTs and service tokens are admitted, with `services_only` just the latter. Raise Unauthenticated when the
        token is missing, malformed, expired or wrongly signed; the text never repeats the token.
        """
        if not authorization:
            raise Unauthenticated("a bearer token is required: send the header `authorization: Bearer <token>`")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the authorization header must be `Bearer <token>`")
        caller = self._known.get(token)
        if caller is None or caller.expires_at <= time.time():
            caller = await self._verify_anew(token)
            self._known[token] = caller
            while len(self._known) > _CACHED_TOKENS:
                self._known.popitem(last=False)
        if services_only and caller.service is None:
            raise PermissionDenied("only services may call this")
        return caller

    async def _verify_anew(self, token: str) -> Caller:
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
            if unverified.get("aud") == INTERNAL_AUDIENCE:
                claims = jwt.decode(
                    token,
                    self._keys.service_secret,
                    algorithms=["HS256"],
                    audience=INTERNAL_AUDIENCE,
                    leeway=_CLOCK_SKEW_SECONDS,
                    options={"require": ["sub", "act", "exp"]},
                )
                return _caller_of(claims, token, service=str(claims["act"]))
            return _caller_of(await self._user_claims(token), token)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired: get a new one") from None
        except jwt.PyJWKClientConnectionError:
            raise Unauthenticated("the token cannot be verified: the key set is out of reach, try again") from None
        except (jwt.PyJWTError, ValueError, OverflowError):
            raise Unauthenticated("the token is not valid") from None

    async def _user_claims(self, token: str) -> dict[str, Any]:
        key: Any = self._keys.user_secret
        algorithms = ["HS256"]
        if self._jwks is not None:
            # Fetches the key set when the key is not known: off the event loop.
            key = (await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)).key
            algorithms = _PUBLIC_KEY_ALGORITHMS
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._keys.audience or None,
            issuer=self._keys.issuer or None,
            leeway=0,
            options={
                "require": ["sub", "iat", "exp"],
                "verify_aud": bool(self._keys.audience),
            },
        )


def _caller_of(claims: dict[str, Any], token: str, service: str | None = None) -> Caller:
    subject, email = claims["sub"], claims.get("email")
    if not isinstance(subject, str) or not is_uuid(subject):
        raise Unauthenticated("the token's `sub` must be the user's UUID")
    return Caller(
        user_id=subject.lower(),
        token=token,
        expires_at=float(claims["exp"]),
        email=email if isinstance(email, str) and email else None,
        service=service,
    )


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
        now = time.time()
        claims = {
            "aud": INTERNAL_AUDIENCE,
            "sub": user_id,
            "act": service,
            "iat": int(now),
            "exp": int(now + lifetime_seconds + _CLOCK_SKEW_SECONDS),
        }
        return jwt.encode(claims, self._keys.service_secret, algorithm="HS256")


class AuthInterceptor(Interceptor):
    """Refuses calls without a valid token and lets `current_caller` answer in those it admits."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def before(self, call: Call, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if call.method.startswith(_OPEN_PREFIXES):
            return
        authorization = call.text("authorization")
        _caller.set(await self._verifier.verify(authorization, services_only=call.rules.internal))
