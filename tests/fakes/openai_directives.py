"""Finding the directives in a text: a `#` and a name, a space, and a JSON value that ends where its syntax ends."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = ("model", "plan", "replan", "planning", "combining")
_BEGINNING = re.compile(rf"#({'|'.join(sorted(NAMES, key=len, reverse=True))}) (?=[{{\"])")
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class Directive:
    """One that was found, at text[start:end]; `source` is its JSON."""

    name: str
    value: Any
    source: str
    start: int
    end: int


def directives(text: str) -> list[Directive]:
    """Those in the text, in their order; what stands inside of another one's JSON is that one's.

    One that breaks off before its JSON closes, as a text does that was cut, is none, and neither is what follows it.
    Raise ValueError if the JSON of one is wrong.
    """
    found: list[Directive] = []
    position = 0
    while (beginning := _BEGINNING.search(text, position)) is not None:
        start = beginning.end()
        try:
            value, position = _decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            if "}" not in text[start:].partition("\n")[0]:
                break
            raise
        found.append(Directive(beginning[1], value, text[start:position], beginning.start(), position))
    return found


def last_of(found: Iterable[Directive], name: str) -> Directive | None:
    """The last one of this name."""
    return next((each for each in reversed(list(found)) if each.name == name), None)


def without(text: str, found: Sequence[Directive]) -> str:
    """The text without these of its directives."""
    for each in reversed(found):
        text = text[: each.start] + text[each.end :]
    return text.strip()
