"""What a check found."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from services.runtime.settings import Settings
from services.terminal import origin

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line, and how to mend what it says. Never holds a secret, nor a URL that may hold one."""

    status: Status
    what: str
    detail: str
    mend: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]
"""Looks at one thing. Changes nothing; what it waits for may take longer than anybody waits."""


def ok(what: str, detail: str, mend: str = "") -> Finding:
    """It works; `mend` says what more could be had."""
    return Finding("ok", what, detail, mend)


def warn(what: str, detail: str, mend: str) -> Finding:
    """It works, and yet."""
    return Finding("warn", what, detail, mend)


def fail(what: str, detail: str, mend: str) -> Finding:
    """What is configured does not work."""
    return Finding("fail", what, detail, mend)


def place(url: str) -> str:
    """Host and port of a URL: the rest of it may be secret."""
    return origin(url).partition("://")[2]
