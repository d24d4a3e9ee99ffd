"""Plans at work: whatever their shape, and however their tasks end."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NoReturn

import pytest
import sqlalchemy as sa

from services.orchestrator import doubt, hand
from services.orchestrator.errors import RUN_MODEL_CALL_LIMIT, RUN_TOKEN_LIMIT
from services.orchestrator.limits import WorkLimits
from services.orchestrator.model import Owner, Run, RunState, Task, TaskState, Usage
from services.orchestrator.ports import AgentsUnreachable, Assignment, Completed, Happening
from services.orchestrator.tables import run_tasks
from services.runtime.database import DatabaseUnavailable
from tests.conformance.orchestrator_stores import NOW, TWO, a_message, stores_in
from tests.databases import Place
from tests.orchestrator.graph_agents import COMBINING, COST, PLANNING, GraphAgents, TaskFails
from tests.orchestrator.world import WORK_LIMITS, Gate, World

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
PAIR: dict[str, list[str]] = {"a": [], "b": []}


@pytest.fixture
async def agents() -> GraphAgents:
    return GraphAgents()


@pytest.fixture
async def world(database_place: Place, agents: GraphAgents) -> AsyncIterator[World]:
    world = World(await stores_in(database_place), agents)
    yield world
    await world.executor.drain()


@pytest.fixture
async def ann(world: World) -> Owner:
    return await world.stores.project()


async def begin(world: World, owner: Owner, agents: GraphAgents, plan: dict[str, list[str]], request: str) -> str:
    """Send a message that becomes this plan; return its run."""
    agents.plans[request] = plan
    chat = await world.stores.session(owner)
    return (await world.executor.accept(owner, a_message(chat, request, agent=None), None)).run.id


async def ended(world: World, owner: Owner, run_id: str) -> Run:
    await world.until_over(run_id)
    return await world.stores.runs.get_run(owner, run_id)


def states(run: Run) -> dict[str, TaskState]:
    return {task.id: task.state for task in run.plan.tasks}


def cost(tasks: tuple[Task, ...]) -> Usage:
    total = Usage()
    for task in tasks:
        total += task.usage
    return total


def a_graph(chance: random.Random) -> dict[str, list[str]]:
    """A random acyclic graph of 1 to 12 tasks."""
    ids = [f"t{number}" for number in range(chance.randint(1, 12))]
    density = chance.choice((0.1, 0.3, 0.6))
    return {id: [other for other in ids[:n] if chance.random() < density] for n, id in enumerate(ids)}


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_graph_every_task_runs_when_it_can_or_is_skipped_and_the_run_ends(
    world: World, ann: Owner, agents: GraphAgents, seed: int
) -> None:
    chance = random.Random(seed)
    plan = a_graph(chance)
    fails = {id for id in plan if chance.random() < chance.choice((0.0, 0.2, 0.5))}
    run_id = await begin(world, ann, agents, plan, f"graph {seed}")
    succeeded: set[str] = set()
    over: set[str] = set()
    while can := {id for id in plan if id not in over and succeeded.issuperset(plan[id])}:
        # All that can run does, and nothing else.
        await agents.until_running(run_id, *can)
        for id in can:
            given = agents.attempt(run_id, id).assignment.results
            assert [(result.task_id, result.output) for result in given] == [(by, f"output of {by}") for by in plan[id]]
        id = chance.choice(sorted(can))
        over.add(id)
        if id in fails:
            agents.attempt(run_id, id).fail()
        else:
            agents.attempt(run_id, id).succeed()
            succeeded.add(id)
    run = await ended(world, ann, run_id)
    failed = over - succeeded
    assert states(run) == {
        id: TaskState.SUCCEEDED if id in succeeded else TaskState.FAILED if id in failed else TaskState.SKIPPED
        for id in plan
    }
    # Each was tried once, so none after its end.
    assert sorted(attempt.task_id for attempt in agents.attempts) == sorted(over)
    assert run.state is (RunState.FAILED if failed else RunState.SUCCEEDED)
    assert (run.message_id is not None) == bool(succeeded)
    combined = COMBINING if agents.combined else Usage()
    assert run.usage == PLANNING + cost(run.plan.tasks) + combined
    assert cost(run.plan.tasks).model_calls == len(over)
    if agents.combined:
        [(_, results, missing)] = agents.combined
        assert {title for title, _ in missing} == set(plan) - succeeded
        # What another output was built on is in that one.
        built_on = {by for id in succeeded for by in plan[id]}
        assert {result.task_id for result in results} == succeeded - built_on


async def test_tasks_of_a_dead_process_run_again_and_what_they_had_given_stays(
    database_place: Place, agents: GraphAgents
) -> None:
    stores = await stores_in(database_place)
    ann = await stores.project()
    first = World(stores, agents)
    run_id = await begin(first, ann, agents, DIAMOND, "takeover")
    await agents.until_running(run_id, "a")
    agents.attempt(run_id, "a").succeed()
    await agents.until_running(run_id, "b", "c")
    agents.attempt(run_id, "b").succeed()
    await first.streams.until(lambda: first.streams.types().count("task_completed") == 2)
    # It dies: nobody hears of it any more, and its lease is over.
    for task in list(first.executor._tasks):
        task.cancel()
    await agents.until_running(run_id)
    await stores.expire(run_id)
    second = World(stores, agents, process=TWO)
    await second.executor._adopt_orphans()
    await agents.until_running(run_id, "c")
    agents.attempt(run_id, "c").succeed()
    await agents.until_running(run_id, "d")
    assert [result.task_id for result in agents.attempt(run_id, "d").assignment.results] == ["b", "c"]
    agents.attempt(run_id, "d").succeed()
    run = await ended(second, ann, run_id)
    assert (run.state, {task.id: task.attempt for task in run.plan.tasks}) == (
        RunState.SUCCEEDED,
        {"a": 1, "b": 1, "c": 2, "d": 1},
    )
    await second.executor.drain()
    await first.executor.drain()


async def test_run_whose_process_dies_while_it_is_planned_is_planned_again(
    database_place: Place, agents: GraphAgents
) -> None:
    stores = await stores_in(database_place)
    ann = await stores.project()
    chat = await stores.session(ann)
    agents.plans["again"] = PAIR
    accepted = await stores.runs.accept(ann, a_message(chat, "again", agent=None), None, "dead", NOW)
    assert accepted.run.state is RunState.PLANNING
    await stores.expire(accepted.run.id)
    world = World(stores, agents)
    await world.executor._adopt_orphans()
    await agents.until_running(accepted.run.id, "a", "b")
    for id in "ab":
        agents.attempt(accepted.run.id, id).succeed()
    run = await ended(world, ann, accepted.run.id)
    assert (run.state, states(run)) == (RunState.SUCCEEDED, dict.fromkeys("ab", TaskState.SUCCEEDED))
    await world.executor.drain()


async def test_agents_that_go_away_get_another_attempt_and_both_are_paid_for(
    world: World, ann: Owner, agents: GraphAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "_BACKOFF_SECONDS", 0.001)
    run_id = await begin(world, ann, agents, PAIR, "away")
    await agents.until_running(run_id, "a", "b")
    broken = agents.attempt(run_id, "a")
    broken.fail(AgentsUnreachable("the line broke"))
    agents.attempt(run_id, "b").succeed()
    while agents.running.get((run_id, "a"), broken) is broken:
        await agents.until_running(run_id, "a")
    agents.attempt(run_id, "a").succeed()
    run = await ended(world, ann, run_id)
    again = run.plan.tasks[0]
    assert (run.state, again.attempt) == (RunState.SUCCEEDED, 2)
    # The first attempt said nothing: it cost its prompt.
    assert again.usage == COST + Usage(COST.prompt_tokens, 0, 1)
    assert run.usage == PLANNING + cost(run.plan.tasks) + COMBINING


async def test_results_that_no_model_can_make_one_are_given_one_by_one(
    world: World, ann: Owner, agents: GraphAgents
) -> None:
    agents.combining_fails = TaskFails("the model will not")
    run_id = await begin(world, ann, agents, PAIR, "one by one")
    await agents.until_running(run_id, "a", "b")
    for id in "ab":
        agents.attempt(run_id, id).succeed()
    run = await ended(world, ann, run_id)
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.reason == "MODEL_REFUSED"
    outcome = await world.stores.runs.get_outcome(ann, run_id)
    assert outcome.answer is not None
    assert "output of a" in outcome.answer.content
    assert "output of b" in outcome.answer.content
    assert "the model will not" in outcome.answer.content


async def test_limit_stops_what_runs_and_leaves_what_is_done(database_place: Place, agents: GraphAgents) -> None:
    # One call for the plan, one each for a and b: none is left for c.
    limits = WorkLimits(tasks=12, model_calls=3, tokens=WORK_LIMITS.tokens, seconds=WORK_LIMITS.seconds)
    world = World(await stores_in(database_place), agents, limits=limits)
    ann = await world.stores.project()
    run_id = await begin(world, ann, agents, {"a": [], "b": [], "c": ["a"]}, "limit")
    await agents.until_running(run_id, "a", "b")
    agents.attempt(run_id, "a").succeed()
    run = await ended(world, ann, run_id)
    assert (run.state, run.stop_reason) == (RunState.FAILED, RUN_MODEL_CALL_LIMIT)
    assert states(run) == {"a": TaskState.SUCCEEDED, "b": TaskState.CANCELLED, "c": TaskState.CANCELLED}
    assert agents.running == {}
    assert run.usage == PLANNING + cost(run.plan.tasks)
    answer = (await world.stores.runs.get_outcome(ann, run_id)).answer
    assert answer is not None
    assert "output of a" in answer.content
    assert "may call the model 3 times" in answer.content
    await world.executor.drain()


class ChattyAgents(GraphAgents):
    """What b says is never all."""

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        async with aclosing(super().execute(assignment)) as happenings:
            async for happening in happenings:
                if isinstance(happening, Completed) and assignment.task.id == "b":
                    await asyncio.Event().wait()
                yield happening


async def test_what_is_being_written_when_a_limit_stops_the_run_counts_and_is_told_once(
    database_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = ChattyAgents()
    # Passed by what b says.
    tokens = (PLANNING + COST + COST).tokens
    limits = WorkLimits(tasks=12, model_calls=WORK_LIMITS.model_calls, tokens=tokens, seconds=WORK_LIMITS.seconds)
    world = World(await stores_in(database_place), agents, limits=limits)
    ann = await world.stores.project()
    writing = Gate(world.stores.runs, "advance", monkeypatch)
    run_id = await begin(world, ann, agents, PAIR, "limit")
    await agents.until_running(run_id, "a", "b")
    agents.attempt(run_id, "a").succeed()
    await writing.committed.wait()
    agents.attempt(run_id, "b").succeed()
    await agents.until_running(run_id)
    writing.open.set()
    run = await ended(world, ann, run_id)
    assert (run.stop_reason, states(run)) == (RUN_TOKEN_LIMIT, {"a": TaskState.SUCCEEDED, "b": TaskState.CANCELLED})
    assert run.usage == PLANNING + cost(run.plan.tasks)
    told = [event.type for event in (await world.stores.runs.list_events(ann, run_id, 200, "")).elements]
    assert told.count("task_completed") == 1
    await world.executor.drain()


async def test_run_whose_database_stays_away_is_left_to_the_next_process(
    world: World, ann: Owner, agents: GraphAgents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> NoReturn:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(doubt, "PATIENCE_SECONDS", 0.0)
    run_id = await begin(world, ann, agents, PAIR, "away")
    await agents.until_running(run_id, "a", "b")
    for method in ("advance", "standing"):
        monkeypatch.setattr(world.stores.runs, method, away)
    agents.attempt(run_id, "a").succeed()
    await world.executor._finish()
    run = await world.stores.runs.get_run(ann, run_id)
    assert (run.state, states(run)) == (RunState.RUNNING, dict.fromkeys("ab", TaskState.RUNNING))


async def test_cancelled_graph_stops_every_task_that_runs(world: World, ann: Owner, agents: GraphAgents) -> None:
    run_id = await begin(world, ann, agents, {"a": [], "b": [], "c": ["a", "b"]}, "cancel")
    await agents.until_running(run_id, "a", "b")
    await world.executor.cancel(ann, run_id)
    await agents.until_running(run_id)
    run = await ended(world, ann, run_id)
    assert states(run) == dict.fromkeys("abc", TaskState.CANCELLED)
    assert await world.stores.execute(sa.select(run_tasks).where(run_tasks.c.finished_at.is_(None))) == []
