"""The file `.env` of the current folder: variables for who would rather write them down than export them.

A line is `NAME=value`, after `export ` if it likes, empty, or a comment. A value stands as it is, without the blanks at
its ends, up to a ` #`; in single quotes it stands exactly as it is; in double quotes a backslash before `n`, `"`, `$`
or itself means what it means elsewhere. Nothing is expanded, and no value goes over several lines.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from services.runtime.errors import StartupError

DOTENV = Path(".env")

_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_COMMENT = re.compile(r"\s#.*")
_ESCAPED = re.compile(r'\\([n"\\$])')


def read_dotenv(path: Path = DOTENV) -> dict[str, str]:
    """The variables of the file; none if there is no such file. Of a name that stands twice the last counts.

    Raise StartupError, which names the file and the line, and never the value.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StartupError(f"{path} cannot be read: {error.strerror}") from None
    return dict(_variables(path, content))


def _variables(path: Path, content: bytes) -> Iterator[tuple[str, str]]:
    # An editor may have put a byte order mark before everything.
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode().strip()
        except UnicodeDecodeError:
            raise StartupError(f"{path}, line {number}: is not UTF-8") from None
        if not line or line.startswith("#"):
            continue
        found = _ASSIGNMENT.fullmatch(line)
        if found is None or "\0" in line:
            raise StartupError(f"{path}, line {number}: must be NAME=value, or a comment that begins with #")
        name, written = found.groups()
        value = _value(written)
        if value is None:
            raise StartupError(
                f"{path}, line {number}: the quotes around the value of {name} must end on this line, with nothing but"
                " a comment after them"
            )
        yield name, value


def _value(written: str) -> str | None:
    """What is meant by what is written; None if its quotes are not closed, or are not all of it."""
    if written.lstrip().startswith("'"):
        found = _SINGLE.fullmatch(written.lstrip())
        return found and found[1]
    if written.lstrip().startswith('"'):
        found = _DOUBLE.fullmatch(written.lstrip())
        return found and _ESCAPED.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], found[1])
    return _COMMENT.sub("", written, count=1).strip()


def main() -> None:
    """Print a variable as `codelab` would read it, for the Makefile: from the environment, else from the file."""
    [name] = sys.argv[1:]
    try:
        print({**read_dotenv(), **os.environ}.get(name, "").strip())
    except StartupError as error:
        sys.exit(f"codelab: {error}")


if __name__ == "__main__":
    main()
