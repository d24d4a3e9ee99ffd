"""The public keys of an identity provider, as `JWT_JWKS_URL` publishes them: fetched, trusted for a while, refetched.

A key that appears is found by the first token that names it, one that disappears is trusted for no longer than
`life_seconds`. While the provider is out of reach the known keys go on working. Nothing a caller sends makes us fetch
from elsewhere, nor more often than once in `floor_seconds`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from services.runtime.errors import Unavailable

log = structlog.get_logger()

ALGORITHMS = ("RS256", "ES256", "EdDSA")
# The one algorithm of each kind of key: a key never verifies by another, whatever it or a token says.
_ALGORITHM_OF = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_LEAST_RSA_BITS = 2048
_MOST_BYTES = 1024 * 1024
_FETCH_SECONDS = 3.0
# From this part of their life on, keys are fetched anew while the old ones still serve: nobody waits.
_EARLY = 0.8
_FLOORS_IN_A_LIFE = 60


class KeysUnavailable(Unavailable):
    """The key that a token names is not known, and the identity provider cannot be asked for it."""

    reason = "KEYS_UNAVAILABLE"

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "the token cannot be verified at the moment: the keys of its issuer are out of reach, try again",
            retry_after=retry_after,
        )


@dataclass(frozen=True)
class PublishedKey:
    """A key to verify with. Two are equal if they were published alike."""

    kid: str
    algorithm: str
    published: str = field(repr=False)
    public: Any = field(compare=False, repr=False)


class PublishedKeys:
    """The keys at a URL. Fetches when first asked, one fetch at a time and each within three seconds.

    `life_seconds` is how long keys are trusted without asking again; a sixtieth of it is the least time between
    fetches, and so the longest until a new key is known.
    """

    def __init__(self, url: str, life_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        # Reading the trusted certificates takes tens of milliseconds: not while calls are served.
        self._tls = httpx2.create_ssl_context()
        self._life = life_seconds
        self._floor = life_seconds / _FLOORS_IN_A_LIFE
        self._clock = clock
        self._keys: dict[tuple[str, str], PublishedKey] = {}
        self._fetched_at = self._next_fetch = float("-inf")
        self._reached = True
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str, algorithm: str) -> PublishedKey | None:
        """The key of that name and algorithm; None if it is not published. Raise KeysUnavailable."""
        if algorithm not in ALGORITHMS or not kid:
            return None
        key, age = self._keys.get((kid, algorithm)), self._clock() - self._fetched_at
        if key is not None and age < self._life * _EARLY:
            return key
        fetching = self._fetch_anew()
        # Keys past their life are not used while the provider, as far as we know, can be asked whether it still has
        # them. Once it could not be asked they are all there is, and waiting each time would only make all slow.
        if fetching is not None and (key is None or (age >= self._life and self._reached)):
            await asyncio.wait({fetching})
            key = self._keys.get((kid, algorithm))
        if key is None and not self._reached:
            raise KeysUnavailable(max(1.0, self._next_fetch - self._clock()))
        return key

    def _fetch_anew(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None if the last is too fresh for another."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        if self._clock() < self._next_fetch:
            return None
        # Whoever asked may be cancelled; the fetch is everybody's.
        self._fetching = asyncio.create_task(self._fetch(), name="fetch published keys")
        return self._fetching

    async def _fetch(self) -> None:
        asked_at = self._clock()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                self._keys = {(key.kid, key.algorithm): key for key in usable_keys(await self._document())}
            self._fetched_at = asked_at
            self._reached = True
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError) as error:
            self._reached = False
            log.warning("the published keys cannot be had", error=type(error).__name__, known=len(self._keys))
        finally:
            self._next_fetch = self._clock() + self._floor

    async def _document(self) -> Any:
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with (
            httpx2.AsyncClient(verify=self._tls, timeout=_FETCH_SECONDS) as client,
            client.stream("GET", self._url, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("too large")
        return json.loads(body)


def usable_keys(document: Any) -> Iterator[PublishedKey]:
    """The keys of a JWK Set that may verify tokens; the rest is left out. Raise ValueError if it is not a JWK Set.

    Left out: secrets (`oct`), keys for anything but signatures, without a `kid`, for algorithms other than ours, RSA
    keys below 2048 bits, and what no key can be made of. Of keys with the same name and algorithm the first counts.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWK Set")
    seen: set[tuple[str, str]] = set()
    for each in listed:
        key = _usable(each) if isinstance(each, dict) else None
        if key is None or (key.kid, key.algorithm) in seen:
            log.debug("a published key is left out", kid=str(each.get("kid")) if isinstance(each, dict) else None)
        else:
            seen.add((key.kid, key.algorithm))
            yield key


def _usable(published: dict[str, Any]) -> PublishedKey | None:
    kid, kty, curve = published.get("kid"), published.get("kty"), published.get("crv")
    algorithm = _ALGORITHM_OF.get((kty, curve)) if isinstance(kty, str) and isinstance(curve, str | None) else None
    operations = published.get("key_ops", ["verify"])
    if (
        algorithm is None
        or not isinstance(kid, str)
        or not kid
        or published.get("use", "sig") != "sig"
        or published.get("alg", algorithm) != algorithm
        or not (isinstance(operations, list) and "verify" in operations)
        # A private key here is a leak: whoever has read it can sign as the issuer.
        or "d" in published
    ):
        return None
    try:
        public = jwt.PyJWK(published, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < _LEAST_RSA_BITS:
        return None
    return PublishedKey(kid, algorithm, json.dumps(published, sort_keys=True), public)
