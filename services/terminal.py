"""What a terminal shows: colours where they are wanted, and lines that fit."""

import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

_RESET = "\x1b[0m"
# Scripts from right to left do without: letters bring their own direction.
_REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

_TAB = "⇥   "
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters, marks and symbols that show nothing."""


@dataclass(frozen=True)
class Style:
    """Text with the colours of a terminal, or as it is."""

    colours: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> "Style":
        """Colours if the stream is a terminal that has them, and nobody has set NO_COLOR."""
        return cls(stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def dim(self, text: str) -> str:
        """What stands beside what was asked for."""
        return self._in("2", text)

    def bold(self, text: str) -> str:
        """What is to be found at a glance."""
        return self._in("1", text)

    def good(self, text: str) -> str:
        """Green."""
        return self._in("32", text)

    def doubtful(self, text: str) -> str:
        """Yellow."""
        return self._in("33", text)

    def bad(self, text: str) -> str:
        """Red."""
        return self._in("31", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self.colours and text else text


@contextmanager
def progress_bar(stream: TextIO, width: int = 30) -> Iterator[Callable[[float, str], None]]:
    """A bar that is drawn anew whenever it is called with a share (0 to 1) and a line; nothing where no terminal is."""
    drawn = False

    def draw(share: float, line: str) -> None:
        nonlocal drawn
        if stream.isatty():
            done = round(share * width)
            # On one line of the terminal: only that is drawn anew.
            shown = one_line(line, columns() - width - len("[] "))
            stream.write(f"\r[{'#' * done}{'.' * (width - done)}] {shown}\x1b[K")
            stream.flush()
            drawn = True

    try:
        yield draw
    finally:
        if drawn:
            stream.write("\n")


def origin(url: str) -> str:
    """Scheme, host and port of a URL: the rest of it may be secret, and is not to be seen."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port}" if parts.port else f"{parts.scheme}://{host}"


def columns() -> int:
    """How wide the terminal is; 80 where there is none."""
    return shutil.get_terminal_size().columns


def printable(text: str, *, keep: str = "\n\t") -> str:
    """The text without what would command the terminal, or turn the order of what stands on it."""
    return "".join(
        each
        for each in text
        if each in keep or (unicodedata.category(each) not in ("Cc", "Cs") and each not in _REORDERING)
    )


def visible(text: str) -> str:
    """The text with a mark in the place of each character that is not seen or commands the terminal; lines stay lines.

    What is to be approved is read like this: nothing of it may be overlooked, or pass for something else.
    """
    return "".join(_TAB if each == "\t" else f"⟦U+{ord(each):04X}⟧" if _is_hidden(each) else each for each in text)


def wrapped(line: str, width: int) -> list[str]:
    """The line in pieces of at most so many cells, white space included; one that is empty if it is."""
    pieces, used = [""], 0
    for each in line:
        cells = _cells(each)
        if used + cells > width and used:
            pieces.append("")
            used = 0
        pieces[-1] += each
        used += cells
    return pieces


def one_line(text: str, width: int) -> str:
    """The text on one line of at most so many cells, cut where it is longer."""
    flat = printable(" ".join(text.split()), keep="")
    if _cells(flat) <= width:
        return flat
    kept, used = [], 0
    for each in flat:
        used += _cells(each)
        if used >= width:
            break
        kept.append(each)
    return "".join(kept).rstrip() + "…"


def _is_hidden(character: str) -> bool:
    if character == "\n":
        return False
    category = unicodedata.category(character)
    varies = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return (
        category in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
        or (category == "Zs" and character != " ")
        or character in _BLANK
        or varies
    )


def _cells(text: str) -> int:
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
