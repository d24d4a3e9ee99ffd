"""What happens in an execution, on its way to whoever reads it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from services.agents.events import Delta, ExecutionEvent

# A reader sees no difference between 40 and 80 pieces a second; every hop behind us pays for each of them.
GATHER_SECONDS = 0.025


class Happenings:
    """A queue for one reader. Text gathers for a moment after the first piece; everything else goes at once.

    Not bounded: it holds no more than the answer, which is kept anyway.
    """

    def __init__(self) -> None:
        self._waiting: deque[ExecutionEvent] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def add(self, event: ExecutionEvent) -> None:
        """Something happened."""
        last = self._waiting[-1] if self._waiting else None
        if isinstance(event, Delta) and isinstance(last, Delta):
            self._waiting[-1] = Delta(last.offset, last.text + event.text)
        else:
            self._waiting.append(event)
        self._changed.set()

    def end(self) -> None:
        """Nothing more will happen."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[ExecutionEvent]:
        clock = asyncio.get_running_loop().time
        quiet_until = 0.0
        while self._waiting or not self._ended:
            # Text with nothing behind it may gather; without text there is nothing to do but wait.
            patience = quiet_until - clock() if self._only_text() else (0.0 if self._waiting else None)
            if patience is None or patience > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._changed.wait()
                continue
            event = self._waiting.popleft()
            if isinstance(event, Delta):
                quiet_until = clock() + GATHER_SECONDS
            yield event

    def _only_text(self) -> bool:
        return len(self._waiting) == 1 and isinstance(self._waiting[0], Delta) and not self._ended
