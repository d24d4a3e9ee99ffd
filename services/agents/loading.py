"""Clients whose packages take a second to import: loaded in a thread, at first use or before."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Client = TypeVar("Client")


class Loading(Generic[Client]):
    """What `load` returns, shared by all who need it. A failure is for those who wait; the next one tries again."""

    def __init__(self, load: Callable[[], Client], name: str) -> None:
        self._load = load
        self._name = name
        self._task: asyncio.Task[Client] | None = None

    def begin(self) -> None:
        """Begin to load, so that the first who needs it does not wait."""
        if self._task is None or (self._task.done() and self._task.exception() is not None):
            self._task = asyncio.create_task(asyncio.to_thread(self._load), name=self._name)

    async def loaded(self) -> Client:
        """What was loaded, as soon as it is."""
        self.begin()
        assert self._task is not None
        # Shielded: who stops waiting must not stop the loading for all others.
        return await asyncio.shield(self._task)

    async def taken(self) -> Client | None:
        """What was loaded, for its last time; None if nothing was."""
        task, self._task = self._task, None
        if task is None:
            return None
        await asyncio.wait([task])
        return None if task.exception() is not None else task.result()
