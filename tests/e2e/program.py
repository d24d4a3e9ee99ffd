"""A program that runs beside a test, and the lines that it prints."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.e2e.polling import eventually


class Program:
    """What it printed so far, by lines that end at LF only."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._errors = b""
        self.lines: list[str] = []
        self._from = 0

    async def until(self, *texts: str, within: float = 30.0) -> str:
        """The first line behind the last one waited for that has one of these texts."""

        def there() -> int:
            return next((n for n, line in self._later() if any(text in line for text in texts)), 0)

        try:
            self._from = await eventually(there, within, f"a line with one of {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it printed\n{self._said()}") from None
        return self.lines[self._from - 1]

    def _later(self) -> list[tuple[int, str]]:
        return list(enumerate(self.lines, 1))[self._from :]

    async def ended(self, within: float = 30.0) -> int:
        """The exit code; one that is not 0 fails."""
        async with asyncio.timeout(within):
            code = await self._process.wait()
        assert code == 0, f"exit code {code}\n{self._said()}"
        return code

    async def read(self) -> None:
        """Take in what it prints, to the end."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_errors(self._process.stderr))
            async for line in self._process.stdout:
                self.lines.append(line.decode().removesuffix("\n"))

    async def _read_errors(self, stream: asyncio.StreamReader) -> None:
        while more := await stream.read(65536):
            self._errors += more

    def _said(self) -> str:
        return "\n".join([*self.lines[-40:], self._errors.decode(errors="replace")])


@contextlib.asynccontextmanager
async def started(*command: str, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Program]:
    """Run it; kill it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A snapshot is one line.
        limit=2**22,
    )
    program = Program(process)
    reading = asyncio.create_task(program.read())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
