"""Reading the calls of tools that a chat completion streams, whatever way its server tells them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from services.agents.models import WantedCall
from services.agents.tools.tool import MOST_ARGUMENTS

MOST_CALLS = 32
"""Calls in one turn: of a model that wants more, the first of them."""
# Far beyond any tool's name; what is longer names none.
_LONGEST_NAME = 128
# Some gateways put a signature of some thousand characters into an id, and need it back.
_LONGEST_ID = 16_384


@dataclass
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Whether its arguments are a JSON object, to which nothing can be added."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


class CallReader:
    """Reads the calls of one stream, delta by delta; what it keeps of them is bounded."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self.full = False
        """Whether it takes nothing more: more calls are wanted than are made at once, or one has more arguments than
        any tool takes. Whoever writes without end is not listened to without end."""

    def read(self, delta: Any) -> None:
        """Read the calls, or parts of calls, in a chunk's delta."""
        entries = member(delta, "tool_calls")
        for entry in entries if isinstance(entries, list) else ():
            self._read(entry, member(entry, "function"))
        if legacy := member(delta, "function_call"):
            self._read({"index": 0}, legacy)

    @property
    def broken_off(self) -> bool:
        """Whether the last call's arguments did not come to their end."""
        return bool(self._calls) and bool(self._calls[-1].pieces) and not self._calls[-1].whole

    def wanted(self, taken: Iterable[str]) -> tuple[WantedCall, ...]:
        """The calls, with ids that are neither among the taken ones nor twice among these.

        Arguments longer than MOST_ARGUMENTS are cut to something that is longer still, and so fits no tool.
        """
        ids = set(taken)
        wanted = []
        for call in self._calls:
            name, arguments = readable(call.name)[:_LONGEST_NAME], readable(call.arguments)
            if name or arguments:
                call_id = _unique(readable(call.id), ids)
                ids.add(call_id)
                # What takes no arguments is called with nothing by some models.
                wanted.append(WantedCall(call_id, name, arguments if arguments.strip() else "{}"))
        return tuple(wanted)

    def _read(self, entry: Any, function: Any) -> None:
        index, call_id, name = member(entry, "index"), _text(member(entry, "id")), _text(member(function, "name"))
        arguments = _arguments(member(function, "arguments"))
        if self.full or not (call_id or name or arguments):
            return
        call = self._continued(index if type(index) is int else None, call_id, name, arguments)
        if call is None:
            if len(self._calls) == MOST_CALLS:
                self.full = True
                return
            call = _Call(index if type(index) is int else None)
            self._calls.append(call)
        call.id = call.id or call_id[: _LONGEST_ID + 1]
        # Some repeat the whole name in each part, some tell it in parts.
        if name != call.name and len(call.name) <= _LONGEST_NAME:
            call.name += name
        piece = arguments[: MOST_ARGUMENTS + 1 - call.size]
        if piece:
            call.pieces.append(piece)
            call.size += len(piece)
        self.full = call.size > MOST_ARGUMENTS

    def _continued(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call | None:
        """The call that this is a part of; None if it begins one."""
        found = self._likely(index, call_id, name)
        if found is None or not name or not found.pieces:
            return found
        # A name after arguments is said again, unless it is another one, or that of a call that was already complete.
        return None if name != found.name or (arguments and found.whole) else found

    def _likely(self, index: int | None, call_id: str, name: str) -> _Call | None:
        calls = self._calls[::-1]
        of_index = next((call for call in calls if call.index == index), None) if index is not None else None
        of_id = next((call for call in calls if call.id == call_id), None) if call_id else None
        latest = calls[0] if calls else None
        if not name:
            # Only a name begins a call for certain: there are ids that change with each part, and indexes that jump.
            return of_id or of_index or (None if call_id and index is not None else latest)
        if of_id is not None:
            # Some servers give all calls the same id.
            return of_id if index is None or of_id.index in (None, index) else None
        if of_index is not None and call_id and of_index.id:
            return None
        return of_index


def member(value: Any, name: str) -> Any:
    """What the value has by this name, if it is an object."""
    return value.get(name) if isinstance(value, dict) else None


def readable(text: str) -> str:
    """The text as valid Unicode that databases take."""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    # Databases refuse it, and no reader misses it.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    # Some send the object instead of its text.
    return _text(value) if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unique(call_id: str, taken: set[str]) -> str:
    if call_id and call_id not in taken and len(call_id) <= _LONGEST_ID:
        return call_id
    number = len(taken)
    # Nine letters and digits: Mistral takes no others, and everybody takes these.
    while (made := f"call{number:05}") in taken:
        number += 1
    return made
