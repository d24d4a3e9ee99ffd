"""What RunStore promises of planned runs, held against every backend."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Ended, Ending, Lease
from services.orchestrator.model import Failure, Mode, Owner, Plan, Role, RunState, TaskState, Usage
from services.orchestrator.sql_run_store import MAX_TAKEOVERS
from services.orchestrator.store import RunStore
from services.orchestrator.tables import runs
from services.orchestrator.wire import event_message, run_message
from tests.conformance.orchestrator_stores import (
    AGENT,
    COST,
    FAILURE,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    beginning,
    broken,
    done,
    lease_of,
    nothing_can_be_written,
    promoted,
    succeed,
    taken,
    timeline,
    types,
)
from tests.conformance.planned_runs import (
    PLAN,
    PLANNING_COST,
    a_request,
    advance,
    again,
    at_work,
    folded,
    known,
    planning,
    task_of,
)

LIMIT = Failure("RUN_TOKEN_LIMIT", "the run may use 10 tokens")


def kinds(events: Any) -> list[str]:
    return [event.type for event in events]


def states(plan: Plan) -> list[TaskState]:
    return [task.state for task in plan.tasks]


async def stored_plan(store: RunStore, owner: Owner, run_id: str) -> Plan:
    return (await store.get_run(owner, run_id)).plan


async def given(store: RunStore, owner: Owner, ended: Lease) -> Lease | None:
    """What was promoted for whoever did not hear that the run has ended."""
    found = await store.ended(owner, ended.run_id, ONE)
    assert found is not None
    return found.promoted


# From the message to the plan


async def test_message_without_an_agent_is_planned(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    new = a_request(chat, "Write about rain.")
    accepted = await store.accept(ann, new, None, ONE, NOW)
    run, lease = accepted.run, lease_of(accepted)
    assert run == await store.get_run(ann, new.id)
    assert (run.mode, run.state, run.plan, run.started_at) == (Mode.ORCHESTRATED, RunState.PLANNING, Plan(), NOW)
    assert (lease.mode, lease.plan, lease.working_since, lease.usage) == (Mode.ORCHESTRATED, Plan(), NOW, Usage())
    assert types(lease.events) == [(1, "message_received", False)]
    assert await store.asked(lease) == "Write about rain."
    assert await store.accepted(ann, new.id, ONE) == accepted
    assert await store.renew(ONE, [new.id]) == {new.id}


async def test_queued_message_without_an_agent_is_planned_when_its_turn_comes(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first = await stores.running(ann, chat)
    accepted = await store.accept(ann, a_request(chat), None, ONE, NOW)
    assert (accepted.run.state, accepted.lease) == (RunState.QUEUED, None)
    assert await store.accepted(ann, accepted.run.id, ONE) == accepted
    lease = promoted(await succeed(store, first, ONE, "Hello.", now=NOW + SECOND))
    assert (lease.run_id, lease.mode, lease.plan, lease.working_since) == (
        accepted.run.id,
        Mode.ORCHESTRATED,
        Plan(),
        NOW + SECOND,
    )
    assert (await store.get_run(ann, lease.run_id)).state is RunState.PLANNING
    # Whoever did not hear of its promotion does; who asks what became of the message has not to begin it.
    assert await given(store, ann, first) == lease
    found = await store.accepted(ann, lease.run_id, ONE)
    assert found is not None
    assert (found.run.state, found.lease) == (RunState.PLANNING, None)
    lease = await store.plan(lease, ONE, PLAN, PLANNING_COST, NOW)
    lease = await advance(stores, lease, beginning(task_of(lease, "read")))
    assert await given(store, ann, first) is None


async def test_plan_is_stored_as_it_is_told_and_what_begins_with_it(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.plan, run.usage) == (RunState.RUNNING, lease.plan, PLANNING_COST)
    assert (await store.list_runs(ann, (), None, 10, "")).elements == [run]
    assert states(run.plan) == [TaskState.RUNNING, TaskState.RUNNING, TaskState.PENDING]
    assert (run.plan.origin, run.plan.problems, run.plan.planning_seconds) == (
        PLAN.origin,
        PLAN.problems,
        PLAN.planning_seconds,
    )
    assert (lease.usage, lease.events[0].n) == (PLANNING_COST, 2)
    assert kinds(lease.events) == ["plan_created", *["task_started", "agent_started"] * 2]
    assert lease.events[0].payload["planning_seconds"] == 0.75
    told = (await store.list_events(ann, lease.run_id, 100, "")).elements
    assert tuple(told[1:]) == lease.events


async def test_run_is_planned_once(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await at_work(stores, ann, chat)
    row, told = await stores.row(lease.run_id), await timeline(store, ann, lease.run_id)
    with pytest.raises(LeaseLost):
        await store.plan(lease, ONE, PLAN, PLANNING_COST, NOW)
    assert (await stores.row(lease.run_id), await timeline(store, ann, lease.run_id)) == (row, told)


# Going on


async def test_tasks_are_stored_whole_and_told_with_what_began_beside_them(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    read, look = (done(task_of(lease, id), f"What I {id}.", now=NOW + 2 * SECOND) for id in ("read", "look"))
    lease = await advance(stores, lease, read, look, beginning(task_of(lease, "write")), spent=COST + COST)
    assert kinds(lease.events) == [*["agent_completed", "task_completed"] * 2, "task_started", "agent_started"]
    completed = lease.events[0].payload
    assert (completed["output"], completed["duration_ms"], completed["message"]) == ("What I read.", 2000, None)
    run = await store.get_run(ann, lease.run_id)
    assert (run.plan, run.usage) == (lease.plan, PLANNING_COST + COST + COST)
    assert lease.usage == run.usage
    assert task_of(lease, "read") == read
    found = await store.standing(lease, ONE)
    assert found == replace(lease, events=found.events)
    assert types(found.events) == await timeline(store, ann, lease.run_id)


async def test_only_what_ends_is_progress(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    """A task that takes its process down with it begins again with each takeover."""
    lease = await at_work(stores, ann, chat)
    await stores.expire(lease.run_id)
    lease = await advance(stores, taken(await store.adopt(chat, ONE, NOW)), beginning(task_of(lease, "look")))
    assert (await stores.row(lease.run_id)).attempts == 1
    await advance(stores, lease, done(task_of(lease, "read"), "Read."))
    assert (await stores.row(lease.run_id)).attempts == 0


async def test_what_can_be_heard_of_a_run_is_what_is_stored(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)

    async def heard() -> tuple[list[str], dict[str, dict[str, Any]]]:
        run = await store.get_run(ann, lease.run_id)
        events = (await store.list_events(ann, lease.run_id, 100, "")).elements
        assert folded(events) == known(run.plan)
        # And the contract has a place for all of it.
        assert len(run_message(run).plan.tasks) == 3
        assert [event_message(event, chat, "run").WhichOneof("payload") for event in events] == kinds(events)
        return kinds(events), known(run.plan)

    await heard()
    lease = await advance(stores, lease, done(task_of(lease, "read"), "Read."), beginning(task_of(lease, "look")))
    assert (await heard())[1]["look"]["attempt"] == 2
    skipped = replace(task_of(lease, "write"), state=TaskState.SKIPPED, finished_at=NOW)
    lease = await advance(stores, lease, broken(task_of(lease, "look")), skipped)
    assert {id: task["state"] for id, task in (await heard())[1].items()} == {
        "read": "succeeded",
        "look": "failed",
        "write": "skipped",
    }
    await store.end(lease, ONE, Ending(answer="In part.", error=FAILURE), NOW)
    assert (await heard())[0][-4:] == ["agent_failed", "task_failed", "task_skipped", "orchestration_completed"]
    lease = lease_of(await store.retry(ann, again(lease.run_id), None, ONE, NOW))
    assert {id: task["state"] for id, task in (await heard())[1].items()} == {
        "read": "succeeded",
        "look": "pending",
        "write": "pending",
    }
    lease = await advance(stores, lease, beginning(task_of(lease, "look")))
    await store.end(lease, ONE, Ending(error=LIMIT, stop_reason=LIMIT.reason), NOW)
    assert (await heard())[0] == ["plan_created", "task_started", "agent_started", "run_failed"]


# Ends


async def test_answer_made_of_several_is_nobodys_alone(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await at_work(stores, ann, chat)
    waiting = (await stores.send(ann, chat)).run.id
    tasks = tuple(done(task, "Done.") for task in lease.plan.tasks)
    ending = Ending(answer="All of it.", tasks=tasks, spent=COST, execution_seconds=2.5)
    ended = await store.end(lease, ONE, ending, NOW + SECOND)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.message_id, run.error, run.usage, run.finished_at) == (
        RunState.SUCCEEDED,
        lease.answer_id,
        None,
        PLANNING_COST + COST,
        NOW + SECOND,
    )
    assert run.plan == lease.plan.with_tasks(tasks)
    outcome = await store.get_outcome(ann, lease.run_id)
    assert outcome.answer is not None
    assert (outcome.answer.content, outcome.answer.agent_id, outcome.answer.role) == (
        "All of it.",
        None,
        Role.ASSISTANT,
    )
    *_, last = ended.outbox.events
    assert kinds(ended.outbox.events) == [*["agent_completed", "task_completed"] * 3, "orchestration_completed"]
    assert last.final
    assert {**last.payload, "message": last.payload["message"]["id"]} == {
        "message": lease.answer_id,
        "planning_seconds": 0.75,
        "execution_seconds": 2.5,
        "success": True,
    }
    assert promoted(ended).run_id == waiting


async def test_part_of_an_answer_is_stored_and_the_run_has_failed(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    tasks = (done(task_of(lease, "read"), "Read."), broken(task_of(lease, "look")))
    ending = Ending(answer="A part.", agent_id=AGENT.id, error=FAILURE, tasks=tasks)
    ended = await store.end(lease, ONE, ending, NOW)
    outcome = await store.get_outcome(ann, lease.run_id)
    assert outcome.answer is not None
    assert (outcome.state, outcome.error, outcome.answer.agent_id) == (RunState.FAILED, FAILURE, AGENT.id)
    assert states(await stored_plan(store, ann, lease.run_id)) == [
        TaskState.SUCCEEDED,
        TaskState.FAILED,
        TaskState.CANCELLED,
    ]
    assert ended.outbox.events[-1].payload["success"] is False
    assert (await stores.sessions.get_session(ann, chat)).message_count == 2


async def test_run_that_fails_without_an_answer_says_which_task_failed_first(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    lease = await advance(stores, lease, broken(task_of(lease, "look")))
    ending = Ending(error=LIMIT, tasks=(broken(task_of(lease, "write")),), stop_reason="RUN_TOKEN_LIMIT")
    ended = await store.end(lease, ONE, ending, NOW)
    last = ended.outbox.events[-1]
    assert (last.type, last.payload["task_id"], last.payload["agent_id"]) == ("run_failed", "look", AGENT.id)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.error, run.stop_reason, run.message_id) == (
        RunState.FAILED,
        LIMIT,
        "RUN_TOKEN_LIMIT",
        None,
    )
    assert states(run.plan) == [TaskState.CANCELLED, TaskState.FAILED, TaskState.FAILED]
    assert (await stores.sessions.get_session(ann, chat)).message_count == 1


async def test_run_that_cannot_be_planned_fails_by_no_task(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await planning(stores, ann, chat)
    ended = await store.end(lease, ONE, Ending(error=Failure("NO_AGENTS", "there are none"), spent=COST), NOW)
    [event] = ended.outbox.events
    assert (event.type, event.payload["task_id"], event.final) == ("run_failed", None, True)
    run = await store.get_run(ann, lease.run_id)
    assert (run.state, run.plan, run.usage) == (RunState.FAILED, Plan(), COST)


async def test_cancelling_cancels_what_is_unfinished(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await at_work(stores, ann, chat)
    lease = await advance(stores, lease, done(task_of(lease, "read"), "Read."))
    run, _ = await stores.others.cancel(ann, lease.run_id, TWO, NOW)
    assert states(run.plan) == [TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.CANCELLED]
    await nothing_can_be_written(stores, store, lease, ONE)
    events = (await store.list_events(ann, lease.run_id, 100, "")).elements
    assert folded(events) == known(run.plan)


# Takeovers


@pytest.mark.parametrize("begun", [planning, at_work])
async def test_planned_run_is_taken_over_where_it_stood(
    stores: Stores, store: RunStore, ann: Owner, chat: str, begun: Any
) -> None:
    lease: Lease = await begun(stores, ann, chat)
    await stores.expire(lease.run_id)
    over = taken(await stores.others.adopt(chat, TWO, NOW + SECOND))
    assert over == replace(lease, epoch=2, fresh=False, events=over.events, working_since=over.working_since)
    assert types(over.events) == await timeline(store, ann, lease.run_id)
    await nothing_can_be_written(stores, store, lease, ONE)
    if begun is planning:
        over = await stores.others.plan(over, TWO, PLAN, PLANNING_COST, NOW)
    read = done(task_of(over, "read"), "Read.")
    over = await stores.others.advance(over, TWO, [read], COST, NOW)
    assert await stored_plan(store, ann, lease.run_id) == over.plan


@pytest.mark.parametrize("begun", [planning, at_work])
async def test_planned_run_that_gets_nowhere_is_failed_and_what_is_unfinished_cancelled(
    stores: Stores, store: RunStore, ann: Owner, chat: str, begun: Any
) -> None:
    lease: Lease = await begun(stores, ann, chat)
    await stores.execute(sa.update(runs).values(attempts=MAX_TAKEOVERS))
    await stores.expire(lease.run_id)
    abandoned = await store.adopt(chat, TWO, NOW)
    assert isinstance(abandoned, Ended)
    run = await store.get_run(ann, lease.run_id)
    assert run.error is not None
    assert (run.state, run.error.reason) == (RunState.FAILED, "RUN_ABANDONED")
    assert set(states(run.plan)) <= {TaskState.CANCELLED}
    assert types(abandoned.outbox.events) == await timeline(store, ann, lease.run_id)
    assert abandoned.outbox.events[-1].payload["task_id"] is None


# Retries


async def test_retry_keeps_what_was_done_and_pays_nothing_for_it(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    lease = await advance(stores, lease, done(task_of(lease, "read"), "Read."), broken(task_of(lease, "look")))
    skipped = replace(task_of(lease, "write"), state=TaskState.SKIPPED)
    await store.end(lease, ONE, Ending(error=FAILURE, tasks=(skipped,)), NOW)
    accepted = await store.retry(ann, again(lease.run_id), None, ONE, NOW + SECOND)
    kept = replace(task_of(lease, "read"), usage=Usage())
    assert accepted.run.plan == PLAN.with_tasks([kept])
    assert (accepted.run.state, accepted.run.usage) == (RunState.RUNNING, Usage())
    assert await store.get_run(ann, accepted.run.id) == accepted.run
    assert types(lease_of(accepted).events) == [(1, "plan_created", False)]
    assert await store.accepted(ann, accepted.run.id, ONE) == accepted
    assert await store.asked(lease_of(accepted)) == "Write about rain."


async def test_retry_of_a_run_that_was_never_planned_is_planned(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await planning(stores, ann, chat)
    await store.end(lease, ONE, Ending(error=FAILURE), NOW)
    accepted = await store.retry(ann, again(lease.run_id), None, ONE, NOW)
    assert (accepted.run.mode, accepted.run.state, accepted.run.plan) == (
        Mode.ORCHESTRATED,
        RunState.PLANNING,
        Plan(),
    )
    assert lease_of(accepted).events == ()


async def test_retry_that_had_to_wait_goes_on_with_its_plan_also_if_only_the_answer_is_missing(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await at_work(stores, ann, chat)
    tasks = tuple(done(task, "Done.") for task in lease.plan.tasks)
    await store.end(lease, ONE, Ending(error=FAILURE, tasks=tasks), NOW)
    busy = await stores.running(ann, chat)
    waiting = await store.retry(ann, again(lease.run_id), None, ONE, NOW)
    assert waiting.run.state is RunState.QUEUED
    assert [types(outbox.events) for outbox in waiting.outbox] == [[(1, "plan_created", False)]]
    retried = promoted(await succeed(store, busy, ONE, "Hello.", now=NOW + SECOND))
    assert (await store.get_run(ann, retried.run_id)).state is RunState.RUNNING
    assert set(states(retried.plan)) == {TaskState.SUCCEEDED}
    # Nothing of it has begun: to whoever did not hear of its promotion it is given.
    assert await given(store, ann, busy) == retried
    await store.end(retried, ONE, Ending(answer="At last."), NOW)
    assert (await store.get_run(ann, retried.run_id)).state is RunState.SUCCEEDED
