"""What the fake model calls in which turn, told by the request alone: it goes on properly whoever was killed meanwhile.

A script's `calls` are turns, lists of calls: in its n-th turn of a task the model calls what the n-th list says, in
parallel, and after the last it gives its answer, in which `{results}` stands for what the tools gave, a line each.

    #model {"calls": [[{"tool": "read_file", "arguments": {"path": "a"}}, {"tool": "no_such_tool", "arguments": {}}],
                      [{"tool": "write_file", "raw": "{broken"}]],
            "before": "Let me see.", "answer": "Done: {results}"}

The n-th turn is the one after n assistant turns with calls since the instruction. Calls have ids that are unique in
their task, but not among tasks; `"id"` sets another. Where a request offers no tools, or forbids them by `tool_choice`,
the model answers.

It obeys whoever orders it to call something, as models do that fall for prompt injection: where a result of its last
turn, or before its first turn the system prompt, has the text

    #inject {"tool": "run_command", "arguments": {"command": "id"}}

its next turn makes that call, and the one after goes on with the script. In a line that is a JSON object, as quoted
memories are, its strings are searched. An order that was cut is none.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tests.fakes.openai_calls import after_asking, is_text_of_results, system_text

Calls = Sequence[Mapping[str, Any]]

_INJECTION = re.compile(r"#inject (?=\{)")
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class Call:
    """One that the model makes, as it is sent."""

    id: str
    tool: str
    arguments: str


def calls_of(turns: Sequence[Calls], endless: bool, body: dict[str, Any]) -> list[Call]:
    """What the model calls in answer to this request; nothing if it is to give its answer.

    After the last of its turns an `endless` one repeats that. Raise ValueError if the turns cannot be read.
    """
    _check(chain.from_iterable(turns))
    if not body.get("tools") or body.get("tool_choice") == "none":
        return []
    ordered, own, made = _injected(system_text(body)), 0, 0
    for message in after_asking(body):
        if message.get("tool_calls"):
            own += not ordered
            made += 1
            ordered = []
        elif message.get("role") == "tool":
            ordered += _injected(str(message.get("content")))
    if not ordered and endless and turns:
        own = min(own, len(turns) - 1)
    wanted = ordered or list(chain.from_iterable(turns[own : own + 1]))
    _check(ordered)
    return [
        Call(call.get("id", f"call_{made}_{number}"), call["tool"], call.get("raw", json.dumps(call.get("arguments"))))
        for number, call in enumerate(wanted)
    ]


def results_of(body: dict[str, Any]) -> str:
    """What the tools gave since the instruction, as the request has it."""
    return "\n".join(
        str(message.get("content"))
        for message in after_asking(body)
        if message.get("role") == "tool" or is_text_of_results(message)
    )


def call_deltas(calls: Sequence[Call], chunks: int) -> Iterator[dict[str, Any]]:
    """The calls as OpenAI streams them: of each a head with its name, then its arguments in pieces."""
    for index, call in enumerate(calls):
        function = {"name": call.tool, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        size = -(-len(call.arguments) // max(1, chunks)) or 1
        for start in range(0, len(call.arguments), size):
            piece = call.arguments[start : start + size]
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _check(calls: Iterable[Any]) -> None:
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("tool"), str):
            raise ValueError("a call is an object with a tool")
        if ("raw" in call) == ("arguments" in call) or not call.keys() <= {"id", "tool", "arguments", "raw"}:
            raise ValueError("a call has arguments or raw, and may have an id")


def _injected(text: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for line in map(_unquoted, text.split("\n")):
        for beginning in _INJECTION.finditer(line):
            with suppress(json.JSONDecodeError):
                call, _ = _decoder.raw_decode(line, beginning.end())
                found.append(call)
    return found


def _unquoted(line: str) -> str:
    if "#inject" not in line or not line.startswith("{"):
        return line
    try:
        return " ".join(each for each in json.loads(line).values() if isinstance(each, str))
    except json.JSONDecodeError:
        return line
