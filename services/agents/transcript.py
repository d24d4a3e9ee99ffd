"""The transcript of a task that calls tools: what the model wanted and was told, kept across pauses."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID, uuid5

from services.agents.models import Message, WantedCall
from services.agents.store import Claim
from services.agents.turns import within

MOST_IN_A_TURN = 400_000
"""Code points of the arguments of all calls of one turn: they are kept, shown and sent while the task waits."""
_BETWEEN_TURNS = "\n\n"
_TOO_MUCH = (
    f"The calls of one turn may have {MOST_IN_A_TURN:,} characters of arguments in all, so this one was not made, and"
    " what it was to be called with is left out. Make it in another turn."
)


@dataclass
class Call:
    """A call that the model wants: `id` is the platform's, `result` what the model is told once that is known."""

    id: str
    wanted: WantedCall
    result: str | None = None


@dataclass
class Transcript:
    """What was said and done so far. `calls` are those of the latest turn, until all of them have a result."""

    said: str = ""
    """The text of all turns: the answer so far."""
    steps: int = 0
    """Transcript that called tools."""
    known: list[str] = field(default_factory=list)
    """The ids of all calls."""
    calls: list[Call] = field(default_factory=list)
    _over: list[Message] = field(default_factory=list)
    _text: str = ""

    @classmethod
    def load(cls, state: str) -> "Transcript":
        """What `dump` gave; nothing was said or done if it is empty."""
        if not state:
            return cls()
        kept = json.loads(state)
        calls = [Call(each["id"], WantedCall(**each["wanted"]), each["result"]) for each in kept["calls"]]
        return cls(kept["said"], kept["steps"], kept["known"], calls, _messages(kept["over"]), kept["text"])

    def dump(self) -> str:
        """All of it as text."""
        return json.dumps(
            {
                "said": self.said,
                "steps": self.steps,
                "known": self.known,
                "calls": [asdict(call) for call in self.calls],
                "over": [asdict(message) for message in self._over],
                "text": self._text,
            },
            ensure_ascii=False,
        )

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns that are over, as the model is told."""
        return tuple(self._over)

    def say(self, piece: str, first: bool) -> tuple[int, str]:
        """Add a piece of the present turn's text, its first one or not; return where it goes in the whole, and what."""
        text = _BETWEEN_TURNS + piece if first and self.said else piece
        offset = len(self.said)
        self.said += text
        return offset, text

    def open(self, text: str, wanted: Sequence[WantedCall], claim: Claim) -> None:
        """The model said this, and wants these calls."""
        self.steps += 1
        self._text = text
        room = MOST_IN_A_TURN
        for each in wanted:
            call = Call(_call_id(claim, len(self.known)), each)
            if len(each.arguments) > room:
                call = Call(call.id, replace(each, arguments="{}"), _TOO_MUCH)
            else:
                room -= len(each.arguments)
            self.known.append(call.id)
            self.calls.append(call)

    def close(self) -> None:
        """Every call has its result: the turn is over. Of earlier ones no more is kept than a prompt has room for."""
        self._over.append(Message("assistant", self._text, calls=tuple(call.wanted for call in self.calls)))
        for call in self.calls:
            assert call.result is not None
            self._over.append(Message("tool", call.result, call_id=call.wanted.id))
        self._over = list(within(self._over))
        self.calls, self._text = [], ""


def _call_id(claim: Claim, number: int) -> str:
    # Never the same again, also when a crash has lost what came of an attempt.
    return str(uuid5(UUID(claim.run_id), f"{claim.task_id}/{claim.run_epoch}.{claim.attempt}/{number}"))


def _messages(kept: Sequence[Mapping[str, Any]]) -> list[Message]:
    return [Message(**{**each, "calls": tuple(WantedCall(**call) for call in each["calls"])}) for each in kept]
