"""Turns that called tools, as endpoints are told them."""

import json

import pytest

from services.agents.models import Message, WantedCall
from services.agents.openai_messages import wire_message


def calling(*calls: WantedCall, content: str = "") -> Message:
    return Message("assistant", content, calls=calls)


READ = WantedCall("x", "read", '{"path": "a"}')


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
