"""A process that runs a command in a sandbox, for tests that end it: `sandbox_server road folder`."""

import asyncio
import sys
from pathlib import Path

from tests.agents.sandboxes import sandbox


async def main(road: str, folder: str) -> None:
    async def nothing() -> int:
        return 0

    await sandbox(road).run(Path(folder), "(setsid sleep 1000 &); touch here; sleep 1000; sleep 1000", 1000.0, nothing)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
