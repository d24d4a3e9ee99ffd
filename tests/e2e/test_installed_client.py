"""Who only calls the services installs the client: the wheel, in an environment without what servers need."""

import asyncio
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.e2e.suite import ROOT, SERVICES, Layout, Suite

pytestmark = pytest.mark.one_layout

SCRIPT = Path(__file__).parent / "installed_client.py"
SERVERS_OWN = ["sqlalchemy", "starlette", "uvicorn", "openai", "pydantic", "structlog", "jwt", "asyncpg", "grpc_status"]


def run(*command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, env={**environment, **more}, timeout=60
    )


def pip(*arguments: str | Path) -> None:
    result = run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: generating the contract's code must not touch what other tests import."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("protos", "services", "gateway", "codelab_client"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, folder / "source")
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it says it needs, as pinned here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    pip("--python", interpreter, "install", "--no-deps", "--no-index", f"{wheel}[client]")
    [packages] = folder.glob("lib/python*/site-packages")
    # The registry would give the same files, more slowly and not everywhere.
    for needed in needs(PathDistribution(next(packages.glob("codelab-*.dist-info")))):
        for file in needed.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), packages / file)
    pip("--python", interpreter, "check")
    return interpreter


def needs(installed: Distribution, known: set[str] | None = None) -> Iterator[Distribution]:
    """What a distribution needs without any extra but `client`, and what that needs, each once."""
    known = set() if known is None else known
    for text in installed.requires or ():
        requirement = Requirement(text)
        if requirement.name in known or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": "client"})
        ):
            continue
        known.add(requirement.name)
        found = distribution(requirement.name)
        yield found
        yield from needs(found, known)


@pytest.mark.parametrize("suite", [Layout.FIVE], indirect=True, ids=str)
async def test_client_alone_creates_sends_and_watches_across_a_crash_of_the_streams(
    python: Path, suite: Suite, tmp_path: Path
) -> None:
    token = await suite.service_token("reporting", "0b4c1b5e-6a53-4c33-9c2a-6a7f3d3b1a10")
    backends = ",".join(suite.grpc_address(name) for name in SERVICES)
    process = await asyncio.create_subprocess_exec(
        *(python, "-I", SCRIPT, backends, token, *SERVERS_OWN),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            lines.append(line.decode().strip())
            if lines[-1] == "watching":
                suite.processes["streams"].kill()
                await suite.processes.pop("streams").wait()
                await suite.start("streams")
        errors = (await process.stderr.read()).decode()
        assert await process.wait() == 0, errors
    assert errors == ""
    assert lines[0] == "refused PROJECT_NOT_FOUND"
    assert lines[1].startswith("answer ")
    after = lines[lines.index("watching") + 1 :]
    # Its events died with the streams service, and it is told so; then it misses nothing.
    assert after[0] == "resync_required"
    committed = [line for line in after if line in ("message_received", "agent_started", "agent_completed")]
    assert committed == ["message_received", "agent_started", "agent_completed"]


def test_command_without_the_server_says_what_to_install(python: Path) -> None:
    result = run(python.parent / "codelab", "up")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "pip install 'codelab[server]'" in result.stderr


def test_extra_of_the_client_needs_nothing_of_the_servers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {Requirement(each).name for each in project["dependencies"] + project["optional-dependencies"]["client"]}
    assert named == {"grpcio", "protobuf", "googleapis-common-protos"}
