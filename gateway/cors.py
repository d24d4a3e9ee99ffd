"""Which browsers' pages may call: the CORS headers of an answer, and the answer to a preflight."""

from collections.abc import Iterable

_ALLOWED_HEADERS = b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Traceparent, Accept"
_ALLOWED_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED_HEADERS = b"WWW-Authenticate, Retry-After, Traceparent, X-Trace-Id, Location, Allow"
# What browsers cache at most (Chromium: two hours).
_PREFLIGHT_SECONDS = b"7200"


class CorsPolicy:
    """The origins that pages may call from; `*` is any. Tokens travel in headers, so no cookies are ever allowed."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = {origin.encode("latin-1") for origin in origins}
        self._any = b"*" in self._origins

    def headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Headers for every answer to a page of `origin`."""
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED_HEADERS)]
        vary = (b"vary", b"Origin")
        if origin not in self._origins:
            return [vary]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
            vary,
        ]

    def preflight_headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Headers of the answer to a preflight, beside those of `headers`; none for an origin that may not call."""
        if not self._any and origin not in self._origins:
            return []
        return [
            (b"access-control-allow-methods", _ALLOWED_METHODS),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
