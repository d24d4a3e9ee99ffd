"""What a reader may overlook in the arguments of a call before approving it."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 10
_BLANK = 80
"""Characters of white space in a row behind which something can hide at the far end of a line."""
_EMPTY_LINES = 20
"""The same of empty lines, and the lower end of a page."""
_PLAIN = "\n\t"


def warnings_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each thing, at most ten; most calls have none."""
    found: list[str] = []
    for path, text in _texts(arguments, ""):
        for sentence in _warnings_in(text):
            warning = f"`{path}` {sentence}"
            if warning not in found:
                found.append(warning)
            if len(found) == _MOST:
                return tuple(found)
    return tuple(found)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, each in value.items():
                yield from _texts(each, f"{path}.{key}" if path else str(key))
        case list():
            for index, each in enumerate(value):
                yield from _texts(each, f"{path}[{index}]")


def _warnings_in(text: str) -> Iterator[str]:
    if not text.isascii() or not text.isprintable():
        for character in sorted(set(text)):
            if character not in _PLAIN and _hides(character):
                name = unicodedata.name(character, "a control character")
                yield f"contains U+{ord(character):04X} ({name}), which is not seen"
    blank = longest = ends = most_ends = 0
    for character in text:
        blank = blank + 1 if character in " \t\r" else 0
        ends = ends + 1 if character == "\n" else ends * (blank > 0)
        longest, most_ends = max(longest, blank), max(most_ends, ends)
    if longest >= _BLANK:
        yield f"has {longest} blanks in a row: look at what comes after them"
    if most_ends > _EMPTY_LINES:
        yield f"has {most_ends - 1} empty lines in a row: look at what comes below them"


def _hides(character: str) -> bool:
    """Whether it shows nothing, or changes how others are shown."""
    category = unicodedata.category(character)
    # Other spaces than the ordinary one separate no words of a command; variation selectors are marks without a look.
    return (
        category in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp")
        or (category == "Zs" and character != " ")
        or 0xFE00 <= ord(character) <= 0xFE0F
        or 0xE0000 <= ord(character) <= 0xE0FFF
        or 0x180B <= ord(character) <= 0x180F
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    )
