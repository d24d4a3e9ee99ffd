"""Reading streamed calls of tools, in all the ways that servers tell them."""

import json
from typing import Any

import pytest

from services.agents.errors import ModelFailed
from services.agents.models import WantedCall
from services.agents.openai_calls import MOST_CALLS, CallReader
from services.agents.openai_chunks import PieceReader
from services.agents.tools.tool import MOST_ARGUMENTS

A, B = '{"path": "a"}', '{"path": "b"}'
BOTH = [("read", A), ("read", B)]


def part(index: int | None = None, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    """A part of a call, without what is None."""
    function = {"name": name, "arguments": arguments}
    entry = {
        "index": index,
        "id": call_id,
        "function": {key: value for key, value in function.items() if value is not None},
    }
    return {key: value for key, value in entry.items() if value is not None}


def read(*deltas: list[Any]) -> CallReader:
    reader = CallReader()
    for entries in deltas:
        reader.read({"tool_calls": entries})
    return reader


def told(reader: CallReader) -> list[tuple[str, str]]:
    return [(call.tool, call.arguments) for call in reader.wanted(())]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                *([part(0, "x", "read", "")], [part(0, arguments=A[:5])], [part(0, arguments=A[5:])]),
                *([part(1, "y", "read", "")], [part(1, arguments=B[:5])], [part(1, arguments=B[5:])]),
            ],
            id="in pieces, one after the other",
        ),
        pytest.param(
            [
                [part(0, "x", "read"), part(1, "y", "read")],
                *([part(0, arguments=A[:5]), part(1, arguments=B[:5])], [part(1, arguments=B[5:])]),
                [part(0, arguments=A[5:])],
            ],
            id="in pieces, side by side",
        ),
        pytest.param(
            [[part(0, "x", "re"), part(1, "y", "read", B)], [part(0, name="ad", arguments=A)]], id="name in pieces"
        ),
        pytest.param([[part(0, "x", "read", A), part(1, "y", "read", B)]], id="whole, in one chunk"),
        pytest.param([[part(0, "x", "read", A)], [part(0, "y", "read", B)]], id="whole, all with index 0"),
        pytest.param([[part(0, None, "read", A)], [part(0, None, "read", B)]], id="whole, with index 0 and no id"),
        pytest.param([[part(None, "x", "read", A)], [part(None, "y", "read", B)]], id="whole, without index"),
        pytest.param(
            [[part(None, "", "read", A), part(None, "", "read", B)]], id="whole, without index, with empty ids"
        ),
        pytest.param([[part(0, "x", "read", A)], [part(1, "x", "read", B)]], id="whole, with the same id"),
        pytest.param([[part(None, "x", "read", A)], [part(None, "x", "read", B)]], id="same id without index"),
        pytest.param(
            [[part(0, "x", "read", json.loads(A)), part(1, "y", "read", json.loads(B))]], id="arguments as objects"
        ),
        pytest.param(
            [
                *([part(None, "x", "read", "")], [part(arguments=A)]),
                *([part(None, "y", "read", "")], [part(arguments=B[:3])], [part(arguments=B[3:])]),
            ],
            id="in pieces without index",
        ),
        pytest.param(
            [
                *([part(0, "x", "read", A[:5])], [part(0, "x", "read", A[5:])]),
                *([part(1, "y", "read", B[:5])], [part(1, "y", "read", B[5:])]),
            ],
            id="id and name in each piece",
        ),
        pytest.param(
            [
                *([part(0, "x", "read", A[:5])], [part(0, "x2", arguments=A[5:])]),
                *([part(1, "y", "read", B[:5])], [part(1, "y2", arguments=B[5:])]),
            ],
            id="another id in each piece",
        ),
        pytest.param(
            [[part(0, "x", "read", A)], [part(0, "y", "read", "")], [part(1, arguments=B)]], id="index that jumps"
        ),
        pytest.param([[part(7, "x", "read", A)], [part(9, "y", "read", B)]], id="indexes with gaps"),
    ],
)
def test_calls_are_read_however_they_are_told(deltas: list[list[Any]]) -> None:
    assert told(read(*deltas)) == BOTH


def test_legacy_function_call_is_a_call() -> None:
    reader = CallReader()
    for function in ({"name": "read", "arguments": ""}, {"arguments": A[:5]}, {"arguments": A[5:]}):
        reader.read({"function_call": function})
    assert told(reader) == [("read", A)]


@pytest.mark.parametrize(
    "odd",
    [
        *(None, 7, "x", {}, {"tool_calls": None}, {"tool_calls": {}}, {"tool_calls": [None, 7, {}]}),
        *({"tool_calls": [{"function": "x"}]}, {"tool_calls": [{"index": 0, "id": "x"}]}, {"function_call": 7}),
        {"tool_calls": [{"index": "0", "id": 7, "function": {"name": None, "arguments": None}}]},
    ],
    ids=repr,
)
def test_delta_of_any_shape_is_read_as_nothing(odd: Any) -> None:
    reader = CallReader()
    reader.read(odd)
    assert reader.wanted(()) == ()


