"""The text of files, as models get to see it."""

from services.agents.tools.tool import ToolFailed
from services.agents.workspaces.names import shown

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def decoded(path: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    """A file's text, and notes about what is not seen of it. Raise ToolFailed if it is none."""
    if is_binary(data):
        raise ToolFailed(f"{shown(path)} is binary ({len(data):,} bytes), and cannot be read as text.")
    notes: tuple[str, ...] = ()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
        notes = ("not all of it is UTF-8: � stands for what is not, and edit_file does not take it",)
    if has_crlf(text):
        notes = (*notes, "its lines end with CR LF")
    return text.removeprefix(_BOM), notes


def is_binary(data: bytes) -> bool:
    """Whether it cannot be text."""
    return b"\0" in data


def has_crlf(text: str) -> bool:
    """Whether all its lines end with CR LF."""
    ends = text.count("\n")
    return ends > 0 and ends == text.count("\r\n")


def cut(line: str, most: int, around: int = 0) -> str:
    """At most so many code points of the line, those around a place of it, and how many are left out."""
    if len(line) <= most:
        return line
    begin = max(0, min(around - most // 4, len(line) - most))
    before = f"[{begin:,} characters] … " if begin else ""
    after = len(line) - begin - most
    return before + line[begin : begin + most] + (f" … [{after:,} more characters]" if after else "")
