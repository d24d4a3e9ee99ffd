"""Plans that wait for their user: nobody plans, or asks, twice, whoever dies, and they run as they were approved."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import PLAN_EXPIRED, PLAN_REJECTED
from services.orchestrator.leases import NewRetry
from services.orchestrator.model import Approval, ApprovalState, Decision, OnBusy, Owner, PlanOrigin, Run, RunState
from services.orchestrator.ports import Assignment, Completed, Happening, Paused, PlanPolicy, Wanted
from services.orchestrator.tables import runs
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import AGENT, NOW, TWO, a_message, stores_in
from tests.databases import Place
from tests.orchestrator.graph_agents import COMBINING, COST, PLANNING, GraphAgents
from tests.orchestrator.stage import eventually
from tests.orchestrator.world import Gate, World

PAIR: dict[str, list[str]] = {"a": [], "b": []}
YES = Decision(True)
EDITED = [{"id": "c", "agent": AGENT.name, "title": "c", "instruction": "Do c.", "depends_on": []}]


@pytest.fixture
async def agents() -> GraphAgents:
    agents = GraphAgents()
    agents.policy = PlanPolicy("when", max_tasks=1)
    return agents


@pytest.fixture
async def world(database_place: Place, agents: GraphAgents) -> AsyncIterator[World]:
    world = World(await stores_in(database_place), agents)
    yield world
    await world.executor.drain()


@pytest.fixture
async def ann(world: World) -> Owner:
    return await world.stores.project()


async def begin(world: World, owner: Owner, plan: dict[str, list[str]] = PAIR) -> str:
    """Send a message that becomes this plan; return its run."""
    assert isinstance(world.agents, GraphAgents)
    world.agents.plans["Go."] = plan
    chat = await world.stores.session(owner)
    return (await world.executor.accept(owner, a_message(chat, "Go.", agent=None), None)).run.id


async def parked(world: World, owner: Owner, run_id: str) -> Approval:
    """What is asked about the plan, once nobody works on the run any more."""
    await eventually(lambda: not world.executor.runs_here(run_id))
    run = await world.stores.runs.get_run(owner, run_id)
    assert (run.state, run.plan.tasks, (await world.stores.row(run_id)).owner) == (RunState.WAITING_APPROVAL, (), None)
    [asked] = await asked_of(world, owner, run_id)
    return asked


async def asked_of(world: World, owner: Owner, run_id: str) -> list[Approval]:
    return (await world.stores.approvals[0].list_approvals(owner, [*ApprovalState], run_id, 50, "", NOW)).elements


async def ended(world: World, owner: Owner, run_id: str) -> Run:
    await world.until_over(run_id)
    return await world.stores.runs.get_run(owner, run_id)


async def finish(world: World, owner: Owner, run_id: str, *task_ids: str) -> Run:
    """Let these tasks, which begin at once, succeed."""
    assert isinstance(world.agents, GraphAgents)
    await world.agents.until_running(run_id, *task_ids)
    for id in task_ids:
        world.agents.attempt(run_id, id).succeed()
    return await ended(world, owner, run_id)


async def happened(world: World, owner: Owner, run_id: str) -> list[str]:
    return [event.type for event in (await world.stores.runs.list_events(owner, run_id, 100, "")).elements]


async def test_plan_that_is_approved_runs_as_it_was_asked_and_is_paid_for_once(
    world: World, ann: Owner, agents: GraphAgents
) -> None:
    run_id = await begin(world, ann)
    asked = await parked(world, ann, run_id)
    assert asked.task_id is None
    assert (asked.payload["reasons"], len(asked.payload["plan"]["tasks"])) == (
        ["It has 2 tasks, and up to 1 need no approval."],
        2,
    )
    waiting = await world.stores.runs.get_run(ann, run_id)
    assert (waiting.usage, agents.attempts) == (PLANNING, [])
    await world.executor.decide(ann, asked.id, YES)
    run = await finish(world, ann, run_id, "a", "b")
    assert (run.state, agents.proposals) == (RunState.SUCCEEDED, 1)
    assert (run.plan.origin, run.plan.planning_seconds) == (
        PlanOrigin.MODEL,
        asked.payload["plan"]["planning_seconds"],
    )
    assert run.usage == PLANNING + COST + COST + COMBINING
    assert (await happened(world, ann, run_id))[:6] == [
        "message_received",
        "approval_required",
        "approval_resolved",
        "plan_created",
        "task_started",
        "agent_started",
    ]


async def test_plan_within_the_limits_runs_at_once(world: World, ann: Owner, agents: GraphAgents) -> None:
    run_id = await begin(world, ann, {"a": []})
    assert (await finish(world, ann, run_id, "a")).state is RunState.SUCCEEDED
    assert await asked_of(world, ann, run_id) == []


async def test_plan_that_is_changed_runs_as_changed(world: World, ann: Owner, agents: GraphAgents) -> None:
    run_id = await begin(world, ann)
    asked = await parked(world, ann, run_id)
    await world.executor.decide(ann, asked.id, Decision(True, plan={"tasks": EDITED}))
    run = await finish(world, ann, run_id, "c")
    assert (run.state, [task.id for task in run.plan.tasks]) == (RunState.SUCCEEDED, ["c"])
    assert (run.plan.origin, run.plan.planning_seconds) == (
        PlanOrigin.USER,
        asked.payload["plan"]["planning_seconds"],
    )
    [attempt] = agents.attempts
    assert (attempt.assignment.task.agent_id, attempt.assignment.task.instruction) == (AGENT.id, "Do c.")


async def test_run_whose_plan_is_rejected_fails_and_its_retry_is_planned_anew(
    world: World, ann: Owner, agents: GraphAgents
) -> None:
    run_id = await begin(world, ann)
    asked = await parked(world, ann, run_id)
    await world.executor.decide(ann, asked.id, Decision(False, "Not on a Friday."))
    run = await ended(world, ann, run_id)
    assert run.error is not None
    assert (run.state, run.message_id, run.plan.tasks) == (RunState.FAILED, None, ())
    assert (run.error.reason, run.error.detail) == (PLAN_REJECTED, "you rejected the plan: Not on a Friday.")
    assert run.usage == PLANNING
    again = NewRetry(new_id(), new_id(), run_id, OnBusy.QUEUE)
    await world.executor.retry(ann, again, None)
    asked = await parked(world, ann, again.id)
    await world.executor.decide(ann, asked.id, YES)
    assert (await finish(world, ann, again.id, "a", "b")).state is RunState.SUCCEEDED
    assert agents.proposals == 2


async def test_run_whose_plan_nobody_looks_at_fails(world: World, agents: GraphAgents, ann: Owner) -> None:
    hasty = World(world.stores, agents, approval_seconds=0.0)
    async with hasty.executor.working(lease_seconds=0.2):
        run = await ended(hasty, ann, await begin(hasty, ann))
    assert run.error is not None
    assert (run.state, run.error.reason, agents.attempts) == (RunState.FAILED, PLAN_EXPIRED, [])


@pytest.mark.parametrize("decided_first", [False, True], ids=["undecided", "decided"])
async def test_process_that_dies_before_the_run_is_parked_leaves_it_to_one_that_asks_nothing_again(
    world: World, agents: GraphAgents, ann: Owner, monkeypatch: pytest.MonkeyPatch, decided_first: bool
) -> None:
    with monkeypatch.context() as patched:
        gate = Gate(world.stores.approvals[0], "park", patched, before=True)
        run_id = await begin(world, ann)
        async with asyncio.timeout(30):
            await gate.reached.wait()
        # It dies: its lease is over, and nobody hears of it any more.
        for task in list(world.executor._tasks):
            task.cancel()
        await eventually(lambda: not world.executor.runs_here(run_id))
    [asked] = await asked_of(world, ann, run_id)
    next_one = World(world.stores, agents, process=TWO)
    if decided_first:
        await next_one.executor.decide(ann, asked.id, YES)
        assert agents.attempts == []
    await world.stores.expire(run_id)
    await next_one.executor._adopt_orphans()
    if not decided_first:
        assert await parked(next_one, ann, run_id) == asked
        await next_one.executor.decide(ann, asked.id, YES)
    run = await finish(next_one, ann, run_id, "a", "b")
    assert (run.state, agents.proposals) == (RunState.SUCCEEDED, 1)
    # Not what was spent before is counted again, nor what it waited for.
    assert run.usage == PLANNING + COST + COST + COMBINING
    assert (await happened(world, ann, run_id)).count("approval_required") == 1
    await next_one.executor.drain()


async def test_plan_that_is_decided_before_its_run_is_parked_goes_on_at_once(
    world: World, agents: GraphAgents, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(world.stores.approvals[0], "park", monkeypatch, before=True)
    run_id = await begin(world, ann)
    async with asyncio.timeout(30):
        await gate.reached.wait()
    [asked] = await asked_of(world, ann, run_id)
    await world.executor.decide(ann, asked.id, YES)
    gate.open.set()
    run = await finish(world, ann, run_id, "a", "b")
    assert (run.state, (await world.stores.row(run_id)).epoch, agents.proposals) == (RunState.SUCCEEDED, 1, 1)


async def test_run_that_is_cancelled_while_its_plan_waits_asks_nobody_any_more(
    world: World, agents: GraphAgents, ann: Owner
) -> None:
    run_id = await begin(world, ann)
    asked = await parked(world, ann, run_id)
    run = await world.executor.cancel(ann, run_id)
    assert (run.state, run.plan.tasks, run.usage) == (RunState.CANCELLED, (), PLANNING)
    [left] = await asked_of(world, ann, run_id)
    assert (left.id, left.state) == (asked.id, ApprovalState.CANCELLED)
    assert agents.attempts == []


class AskingGraphAgents(GraphAgents):
    """Implements `Agents`: each task asks once."""

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        if assignment.state:
            yield Completed("Done.", COST)
        else:
            wanted = Wanted(new_id(), {"tool": "shell"}, {"type": "object"})
            yield Paused("where it was", (wanted,), (), COST)


async def test_time_in_which_a_task_waits_is_not_told_as_execution(database_place: Place) -> None:
    stores, clock = await stores_in(database_place), [NOW]
    world = World(stores, AskingGraphAgents(), clock=lambda: clock[0])
    ann = await stores.project()
    run_id = await begin(world, ann, {"a": []})
    await eventually(lambda: not world.executor.runs_here(run_id))
    [asked] = await asked_of(world, ann, run_id)
    # As if its user had taken two minutes.
    await stores.execute(sa.update(runs).values(idle_since=runs.c.idle_since - 120.0))
    clock[0] = NOW + timedelta(seconds=180)
    await world.executor.decide(ann, asked.id, YES)
    assert (await ended(world, ann, run_id)).state is RunState.SUCCEEDED
    [completed] = [event for _, event in world.streams.heard if event.type == "orchestration_completed"]
    assert 0 < completed.payload["execution_seconds"] <= 60
    [completed] = [event for _, event in world.streams.heard if event.type == "agent_completed"]
    assert completed.payload["duration_ms"] == 0
    await world.executor.drain()
