"""What the fake model does with one request: a script, written as JSON behind `#model` in the last user message.

    Say something. #model {"answer": "héllo", "chunks": 3, "token_seconds": 0.05}

Where vectors are asked for, any of the texts may have the script. It ends with its line. A message without one gets the
default answer at once. A key that no script has is answered 400 and so fails the test that misspelt it.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

# Beyond the BMP, a combining mark, a joined family, CJK: whoever counts UTF-16 units, bytes or graphemes is caught.
DEFAULT_ANSWER = "A model's answer: cafe\u0301, 𝄞 and 👩‍👩‍👧, 中文, and the end."

Fault = Literal[
    "hang",  # takes the request and never answers
    "stall",  # begins its answer and never goes on
    "reset",  # resets the connection; before the first byte with after_chunks 0
    "cut",  # ends the stream in order, but without finish_reason and [DONE]
    "error_chunk",  # reports an error in the middle of the stream, as proxies do
    "garbage_body",  # 200 with a body that is no JSON
    "garbage_sse",  # an event whose data is no JSON
    "not_sse",  # a whole JSON answer where a stream was asked for
    "empty_choices",  # chunks or a completion without choices
    "backwards",  # vectors in reverse order, which their indexes tell
    "vector_missing",  # one vector too few
    "vector_twice",  # two vectors of one index
    "vector_short",  # a vector with one number too few
    "vector_empty",
    "vector_zero",
    "vector_huge",  # with a number that no float can hold
    "vector_base64",  # text instead of numbers
    "vector_null",  # with a null among the numbers
    "data_null",  # no vectors at all
]
IN_MID_ANSWER = {"stall", "reset", "cut", "error_chunk", "garbage_sse"}
DIRECTIVE = re.compile(r"#model (\{.*\})")


class ScriptError(Exception):
    """The directive cannot be read."""


@dataclass(frozen=True)
class Script:
    answer: str = DEFAULT_ANSWER
    chunks: int = 8
    """Pieces the answer is streamed in; fewer if it has fewer code points."""
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    """Pause before each piece after the first."""
    status: int = 200
    times: int | None = None
    """How many requests of this `key` meet the status or fault before the model answers. Unset: all."""
    key: str = ""
    """What `times` counts by. Unset: the directive's own text."""
    retry_after: float | None = None
    """Seconds for the Retry-After header of a status other than 200."""
    fault: Fault | None = None
    after_chunks: int = 2
    """Pieces sent before a fault in mid-answer, or before the gate."""
    gate: str = ""
    """The answer waits here in its middle, with signs of life, until somebody opens the gate of this name."""
    refusal: str | None = None
    finish_reason: str = "stop"
    usage: bool = True
    """Whether usage is reported where it is asked for."""
    dimension: int | None = None
    """Numbers of a vector. Unset: as the server was started with."""
    most_words: int | None = None
    """Words that a text may have whose vector is asked for: as small models do, more is answered with 400."""

    @property
    def faulty(self) -> bool:
        return self.status != 200 or self.fault is not None

    def pieces(self) -> Iterator[str]:
        size = max(1, math.ceil(len(self.answer) / max(1, self.chunks)))
        for start in range(0, len(self.answer), size):
            yield self.answer[start : start + size]

    def directive(self) -> str:
        """The text that asks for this script: append it to a message."""
        default = Script()
        changed = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != getattr(default, item.name)
        }
        return f"#model {json.dumps(changed)}"


def script_of(body: dict[str, Any]) -> Script:
    """Read the script of a request."""
    found = DIRECTIVE.findall(asked_text(body))
    if not found:
        return Script()
    try:
        values = json.loads(found[-1])
        script = Script(**{"key": found[-1], **values})
    except (ValueError, TypeError) as error:
        raise ScriptError(f"cannot read the script: {error}") from error
    if script.fault is not None and script.fault not in get_args(Fault):
        raise ScriptError(f"there is no fault {script.fault!r}")
    if (script.fault in IN_MID_ANSWER or script.gate) and script.after_chunks >= len(list(script.pieces())):
        raise ScriptError(f"the answer is over before {script.fault or script.gate} comes: lower after_chunks")
    return script


def asked_text(body: dict[str, Any]) -> str:
    """The last user message, or all the texts whose vectors are asked for, a line each."""
    if (texts := body.get("input")) is not None:
        return texts if isinstance(texts, str) else "\n".join(map(str, texts))
    for message in reversed(body.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""
