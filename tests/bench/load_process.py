"""Load from a process of its own, which is told what to do by lines of JSON and answers each with one."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.e2e.suite import ROOT, clean_environment

_LONGEST_LINE = 64 * 1024 * 1024
_STEP_SECONDS = 120.0


class LoadProcess:
    """`python -m` a module that calls `obey`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, module: str) -> AsyncIterator["LoadProcess"]:
        """Start it; kill it at the end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(),
            cwd=ROOT,
            limit=_LONGEST_LINE,
        )
        try:
            yield cls(process)
        finally:
            process.kill()
            await process.wait()

    async def do(self, step: str, **arguments: Any) -> Any:
        """Let it do this step; return what it tells of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([step, arguments]).encode() + b"\n")
        async with asyncio.timeout(_STEP_SECONDS):
            line = await self._process.stdout.readline()
        assert line, f"the process that was to {step} has ended"
        return json.loads(line)


async def obey(steps: dict[str, Callable[..., Awaitable[Any]]]) -> None:
    """Do what the lines of standard input say, one after the other, until they end."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        step, arguments = json.loads(line)
        told = await steps[step](**arguments)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
