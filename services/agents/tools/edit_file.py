"""Changing a part of a file of the project's."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.agents.tools.files import PATH, encoded
from services.agents.tools.texts import cut, has_crlf, is_binary
from services.agents.tools.tool import Caller, Output, ToolFailed, ToolSpec, bounded
from services.agents.workspaces.names import shown
from services.agents.workspaces.patience import Patience
from services.agents.workspaces.workspace import MOST_FILE, Workspace
from services.agents.workspaces.workspaces import Workspaces

_CONTEXT = 3
_MOST_SHOWN = 4_000
"""Code points of the difference that is shown."""
_MOST_COMPARED = 400
"""Lines that are compared one by one: comparing takes the square of it."""
_MOST_PROBED = 5_000
"""Lines of a file that are looked at for one like that which was not found."""
_MOST_COMPARISONS = 200
_PROBE = 100
"""Code points of a line that are compared."""
_NUMBERED = re.compile(r" *\d+\t")


class EditFile:
    """The tool `edit_file`."""

    spec = ToolSpec(
        "edit_file",
        "Replace a text in a file of the project's workspace by another. `old_text` must be exactly what the file"
        " holds, with its white space and without the line numbers of read_file, and must be there once: include lines"
        " around it until it is. Returns what changed, as a unified diff. Read the file first.",
        "write",
        {
            "type": "object",
            "properties": {
                "path": PATH,
                "old_text": {"type": "string", "minLength": 1, "description": "What is there, exactly."},
                "new_text": {"type": "string", "description": "What shall be there instead; empty removes it."},
                "replace_all": {
                    "type": "boolean",
                    "default": False,
                    "description": "Replace it wherever it is, rather than in one place.",
                },
            },
            "required": ["path", "old_text", "new_text"],
            "additionalProperties": False,
        },
    )
    unavailable: str | None = None

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """See Tool."""
        path, old, new = arguments["path"], arguments["old_text"], arguments["new_text"]
        everywhere = bool(arguments.get("replace_all", False))

        def work(workspace: Workspace) -> Output:
            content = workspace.read(path)
            text = _text(path, content.data)
            before, wanted, put = _same_ends(text, old, new)
            places = _places(path, before, wanted, everywhere, workspace.patience)
            if len(before) + len(places) * (len(put) - len(wanted)) > MOST_FILE:
                raise ToolFailed(f"The file would become too large: at most {MOST_FILE:,} bytes can be written.")
            after = before.replace(wanted, put)
            if after == before:
                raise ToolFailed("old_text and new_text are the same: nothing would change.")
            data = encoded(after.replace("\n", "\r\n") if has_crlf(text) else after)
            workspace.write(path, data, instead_of=content)
            many = f" in {len(places)} places" if len(places) > 1 else ""
            difference = bounded(_difference(before, places, wanted, put), most=_MOST_SHOWN)
            return Output(f"Changed {shown(path)}{many}:\n{difference.text}", truncated=difference.truncated)

        return await self._workspaces.use(caller.agent.owner, work, alone=True)


def _text(path: str, data: bytes) -> str:
    if is_binary(data):
        raise ToolFailed(f"{shown(path)} is binary, and cannot be edited as text.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ToolFailed(f"{shown(path)} is not UTF-8, and cannot be edited without harm to the rest of it.") from None


def _same_ends(text: str, old: str, new: str) -> tuple[str, str, str]:
    """The three with line ends that can be compared: those of a file are one kind, and models write another.

    In a file that mixes them they are taken as they are.
    """
    if has_crlf(text) or "\r" not in text:
        return text.replace("\r\n", "\n"), old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    return text, old, new


def _places(path: str, text: str, wanted: str, everywhere: bool, patience: Patience) -> list[int]:
    """Where the wanted text begins. Raise ToolFailed unless it is there, and only once if not `everywhere`."""
    places = list(_found(text, wanted))
    if not places:
        raise ToolFailed(f"old_text is not in {shown(path)}. {_hint(text, wanted, patience)}")
    if len(places) > 1 and not everywhere:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in places[:5])
        more = ", …" if len(places) > 5 else ""
        raise ToolFailed(
            f"old_text is {len(places):,} times in {shown(path)}, at lines {lines}{more}: include lines around the"
            " one that is meant, or set replace_all."
        )
    return places


def _found(text: str, wanted: str) -> Iterator[int]:
    # The places that str.replace replaces: none begins within another.
    place = text.find(wanted)
    while place >= 0:
        yield place
        place = text.find(wanted, place + len(wanted))


def _hint(text: str, wanted: str, patience: Patience) -> str:
    asked = [line for line in wanted.split("\n") if line.strip()]
    if asked and all(_NUMBERED.match(line) for line in asked):
        return "It begins with line numbers, as read_file shows them: leave them out."
    # The longest line says the most about which place is meant.
    probe = max((line.strip() for line in asked), key=len, default="")[:_PROBE]
    number, line = _nearest(text.split("\n")[:_MOST_PROBED], probe, patience) if probe else (0, "")
    if not number:
        return "No line of it is like one of old_text: read the file again."
    if line.strip()[:_PROBE] == probe:
        why = "White space or the lines around it differ"
    else:
        why = "The nearest line is another"
    return f"{why}: line {number:,} of the file is `{cut(line, 200)}`. Read the file, and take the text from there."


def _nearest(lines: list[str], probe: str, patience: Patience) -> tuple[int, str]:
    """The number of the line that is the most like the probe, and the line; 0 if none is."""
    best, found, comparisons = 0.6, (0, ""), 0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(probe)
    for number, line in enumerate(lines, 1):
        patience.check()
        stripped = line.strip()[:_PROBE]
        if stripped == probe:
            return number, line
        matcher.set_seq1(stripped)
        if comparisons == _MOST_COMPARISONS or matcher.real_quick_ratio() <= best or matcher.quick_ratio() <= best:
            continue
        comparisons += 1
        if (ratio := matcher.ratio()) > best:
            best, found = ratio, (number, line)
    return found


def _difference(text: str, places: list[int], wanted: str, put: str) -> str:
    """What changes, as a unified diff of the parts around the places."""
    lines = text.split("\n")
    shown_lines: list[str] = []
    moved = length = 0
    for begin, end in _parts(text, places, wanted, len(lines)):
        before = lines[begin:end]
        after = "\n".join(before).replace(wanted, put).split("\n")
        if end == len(lines) and before[-1] == after[-1] == "":
            # What follows the last line's end is no line.
            before.pop()
            after.pop()
        shown_lines += [f"@@ -{begin + 1},{len(before)} +{begin + 1 + moved},{len(after)} @@", *_changes(before, after)]
        moved += len(after) - len(before)
        length = sum(map(len, shown_lines))
        if length > 4 * _MOST_SHOWN:
            break  # What follows is not shown.
    return "\n".join(shown_lines)


def _parts(text: str, places: list[int], wanted: str, lines: int) -> Iterator[tuple[int, int]]:
    """The lines around the places, from and up to, those that meet as one."""
    height = wanted.count("\n")
    number = at = 0
    begin = end = -1
    for place in places:
        number += text.count("\n", at, place)
        at = place
        first, last = max(0, number - _CONTEXT), min(lines, number + height + 1 + _CONTEXT)
        if begin >= 0 and first > end:
            yield begin, end
            begin = first
        elif begin < 0:
            begin = first
        end = last
    yield begin, end


def _changes(before: list[str], after: list[str]) -> list[str]:
    if len(before) + len(after) > _MOST_COMPARED:
        return [f"-{line}" for line in before] + [f"+{line}" for line in after]
    # The first three lines say which files and lines: the one we need not, the other we know.
    return list(difflib.unified_diff(before, after, lineterm="", n=len(before)))[3:]
