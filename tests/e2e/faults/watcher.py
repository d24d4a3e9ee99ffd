"""Somebody who watches a session through every fault, as a browser does: it reconnects, and goes on where it was."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.client import Chat
from tests.e2e.events import StreamBroken, Watch

_RECONNECTS_AFTER_SECONDS = 0.1
REFUSALS = ("answered 503", "answered 504")


@dataclass
class Watcher:
    """Follows one session in a task of its own. What breaks the contract of streams ends it and is kept."""

    chat: Chat
    seen: Counter[str]
    watch: Watch = field(default_factory=Watch)
    violation: str | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name=f"watch {self.chat.session_id}")

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    def ends(self, run_id: str) -> list[str]:
        """The ids of the run's terminal events that came."""
        return [event["id"] for event in self.watch.events if event["run_id"] == run_id and event["final"]]

    async def hears_the_end(self, run_id: str, within: float) -> None:
        """Return when a terminal event of the run has come, or nothing more comes, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.ends(run_id) and self.violation is None:
                    self._came.clear()
                    await self._came.wait()

    @property
    def resyncs(self) -> int:
        return len(self.watch.of_type("resync_required"))

    async def _follow(self) -> None:
        while self.violation is None:
            since: dict[str, Any] = {} if self.watch.last_id else {"after": "start"}
            try:
                async with self.chat.watch(watch=self.watch, **since) as stream:
                    async for _ in stream:
                        self._came.set()
                self.seen["watch: ended"] += 1
            except (httpx.TransportError, StreamBroken) as error:
                self.seen[f"watch: {type(error).__name__}"] += 1
            except AssertionError as error:
                if any(refusal in str(error) for refusal in REFUSALS):
                    self.seen["watch: refused"] += 1
                else:
                    self.violation = f"the stream of session {self.chat.session_id}: {error}"
                    self._came.set()
            await asyncio.sleep(_RECONNECTS_AFTER_SECONDS)
