"""Pages of a list: how large, and the token that leads to the next."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from services.runtime.errors import InvalidPageToken

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
PAGE_BYTES = 4 * 1024 * 1024
"""Of text on a page, unless its first element alone has more: 200 long messages are more than gRPC's 16 MiB."""

Element = TypeVar("Element")

Position = list[Any]
"""Where a page ended, in the order of the list: strings, whole numbers and aware datetimes."""


def page_size(requested: int) -> int:
    """The number of elements a page has when `requested` were asked for; 0 asks for the default."""
    return min(requested, MAX_PAGE_SIZE) if requested > 0 else DEFAULT_PAGE_SIZE


def fitting(
    elements: Sequence[Element],
    size: int,
    texts: Callable[[Element], Iterable[str | None]],
    most_bytes: int = PAGE_BYTES,
) -> Sequence[Element]:
    """The first `size` elements, or as many as fit into `most_bytes` of UTF-8, but at least one if there is any."""
    left = most_bytes
    for index, element in enumerate(elements[:size]):
        left -= sum(len(text.encode()) for text in texts(element) if text)
        if left < 0 and index:
            return elements[:index]
    return elements[:size]


def encode_token(position: Position, *query: object) -> str:
    """A token for the page after `position`, of the list that `query` (caller, parents, filters) selects."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in position]
    text = json.dumps([_fingerprint(query), *parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str, *query: object, types: tuple[type, ...]) -> Position | None:
    """The position in `token`; None for the first page. Raise InvalidPageToken if another list or query made it.

    `types` are those of the position's parts: a token is input, and no query may meet a part of another type.
    """
    if not token:
        return None
    try:
        fingerprint, *parts = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True))
        if fingerprint != _fingerprint(query):
            raise InvalidPageToken
        return [_part(part, expected) for part, expected in zip(parts, types, strict=True)]
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidPageToken from None


def _part(part: object, expected: type) -> object:
    """The part, if it is one that a database can be asked about; the fingerprint is no signature."""
    if expected is datetime and isinstance(part, str):
        moment = datetime.fromisoformat(part)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    elif type(part) is expected:
        if isinstance(part, int) and part.bit_length() > 31:
            raise InvalidPageToken
        if isinstance(part, str):
            part.encode()  # Raises ValueError for half a surrogate pair.
            if "\0" in part:
                raise InvalidPageToken
        return part
    raise InvalidPageToken


def _fingerprint(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode()).hexdigest()[:16]
