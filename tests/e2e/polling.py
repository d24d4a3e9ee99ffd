"""Waiting for what must come true, without sleeping to be right."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def eventually(check: Callable[[], Any], within: float = 30.0, what: str = "the condition") -> Any:
    """Return the first truthy value of `check`, which may be async; fail when there is none within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        value = check()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within:g} s; last value: {value!r}")
        await asyncio.sleep(0.02)
