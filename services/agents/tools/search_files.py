"""Searching the project's files."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fnmatch import translate
from re import compile as compiled
from typing import Any

from services.agents.tools.files import FOLDER, NOT_ENTERED
from services.agents.tools.matching import Matching, containing, matching
from services.agents.tools.texts import cut, is_binary
from services.agents.tools.tool import MOST_OUTPUT, Caller, Output, ToolFailed, ToolSpec
from services.agents.workspaces.names import MOST_NAMES, line_of, shown
from services.agents.workspaces.patience import OutOfTime
from services.agents.workspaces.workspace import Workspace
from services.agents.workspaces.workspaces import Workspaces

_MOST_PATTERN = 1_000
_MOST_GLOB = 200
_MOST_MATCHES = 200
_MOST_LINE = 300
_NOTE = 600
"""Code points that are kept for what is said about the result."""


class SearchFiles:
    """The tool `search_files`."""

    spec = ToolSpec(
        "search_files",
        "Find the lines that contain a text in the files of the project's workspace. Returns `path:line number: line`"
        f" for each, at most {_MOST_MATCHES}. Case counts. Binary files, files of more than 1 MiB and links are left"
        f" out, and so are {', '.join(sorted(NOT_ENTERED))}, unless `path` names them.",
        "read",
        {
            "type": "object",
            "properties": {
                "pattern": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": _MOST_PATTERN,
                    "description": "The text, or with regex=true a regular expression, that is in a line.",
                },
                "path": {**FOLDER, "default": ".", "description": "Where to search: a folder, or one file."},
                "regex": {
                    "type": "boolean",
                    "default": False,
                    "description": "Whether the pattern is a regular expression of Python's. `(?i)` at its beginning"
                    " ignores case.",
                },
                "files": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": _MOST_GLOB,
                    "description": "Only in files whose name fits, such as `*.py`; with a slash in it, whose path does,"
                    " such as `src/*.py`, where `*` also stands for slashes.",
                },
            },
            "required": ["pattern"],
            "additionalProperties": False,
        },
    )
    unavailable: str | None = None

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """See Tool."""
        pattern, path = arguments["pattern"], arguments.get("path", ".")
        regex, glob = bool(arguments.get("regex", False)), arguments.get("files", "*")
        if "\n" in pattern:
            raise ToolFailed("The pattern has a line end in it, and lines are searched one by one: give a part of one.")

        def work(workspace: Workspace) -> Output:
            found = _Matches()
            ways: AbstractContextManager[Matching] = nullcontext(containing(pattern))
            with matching(pattern, workspace.patience) if regex else ways as matches:
                _search(workspace, path, _fitting(glob), matches, found)
            return found.told(pattern, glob)

        return await self._workspaces.use(caller.agent.owner, work)


@dataclass
class _Matches:
    """What was found, as it is told: at most _MOST_MATCHES lines, and as many as fit."""

    lines: list[str] = field(default_factory=list)
    length: int = 0
    files: int = 0
    searched: int = 0
    not_read: int = 0
    out_of_time: bool = False
    full: bool = False

    def add(self, line: str) -> None:
        """Keep the line, unless there is no room any more."""
        self.full = len(self.lines) == _MOST_MATCHES or self.length + len(line) + 1 > MOST_OUTPUT - _NOTE
        if not self.full:
            self.lines.append(line)
            self.length += len(line) + 1

    def told(self, pattern: str, glob: str) -> Output:
        """All of it, for the model."""
        notes = []
        if self.full:
            notes.append("there are more: search for something rarer, or in a folder, or set `files`")
        if self.out_of_time:
            notes.append("time was over before all was searched: search in a folder, or set `files`")
        if self.not_read:
            notes.append(f"{self.not_read:,} files were not read: binary, too large, closed, or with several names")
        if not self.lines:
            fitting = "" if glob == "*" else f" whose names fit {shown(glob)}"
            first = f"{shown(pattern)} is in no line of {self.searched:,} files{fitting}."
        else:
            first = f"Matching lines: {len(self.lines):,}, in files: {self.files:,}."
        return Output(
            "\n".join([first, *self.lines, *(f"[{note}]" for note in notes)]), truncated=self.full or self.out_of_time
        )


def _search(
    workspace: Workspace, path: str, fits: Callable[[tuple[str, ...]], bool], matches: Matching, found: _Matches
) -> None:
    try:
        for names, content in workspace.contents(path, MOST_NAMES, fits, NOT_ENTERED):
            if content is None or is_binary(content.data):
                found.not_read += 1
                continue
            found.searched += 1
            numbers = matches(content.data)
            if not numbers:
                continue
            found.files += 1
            lines = content.data.decode(errors="replace").split("\n")
            for number, column in numbers:
                line = cut(lines[number].removesuffix("\r"), _MOST_LINE, column)
                found.add(f"{line_of('/'.join(names))}:{number + 1}: {line}")
                if found.full:
                    return
    except OutOfTime:
        if not found.lines:
            raise
        found.out_of_time = True


def _fitting(glob: str) -> Callable[[tuple[str, ...]], bool]:
    """Whether a file's names fit. The expressions that fnmatch makes of these need no more than linear time."""
    while glob.startswith("**/"):
        glob = glob[3:]
    by_path = "/" in glob
    fits = compiled(translate(glob)).match
    return lambda names: fits("/".join(names) if by_path else names[-1]) is not None
