"""What the fake model does with one request: a script, written as JSON behind `#model` in what is asked.

    Say something. #model {"answer": "héllo", "chunks": 3, "token_seconds": 0.05}

What is asked of an agent is the task's instruction, which is the user's message where there is no plan: of a planned
task the script stands in its instruction, and the message that is quoted as context scripts nothing. Where vectors are
asked for, any of the texts may have the script. What is asked without one gets the default answer at once. A key that
no script has, or JSON that is none, is answered 400 and so fails the test that misspelt it.

The user's message also scripts how it is planned, and how results are combined; `#model` counts for neither.

    #plan {"tasks": [...]}    what a planning call answers; a JSON string stands for its text: prose, broken JSON
    #replan {"tasks": [...]}  what it answers when its plan was rejected; unset: the same again
    #planning {"status": 500} a script for planning calls: their timing and their faults
    #combining {"chunks": 2}  a script for the calls that combine results

Without `#plan` a planning call answers a plan of one task: the first agent that is offered gets the message, without
these four, but with its `#model`. Directives in the strings of a `#plan` are those of its tasks:

    #plan {"tasks": [{"id": "a", "agent": "Coder", "title": "A", "depends_on": [],
                      "instruction": "Do it. #model {\\"answer\\": \\"done\\"}"}]}

A JSON string instead of a script is the name of one that the server was given before, for who measures: what stands in
an instruction is embedded and read like the rest of it.

    #model "slow"

`Script.directive` and `plan_directive` write all this. What a script says of calls of tools: see `openai_turns`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from tests.fakes.openai_calls import asked_text, kind_of, planning_of
from tests.fakes.openai_directives import Directive, directives, last_of, without
from tests.fakes.openai_turns import Call, Calls, call_deltas, calls_of, results_of

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


class ScriptError(Exception):
    """The directive cannot be read."""


@dataclass(frozen=True)
class Script:
    answer: str = DEFAULT_ANSWER
    repeat: int = 1
    """How many times the answer is said: a message has no room for a long one."""
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
    refuses: str = ""
    """Parameter that a request is answered 400 for if it has it, such as `response_format`."""
    refuses_plainly: bool = False
    """Whether only the words of that answer tell which parameter it is, as some endpoints do."""
    most_words: int | None = None
    """Words that a text may have whose vector is asked for: as small models do, more is answered with 400."""
    calls: Sequence[Calls] = ()
    """What it calls before it answers, a list a turn. In its answer `{results}` stands for what they gave."""
    endless: bool = False
    """Whether it repeats the last of its turns for ever."""
    before: str = ""
    """What it says in each turn before its calls."""

    @property
    def faulty(self) -> bool:
        return self.status != 200 or self.fault is not None

    @property
    def text(self) -> str:
        """All that is answered."""
        return self.answer * self.repeat

    def calls_in(self, body: dict[str, Any]) -> list[Call]:
        """What it calls in answer to this request; nothing if it gives its answer."""
        return calls_of(self.calls, self.endless, body)

    def text_in(self, body: dict[str, Any]) -> str:
        """What it says in answer to this request: its answer, or what comes before its calls."""
        return self.before if self.calls_in(body) else self.text.replace("{results}", results_of(body))

    def deltas(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What it streams in answer to this request, piece by piece: text, then calls."""
        text = self.text_in(body)
        size = max(1, math.ceil(len(text) / max(1, self.chunks)))
        for start in range(0, len(text), size):
            yield {"content" if self.refusal is None else "refusal": text[start : start + size]}
        yield from call_deltas(self.calls_in(body), self.chunks)

    def directive(self, name: str = "model") -> str:
        """The text that asks for this script, of a task, or of what `name` says: append it to a message."""
        default = Script()
        changed = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != getattr(default, item.name)
        }
        return f"#{name} {json.dumps(changed)}"


def plan_directive(plan: Any, name: str = "plan") -> str:
    """The text that asks for this plan, or for what a model says instead of one; of a second try if `replan`."""
    return f"#{name} {json.dumps(plan)}"


@dataclass(frozen=True)
class NamedScript(Script):
    """A script that the server knows by its name."""

    name: str = ""

    def directive(self, name: str = "model") -> str:
        return f"#{name} {json.dumps(self.name)}"


def script_of(body: dict[str, Any], named: Mapping[str, Script] | None = None) -> Script:
    """Read the script of a request, or find it among the `named` ones. Raise ScriptError."""
    try:
        script = _script(body, named or {})
        script.calls_in(body)
    except (ValueError, TypeError, LookupError) as error:
        raise ScriptError(f"cannot read the script: {error}") from error
    if script.fault is not None and script.fault not in get_args(Fault):
        raise ScriptError(f"there is no fault {script.fault!r}")
    if (script.fault in IN_MID_ANSWER or script.gate) and script.after_chunks >= len(list(script.deltas(body))):
        raise ScriptError(f"the answer is over before {script.fault or script.gate} comes: lower after_chunks")
    return script


def _script(body: dict[str, Any], named: Mapping[str, Script]) -> Script:
    text = asked_text(body)
    found = directives(text)
    match kind_of(body):
        case "planning":
            return _scripted(found, "planning", named, answer=_plan(planning_of(body), text, found))
        case "combining":
            return _scripted(found, "combining", named)
    return _scripted(found, "model", named)


def _scripted(found: list[Directive], name: str, named: Mapping[str, Script], **values: Any) -> Script:
    directive = last_of(found, name)
    if directive is None:
        return Script(**values)
    if isinstance(directive.value, str):
        return named[directive.value]
    return Script(**{"key": directive.source, **values, **directive.value})


def _plan(asked: dict[str, Any], text: str, found: list[Directive]) -> str:
    """What a planning call answers."""
    plan = last_of(found, "plan")
    if asked.get("rejected"):
        plan = last_of(found, "replan") or plan
    if plan is not None:
        return plan.value if isinstance(plan.value, str) else json.dumps(plan.value, ensure_ascii=False)
    instruction = without(text, [each for each in found if each.name != "model"]) or "Answer."
    task = {"id": "answer", "agent": asked["agents"][0]["name"], "title": "Answer", "instruction": instruction}
    return json.dumps({"tasks": [{**task, "depends_on": []}]}, ensure_ascii=False)
