"""Clients generated from the document compile strictly, read well, and work: in TypeScript and in Python."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.suite import Layout, Suite

pytestmark = [
    pytest.mark.e2e_external,
    # They are about the document, which is the same in each layout.
    pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session"),
]

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
TYPESCRIPT = CLIENTS / "typescript"
BIN = Path(sys.executable).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codelab"


async def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """The output of a command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, f"{command}\n{stdout.decode()}{stderr.decode()}"
    return stdout.decode()


async def fetch_document(suite: Suite, folder: Path) -> Path:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as browser:
        document = (await browser.get("/openapi.json")).raise_for_status()
    path = folder / "openapi.json"
    path.write_bytes(document.content)
    return path


async def credentials(suite: Suite) -> dict[str, str]:
    return {"CODELAB_URL": suite.url, "CODELAB_TOKEN": await suite.token(str(uuid.uuid4()))}


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


async def node_modules() -> Path:
    """What package-lock.json names, installed once for each of its versions. Skips if npm cannot install it."""
    lock = (TYPESCRIPT / "package-lock.json").read_bytes()
    folder = CACHE / f"typescript-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as guard:
        await asyncio.to_thread(fcntl.flock, guard, fcntl.LOCK_EX)
        if not (folder / ".installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(TYPESCRIPT / name, folder)
            try:
                await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
            except AssertionError as failure:
                pytest.skip(f"npm cannot install: {failure}")
            (folder / ".installed").touch()
    return folder / "node_modules"


def check(told: Mapping[str, Any]) -> None:
    """What both programs say of the same conversation."""
    assert told["listed"] is True
    assert told["label"] is None
    assert told["role"] == "assistant"
    assert told["events"][0] == "user: Good day"
    assert any(line.endswith(" ms") for line in told["events"])
    assert told["missing"] == "PROJECT_NOT_FOUND"


async def test_typescript_client_compiles_and_works(suite: Suite, tmp_path: Path) -> None:
    require("node", "npm")
    modules = await node_modules()
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    document = await fetch_document(suite, tmp_path)
    # Reads the document with Redocly's validator first: a second opinion on it.
    await run("node", modules / "openapi-typescript/bin/cli.js", document, "-o", "schema.d.ts", folder=tmp_path)
    await run("node", modules / "typescript/bin/tsc", "--project", "tsconfig.json", folder=tmp_path)
    output = await run("node", "out/client.js", folder=tmp_path, **await credentials(suite))
    check(json.loads(output))


async def test_python_client_passes_strict_types_and_works(suite: Suite, tmp_path: Path) -> None:
    document = await fetch_document(suite, tmp_path)
    generating = ["generate", "--path", document, "--meta", "none", "--output-path", tmp_path / "codelab_api"]
    said = await run(BIN / "openapi-python-client", *generating, folder=tmp_path, PATH=f"{BIN}:{os.environ['PATH']}")
    assert "Warning" not in said, said
    program = tmp_path / "use_client.py"
    shutil.copy(CLIENTS / "python" / "use_client.py", program)
    await run(sys.executable, "-m", "mypy", "--config-file", CLIENTS / "python" / "mypy.ini", program, folder=tmp_path)
    check(json.loads(await run(sys.executable, program, folder=tmp_path, **await credentials(suite))))
