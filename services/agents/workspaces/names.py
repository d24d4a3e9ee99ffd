"""What a path in a workspace may be: plain names, one below the other, and nothing that means a place elsewhere.

Only the bytes `/`, `.`, `..` and NUL mean anything to the system. What merely looks like them (full-width forms, the
other slashes of Unicode, `%2e%2e`, backslashes) is a name like any other, of something in the workspace. Case and
composed or decomposed letters make different names; where the file system takes them for one, they are one file of the
same workspace.
"""

import unicodedata

from services.agents.tools.tool import ToolFailed

MOST_PATH = 1_000
"""Code points of a path."""
MOST_NAMES = 32
"""Names in a path: how deep tools make folders."""
MOST_NAME_BYTES = 255

_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
_UNSEEN = frozenset({"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u3164", "\uffa0"})
"""Letters and marks that show nothing, beside those of the category Cf."""


def names_of(path: str, making: bool = False) -> tuple[str, ...]:
    """The names of a relative path, none for `.`, the workspace itself; `making` whether they may come to be.

    Raise ToolFailed for what is no such path.
    """
    if not path:
        raise ToolFailed("The path is empty: `.` is the workspace itself.")
    if len(path) > MOST_PATH:
        raise ToolFailed(f"The path is too long: {len(path):,} characters, and at most {MOST_PATH:,} are permitted.")
    if path.startswith("/"):
        raise ToolFailed(
            f"{shown(path)} is absolute. Paths begin at the project's workspace, such as `src/main.py`:"
            " leave out the leading `/`."
        )
    names = [name for name in path.split("/") if name != "."]
    if len(names) > MOST_NAMES:
        raise ToolFailed(f"The path is too deep: {len(names)} names, and at most {MOST_NAMES} are permitted.")
    for name in names:
        _check(path, name, making)
    return tuple(names)


def folder_names_of(path: str) -> tuple[str, ...]:
    """The same of a folder, whose path may end with a slash."""
    return names_of(path[:-1] if len(path) > 1 and path.endswith("/") else path)


def shown(path: str) -> str:
    """The path as it may stand in a line of an output: what breaks the line, or is not seen, is escaped."""
    plain = path if path.isprintable() else "".join(char if _is_seen(char) else _escaped(char) for char in path)
    return f"`{plain if len(plain) <= 200 else plain[:200] + '…'}`"


def line_of(path: str) -> str:
    """The path alone, as it is listed: escaped as above, which no tool takes back."""
    return path if path.isprintable() else "".join(char if _is_seen(char) else _escaped(char) for char in path)


def _check(path: str, name: str, making: bool) -> None:
    if name == "":
        raise ToolFailed(f"{shown(path)} has an empty name in it: write one `/` between two names, none at the end.")
    if name == "..":
        raise ToolFailed(f"{shown(path)} has `..` in it, which is not permitted: write the path from the workspace on.")
    if any(unicodedata.category(char) in _BREAKING for char in name):
        raise ToolFailed(f"{shown(path)} has characters in it that are no text: no tool opens such a name.")
    if len(name.encode()) > MOST_NAME_BYTES:
        raise ToolFailed(f"{shown(path)} has a name of more than {MOST_NAME_BYTES} bytes: take a shorter one.")
    if making and not all(_is_seen(char) for char in name):
        raise ToolFailed(f"{shown(path)} has characters in it that cannot be seen: leave them out of new names.")
    if making and name != name.strip():
        raise ToolFailed(f"{shown(path)} has a name that begins or ends with white space: leave that out of new names.")


def _is_seen(char: str) -> bool:
    category = unicodedata.category(char)
    varies = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return category not in _BREAKING and category != "Cf" and char not in _UNSEEN and not varies


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
