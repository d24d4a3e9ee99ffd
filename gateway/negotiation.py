"""What a request's headers ask for: its answer's media type, its body's, and the body itself."""

import asyncio
from collections.abc import Sequence

from starlette.types import Receive

from gateway import problems

MAX_BODY_BYTES = 1024 * 1024
# A megabyte in this time is a slow telephone line; less is somebody holding connections open.
BODY_SECONDS = 30.0


class ClientGone(Exception):
    """The client closed its connection; nobody reads an answer."""


def best_media_type(accept: str | None, offered: Sequence[str]) -> str | None:
    """The offered media type that an Accept header prefers, or None if it takes none of them.

    Without a preference it is the first one. A type that is named beats one that a wildcard covers.
    """
    if not accept or accept == "*/*":
        return offered[0]
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()]
    best: tuple[float, int] = (0.0, 0)
    chosen: str | None = None
    for media_type in offered:
        major = media_type.partition("/")[0]
        specificity, quality = max(
            (
                (level, quality)
                for name, quality in ranges
                for level, pattern in enumerate(("*/*", f"{major}/*", media_type), start=1)
                if name == pattern
            ),
            key=lambda match: match[0],
            default=(0, 0.0),
        )
        if quality > 0 and (quality, specificity) > best:
            best, chosen = (quality, specificity), media_type
    return chosen


def _media_range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return name.lower(), quality


def require_json(content_type: str | None, content_encoding: str | None) -> None:
    """Raise the 415 Problem unless the headers describe plain JSON in UTF-8."""
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        raise problems.unsupported_media_type("the body must not be compressed")
    if content_type == "application/json":
        return
    name, *parameters = (piece.strip().lower() for piece in (content_type or "").split(";"))
    if name != "application/json" and not (name.startswith("application/") and name.endswith("+json")):
        raise problems.unsupported_media_type("the body must be JSON: send the header Content-Type: application/json")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8"):
            raise problems.unsupported_media_type("the body must be JSON in UTF-8")


async def read_body(receive: Receive, content_length: str | None, limit: int, seconds: float) -> bytes:
    """Read a request's body. Raise a 413 Problem beyond `limit` bytes, 408 after `seconds`; ClientGone if it is cut."""
    if content_length is not None and content_length.isdecimal() and int(content_length) > limit:
        raise problems.body_too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise problems.body_too_large(limit)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise problems.body_too_slow(seconds) from None
