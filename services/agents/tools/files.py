"""Looking at the project's files, and writing them whole."""

from collections.abc import Mapping
from typing import Any

from services.agents.tools.texts import cut, decoded
from services.agents.tools.tool import MOST_OUTPUT, Caller, Output, ToolFailed, ToolSpec, bounded
from services.agents.workspaces.names import MOST_PATH, shown
from services.agents.workspaces.workspace import Entry, Workspace
from services.agents.workspaces.workspaces import Workspaces

NOT_ENTERED = frozenset({".git", ".venv", "__pycache__", "node_modules"})
"""Folders that are listed and not entered, unless a path leads there: much is in them, and nobody's own work."""

PATH: Mapping[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MOST_PATH,
    "description": "Relative to the project's workspace, such as `src/main.py`.",
}
FOLDER: Mapping[str, Any] = {**PATH, "description": "Relative to the project's workspace; `.` is the workspace itself."}

_MOST_LISTED = 500
_MOST_LINE = 1_000
_NOTE = 300
"""Code points that are kept for what is said about an output."""


class ListDirectory:
    """The tool `list_directory`."""

    spec = ToolSpec(
        "list_directory",
        "List the files and folders in a folder of the project's workspace, with their sizes. Paths in the result can"
        " be used as they are with the other tools. Links are shown, and never followed."
        f" {', '.join(sorted(NOT_ENTERED))} are listed but not entered, unless `path` names them.",
        "read",
        {
            "type": "object",
            "properties": {
                "path": {**FOLDER, "default": "."},
                "depth": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 5,
                    "default": 1,
                    "description": "1: the folder alone. More: also the folders in it, so many levels deep.",
                },
            },
            "additionalProperties": False,
        },
    )
    unavailable: str | None = None

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """See Tool."""
        path, depth = arguments.get("path", "."), int(arguments.get("depth", 1))

        def work(workspace: Workspace) -> Output:
            return _listing(path, workspace, depth)

        return await self._workspaces.use(caller.agent.owner, work)


class ReadFile:
    """The tool `read_file`.

    Lines are numbered, as `cat -n` does: models name and ask for lines by their numbers, which they cannot count, and
    this form they have seen the most. What it costs, numbers that get into an edit, edit_file recognizes.
    """

    spec = ToolSpec(
        "read_file",
        "Read a text file of the project's workspace. Each line comes with its number and a tab before it, which are"
        " not part of the file. Of a long file you get the first part, and a note that tells with which first_line to"
        " read on.",
        "read",
        {
            "type": "object",
            "properties": {
                "path": PATH,
                "first_line": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2_000_000,
                    "default": 1,
                    "description": "Number of the first line to read.",
                },
                "lines": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 2_000_000,
                    "description": "Most lines to read; without it, as many as fit.",
                },
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    )
    unavailable: str | None = None

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """See Tool."""
        path, first = arguments["path"], int(arguments.get("first_line", 1))
        most = int(arguments["lines"]) if "lines" in arguments else None

        def work(workspace: Workspace) -> Output:
            return _numbered(path, workspace.read(path).data, first, most)

        return await self._workspaces.use(caller.agent.owner, work)


class WriteFile:
    """The tool `write_file`."""

    spec = ToolSpec(
        "write_file",
        "Write a text file of the project's workspace: make it, with the folders that are missing, or replace all that"
        " it holds. To change a part of a file, use edit_file.",
        "write",
        {
            "type": "object",
            "properties": {
                "path": PATH,
                "content": {"type": "string", "description": "All that the file will hold."},
            },
            "required": ["path", "content"],
            "additionalProperties": False,
        },
    )
    unavailable: str | None = None

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """See Tool."""
        path, content = arguments["path"], arguments["content"]

        def work(workspace: Workspace) -> Output:
            data = encoded(content)
            made = workspace.write(path, data)
            return bounded(f"{'Made' if made else 'Replaced'} {shown(path)}: {len(data):,} bytes.")

        return await self._workspaces.use(caller.agent.owner, work, alone=True)


def encoded(content: str) -> bytes:
    """A file's bytes. Raise ToolFailed for what is no text."""
    if "\0" in content:
        raise ToolFailed("The content has NUL characters in it: tools write text only.")
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise ToolFailed("The content has halves of surrogate pairs in it, which are no text.") from None


def _listing(path: str, workspace: Workspace, depth: int) -> Output:
    lines: list[str] = []
    length, left_out = 0, 0
    for entry in workspace.entries(path, depth, NOT_ENTERED):
        line = _line(entry)
        if left_out or len(lines) == _MOST_LISTED or length + len(line) + 1 > MOST_OUTPUT - _NOTE:
            left_out += 1
            continue
        lines.append(line)
        length += len(line) + 1
    if not lines:
        return Output(f"{shown(path)} is empty.")
    if left_out:
        lines.append(f"[{left_out:,} more are left out: list a folder of these, or less deep]")
    return Output("\n".join(lines), truncated=left_out > 0)


def _line(entry: Entry) -> str:
    match entry.kind:
        case "folder":
            return f"{entry.path}/"
        case "file":
            return f"{entry.path}  {entry.size:,} {'byte' if entry.size == 1 else 'bytes'}"
        case "link":
            return f"{entry.path}  link, not followed"
        case "other":
            return f"{entry.path}  no regular file"


def _numbered(path: str, data: bytes, first: int, most: int | None) -> Output:
    text, notes = decoded(path, data)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return Output(f"{shown(path)} is empty.")
    if first > len(lines):
        raise ToolFailed(f"{shown(path)} has {len(lines):,} lines: there is no line {first:,}.")
    wanted = lines[first - 1 : None if most is None else first - 1 + most]
    kept: list[str] = []
    length = 0
    for number, line in enumerate(wanted, first):
        numbered = f"{number:>6}\t{cut(line.removesuffix(chr(13)), _MOST_LINE)}"
        if length + len(numbered) + 1 > MOST_OUTPUT - _NOTE:
            break
        kept.append(numbered)
        length += len(numbered) + 1
    last = first - 1 + len(kept)
    if last < len(lines) or first > 1:
        after = f"; read on with first_line={last + 1}" if last < len(lines) else ""
        notes = (*notes, f"lines {first:,} to {last:,} of {len(lines):,}{after}")
    shortened = len(kept) < len(wanted) or any(len(line) > _MOST_LINE for line in wanted[: len(kept)])
    return Output("\n".join([*kept, *(f"[{note}]" for note in notes)]), truncated=shortened)
