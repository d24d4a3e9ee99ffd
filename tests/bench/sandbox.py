"""What the sandbox costs a command: `true` in it, against `sh -c true` without, one after the other.

`python -m tests.bench.sandbox [times]`; CPU is that of this process and of all that it started and waited for.
"""

import asyncio
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from services.agents.sandbox.choice import open_sandbox, user_of_commands
from services.runtime.settings import Settings

_SET_CHILD_SUBREAPER = 36


async def main(times: int) -> None:
    """Print the figures of both."""
    # So that orphans become children of this process.
    assert ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1) == 0
    sandbox = await open_sandbox(Settings.load({}))
    if sandbox.unavailable is not None:
        sys.exit(sandbox.unavailable)
    with tempfile.TemporaryDirectory() as made:
        folder, user = Path(made), user_of_commands()
        if user is not None:
            os.chown(folder, user, user)

        async def nothing() -> int:
            return 0

        async def inside() -> None:
            ended = await sandbox.run(folder, "true", 60.0, nothing)
            assert ended.status == 0

        async def outside() -> None:
            # What a sandbox's process is started by, too.
            subprocess.run(["/bin/sh", "-c", "true"], check=True)  # noqa: ASYNC221

        await _measure("sh -c true", outside, times)
        await _measure("in the sandbox", inside, times)


async def _measure(what: str, run: Callable[[], Awaitable[None]], times: int) -> None:
    await run()
    _wait_for_orphans()
    cpu = _cpu_seconds()
    walls = []
    for _ in range(times):
        began = time.perf_counter()
        await run()
        walls.append(time.perf_counter() - began)
        _wait_for_orphans()
    each = (_cpu_seconds() - cpu) / times
    median, slow = statistics.median(walls), statistics.quantiles(walls, n=20)[-1]
    print(f"{what:16} wall {median * 1e3:6.1f} ms (p95 {slow * 1e3:6.1f}), CPU {each * 1e3:6.1f} ms")


def _wait_for_orphans() -> None:
    """What bubblewrap leaves to be waited for is the sandbox's first process, and has the time of all others."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0):
            pass


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
