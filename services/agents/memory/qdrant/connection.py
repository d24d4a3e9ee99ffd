"""Asking a Qdrant server by qdrant-client's REST client: when to ask again, and what its failures mean to us.

The server's text is never passed on to a caller: it may hold what somebody remembers.
"""

import asyncio
import importlib
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from services.agents.errors import MemoryRefused, MemoryUnavailable
from services.agents.loading import Loading

if TYPE_CHECKING:
    # Importing it takes about a second: at run time it is imported in a thread, at first use.
    from qdrant_client import AsyncQdrantClient

log = structlog.get_logger()

T = TypeVar("T")

# Seconds before the second and the third attempt, at most.
_PAUSES = (0.2, 0.6)


class Absent(Exception):
    """What was asked for is not there: the collection, or a point that was named by its id."""


class Exists(Exception):
    """What was to be created is there already."""


class Unfit(Exception):
    """The server cannot do this as the collection is now. Its cause says more, to those who read logs."""


class QdrantConnection:
    """The server at `url`. Owns its client: `close` when done.

    Every request may be repeated with the same effect; one that the server failed, or whose answer was lost, is
    repeated twice. `timeout_seconds` is how long a request with its repetitions may take.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        timeout_seconds: float,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._pause = pause
        self._jitter = jitter
        self._loading = Loading(self._open, "load the qdrant client")
        # Part of that client, and here already: the openai client, which another thread may be loading, looks into
        # httpx wherever anybody has imported it, also by half, and fails then.
        importlib.import_module("httpx")

    def warm(self) -> None:
        """Begin to load the client, so that the first request does not wait for it."""
        self._loading.begin()

    async def close(self) -> None:
        """Close the client and its connections."""
        client = await self._loading.taken()
        if client is not None:
            await client.close()

    async def ask(self, what: str, request: Callable[["AsyncQdrantClient"], Awaitable[T]]) -> T:
        """Return what the server answers to the request; `what` names it in the log.

        Raise MemoryUnavailable, MemoryRefused, Absent, Exists or Unfit; whatever else is raised is a fault of ours.
        """
        # No part of the server's time.
        client = await self._loading.loaded()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask(what, client, request)
        except TimeoutError:
            log.warning("memory store did not answer in time", request=what, seconds=self._timeout_seconds)
            raise MemoryUnavailable from None

    async def _ask(
        self, what: str, client: "AsyncQdrantClient", request: Callable[["AsyncQdrantClient"], Awaitable[T]]
    ) -> T:
        attempt = 0
        while True:
            try:
                return await request(client)
            except Exception as error:
                meaning, passing = _meaning(error)
                if meaning is error:
                    raise
                if isinstance(meaning, Absent | Exists | Unfit):
                    raise meaning from error
                log.warning(
                    "memory store failed",
                    request=what,
                    attempt=attempt + 1,
                    status=getattr(error, "status_code", None),
                    error=type(getattr(error, "source", error)).__name__,
                )
                if not passing or attempt == len(_PAUSES):
                    raise meaning from None
            # Half of the pause is by chance, so that callers who failed together part.
            await self._pause(_PAUSES[attempt] * (0.5 + self._jitter() / 2))
            attempt += 1

    def _open(self) -> "AsyncQdrantClient":
        from qdrant_client import AsyncQdrantClient

        return AsyncQdrantClient(
            url=self._url,
            # As a header, since the client's own parameter warns, on stderr, of every server without TLS.
            headers={"api-key": self._api_key} if self._api_key else None,
            # Ours ends first: the client rounds to whole seconds, and counts each attempt anew.
            timeout=int(self._timeout_seconds) + 1,
            # It would ask in a thread that nobody owns, and print what it finds.
            check_compatibility=False,
        )


def _meaning(error: Exception) -> tuple[Exception, bool]:
    """What an error of the client means, which is itself if it is not foreseen; and whether it may pass soon."""
    # Whoever raises the client's errors has imported it.
    from httpx import TransportError
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    match error:
        case UnexpectedResponse(status_code=400):
            return Unfit(), False
        case UnexpectedResponse(status_code=401 | 403 as status):
            return MemoryRefused(status), False
        case UnexpectedResponse(status_code=404):
            return Absent(), False
        case UnexpectedResponse(status_code=409):
            return Exists(), False
        case UnexpectedResponse(status_code=int() as status) if status >= 500:
            return MemoryUnavailable(), True
        # 408 is the server's own timeout: it has waited for itself long enough. 429 with a header, and that header
        # when it cannot be read, are the client's own exceptions.
        case UnexpectedResponse(status_code=408 | 429) | QdrantException():
            return MemoryUnavailable(), False
        case ResponseHandlingException(source=TransportError()):
            return MemoryUnavailable(), True
    return error, False
