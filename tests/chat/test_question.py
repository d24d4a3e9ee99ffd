"""What is to be decided is shown whole, and cannot look like something else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalKind

from services.chat.question import lines_of, telling
from services.terminal import Style

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def lines(kind: ApprovalKind.ValueType, **payload: Any) -> list[str]:
    """All but when it expires."""
    approval = Approval(kind=kind)
    approval.expires_at.FromDatetime(NOON)
    approval.payload.update(payload)
    *shown, last = lines_of(approval, Style(colours=False))
    assert last.endswith("; then it counts as rejected.")
    return shown


def tool(arguments: dict[str, Any], *warnings: str) -> list[str]:
    said = {"tool": "run_command", "risk": "execute", "agent_name": "Ann", "warnings": list(warnings)}
    return lines(ApprovalKind.APPROVAL_KIND_TOOL, arguments=arguments, **said)


def test_warnings_come_before_what_they_warn_of() -> None:
    assert tool({"timeout_seconds": 30, "command": "make\nclean"}, "It is long: look at all of it, to the end.") == [
        "  Ann asks for your approval.",
        "  ! It is long: look at all of it, to",
        "    the end.",
        "  run_command, a tool of the risk execute",
        "    command",
        "      │ make",
        "      │ clean",
        "    timeout_seconds",
        "      │ 30",
    ]


def test_long_argument_is_whole_and_no_part_of_it_stands_where_the_terminal_would_put_it() -> None:
    # Blanks up to the edge, and then what looks like a line of ours.
    command = "true" + " " * 36 + "  yes, no and why? " + "x" * 9_000 + "; rm -rf ~"
    shown = tool({"command": command})[3:]
    assert all(each.startswith(("      │ ", "      ┆ ")) and len(each) <= 40 for each in shown)
    assert "".join(each[8:] for each in shown) == command


def test_what_is_not_seen_is_seen_in_arguments_names_and_warnings() -> None:
    shown = tool({"com\u200bmand": "\x1b[2J", "list": [{"a": "\u202e"}]}, "bad \x07 sentence")
    assert shown[1] == "  ! bad ⟦U+0007⟧ sentence"
    assert shown[3:5] == ["    com⟦U+200B⟧mand", "      │ ⟦U+001B⟧[2J"]
    assert '"a": "⟦U+202E⟧"' in "".join(shown)


def test_empty_argument_is_said_to_be() -> None:
    assert tool({"new_text": ""})[2:] == ["    new_text", "      (empty)"]


def test_plan_is_shown_with_its_reasons_and_all_of_its_tasks() -> None:
    tasks = [
        {"id": "a", "agent_name": "Ann", "title": "Look", "instruction": "Look\nwell.", "depends_on": []},
        {"id": "b", "agent_name": "Bob", "title": "Tell", "instruction": "Tell", "depends_on": ["a"]},
    ]
    reasons = ["It has 2 tasks."]
    assert lines(ApprovalKind.APPROVAL_KIND_PLAN, plan={"tasks": tasks}, estimated_tokens=61240, reasons=reasons) == [
        "  A plan of 2 tasks asks for your approval; its estimate is 61,240 tokens.",
        "  ! It has 2 tasks.",
        "    a: Ann",
        "      │ Look",
        "      │ Look",
        "      │ well.",
        "    b: Bob, after a",
        "      │ Tell",
    ]


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"path": "a", "content": "b"}, "a"),
        ({"timeout_seconds": 3, "command": "make"}, "make"),
        ({"path": "src", "pattern": "def"}, "def"),
        ({"z": "last", "b": 3}, "3"),
        ({}, ""),
    ],
    ids=["file", "command", "search", "unknown", "none"],
)
def test_call_is_told_from_others_by_its_most_telling_argument(arguments: dict[str, Any], argument: str) -> None:
    assert telling(arguments) == argument
