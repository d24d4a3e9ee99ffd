"""The `openai` client, opened when it is first needed, and the pauses between calls that are repeated."""

import asyncio
import importlib
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from services.agents.loading import Loading

if TYPE_CHECKING:
    # Importing it takes about a second: at run time it is imported in a thread, at first use.
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
# An endpoint that is there accepts a connection sooner.
_CONNECT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 4.0


class OpenAIClient:
    """The client of the endpoint at `base_url`, shared by all who call it. `close` when done."""

    def __init__(self, api_key: str, base_url: str, silence_seconds: float) -> None:
        self.base_url = base_url.rstrip("/") or OPENAI_URL
        self._api_key = api_key
        self._silence_seconds = silence_seconds
        self._loading = Loading(self._open, "load the openai client")

    def warm(self) -> None:
        """Begin to load the package, so that the first call does not wait for it."""
        self._loading.begin()

    async def opened(self) -> "AsyncOpenAI":
        """The client, as soon as it is loaded."""
        return await self._loading.loaded()

    async def close(self) -> None:
        """Close the client and its connections."""
        client = await self._loading.taken()
        if client is not None:
            await client.close()

    def _open(self) -> "AsyncOpenAI":
        import openai

        client = openai.AsyncOpenAI(
            # Endpoints without keys, such as Ollama, ignore it; the client insists on one.
            api_key=self._api_key or "none",
            base_url=self.base_url,
            max_retries=0,  # We know what was already said, the client does not.
            # Silence is measured by the callers: bytes alone, such as a proxy's keep-alive comments, say nothing.
            timeout=openai.Timeout(None, connect=min(_CONNECT_SECONDS, self._silence_seconds / 2)),
        )
        # The part of the package that it would load in the middle of the first request.
        importlib.import_module("openai.types")
        return client


class Pauses:
    """The waiting between calls that are repeated."""

    def __init__(
        self,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pause = pause
        self._jitter = jitter

    async def before(self, retry: int, retry_after: float | None) -> None:
        """Wait before the retry of this number, counted from 0.

        0.25 s to 4 s, doubling, half of it by chance so that callers part; or what the endpoint asked for.
        """
        if retry_after is not None:
            seconds = retry_after + self._jitter() * _FIRST_PAUSE_SECONDS
        else:
            seconds = min(_FIRST_PAUSE_SECONDS * 2.0**retry, _LONGEST_PAUSE_SECONDS) * (0.5 + self._jitter() / 2)
        await self._pause(seconds)
