"""What the README and `codelab up` tell a newcomer to type works, and the settings table is the truth."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.runtime.settings import Settings
from tests.e2e.polling import eventually
from tests.e2e.suite import ROOT, SERVICES, Layout, Suite, running
from tests.e2e.test_grpcurl import find_grpcurl

README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"<!-- runs: tests/e2e/test_readme.py -->\n```sh\n(.*?)```", README, re.DOTALL)
[GRPCURL] = SNIPPETS
PYTHON = re.findall(r"<!-- runs: tests/e2e/test_readme.py -->\n```python\n(.*?)```", README, re.DOTALL)


@pytest_asyncio.fixture(scope="module")
async def offline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Suite]:
    """What `make up` starts: one process, no setting but where."""
    async with running(Layout.ONE, tmp_path_factory.mktemp("offline")) as suite:
        yield suite


async def typed(suite: Suite, script: str) -> str:
    """Run what a newcomer types, against this suite's ports; returns what was printed."""
    script = script.replace(".venv/bin/codelab", f"{shlex.quote(sys.executable)} -m services.cli")
    script = script.replace("http://127.0.0.1:8000", suite.url).replace(
        "127.0.0.1:9101", suite.grpc_address("projects")
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-u", "-o", "pipefail", "-c", script),
        env=suite.environment,
        cwd=suite.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


@pytest.fixture
def curl() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")


async def test_first_grpc_call_creates_a_project(offline: Suite) -> None:
    grpcurl = find_grpcurl()
    if grpcurl is None:
        pytest.skip("grpcurl is not installed")
    printed = await typed(offline, f'grpcurl() {{ {shlex.quote(grpcurl)} "$@"; }}\n{GRPCURL}')
    assert "codelab.projects.v1.ProjectService" in printed
    assert "From gRPC" in printed


async def test_client_in_python_sends_and_watches(offline: Suite) -> None:
    [example] = PYTHON
    for number, name in enumerate(SERVICES):
        example = example.replace(f"127.0.0.1:{9101 + number}", offline.grpc_address(name))
    environment = {**offline.environment, "CODELAB_TOKEN": await offline.token(str(uuid.uuid4()))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", example),
        env=environment,
        cwd=offline.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), timeout=60)
    assert (process.returncode, stderr.decode()) == (0, "")
    assert stdout.decode().splitlines()[-1] == "agent_completed"
    assert "offline" in stdout.decode()


@pytest.mark.usefixtures("curl")
async def test_what_up_prints_can_be_typed(offline: Suite) -> None:
    log = offline.folder / "up.log"
    pattern = re.compile(r"^  (curl .*?)\n\n", re.DOTALL | re.MULTILINE)
    found = await eventually(lambda: pattern.search(log.read_text(encoding="utf-8")), what="the welcome")
    assert offline.url in found[1]
    assert '"name":"First light"' in (await typed(offline, found[1])).replace(": ", ":")
    assert "offline model" in log.read_text(encoding="utf-8")


def test_settings_table_names_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", README, re.MULTILINE)
    fields = {str(field.validation_alias): field.default for field in Settings.model_fields.values()}
    expected = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in fields.items()}
    assert dict(rows) == expected


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_link_leads_somewhere(path: str) -> None:
    assert (ROOT / Path(path)).exists()
