"""Which rule of a policy decides, and what there is in the toolbox."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from services.agents.tools.policy import Decision, ToolPolicy, ToolRule
from services.agents.tools.tool import RISKS, Caller, Output, Risk, ToolSpec
from services.agents.tools.toolbox import ASK_AGENT, Toolbox
from services.runtime.json_schema import violations

ANN, BOB = "ann", "bob"
WRITE_FILE = ToolSpec("write_file", "Write.", "write", {"type": "object"})
# From what decides first to what decides last, for Ann's calls of `write_file`.
BY_RANK = (
    {"tool": "write_file", "agent_id": ANN},
    {"tool": "write_file"},
    {"risk": "write", "agent_id": ANN},
    {"risk": "write"},
)


def decided(*rules: ToolRule, agent_id: str | None = ANN) -> Decision:
    return ToolPolicy(rules).decide(WRITE_FILE, agent_id)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(range(len(BY_RANK)), 2)))
def test_narrower_rule_decides_wherever_it_stands(first: int, second: int) -> None:
    narrow, wide = ToolRule("deny", **BY_RANK[first]), ToolRule("auto", **BY_RANK[second])  # type: ignore[arg-type]
    assert decided(narrow, wide) == decided(wide, narrow) == "deny"


@pytest.mark.parametrize("rank", range(len(BY_RANK)))
def test_of_two_alike_the_first_decides(rank: int) -> None:
    rules = [ToolRule(decision, **BY_RANK[rank]) for decision in ("auto", "deny")]  # type: ignore[arg-type]
    assert (decided(*rules), decided(*rules[::-1])) == ("auto", "deny")


@pytest.mark.parametrize(
    "rule",
    [
        ToolRule("auto", tool="write_files"),
        ToolRule("auto", tool="write"),
        ToolRule("auto", risk="execute"),
        ToolRule("auto", tool="write_file", agent_id=BOB),
        ToolRule("auto", risk="write", agent_id=BOB),
    ],
)
def test_rule_for_something_else_decides_nothing(rule: ToolRule) -> None:
    assert decided(rule) == "ask"


def test_rules_for_one_agent_decide_nothing_where_none_is_named() -> None:
    mine = ToolRule("deny", tool="write_file", agent_id=ANN)
    assert decided(mine, agent_id=None) == "ask"
    assert decided(mine, ToolRule("auto", risk="write"), agent_id=None) == "auto"


@pytest.mark.parametrize("risk", RISKS)
def test_without_rules_what_only_reads_runs_and_the_rest_asks(risk: Risk) -> None:
    assert ToolPolicy().decide(ToolSpec("x", "", risk, {}), ANN) == ("auto" if risk == "read" else "ask")


# The toolbox


class Hammer:
    """A tool that is not on this server."""

    unavailable: str | None = "there is no hammer here"

    def __init__(self, name: str) -> None:
        self.spec = ToolSpec(name, "Hit.", "execute", {"type": "object"})

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        raise AssertionError("nobody hits")


def test_tools_are_known_by_name_with_the_one_that_the_orchestrator_runs() -> None:
    saw, hammer = Hammer("saw"), Hammer("a_hammer")
    toolbox = Toolbox([saw, hammer])
    assert toolbox.specs == (hammer.spec, ASK_AGENT, saw.spec)
    assert (toolbox.find("saw"), toolbox.find("ask_agent"), toolbox.find("Saw")) == (saw, None, None)
    assert (toolbox.spec("saw"), toolbox.spec("ask_agent"), toolbox.spec("Saw")) == (saw.spec, ASK_AGENT, None)
    assert toolbox.unavailable("saw") == "there is no hammer here"
    assert toolbox.unavailable("ask_agent") is None


@pytest.mark.parametrize("name", ["saw", "ask_agent"])
def test_two_tools_of_one_name_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="same name"):
        Toolbox([Hammer("saw"), Hammer(name)])


def test_unknown_names_are_told_with_their_places_and_what_is_near() -> None:
    unknown = Toolbox([Hammer("read_file")]).unknown(["read_file", "readfile", "ask_agent", "poem"])
    assert unknown == [
        (1, "no tool is named readfile, the nearest is read_file: GET …/tools lists them"),
        (3, "no tool is named poem: GET …/tools lists them"),
    ]


def test_question_for_another_agent_is_held_against_its_schema() -> None:
    good = {"agent": "DataAnalyst", "question": "How many?"}
    assert violations(ASK_AGENT.parameters, good) == []
    for bad in ({**good, "question": " \n"}, {**good, "agent": ""}, {"agent": "DataAnalyst"}, {**good, "more": 1}):
        assert len(violations(ASK_AGENT.parameters, bad)) == 1
