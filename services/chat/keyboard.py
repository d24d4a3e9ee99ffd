"""Lines that are typed while something else goes on."""

import asyncio
import os
import termios


class Keyboard:
    """A terminal that gives whole lines, as it does while nobody edits them with readline."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def forget(self) -> None:
        """Drop what was typed so far: it answers nothing that is asked from now on."""
        termios.tcflush(self._descriptor, termios.TCIFLUSH)

    async def line(self) -> str | None:
        """Wait for a line; None for the end of input (Ctrl-D, or a terminal that is gone)."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[None] = loop.create_future()

        def there() -> None:
            if not typed.done():
                typed.set_result(None)

        loop.add_reader(self._descriptor, there)
        try:
            await typed
        finally:
            loop.remove_reader(self._descriptor)
        try:
            # As long as a line of a terminal can be.
            read = os.read(self._descriptor, 65536)
        except OSError:
            return None
        return read.decode(errors="replace").removesuffix("\n") if read else None
