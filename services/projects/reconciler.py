"""Ends the lives of projects: what is deleted or was never finished leaves every service, whatever crashed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from services.projects.service import ProjectPart
from services.projects.store import ProjectStore, Removal
from services.runtime.errors import CodelabError
from services.runtime.ids import Clock
from services.runtime.tasks import repeating

log = structlog.get_logger()

ROUND_SECONDS = 1.0
"""Between looks at what is due: how late a retry or a rollback may be. A deletion does not wait for it."""
PART_SECONDS = 10.0
"""How long a service has to remove its part before it is asked again."""
_AT_ONCE = 16


class Reconciler:
    """Removes projects, each in a task of its own, so that one that hangs or fails holds up no other.

    Every step is idempotent, and the row goes last: a crash between two steps repeats them.
    """

    def __init__(self, store: ProjectStore, parts: Sequence[ProjectPart], clock: Clock) -> None:
        self._store = store
        self._parts = parts
        self._clock = clock
        self._underway: dict[str, asyncio.Task[None]] = {}
        self._wake: asyncio.Event | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reconcile while the block runs. What is under way at its end is picked up by the next start."""
        try:
            async with repeating("reconcile projects", self._round, ROUND_SECONDS) as self._wake:
                self.wake()
                yield
        finally:
            self._wake = None
            await self._stop()

    def wake(self) -> None:
        """Something is due now."""
        if self._wake is not None:
            self._wake.set()

    async def begin_due(self) -> list[asyncio.Task[None]]:
        """Begin the removals that are due, as far as there is room, and return their tasks. None of them raises."""
        room = _AT_ONCE - len(self._underway)
        if room <= 0:
            return []
        begun = []
        for removal in await self._store.claim_removals(self._clock(), room, list(self._underway)):
            task = asyncio.create_task(self._remove(removal), name=f"remove project {removal.project_id}")
            self._underway[removal.project_id] = task
            begun.append(task)
        return begun

    async def _round(self) -> None:
        await self.begin_due()

    async def _remove(self, removal: Removal) -> None:
        fields = {"project_id": removal.project_id, "user_id": removal.user_id, "attempts": removal.attempts}
        try:
            for part in self._parts:
                await part.remove(removal.user_id, removal.project_id, PART_SECONDS)
            await self._store.forget_project(removal.user_id, removal.project_id)
        except CodelabError as error:
            log.warning("project not removed yet", reason=error.reason, detail=error.detail, **fields)
        except Exception:
            log.exception("project not removed yet", **fields)
        else:
            log.info("project rolled back" if removal.rolled_back else "project removed", **fields)
        finally:
            del self._underway[removal.project_id]
            # There is room again.
            self.wake()

    async def _stop(self) -> None:
        tasks = list(self._underway.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
