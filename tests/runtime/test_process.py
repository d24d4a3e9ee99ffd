"""A process stops when it is asked to: after its drain, during its start, and at once when asked twice."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PROCESS = """
import asyncio
from contextlib import asynccontextmanager
from services.runtime.process import main

@asynccontextmanager
async def running(settings):
    try:
        print("entering", flush=True)
        await asyncio.sleep({entering})
        print("entered", flush=True)
        yield
    finally:
        print("leaving", flush=True)
        await asyncio.sleep({leaving})
        print("left", flush=True)

main("tried", running)
"""
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def outcome(script: str, *asked: tuple[str, signal.Signals]) -> tuple[int, str, str]:
    """Run it, sending each signal when its line is printed; returns exit code, last line and what stderr says."""
    root = Path(__file__).resolve().parents[2]
    # Somewhere else: the `.env` that a developer keeps here is none of a test's business.
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'protos'}"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        for awaited, number in asked:
            assert any(line == f"{awaited}\n" for line in process.stdout), process.stderr.read()
            process.send_signal(number)
        rest = process.stdout.read().split()
        return process.wait(timeout=30), (rest or [asked[-1][0]])[-1], process.stderr.read()


@BOTH
def test_asked_once_it_leaves_in_order(number: signal.Signals) -> None:
    code, last, _ = outcome(PROCESS.format(entering=0, leaving=0.01), ("entered", number))
    assert (code, last) == (0, "left")


@BOTH
def test_asked_while_it_starts_it_gives_the_start_up_in_order(number: signal.Signals) -> None:
    code, last, said = outcome(PROCESS.format(entering=600, leaving=0.01), ("entering", number))
    assert (code, last) == (0, "left")
    assert "Traceback" not in said


@BOTH
def test_asked_twice_it_ends_at_once_without_a_traceback(number: signal.Signals) -> None:
    script = PROCESS.format(entering=0, leaving=600)
    code, last, said = outcome(script, ("entered", number), ("leaving", number))
    assert (code, last) == (-number, "leaving")
    assert "Traceback" not in said
