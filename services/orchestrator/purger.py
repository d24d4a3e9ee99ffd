"""Removes what deleted sessions leave behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.orchestrator.model import Owner
from services.orchestrator.ports import Streams
from services.orchestrator.store import SessionStore
from services.runtime.errors import CodelabError
from services.runtime.tasks import repeating

log = structlog.get_logger()

_BATCH = 50


class SessionPurger:
    """Ends the streams of deleted sessions, then removes their rows: a deletion is finished also after a crash."""

    def __init__(self, sessions: SessionStore, streams: Streams) -> None:
        self._sessions = sessions
        self._streams = streams
        self._wanted = asyncio.Event()

    @asynccontextmanager
    async def working(self, every_seconds: float) -> AsyncIterator[None]:
        """Purge in the background while the block runs."""
        async with repeating("purge deleted sessions", self._purge_all, every_seconds, wake=self._wanted):
            yield

    def soon(self) -> None:
        """Purge in the background, now."""
        self._wanted.set()

    async def purge(self, project: Owner | None = None) -> None:
        """Purge the project's deleted sessions, or all. Raise Unavailable if streams are out of reach."""
        while found := await self._sessions.deleted_sessions(_BATCH, project):
            for owner, session_ids in found.items():
                await self._streams.close_sessions(owner.user_id, owner.project_id, session_ids)
                await self._sessions.purge_sessions(owner, session_ids)

    async def _purge_all(self) -> None:
        try:
            await self.purge()
        except CodelabError as error:
            log.warning("purging interrupted", reason=error.reason)
