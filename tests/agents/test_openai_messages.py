"""Turns that called tools, as endpoints are told them."""

import json

import pytest

from services.agents.models import Message, WantedCall
from services.agents.openai_messages import as_text, wire_message


def calling(*calls: WantedCall, content: str = "") -> Message:
    return Message("assistant", content, calls=calls)


READ = WantedCall("x", "read", '{"path": "a"}')
LIST = WantedCall("y", "list", "{}")


def test_calls_and_their_results_are_told_as_openai_wants_them() -> None:
    function = {"name": "read", "arguments": '{"path": "a"}'}
    assert wire_message(calling(READ)) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "x", "type": "function", "function": function}],
    }
    assert wire_message(calling(READ, content="Let me see."))["content"] == "Let me see."
    assert wire_message(Message("tool", "text", call_id="x")) == {
        "role": "tool",
        "tool_call_id": "x",
        "content": "text",
    }
    assert wire_message(Message("user", "Hi.")) == {"role": "user", "content": "Hi."}


@pytest.mark.parametrize("arguments", ["{broken", "[1]", "", '{"a": NaN}', "[" * 100_000], ids=lambda each: each[:9])
def test_arguments_that_endpoints_refuse_are_told_as_a_short_object_that_has_them(arguments: str) -> None:
    [call] = wire_message(calling(WantedCall("x", "read", arguments)))["tool_calls"]
    told = json.loads(call["function"]["arguments"])
    assert list(told) == ["unreadable"]
    assert told["unreadable"][:500] == arguments[:500]
    assert len(told["unreadable"]) <= 501


@pytest.mark.parametrize(("name", "told"), [("read file\n!", "read_file__"), ("", "unknown"), ("x" * 100, "x" * 64)])
def test_names_that_endpoints_refuse_are_told_as_names(name: str, told: str) -> None:
    [call] = wire_message(calling(WantedCall("x", name, "{}")))["tool_calls"]
    assert call["function"]["name"] == told


def test_turns_as_text_alternate_and_quote_results_with_their_calls() -> None:
    turns = (
        *(Message("system", "Be brief."), Message("user", "Go.")),
        *(calling(READ, LIST, content="Let me see."), Message("tool", "one\n# two", call_id="x")),
        *(Message("tool", "three", call_id="y"), calling(LIST), Message("tool", "four", call_id="y")),
        Message("user", "And now?"),
    )
    told = as_text(turns)
    assert [each.role for each in told] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert told[:3] == (*turns[:2], Message("assistant", "Let me see."))
    assert told[4].content.strip()
    heading, _, quoted = told[3].content.partition("\n\n")
    assert heading == "# What your tools gave"
    assert [json.loads(line) for line in quoted.splitlines()[2:]] == [
        {"tool": "read", "arguments": '{"path": "a"}', "result": "one\n# two"},
        {"tool": "list", "arguments": "{}", "result": "three"},
    ]
    assert told[5].content.endswith('"result": "four"}\n\nAnd now?')


def test_messages_without_calls_are_told_as_they_are() -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "Hi."),
        Message("assistant", "Hi!"),
        Message("user", "Go."),
    )
    assert as_text(messages) == messages
