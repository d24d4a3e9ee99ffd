"""The planner's bad days: what the model may answer, and what a run gets nevertheless."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest

from services.orchestrator import hand
from services.orchestrator.errors import RUN_MODEL_CALL_LIMIT, ModelTimeout, ModelUnavailable
from services.orchestrator.leases import Lease
from services.orchestrator.limits import LimitReached, Meter, WorkLimits
from services.orchestrator.model import Agent, Failure, Message, Mode, Plan, PlanOrigin, Task, TaskState, Usage
from services.orchestrator.plan_approval import Terms
from services.orchestrator.planner import Planned, Planner
from services.orchestrator.ports import (
    AgentsUnreachable,
    Assignment,
    Choice,
    Happening,
    PlannableAgent,
    PlanPolicy,
    Proposal,
    Rejected,
    Result,
)
from services.runtime.errors import CodelabError, FailedPrecondition, Internal
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import NOW
from tests.orchestrator.world import WORK_LIMITS

CODER, WRITER = PlannableAgent(new_id(), "Coder", 100, ("execute",)), PlannableAgent(new_id(), "Writer", 200)
PROPOSING, CHOOSING = PlanPolicy("when", max_tasks=1), PlanPolicy("always")
REQUEST = "Explain the parser.\nKeep it short."
LEASE = Lease(
    run_id=new_id(),
    session_id=new_id(),
    project_id=new_id(),
    user_id=new_id(),
    epoch=1,
    position=0,
    asked_at=0,
    answer_id=new_id(),
    mode=Mode.ORCHESTRATED,
    plan=Plan(),
    working_since=NOW,
)
COST = Usage(prompt_tokens=100, completion_tokens=10, model_calls=1)
GOOD = json.dumps(
    {
        "tasks": [
            {"id": "write", "agent": "Writer", "title": "Write", "instruction": "Write.", "depends_on": ["read"]},
            {"id": "read", "agent": "Coder", "title": "Read", "instruction": "Read.", "depends_on": []},
        ]
    }
)
EMPTY = '{"tasks": []}'
PROSE = "I would rather not use JSON."
ONLY_TASK = Task("answer", WRITER.id, "Writer", "Explain the parser.", REQUEST, TaskState.PENDING, 0)


class ModelFails(Internal):
    reason = "MODEL_FAILED"


class ModelRefuses(FailedPrecondition):
    reason = "MODEL_REFUSED"


class NoAgents(FailedPrecondition):
    reason = "NO_AGENTS"


class ScriptedPlanning:
    """Implements `Agents`, as far as planning goes: proposes what the test says, one after the other."""

    def __init__(self, *answers: str | CodelabError) -> None:
        self.answers = list(answers)
        self.asked: list[Rejected | None] = []
        self.choosing_fails: list[CodelabError] = []

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        assert (lease, request, max_tasks) == (LEASE, REQUEST, 12)
        self.asked.append(rejected)
        answer = self.answers.pop(0)
        if isinstance(answer, CodelabError):
            raise answer
        return Proposal(answer, (CODER, WRITER), COST, PROPOSING)

    async def choose(self, lease: Lease, request: str) -> Choice:
        assert (lease, request) == (LEASE, REQUEST)
        if self.choosing_fails:
            raise self.choosing_fails.pop(0)
        return Choice(WRITER, CHOOSING)

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        raise AssertionError("nobody is named")

    def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        raise AssertionError("nothing is executed yet")

    def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        raise AssertionError("there are no results yet")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand, "_BACKOFF_SECONDS", 0.0)


def a_meter(limits: WorkLimits = WORK_LIMITS) -> Meter:
    return Meter(limits, Usage(), NOW, lambda: NOW)


async def planned(agents: ScriptedPlanning, meter: Meter | None = None) -> Planned:
    ticks: Iterator[float] = iter([10.0, 12.5])
    return await Planner(agents, 12, lambda: next(ticks)).plan(LEASE, REQUEST, [], meter or a_meter())


def reasons(plan: Plan) -> list[str]:
    return [problem.reason for problem in plan.problems]


async def test_good_proposal_is_the_plan() -> None:
    agents = ScriptedPlanning(GOOD)
    made = await planned(agents)
    assert [(task.id, task.agent_id) for task in made.plan.tasks] == [("read", CODER.id), ("write", WRITER.id)]
    assert (made.plan.origin, made.plan.problems, made.plan.planning_seconds) == (PlanOrigin.MODEL, (), 2.5)
    assert (made.spent, agents.asked) == (COST, [None])
    assert made.terms == Terms(PROPOSING, (CODER, WRITER))


async def test_model_that_is_told_what_is_wrong_may_mend_it() -> None:
    agents = ScriptedPlanning(PROSE, GOOD)
    made = await planned(agents)
    assert (made.plan.origin, len(made.plan.tasks), made.spent) == (PlanOrigin.MENDED, 2, COST + COST)
    assert reasons(made.plan) == ["PLAN_NOT_JSON"]
    assert agents.asked == [None, Rejected(PROSE, made.plan.problems)]


async def test_model_that_proposes_no_plan_twice_leaves_it_to_the_agent_that_fits_best() -> None:
    agents = ScriptedPlanning(PROSE, EMPTY)
    made = await planned(agents)
    assert made.plan.tasks == (ONLY_TASK,)
    assert (made.plan.origin, reasons(made.plan)) == (PlanOrigin.FALLBACK, ["PLAN_NOT_JSON", "PLAN_EMPTY"])
    assert (made.spent, len(agents.asked)) == (COST + COST, 2)
    # The policy as it is by now; and whom the model could choose from, the user can.
    assert made.terms == Terms(CHOOSING, (WRITER, CODER))


@pytest.mark.parametrize("error", [ModelRefuses("the key is wrong"), ModelFails("the answer broke off")])
@pytest.mark.parametrize("before", [[], [PROSE]], ids=["first", "mending"])
async def test_model_that_fails_is_not_asked_again_and_its_call_counts(error: CodelabError, before: list[str]) -> None:
    agents = ScriptedPlanning(*before, error)
    made = await planned(agents)
    assert (made.plan.tasks, made.plan.origin) == ((ONLY_TASK,), PlanOrigin.FALLBACK)
    assert reasons(made.plan) == [*["PLAN_NOT_JSON" for _ in before], error.reason]
    assert made.plan.problems[-1].detail == error.detail
    assert made.spent.model_calls == len(before) + 1
    assert made.spent.prompt_tokens > COST.prompt_tokens * len(before)


@pytest.mark.parametrize("before", [[], [PROSE]], ids=["first", "mending"])
@pytest.mark.parametrize("kind", [ModelUnavailable, ModelTimeout])
async def test_run_fails_by_a_model_that_its_tasks_would_not_reach_either(kind: Any, before: list[str]) -> None:
    meter = a_meter()
    with pytest.raises(kind):
        await planned(ScriptedPlanning(*before, kind("the model is away")), meter)
    assert meter.usage.model_calls == len(before) + 1


@pytest.mark.parametrize("choosing", [False, True])
async def test_project_without_agents_has_no_plan(choosing: bool) -> None:
    # Also if the last one is deleted while the model thinks.
    agents = ScriptedPlanning(ModelRefuses("no") if choosing else NoAgents("none"))
    agents.choosing_fails = [NoAgents("none")]
    meter = a_meter()
    with pytest.raises(NoAgents):
        await planned(agents, meter)
    assert meter.usage.model_calls == int(choosing)


async def test_agents_service_that_comes_back_is_asked_again_and_nothing_is_paid_for_its_absence() -> None:
    away = AgentsUnreachable("it restarts")
    agents = ScriptedPlanning(away, PROSE, away, away, EMPTY)
    agents.choosing_fails = [away, away]
    made = await planned(agents)
    assert (made.plan.origin, made.spent) == (PlanOrigin.FALLBACK, COST + COST)
    assert [rejected is not None for rejected in agents.asked] == [False, False, True, True, True]


async def test_agents_service_that_stays_away_fails_the_run() -> None:
    agents = ScriptedPlanning(*(AgentsUnreachable("it is down") for _ in range(hand.ATTEMPTS)))
    with pytest.raises(AgentsUnreachable):
        await planned(agents)
    assert (len(agents.asked), agents.answers) == (hand.ATTEMPTS, [])


async def test_no_plan_is_mended_by_a_call_that_the_run_may_not_make() -> None:
    agents = ScriptedPlanning(PROSE, GOOD)
    limits = WorkLimits(tasks=12, model_calls=1, tokens=100_000, seconds=60.0)
    with pytest.raises(LimitReached) as caught:
        await planned(agents, a_meter(limits))
    assert (caught.value.reason, len(agents.asked)) == (RUN_MODEL_CALL_LIMIT, 1)
