"""Quoting what others said in a prompt: as JSON, so that nothing that was said can end its quotation."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.agents.models import Message, WantedCall
from services.agents.tokens import estimate_message, estimate_prompt, estimate_tokens, fair_shares, most_characters

INPUT_TOKENS = 16_000
"""Most tokens of the results that a prompt quotes, all together: of twelve, four pages each."""
REQUEST_TOKENS = 16_000
"""Most tokens of the user's message where a prompt quotes it: people paste whole files."""
TURN_TOKENS = 60_000
"""Most tokens of the turns of a task: leaves half of what current models take to the rest and to the answer."""

_LEFT_OUT = "[left out: {:,} characters of an earlier result; call the tool again if you need it]"
_ARGUMENTS_LEFT_OUT = "{:,} characters of the arguments of an earlier call"
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


def within(turns: Sequence[Message], tokens: int = TURN_TOKENS) -> tuple[Message, ...]:
    """The turns of a task, oldest first, within a token budget as far as can be.

    As long as they are over it, the oldest results are replaced by a note that says so, and then the arguments of the
    oldest calls; the last turn and its results are kept whole. Every call keeps its place and its result.
    """
    kept = list(turns)
    over = estimate_prompt(kept) - tokens
    last = max((n for n, turn in enumerate(kept) if turn.calls), default=0)
    for role in ("tool", "assistant"):
        for n, turn in enumerate(kept[:last]):
            if over <= 0:
                return tuple(kept)
            if turn.role == role:
                shorter = _without_content(turn)
                saved = estimate_message(turn) - estimate_message(shorter)
                if saved > 0:
                    kept[n] = shorter
                    over -= saved
    return tuple(kept)


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


def _without_content(turn: Message) -> Message:
    if turn.role == "tool":
        return replace(turn, content=_LEFT_OUT.format(len(turn.content)))
    return replace(turn, calls=tuple(map(_without_arguments, turn.calls)))


def _without_arguments(call: WantedCall) -> WantedCall:
    note = json.dumps({"left_out": _ARGUMENTS_LEFT_OUT.format(len(call.arguments))})
    return replace(call, arguments=note) if len(note) < len(call.arguments) else call
