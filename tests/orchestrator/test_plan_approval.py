"""Which plans wait for their user, what is asked, and what comes back of it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.orchestrator.errors import PLAN_EXPIRED, PLAN_REJECTED
from services.orchestrator.model import (
    Approval,
    ApprovalKind,
    ApprovalState,
    Failure,
    Message,
    Plan,
    PlanOrigin,
    Question,
    Role,
    Task,
    TaskState,
)
from services.orchestrator.plan_approval import (
    HISTORY_TOKENS,
    REQUEST_TOKENS,
    RESULT_TOKENS,
    Terms,
    approved_plan,
    checked_plan,
    estimated_tokens,
    plan_of,
    question,
)
from services.orchestrator.ports import PlannableAgent, PlanPolicy
from services.runtime.errors import InvalidArgument
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import NOW

CODER = PlannableAgent(new_id(), "Coder", 1_000, ("read", "execute"))
WRITER = PlannableAgent(new_id(), "Writer", 200, ("write",))
AGENTS = (CODER, WRITER)
REQUEST = "Mend it.".ljust(300)


def a_task(id: str, agent: PlannableAgent, *depends_on: str) -> Task:
    instruction = f"Do {id}.".ljust(30)
    return Task(id, agent.id, agent.name, f"Part {id}", instruction, TaskState.PENDING, 0, depends_on)


PLAN = Plan(
    (a_task("read", CODER), a_task("write", WRITER, "read")),
    PlanOrigin.MENDED,
    (Failure("PLAN_EMPTY", "the list of tasks is empty"),),
    2.5,
)
WRITTEN = {"id": "a", "agent": "Writer", "title": "Write", "instruction": "Write it.", "depends_on": []}
TOKENS = (10 + 100 + 1_000) + (10 + 100 + 1_000 + 200)
"""Of the plan, without history."""


def said(content: str) -> Message:
    return Message(new_id(), new_id(), None, Role.USER, content, None, NOW)


def ask(policy: PlanPolicy, plan: Plan = PLAN, *history: Message) -> Question | None:
    later = NOW + timedelta(minutes=5)
    return question(plan, Terms(policy, AGENTS), REQUEST, history, max_tasks=12, id="q", expires_at=later)


def reasons(policy: PlanPolicy) -> list[str]:
    asked = ask(policy)
    assert asked is not None
    given: list[str] = asked.payload["reasons"]
    return given


def decided(state: ApprovalState, reason: str | None = None, changed: dict[str, Any] | None = None) -> Approval:
    asked = ask(PlanPolicy("always"))
    assert asked is not None
    # As a database gives it back.
    payload = json.loads(json.dumps(asked.payload))
    return Approval("q", new_id(), None, asked.kind, state, payload, reason, asked.expires_at, NOW, NOW, changed)


def wrong(plan: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    with pytest.raises(InvalidArgument) as refused:
        check(plan)
    return refused.value.violations


def check(plan: dict[str, Any]) -> dict[str, Any]:
    asked = ask(PlanPolicy("always"))
    assert asked is not None
    return checked_plan(json.loads(json.dumps({**asked.schema, "max_tasks": 3})), plan)


def test_question_shows_the_plan_and_what_it_may_cost_and_is_about_nothing_else() -> None:
    asked = ask(PlanPolicy("always", max_tasks=0))
    assert asked is not None
    assert (asked.id, asked.kind, asked.expires_at) == ("q", ApprovalKind.PLAN, NOW + timedelta(minutes=5))
    assert asked.payload.keys() == {"plan", "estimated_tokens", "reasons"}
    # The limits count with `when` alone.
    assert (asked.payload["estimated_tokens"], asked.payload["reasons"]) == (TOKENS, [])
    assert asked.schema == {"agents": [{"id": each.id, "name": each.name} for each in AGENTS], "max_tasks": 12}
    assert plan_of(json.loads(json.dumps(asked.payload["plan"]))) == PLAN


@pytest.mark.parametrize(
    "policy",
    [
        PlanPolicy(),
        PlanPolicy("never", max_tasks=0, max_tokens=0, risks=("execute",)),
        PlanPolicy("when"),
        PlanPolicy("when", max_tasks=2, max_tokens=TOKENS, risks=("external",)),
    ],
)
def test_plan_within_the_limits_runs_at_once(policy: PlanPolicy) -> None:
    assert ask(policy) is None


def test_each_limit_that_a_plan_passes_is_a_reason_to_ask() -> None:
    tasks = "It has 2 tasks, and up to 1 need no approval."
    tokens = f"It is estimated at 2,420 tokens, and up to {TOKENS - 1:,} need no approval."
    writes = 'It has tasks whose agents may call tools of the risk write: "write" (Writer).'
    runs = 'It has tasks whose agents may call tools of the risk execute: "read" (Coder).'
    assert reasons(PlanPolicy("when", max_tasks=1)) == [tasks]
    assert reasons(PlanPolicy("when", max_tokens=TOKENS - 1)) == [tokens]
    assert reasons(PlanPolicy("when", risks=("external", "write", "execute", "write"))) == [writes, runs]
    assert reasons(PlanPolicy("when", 1, TOKENS - 1, ("execute",))) == [tasks, tokens, runs]


def test_estimate_holds_as_much_of_a_prompt_as_agents_take_into_it() -> None:
    assert estimated_tokens(PLAN, AGENTS, REQUEST, [said("x" * 30), said("x" * 60)]) == TOKENS + 2 * 30
    assert estimated_tokens(PLAN, AGENTS, REQUEST, [said("x" * 100_000)]) == TOKENS + 2 * HISTORY_TOKENS
    assert estimated_tokens(PLAN, AGENTS, "x" * 100_000, []) == TOKENS + 2 * (REQUEST_TOKENS - 100)
    talkative = (replace(CODER, max_tokens=1_000_000), WRITER)
    assert estimated_tokens(PLAN, talkative, REQUEST, []) == TOKENS + 999_000 + (RESULT_TOKENS - 1_000)
    # The one task of a fallback is the message itself, which is told once.
    itself = Plan((replace(a_task("answer", WRITER), instruction=REQUEST),), PlanOrigin.FALLBACK)
    assert estimated_tokens(itself, AGENTS, REQUEST, []) == 100 + 200


def test_approved_plan_is_the_one_that_was_asked_for_or_what_it_was_changed_to() -> None:
    assert approved_plan(decided(ApprovalState.APPROVED)) == PLAN
    changed = check({"tasks": [WRITTEN]})
    task = Task("a", WRITER.id, "Writer", "Write", "Write it.", TaskState.PENDING, 0)
    # How it was planned is not changed with it.
    expected = Plan((task,), PlanOrigin.USER, PLAN.problems, PLAN.planning_seconds)
    assert approved_plan(decided(ApprovalState.APPROVED, changed=json.loads(json.dumps(changed)))) == expected


@pytest.mark.parametrize(
    ("approval", "reason", "words"),
    [
        (decided(ApprovalState.REJECTED, "Not on a Friday."), PLAN_REJECTED, "you rejected the plan: Not on a Friday."),
        (decided(ApprovalState.REJECTED), PLAN_REJECTED, "you rejected the plan"),
        (decided(ApprovalState.EXPIRED), PLAN_EXPIRED, "you did not approve the plan in time"),
    ],
    ids=["with a reason", "without one", "expired"],
)
def test_plan_that_is_not_approved_is_why_the_run_fails(approval: Approval, reason: str, words: str) -> None:
    failure = approved_plan(approval)
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert failure.detail.startswith(words)


def test_changed_plan_has_the_shape_of_the_one_that_was_asked_for() -> None:
    first, second = {**WRITTEN, "id": 1}, {**WRITTEN, "id": "b", "agent": "Coder", "depends_on": [1]}
    changed = check({"tasks": [second, first]})
    assert [(task["id"], task["agent_id"], task["depends_on"]) for task in changed["tasks"]] == [
        ("1", WRITER.id, []),
        ("b", CODER.id, ["1"]),
    ]
    asked = ask(PlanPolicy("always"))
    assert asked is not None
    assert changed.keys() == asked.payload["plan"].keys()
    assert changed["tasks"][0].keys() == asked.payload["plan"]["tasks"][0].keys()


@pytest.mark.parametrize(
    ("plan", "field", "words"),
    [
        ({}, "plan.tasks", 'the key "tasks"'),
        ({"tasks": []}, "plan.tasks", "at least one"),
        ({"tasks": [{**WRITTEN, "id": str(n)} for n in range(4)]}, "plan.tasks", "at most 3"),
        ({"tasks": [WRITTEN], "origin": "user"}, "plan", '"origin"'),
        ({"tasks": [WRITTEN, "b"]}, "plan.tasks[1]", "an object"),
        ({"tasks": [{**WRITTEN, "depend_on": []}]}, "plan.tasks[0]", '"depend_on"'),
        ({"tasks": [{**WRITTEN, "agent": "Stranger"}]}, "plan.tasks[0].agent", 'one of "Coder", "Writer"'),
        ({"tasks": [{**WRITTEN, "instruction": " "}]}, "plan.tasks[0].instruction", "not empty"),
        ({"tasks": [WRITTEN, WRITTEN]}, "plan.tasks[1].id", 'the id "a"'),
        ({"tasks": [{**WRITTEN, "depends_on": ["b"]}]}, "plan.tasks[0].depends_on", "no task of the plan"),
        ({"tasks": [{**WRITTEN, "depends_on": ["a"]}]}, "plan.tasks[0].depends_on", "itself"),
        ({"tasks": [WRITTEN | {"instruction": "x" * 300_000}]}, "plan", "shorter"),
        (
            {"tasks": [WRITTEN, *({**WRITTEN, "id": one, "depends_on": [other]} for one, other in ("bc", "cb"))]},
            "plan.tasks[1].depends_on",
            "in a circle",
        ),
    ],
)
def test_plan_that_the_model_could_not_propose_is_refused_with_its_place(
    plan: dict[str, Any], field: str, words: str
) -> None:
    [(place, detail)] = wrong(plan)
    assert place == field
    assert words in detail


def test_all_that_is_wrong_with_a_changed_plan_is_said_at_once_but_ten_are_enough() -> None:
    task = {**WRITTEN, "agent": "Stranger", "title": "", "when": "now"}
    assert [place for place, _ in wrong({"tasks": [task]})] == [
        "plan.tasks[0]",
        "plan.tasks[0].agent",
        "plan.tasks[0].title",
    ]
    assert len(wrong({"tasks": [{**task, str(n): n} for n in range(3)], **{str(n): n for n in range(9)}})) == 10
