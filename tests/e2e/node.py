"""Programs of others that tests run, and what Node's need, from the npm registry by a lock with hashes."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codelab"


async def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """The output of a command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, f"{command}\n{stdout.decode()}{stderr.decode()}"
    return stdout.decode()


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


async def node_modules(package: Path) -> Path:
    """What the package's lock names, installed once for each of its versions. Skips if npm cannot install it."""
    lock = (package / "package-lock.json").read_bytes()
    folder = CACHE / f"{package.name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as guard:
        await asyncio.to_thread(fcntl.flock, guard, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(package / name, folder)
            try:
                await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
            except AssertionError as failure:
                pytest.skip(f"npm cannot install: {failure}")
            (folder / ".installed").touch()
    return folder / "node_modules"
