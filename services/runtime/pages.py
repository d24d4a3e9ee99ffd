"""Pages of a list: how large, and the token that leads to the next."""

import base64
import binascii
import hashlib
import json

from services.runtime.errors import InvalidPageToken

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200

Position = list[str | int | float]


def page_size(requested: int) -> int:
    """The number of elements a page has when `requested` were asked for; 0 asks for the default."""
    return min(requested, MAX_PAGE_SIZE) if requested > 0 else DEFAULT_PAGE_SIZE


def encode_token(position: Position, *query: object) -> str:
    """A token for the page after `position`, of the list that `query` (caller, parents, filters) selects."""
    text = json.dumps([_fingerprint(query), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(
    token: str, *query: object, types: tuple[type, ...]
) -> Position | None:
    """The position in `token`; None for the first page. Raise InvalidPageToken if another list or query made it.

    `types` are those of the position's parts: a token is input, and no query may meet a part of another type.
    """
    if not token:
        return None
    try:
        fingerprint, *position = json.loads(
            base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        )
    except (binascii.Error, ValueError, TypeError):
        raise InvalidPageToken from None
    if fingerprint != _fingerprint(query) or [type(part) for part in position] != list(
        types
    ):
        raise InvalidPageToken
    return position


def _fingerprint(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode()).hexdigest()[:16]
