"""Reading the chunks of a chat completion stream, as they were in its JSON: nothing here trusts their shape."""

from collections.abc import Iterable
from typing import Any

from services.agents.errors import ModelFailed
from services.agents.models import Usage, WantedCall
from services.agents.openai_calls import CallReader, member, readable

_MOST_TOKENS = 2**31 - 1
_BROKEN_OFF = "the model's answer broke off: try again"
_CALL_BROKEN_OFF = "the model used up max_tokens in the middle of a call: raise the agent's max_tokens"


class PieceReader:
    """Reads one stream, chunk by chunk; calls of tools are nothing to it unless it `reads_calls`."""

    def __init__(self, reads_calls: bool = False, may_be_silent: bool = False) -> None:
        self._may_be_silent = may_be_silent
        self.finish_reason: str | None = None
        self.refused = False
        """Whether the model said that it will not answer, instead of an answer, or a filter cut that off."""
        self.blank = True
        """Whether nothing but white space was said."""
        self._half: str = ""
        self._calls = CallReader() if reads_calls else None

    @property
    def full(self) -> bool:
        """Whether nothing more is read, though the model would say more."""
        return self._calls is not None and self._calls.full

    def read(self, chunk: Any) -> str:
        """The text in the chunk, of the answer or of the model's refusal to give one; may be empty."""
        choices = member(chunk, "choices")
        if not isinstance(choices, list) or not choices:
            return ""
        finish_reason = member(choices[0], "finish_reason")
        if isinstance(finish_reason, str) and finish_reason:
            self.finish_reason = finish_reason
            self.refused = self.refused or finish_reason == "content_filter"
        delta = member(choices[0], "delta")
        if self._calls is not None:
            self._calls.read(delta)
        refusal = member(delta, "refusal")
        self.refused = self.refused or bool(refusal)
        text = member(delta, "content") or refusal
        return self._whole(text) if isinstance(text, str) else ""

    def end(self) -> str:
        """The rest of the text. Raise ModelFailed if the answer did not come to its end, or is empty without reason."""
        if self.finish_reason is None and not self.full:
            raise ModelFailed(_BROKEN_OFF)
        rest, self._half = ("\N{REPLACEMENT CHARACTER}" if self._half else ""), ""
        self.blank = self.blank and not rest
        silent = self._may_be_silent and self.finish_reason not in ("length", "content_filter")
        if self.blank and not silent and not self.calls():
            raise ModelFailed(_empty(self.finish_reason))
        return rest

    def calls(self, taken: Iterable[str] = ()) -> tuple[WantedCall, ...]:
        """The calls that are wanted, with ids of which none is taken. Raise ModelFailed if they broke off."""
        # What a filter cut off is nothing to act upon.
        if self._calls is None or self.refused:
            return ()
        if self.finish_reason == "length" and self._calls.broken_off:
            raise ModelFailed(_CALL_BROKEN_OFF)
        return self._calls.wanted(taken)

    def _whole(self, text: str) -> str:
        # JSON may carry a character beyond the BMP as two halves in two chunks; half of one is no Unicode.
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        text = readable(text)
        self.blank = self.blank and not text.strip()
        return text


def usage_of(chunk: Any) -> Usage | None:
    """The usage that the chunk reports, if it does."""
    usage = member(chunk, "usage")
    if usage is None:
        return None
    return Usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _count(usage: Any, name: str) -> int:
    value = member(usage, name)
    # What cannot be a count counts nothing: no answer is lost for it.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else 0


def _empty(finish_reason: str | None) -> str:
    if finish_reason == "length":
        return "the model used up max_tokens before it said anything: raise the agent's max_tokens"
    if finish_reason == "content_filter":
        return "the endpoint's content filter withheld the whole answer: put the request differently"
    return "the model gave an empty answer: try again"
