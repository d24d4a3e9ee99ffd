"""`codelab chat`, off a terminal and in one."""

import asyncio
import subprocess
import sys
from contextlib import AbstractAsyncContextManager

from tests.e2e.suite import Result, Suite
from tests.e2e.terminal import Terminal, terminal


async def chat(suite: Suite, *arguments: str, stdin: str = "", **environment: str) -> Result:
    """Run it off a terminal to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "chat", *arguments),
        env={**suite.environment, **environment},
        cwd=suite.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(60):
            stdout, stderr = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Result(process.returncode, stdout.decode(), stderr.decode())


def at_terminal(suite: Suite, *arguments: str, **environment: str) -> AbstractAsyncContextManager[Terminal]:
    return terminal("chat", *arguments, environment={**suite.environment, **environment}, folder=suite.folder)
