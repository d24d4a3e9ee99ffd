"""The README's first five minutes, word by word: what it says to type is typed, and what it says comes back does."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.ports import free_ports
from tests.e2e.suite import ROOT, clean_environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## The first five minutes\n")[2].partition("\n## ")[0]
ANY = r".*?"


@dataclass(frozen=True)
class Step:
    """What is typed, and the lines of what is printed that the README shows; `…` stands for anything."""

    typed: str
    shown: tuple[str, ...]


def steps() -> list[Step]:
    blocks = re.findall(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", SECTION, re.DOTALL)
    return [Step(typed, tuple(shown.splitlines())) for typed, shown in blocks]


START, *REST = steps()
# They need a key or a server that nobody has here; what they set is tested elsewhere.
TYPED = [step for step in REST if "make up" not in step.typed]


@dataclass(frozen=True)
class House:
    """The two terminals of a newcomer: one with `make up`, one for the rest."""

    environment: dict[str, str]
    welcome: Path

    async def type(self, script: str) -> str:
        """Type it in the second terminal; returns what is printed there."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-e", "-u", "-o", "pipefail", "-c", script),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            stdout, stderr = await process.communicate()
        assert process.returncode == 0, f"{stdout.decode()}\n{stderr.decode()}"
        return stdout.decode()


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """`make up` in the checkout, with no setting but a data folder and ports of its own."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if not (ROOT / ".venv").exists():
        pytest.skip("this checkout has no .venv: `make test` makes it")
    folder = tmp_path_factory.mktemp("house")
    first = free_ports(5)
    ports = {"CODELAB_HTTP_PORT": str(first + 4), "CODELAB_GRPC_PORT_BASE": str(first)}
    environment = clean_environment(CODELAB_DATA_DIR=str(folder / "data"), **ports)
    welcome = folder / "up.log"
    with welcome.open("wb") as log:
        up = await asyncio.create_subprocess_exec(
            *("bash", "-e", "-c", START.typed),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(120):
            while "is ready" not in (printed := welcome.read_text(encoding="utf-8")):
                assert up.returncode is None, printed
                await asyncio.sleep(0.1)
        yield House(environment, welcome)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(up.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            await up.wait()


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """The lines that were not printed, in their order, one after the other."""
    absent, rest = [], printed
    for line in shown:
        pattern = ANY.join(re.escape(part) for part in line.split("…"))
        found = re.search(pattern, rest, re.DOTALL)
        if found is None:
            absent.append(line)
        else:
            rest = rest[found.end() :]
    return absent


async def test_everything_that_is_typed_prints_what_the_readme_shows(house: House) -> None:
    assert len(TYPED) >= 6
    assert sum(bool(step.shown) for step in TYPED) >= 5
    end = "--- end of step ---"
    # One terminal: what an earlier step set is there in the later ones.
    script = f"echo '{end}'\n".join(step.typed for step in TYPED)
    port = house.environment["CODELAB_HTTP_PORT"]
    printed = (await house.type(script.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))).split(end)
    assert len(printed) == len(TYPED)
    for step, output in zip(TYPED, printed, strict=True):
        assert missing(step.shown, output) == [], f"typed:\n{step.typed}\nprinted:\n{output}"


async def test_welcome_has_what_the_readme_says_it_prints(house: House) -> None:
    printed = house.welcome.read_text(encoding="utf-8")
    for wanted in (f"http://127.0.0.1:{house.environment['CODELAB_HTTP_PORT']}", "Token", "curl -s"):
        assert wanted in printed


async def test_make_down_stops_it(house: House) -> None:
    assert await house.type("make --no-print-directory down") == "The suite is stopped.\n"
