"""Where a client's tokens come from, and the service tokens that internal callers sign themselves."""

import asyncio
import base64
import hashlib
import hmac
import inspect
import json
import time
from collections.abc import Awaitable, Callable

INTERNAL_AUDIENCE = "codelab-internal"

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or what gets one: called again before the last one expires, and once when the last one is refused."""

# Also what a call may take on its way and a clock may be wrong.
_EARLY_SECONDS = 30.0
_LIFETIME_SECONDS = 300.0


def service_token(service: str, user_id: str, key: str, lifetime_seconds: float) -> str:
    """Sign a token that lets `service` act for the user (a UUID) with `SERVICE_TOKEN_KEY`: a JWT, HS256."""
    now = int(time.time())
    claims: dict[str, object] = {
        "aud": INTERNAL_AUDIENCE,
        "sub": user_id,
        "act": service,
        "iat": now,
        "exp": int(now + lifetime_seconds),
    }
    signing = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signing}.{_base64(hmac.digest(key.encode(), signing.encode(), hashlib.sha256))}"


def service_tokens(service: str, user_id: str, key: str) -> Callable[[], str]:
    """What a Client's `token` is where `service` acts for the user and knows `SERVICE_TOKEN_KEY`."""
    return lambda: service_token(service, user_id, key, _LIFETIME_SECONDS)


class TokenSource:
    """Hands out a token that is good for a while yet; who comes while a new one is fetched waits for that one."""

    def __init__(self, token: Token, clock: Callable[[], float] = time.time) -> None:
        self._get = token
        self._clock = clock
        self._token = token if isinstance(token, str) else None
        self._renew_at = float("inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """The token to send now. Raise what the function that gets tokens raises."""
        async with self._lock:
            if self._token is None or self._clock() >= self._renew_at:
                self._token = await self._fetch()
                self._renew_at = _renewal(self._token, self._clock())
            return self._token

    def refuse(self, token: str) -> bool:
        """Say that `token` was refused. Whether there may be another one."""
        if isinstance(self._get, str):
            return False
        if token == self._token:
            self._token = None
        return True

    async def _fetch(self) -> str:
        if isinstance(self._get, str):
            return self._get
        got = self._get()
        token = await got if inspect.isawaitable(got) else got
        if not isinstance(token, str):
            raise TypeError(f"the function that gets tokens must return a str, not {type(token).__name__}")
        return token


def _renewal(token: str, now: float) -> float:
    """When to get another: before the token expires, if it is one that says when."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        left = float(claims["exp"]) - now
    except (ValueError, LookupError, TypeError):
        return float("inf")
    # One that lives for seconds only is used for half of them.
    return now + max(left - _EARLY_SECONDS, left / 2)


def _part(value: dict[str, object]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
