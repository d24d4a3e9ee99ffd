"""Finding lines: by a text, or by a regular expression that cannot hold the server up.

Expressions are Python's, which models know best and which need no other library. Some of them take for ever, holding
the interpreter's lock throughout: they are tried in a process of their own, which is killed when its time is over. An
engine whose time is linear in its input would need none; the one that is kept well (RE2) has no wheels for some
platforms that this project installs on, and knows neither looking around nor references back.
"""

import json
import math
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from services.agents.tools.tool import ToolFailed
from services.agents.workspaces.patience import OutOfTime, Patience

log = structlog.get_logger()

Lines = list[tuple[int, int]]
"""Numbers of the lines that match, and the columns at which they do, both from 0 on."""
Matching = Callable[[bytes], Lines]

_CHILD = Path(__file__).with_name("matching_child.py")
_CHILD_BYTES = 512 << 20
_GLANCE_SECONDS = 0.1
"""How often it is looked whether anybody still waits."""


def containing(text: str) -> Matching:
    """Matches lines with this very text in them."""
    wanted = text.encode(errors="replace")

    def match(data: bytes) -> Lines:
        # Most files have none of it.
        if wanted not in data:
            return []
        lines = enumerate(data.decode(errors="replace").split("\n"))
        return [(number, line.find(text)) for number, line in lines if text in line]

    return match


@contextmanager
def matching(pattern: str, patience: Patience) -> Iterator[Matching]:
    """Matches lines that the expression finds something in. Raise ToolFailed for none, OutOfTime."""
    process = _started()
    child = _Child(process, patience)
    try:
        limits = {"seconds": math.ceil(patience.left) + 1, "bytes": _CHILD_BYTES}
        error = child.ask(json.dumps({"pattern": pattern, **limits}).encode() + b"\n")["error"]
        if error is not None:
            raise ToolFailed(
                f"The pattern is no regular expression of Python's: {error}. Mend it, or search for it as a text"
                " with regex=false."
            )
        yield lambda data: [(number, column) for number, column in child.ask(b"%d\n%b" % (len(data), data))]
    finally:
        process.kill()
        process.wait()
        child.close()


def _started() -> "subprocess.Popen[bytes]":
    try:
        # Isolated, and with no environment: it needs nothing of the server, and what it does is not ours.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
        )
    except OSError as error:
        log.warning("no process for a regular expression", error=type(error).__name__)
        raise ToolFailed("The server has no room for regular expressions at the moment: search for a text.") from None


class _Child:
    def __init__(self, process: "subprocess.Popen[bytes]", patience: Patience) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked, self._answered = process.stdin, process.stdout
        self._patience = patience

    def ask(self, question: bytes) -> Any:
        """What it answers. It reads all of a question before it thinks about it: writing waits for no thought."""
        try:
            self._asked.write(question)
            self._asked.flush()
            self._wait()
            answer = self._answered.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise ToolFailed("The pattern takes too much time or memory: take a simpler one, or a text.")
        return json.loads(answer)

    def close(self) -> None:
        """Close both ends."""
        self._answered.close()
        # A question that it did not live to read may still be on its way.
        with suppress(BrokenPipeError):
            self._asked.close()

    def _wait(self) -> None:
        # Not `select.select`, which takes no descriptor above 1,023.
        poll = select.poll()
        poll.register(self._answered, select.POLLIN | select.POLLHUP)
        while not poll.poll(_GLANCE_SECONDS * 1_000):
            if not self._patience.left:
                raise OutOfTime("The pattern takes too long: take a simpler one, or a text, or search less at once.")
