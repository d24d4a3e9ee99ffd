"""Reading the chunks of a chat completion stream, as they were in its JSON: nothing here trusts their shape."""

from typing import Any

from services.agents.errors import ModelFailed
from services.agents.models import Usage

_MOST_TOKENS = 2**31 - 1
_BROKEN_OFF = "the model's answer broke off: try again"


class PieceReader:
    """Reads one stream, chunk by chunk."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.refused = False
        """Whether the model said that it will not answer, instead of an answer, or a filter cut that off."""
        self._half: str = ""
        self._blank = True

    def read(self, chunk: Any) -> str:
        """The text in the chunk, of the answer or of the model's refusal to give one; may be empty."""
        choices = _member(chunk, "choices")
        if not isinstance(choices, list) or not choices:
            return ""
        finish_reason = _member(choices[0], "finish_reason")
        if isinstance(finish_reason, str) and finish_reason:
            self.finish_reason = finish_reason
            self.refused = self.refused or finish_reason == "content_filter"
        delta = _member(choices[0], "delta")
        refusal = _member(delta, "refusal")
        self.refused = self.refused or bool(refusal)
        text = _member(delta, "content") or refusal
        return self._whole(text) if isinstance(text, str) else ""

    def end(self) -> str:
        """The rest of the text. Raise ModelFailed if the answer did not come to its end or says nothing."""
        if self.finish_reason is None:
            raise ModelFailed(_BROKEN_OFF)
        rest, self._half = ("\N{REPLACEMENT CHARACTER}" if self._half else ""), ""
        if self._blank and not rest:
            raise ModelFailed(_empty(self.finish_reason))
        return rest

    def _whole(self, text: str) -> str:
        # JSON may carry a character beyond the BMP as two halves in two chunks; half of one is no Unicode.
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text.isascii():
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        # Databases refuse it, and no reader misses it.
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._blank = self._blank and not text.strip()
        return text


def usage_of(chunk: Any) -> Usage | None:
    """The usage that the chunk reports, if it does."""
    usage = _member(chunk, "usage")
    if usage is None:
        return None
    return Usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _count(usage: Any, name: str) -> int:
    value = _member(usage, name)
    # What cannot be a count counts nothing: no answer is lost for it.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else 0


def _empty(finish_reason: str) -> str:
    if finish_reason == "length":
        return "the model used up max_tokens before it said anything: raise the agent's max_tokens"
    if finish_reason == "content_filter":
        return "the endpoint's content filter withheld the whole answer: put the request differently"
    return "the model gave an empty answer: try again"
