"""Who waits in this process for the end of a run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Waiting:
    """Wakes those who wait for a run. Waking is a hint: the store knows how the run stands."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def for_run(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the run may have ended, while the block runs.

        Enter before reading the run: an end in between is not missed.
        """
        woken = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(woken)
        try:
            yield woken
        finally:
            waiting = self._waiting[run_id]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[run_id]

    def wake(self, run_id: str) -> None:
        """The run may have ended."""
        for woken in self._waiting.get(run_id, ()):
            woken.set()

    def wake_all(self) -> None:
        """Nobody needs to wait here any longer."""
        for run_id in self._waiting:
            self.wake(run_id)
