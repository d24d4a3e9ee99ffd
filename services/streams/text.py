"""The text of an answer while it is written."""

from dataclasses import replace

from services.streams.store import Text, TextDelta, TextSnapshot


class Partial:
    """One answer so far. Its pieces are joined only when somebody needs the whole."""

    def __init__(self, first: TextSnapshot) -> None:
        self._reset(first)

    def _reset(self, first: TextSnapshot) -> None:
        self._text = first
        self._pieces = [first.text]
        self._length = len(first.text)
        self._timestamp = first.timestamp

    @classmethod
    def begin(cls, text: Text) -> "Partial | None":
        """The answer that `text` begins; None if it lacks its beginning."""
        if isinstance(text, TextSnapshot):
            return cls(text)
        return cls(_as_snapshot(text)) if text.offset == 0 else None

    @property
    def run_id(self) -> str:
        return self._text.run_id

    @property
    def generation(self) -> int:
        return self._text.generation

    def snapshot(self) -> TextSnapshot:
        if len(self._pieces) > 1:
            self._text = replace(self._text, text="".join(self._pieces), timestamp=self._timestamp, frame=None)
            self._pieces = [self._text.text]
        return self._text

    def apply(self, text: Text) -> Text | None:
        """Take in `text` of the same generation. Return what brings a reader of the old text to the new one: nothing if
        they are the same, or if the text leaves a gap or contradicts what is known."""
        if isinstance(text, TextSnapshot):
            known = self.snapshot().text
            if not known.startswith(text.text) and not text.text.startswith(known):
                self._reset(text)
                return text
            text = _as_delta(text)
        if text.offset > self._length:
            return None
        if text.offset < self._length:
            known = self.snapshot().text[text.offset : text.offset + len(text.text)]
            if not text.text.startswith(known):
                return None
            text = replace(text, offset=text.offset + len(known), text=text.text[len(known) :], frame=None)
        if not text.text:
            return None
        self._pieces.append(text.text)
        self._length += len(text.text)
        self._timestamp = text.timestamp
        return text


def _as_snapshot(delta: TextDelta) -> TextSnapshot:
    return TextSnapshot(
        run_id=delta.run_id,
        message_id=delta.message_id,
        task_id=delta.task_id,
        agent_id=delta.agent_id,
        generation=delta.generation,
        text=delta.text,
        timestamp=delta.timestamp,
    )


def _as_delta(snapshot: TextSnapshot) -> TextDelta:
    return TextDelta(
        run_id=snapshot.run_id,
        message_id=snapshot.message_id,
        task_id=snapshot.task_id,
        agent_id=snapshot.agent_id,
        generation=snapshot.generation,
        offset=0,
        text=snapshot.text,
        timestamp=snapshot.timestamp,
    )
