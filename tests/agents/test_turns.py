"""The turns of a task in its prompt: as many results as fit, and for models that know no tools."""

import json
from itertools import pairwise

import pytest

from services.agents.models import Message, WantedCall
from services.agents.tokens import estimate_prompt
from services.agents.turns import as_text, within


def turn(number: int, *results: str, arguments: str = "{}") -> list[Message]:
    """A turn with a call for each result."""
    calls = tuple(WantedCall(f"{number}.{n}", "read", arguments) for n in range(len(results)))
    told = [Message("tool", result, call_id=call.id) for call, result in zip(calls, results, strict=True)]
    return [Message("assistant", "Let me see.", calls=calls), *told]


def paired(turns: tuple[Message, ...]) -> list[tuple[str, ...]]:
    """The ids of calls and results, in their order: each call's result follows, before the next turn."""
    ids: list[tuple[str, ...]] = []
    for message in turns:
        ids.append(tuple(call.id for call in message.calls) if message.calls else (message.call_id,))
    return ids


LONG = "a" * 12_000
TURNS = [*turn(0, LONG, "short"), *turn(1, LONG), *turn(2, LONG, LONG)]


def test_turns_that_fit_are_kept_as_they_are() -> None:
    assert within(TURNS) == tuple(TURNS)
    assert within(TURNS, estimate_prompt(TURNS)) == tuple(TURNS)
    assert within([]) == ()


def test_oldest_results_give_way_to_a_note_that_tells_their_length() -> None:
    kept = within(TURNS, estimate_prompt(TURNS) - 1)
    note = "[left out: 12,000 characters of an earlier result; call the tool again if you need it]"
    assert kept[1].content == note
    assert kept[2:] == tuple(TURNS[2:])


@pytest.mark.parametrize("tokens", [0, 5_000, 9_000, 13_000, 17_000])
def test_latest_results_are_whole_and_calls_keep_theirs_whatever_is_left_out(tokens: int) -> None:
    kept = within(TURNS, tokens)
    assert kept[5:] == tuple(TURNS[5:])
    assert paired(kept) == paired(tuple(TURNS))
    assert kept[2].content == "short", "a note would be longer"
    assert estimate_prompt(kept) <= max(tokens, estimate_prompt(TURNS[5:]) + 200)


def test_no_more_is_left_out_than_has_to_be() -> None:
    turns = [message for number in range(20) for message in turn(number, LONG)]
    sizes = [
        len(within(turns, tokens)) - sum(m.content == LONG for m in within(turns, tokens))
        for tokens in (20_000, 60_000)
    ]
    assert sizes[0] > sizes[1] > 20
    for tokens in (20_000, 60_000):
        whole = [message.content == LONG for message in within(turns, tokens) if message.role == "tool"]
        assert all(later or not earlier for earlier, later in pairwise(whole))
        assert tokens - 4_100 < estimate_prompt(within(turns, tokens)) <= tokens


def test_arguments_of_old_calls_give_way_after_all_results() -> None:
    text = f'{{"text": "{LONG}"}}'
    turns = [*turn(0, "written", arguments=text), *turn(1, LONG), *turn(2, "written", arguments=text)]
    room = estimate_prompt(turns[-2:]) + estimate_prompt(turns[:2])
    assert within(turns, room + 100)[0] == turns[0]
    kept = within(turns, room - 1_000)
    assert kept[0].calls[0].arguments == '{"left_out": "12,012 characters of the arguments of an earlier call"}'
    assert kept[0].calls[0].id == turns[0].calls[0].id
    assert kept[-2:] == tuple(turns[-2:])


def test_turns_that_were_cut_before_are_cut_to_the_same() -> None:
    assert within(within(TURNS, 9_000), 9_000) == within(TURNS, 9_000)


# As text

READ = WantedCall("x", "read", '{"path": "a"}')
LIST = WantedCall("y", "list", "{}")


def test_turns_as_text_alternate_and_quote_results_with_their_calls() -> None:
    turns = (
        *(Message("system", "Be brief."), Message("user", "Go.")),
        *(Message("assistant", "Let me see.", calls=(READ, LIST)), Message("tool", "one\n# two", call_id="x")),
        *(
            Message("tool", "three", call_id="y"),
            Message("assistant", "", calls=(LIST,)),
            Message("tool", "four", call_id="y"),
        ),
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
