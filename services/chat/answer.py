"""An answer as it is written, put together as the contract tells a client to."""

from dataclasses import dataclass, field

from codelab.orchestrator.v1.event_pb2 import MessageDelta, MessageSnapshot


@dataclass(frozen=True)
class Progress:
    """What to show next: more of the text, after what was shown or, where it `begins_again`, instead of it."""

    more: str
    begins_again: bool = False


@dataclass
class Answer:
    """The text so far, and which attempt at it that is."""

    text: str = ""
    generation: int = 0
    _shown: str = field(default="", init=False)

    def take(self, event: MessageDelta | MessageSnapshot) -> Progress | None:
        """What the event adds; None if it is old news, or has a gap before it that a snapshot will fill."""
        if event.generation < self.generation:
            return None
        if isinstance(event, MessageSnapshot):
            return self._become(event.text, event.generation)
        before = self.text if event.generation == self.generation else ""
        if event.offset > len(before):
            return None
        known = len(before) - event.offset
        return self._become(before + event.text[known:], event.generation)

    def complete(self, text: str) -> Progress | None:
        """What is missing of the whole text; None if nothing is."""
        return self._become(text, self.generation, whole=True)

    def _become(self, text: str, generation: int, whole: bool = False) -> Progress | None:
        self.text, self.generation = text, generation
        if self._shown.startswith(text) and not whole:
            # Another attempt, as after every question to the user: it may well say the same as far as that goes.
            return None
        shown, self._shown = self._shown, text
        if text.startswith(shown):
            return Progress(text[len(shown) :]) if text != shown else None
        return Progress(text, begins_again=True)
