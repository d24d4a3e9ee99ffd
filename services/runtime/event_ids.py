"""The ids of events, which the streams service gives and whoever keeps or resumes a stream has to understand."""

import re
from dataclasses import dataclass

_EVENT_ID = re.compile(r"([0-9a-z]{1,40})-([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class EventId:
    """A place in a session's stream: `epoch-seq`. Seq starts at 1 and has no holes; seq 0 is before the first event."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "EventId | None":
        """The id that `text` is, or None if it is none."""
        match = _EVENT_ID.fullmatch(text)
        return cls(match[1], int(match[2])) if match else None