def test_ids_are_the_models_own_unless_they_are_missing_or_taken() -> None:
    calls = read(
        [part(0, "own", "a", "{}"), part(1, None, "b", "{}"), part(2, "old", "c", "{}"), part(3, "own", "d", "{}")]
    )
    ids = [call.id for call in calls.wanted(["old", "call00004"])]
    assert ids == ["own", "call00003", "call00005", "call00006"]
    assert [call.id for call in calls.wanted(["old", "call00004"])] == ids


def test_made_up_ids_are_nine_letters_and_digits() -> None:
    [call] = read([part(0, None, "a", "{}")]).wanted([])
    assert (len(call.id), call.id.isalnum()) == (9, True)


def test_id_that_is_long_is_kept_and_one_without_end_is_not() -> None:
    assert read([part(0, "x" * 5_000, "a")]).wanted(())[0].id == "x" * 5_000
    assert read([part(0, "x" * 50_000, "a")]).wanted(())[0].id == "call00000"


@pytest.mark.parametrize("arguments", [None, "", "  "])
def test_call_without_arguments_has_none(arguments: str | None) -> None:
    assert told(read([part(0, "x", "list", arguments)])) == [("list", "{}")]


def test_arguments_that_are_no_json_are_told_as_they_are() -> None:
    assert told(read([part(0, "x", "read", "{broken")], [part(1, "y", "read", [1])])) == [
        ("read", "{broken"),
        ("read", "[1]"),
    ]


def test_arguments_are_text_that_can_be_kept() -> None:
    halves = [part(0, "x", "say", '"\ud834')], [part(0, arguments='\udd1e \0 \ud834"')]
    assert told(read(*halves)) == [("say", '"\U0001d11e \ufffd \ufffd"')]


def test_arguments_without_end_are_cut_to_more_than_any_tool_takes() -> None:
    reader = read([part(0, "x", "write", "a" * 60_000)], [part(0, arguments="b" * 60_000)])
    assert reader.full
    assert [len(arguments) for _, arguments in told(reader)] == [MOST_ARGUMENTS + 1]
    reader.read({"tool_calls": [part(0, arguments="c"), part(1, "y", "more", "{}")]})
    assert [len(arguments) for _, arguments in told(reader)] == [MOST_ARGUMENTS + 1]


def test_longest_arguments_are_read_whole() -> None:
    reader = read([part(0, "x", "write", "a" * MOST_ARGUMENTS)], [part(1, "y", "read", A)])
    assert (reader.full, [len(each) for _, each in told(reader)]) == (False, [MOST_ARGUMENTS, len(A)])


def test_of_too_many_calls_the_first_are_wanted() -> None:
    reader = read([part(n, f"id{n}", "read", "{}") for n in range(MOST_CALLS)])
    assert not reader.full
    reader.read({"tool_calls": [part(MOST_CALLS, "one more", "read", "{}")]})
    assert (reader.full, len(reader.wanted(()))) == (True, MOST_CALLS)


def test_name_without_end_is_cut() -> None:
    assert [len(name) for name, _ in told(read(*[[part(0, "x", f"{n}" * 100)] for n in range(9)]))] == [128]


# Within an answer


def answered(finish_reason: str | None, *entries: Any, content: str = "", **options: Any) -> PieceReader:
    reader = PieceReader(reads_calls=True, **options)
    reader.read(
        {"choices": [{"delta": {"content": content, "tool_calls": list(entries)}, "finish_reason": finish_reason}]}
    )
    return reader


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop", "function_call", "length"])
def test_answer_of_calls_alone_is_not_empty(finish_reason: str) -> None:
    reader = answered(finish_reason, part(0, "x", "read", A))
    assert reader.end() == ""
    assert reader.calls() == (WantedCall("x", "read", A),)


def test_call_that_is_cut_by_max_tokens_fails_and_says_so() -> None:
    reader = answered("length", part(0, "x", "read", A[:5]), content="Let me see.")
    assert reader.end() == ""
    with pytest.raises(ModelFailed, match="max_tokens"):
        reader.calls()


def test_calls_that_end_without_a_reason_broke_off() -> None:
    with pytest.raises(ModelFailed, match="broke off"):
        answered(None, part(0, "x", "read", A)).end()


def test_calls_that_a_filter_cut_off_are_none() -> None:
    reader = answered("content_filter", part(0, "x", "read", A), content="I")
    assert (reader.end(), reader.calls()) == ("", ())


def test_silence_is_an_answer_where_it_may_be_and_no_limit_was_met() -> None:
    assert answered("stop", may_be_silent=True).end() == ""
    for finish_reason in ("length", "content_filter"):
        with pytest.raises(ModelFailed):
            answered(finish_reason, may_be_silent=True).end()


def test_calls_are_nothing_to_who_offers_no_tools() -> None:
    reader = PieceReader()
    reader.read({"choices": [{"delta": {"tool_calls": [part(0, "x", "read", A)]}, "finish_reason": "stop"}]})
    with pytest.raises(ModelFailed, match="empty"):
        reader.end()
