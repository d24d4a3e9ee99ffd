"""Quoting what others said in a prompt: as JSON, so that nothing that was said can end its quotation."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.agents.tokens import estimate_tokens, fair_shares, most_characters

INPUT_TOKENS = 16_000
"""Most tokens of the results that a prompt quotes, all together: of twelve, four pages each."""
REQUEST_TOKENS = 16_000
"""Most tokens of the user's message where a prompt quotes it: people paste whole files."""

# JSON lets these stand, and to some they end the line.
_LINE_ENDS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
# Of what is kept of a text, the part from its beginning; the rest is its end, where people ask and answers conclude.
_FROM_THE_BEGINNING = 0.75


@dataclass(frozen=True)
class TaskInput:
    """The result of a task that another one depends on."""

    title: str
    output: str


def line(values: Mapping[str, Any]) -> str:
    """A quotation, on one line."""
    return json.dumps(values, ensure_ascii=False).translate(_LINE_ENDS)


def beginning(text: str, characters: int) -> str:
    """The beginning of the text: so many code points and a mark if there are more."""
    text = text.strip()
    return text if len(text) <= characters else f"{text[:characters]}…"


def shortened(text: str, tokens: int) -> str:
    """The text if its quotation is estimated at so many tokens at most; else so much of it, and how much is missing."""
    if _wanted(text, tokens) <= tokens:
        return text
    room = tokens - estimate_tokens(_parted(text, 0)) - 1
    kept = bisect_right(range(1, min(len(text), most_characters(tokens))), room, key=lambda n: _parts_tokens(text, n))
    return _parted(text, kept)


def shared_out(inputs: Sequence[TaskInput], tokens: int = INPUT_TOKENS) -> list[dict[str, str]]:
    """The results to be quoted, within a token budget: short ones whole, the long ones cut evenly."""
    names = [_quoted_tokens(each.title) for each in inputs]
    wanted = [name + _wanted(each.output, tokens) for name, each in zip(names, inputs, strict=True)]
    return [
        {"title": each.title, "result": shortened(each.output, share - name)}
        for each, name, share in zip(inputs, names, fair_shares(wanted, tokens), strict=True)
    ]


def _wanted(text: str, tokens: int) -> int:
    # Whatever cannot fit is not quoted first to see by how much: it may be a million characters.
    return tokens + 1 if len(text) > most_characters(tokens) else _quoted_tokens(text)


def _quoted_tokens(text: str) -> int:
    return estimate_tokens(json.dumps(text, ensure_ascii=False).translate(_LINE_ENDS))


def _ends(text: str, kept: int) -> tuple[str, str]:
    first = round(kept * _FROM_THE_BEGINNING)
    return text[:first], text[len(text) - kept + first :]


def _parts_tokens(text: str, kept: int) -> int:
    return _quoted_tokens("".join(_ends(text, kept)))


def _parted(text: str, kept: int) -> str:
    first, last = _ends(text, kept)
    return f"{first}… [{len(text) - kept:,} of {len(text):,} characters are left out here] …{last}"
