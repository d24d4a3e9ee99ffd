"""A terminal with `codelab` in it: what one types, and what one sees."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.polling import eventually

_COMMANDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The program's own session must have the terminal, or Ctrl-C is only a character.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, '-m', 'services.cli', *sys.argv[1:]])"
)
PROMPT = "› "


@dataclass
class Terminal:
    """What was seen so far, without colours; `typed` text is echoed in it as on any terminal."""

    process: asyncio.subprocess.Process
    descriptor: int
    seen: str = ""
    _from: int = 0

    async def until(self, text: str, within: float = 30.0) -> str:
        """Wait until the text is seen after what was waited for before; return all that came, the text included."""

        def there() -> int:
            return self.seen.find(text, self._from) + 1

        try:
            found = await eventually(there, within, f"{text!r} on the terminal")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows:\n{self.seen}") from None
        begin, self._from = self._from, found - 1 + len(text)
        return self.seen[begin : self._from]

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    async def enter(self, line: str, text: str = PROMPT) -> str:
        """Type a line, and wait for what is to be seen then: by default the next prompt."""
        self.type(f"{line}\r")
        await self.until(line.rpartition("\n")[2][-40:])
        return await self.until(text)

    async def ended(self, within: float = 30.0) -> int:
        """The exit code."""
        async with asyncio.timeout(within):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def terminal(
    *arguments: str, environment: Mapping[str, str], folder: Path, columns: int = 200
) -> AsyncIterator[Terminal]:
    """Run `codelab` in a terminal of its own; kill it at the end."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (50, columns))
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _IN_TERMINAL, *arguments),
            env={**environment, "TERM": "xterm"},
            cwd=folder,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
    finally:
        os.close(its)
    opened = Terminal(process, ours)
    raw = bytearray()

    def read() -> None:
        try:
            raw.extend(os.read(ours, 65536))
        except OSError:  # EIO: nobody has the other end any more.
            loop.remove_reader(ours)
        opened.seen = _COMMANDS.sub("", raw.decode(errors="ignore")).replace("\r", "")

    loop = asyncio.get_running_loop()
    loop.add_reader(ours, read)
    try:
        yield opened
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        os.close(ours)
