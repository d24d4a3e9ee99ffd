"""Ids and time, which are inputs everywhere: pass `new_id` and `utc_now`, or something else in a test."""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
NewId = Callable[[], str]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_id() -> str:
    """A random UUID in its canonical form."""
    return str(uuid.uuid4())


def is_uuid(value: str) -> bool:
    """Whether `value` is UUID-shaped, in either case."""
    return _UUID.fullmatch(value) is not None


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)
