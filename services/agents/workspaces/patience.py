"""How long a call may go on. Threads cannot be stopped: what runs in one asks."""

import threading
import time

from services.agents.tools.tool import ToolFailed


class OutOfTime(ToolFailed):
    """The call took too long, or nobody waits for it any more."""


class Patience:
    """The time that a call has left, from its making on; `end` takes what is left of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._ended = threading.Event()

    @property
    def left(self) -> float:
        """Seconds, 0 at least."""
        return 0.0 if self._ended.is_set() else max(0.0, self._until - time.monotonic())

    def end(self) -> None:
        """Nobody waits any more: of what goes on, nothing shall happen that did not yet."""
        self._ended.set()

    def check(self) -> None:
        """Raise OutOfTime if nothing is left."""
        if not self.left:
            raise OutOfTime(f"This took longer than {self._seconds:g} seconds and was ended: ask for less at once.")
