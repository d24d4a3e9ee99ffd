"""Clients generated from the document compile strictly, read well, and work: in TypeScript and in Python."""

import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.node import CLIENTS, node_modules, require, run
from tests.e2e.suite import Layout, Suite

pytestmark = [
    pytest.mark.e2e_external,
    # They are about the document, which is the same in each layout.
    pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session"),
]

TYPESCRIPT = CLIENTS / "typescript"
BIN = Path(sys.executable).parent


async def fetch_document(suite: Suite, folder: Path) -> Path:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as browser:
        document = (await browser.get("/openapi.json")).raise_for_status()
    path = folder / "openapi.json"
    path.write_bytes(document.content)
    return path


async def credentials(suite: Suite) -> dict[str, str]:
    return {"CODELAB_URL": suite.url, "CODELAB_TOKEN": await suite.token(str(uuid.uuid4()))}


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
    modules = await node_modules(TYPESCRIPT)
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
