"""What ApprovalStore promises, held against every backend: questions, parked runs, and decisions that meet them."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator import sql_approval_store
from services.orchestrator.errors import ApprovalDecided, ApprovalNotFound, LeaseLost
from services.orchestrator.leases import Decided, Ended, Lease
from services.orchestrator.model import (
    ApprovalKind,
    ApprovalState,
    Decision,
    Failure,
    OnBusy,
    Owner,
    Question,
    RunState,
    TaskState,
    Usage,
)
from services.orchestrator.tables import approvals, run_tasks, runs
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    COST,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    begin_attempt,
    beginning,
    done,
    fail,
    succeed,
)
from tests.conformance.planned_runs import PLANNING_COST, at_work, folded, known, task_of

EXPIRY = NOW + timedelta(minutes=5)


def a_question(command: str = "make clean") -> Question:
    return Question(new_id(), ApprovalKind.TOOL, {"tool": "shell", "arguments": {"command": command}}, EXPIRY)


async def asking(stores: Stores, owner: Owner, chat: str, *questions: Question) -> Lease:
    """A run that works, and has asked."""
    lease = await stores.running(owner, chat)
    return await stores.approvals[0].ask(lease, ONE, lease.task, questions, Usage(), NOW)


async def parked(stores: Stores, owner: Owner, chat: str, *questions: Question) -> Lease:
    lease = await asking(stores, owner, chat, *questions)
    assert await stores.approvals[0].park(lease, ONE) is None
    return lease


async def decide(stores: Stores, owner: Owner, question: Question, approve: bool = True, process: str = TWO) -> Decided:
    store = stores.approvals[0 if process == ONE else 1]
    return await store.decide(owner, question.id, Decision(approve, "Because."), process, NOW + SECOND)


async def decided_already(asked: Awaitable[Decided]) -> Any:
    with pytest.raises(ApprovalDecided) as caught:
        await asked
    return caught.value.metadata["state"]


async def test_question_is_told_and_its_task_waits(stores: Stores, ann: Owner, chat: str) -> None:
    first, second = a_question("one"), a_question("two")
    lease = await asking(stores, ann, chat, first, second)
    assert [(event.type, event.payload["approval"]["id"]) for event in lease.events] == [
        ("approval_required", first.id),
        ("approval_required", second.id),
    ]
    assert [each.id for each in lease.decisions] == [first.id, second.id]
    assert [each.state for each in lease.decisions] == [ApprovalState.PENDING] * 2
    assert lease.decisions[0].payload == first.payload
    run = await stores.runs.get_run(ann, lease.run_id)
    assert (run.state, run.plan.tasks[0].state) == (RunState.RUNNING, TaskState.WAITING_APPROVAL)


async def test_parked_run_is_nobodys_and_nobody_takes_it(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await parked(stores, ann, chat, a_question())
    row = await stores.row(lease.run_id)
    assert (row.state, row.owner, row.lease_until) == (RunState.WAITING_APPROVAL, None, 0.0)
    assert await stores.runs.renew(ONE, [lease.run_id]) == set()
    assert await stores.runs.orphaned(10) == []
    assert await stores.others.adopt(chat, TWO, NOW) is None
    with pytest.raises(LeaseLost):
        await succeed(stores.runs, lease, ONE, "Done.", Usage(), NOW)
    # The session is busy all the same.
    assert (await stores.send(ann, chat)).run.state is RunState.QUEUED


async def test_last_decision_lets_the_run_go_on_where_it_is_made(stores: Stores, ann: Owner, chat: str) -> None:
    first, second = a_question("one"), a_question("two")
    lease = await parked(stores, ann, chat, first, second)
    one = await decide(stores, ann, second, approve=False)
    assert (one.approval.state, one.approval.reason, one.lease) == (ApprovalState.REJECTED, "Because.", None)
    assert one.outbox is not None
    assert one.outbox.events[-1].type == "approval_resolved"
    assert one.outbox.events[-1].payload["approval"]["state"] == "rejected"
    two = await decide(stores, ann, first)
    assert two.lease is not None
    assert [each.state for each in two.lease.decisions] == [ApprovalState.APPROVED, ApprovalState.REJECTED]
    assert (two.lease.epoch, two.lease.fresh) == (lease.epoch + 1, False)
    begun = await begin_attempt(stores.others, two.lease, TWO, NOW)
    assert (begun.task.state, begun.task.attempt) == (TaskState.RUNNING, 2)
    await succeed(stores.others, begun, TWO, "Done.", Usage(), NOW)
    assert (await stores.runs.get_run(ann, lease.run_id)).state is RunState.SUCCEEDED


async def test_run_whose_questions_are_answered_before_it_parks_goes_on(stores: Stores, ann: Owner, chat: str) -> None:
    question = a_question()
    lease = await asking(stores, ann, chat, question)
    decided = await decide(stores, ann, question)
    assert decided.lease is None
    assert decided.outbox is not None
    kept = await stores.approvals[0].park(lease, ONE)
    assert kept is not None
    assert [each.state for each in kept.decisions] == [ApprovalState.APPROVED]
    begun = await begin_attempt(stores.runs, kept, ONE, NOW)
    await succeed(stores.runs, begun, ONE, "Done.", Usage(), NOW)


async def test_decision_against_parking_leaves_the_run_to_exactly_one(stores: Stores, ann: Owner) -> None:
    chats = [await stores.session(ann) for _ in range(12)]
    questions = [a_question() for _ in chats]
    leases = [await asking(stores, ann, chat, each) for chat, each in zip(chats, questions, strict=True)]

    async def park(number: int, lease: Lease) -> Lease | None:
        # One after the other comes a little later, so that they meet at different moments.
        await asyncio.sleep(number / 1000)
        return await stores.approvals[0].park(lease, ONE)

    met = [
        await asyncio.gather(park(number, lease), decide(stores, ann, question, process=TWO))
        for number, (lease, question) in enumerate(zip(leases, questions, strict=True))
    ]
    for kept, decided in met:
        assert (kept is None) == (decided.lease is not None)
        going_on = kept or decided.lease
        assert going_on is not None
        assert going_on.decisions[0].state is ApprovalState.APPROVED
        assert (await stores.row(going_on.run_id)).state == RunState.RUNNING


async def test_run_that_is_taken_over_before_it_parks_is_parked_by_its_next_owner(
    stores: Stores, ann: Owner, chat: str
) -> None:
    lease = await asking(stores, ann, chat, a_question())
    await stores.expire(lease.run_id)
    adopted = await stores.others.adopt(chat, TWO, NOW)
    assert isinstance(adopted, Lease)
    assert [each.state for each in adopted.decisions] == [ApprovalState.PENDING]
    with pytest.raises(LeaseLost):
        await stores.approvals[0].park(lease, ONE)
    assert await stores.approvals[1].park(adopted, TWO) is None


async def test_question_is_progress_takeovers_are_counted_from_it(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    taken = await stores.runs.adopt(chat, ONE, NOW)
    assert isinstance(taken, Lease)
    assert (await stores.row(lease.run_id)).attempts == 1
    await stores.approvals[0].ask(taken, ONE, taken.task, [a_question()], Usage(), NOW)
    assert (await stores.row(lease.run_id)).attempts == 0


async def test_time_in_which_a_run_was_parked_is_not_counted_as_work(stores: Stores, ann: Owner, chat: str) -> None:
    question = a_question()
    lease = await parked(stores, ann, chat, question)
    # As if its user had taken an hour, and half an hour before that.
    await stores.execute(sa.update(runs).values(idle_since=runs.c.idle_since - 3600, idle_seconds=1800.0))
    going_on = (await decide(stores, ann, question)).lease
    assert going_on is not None
    assert timedelta(hours=1.5) <= going_on.working_since - lease.working_since < timedelta(hours=2)
    # Nor is it told as such.
    ended = await succeed(stores.others, going_on, TWO, "Done.", now=going_on.working_since + 2 * SECOND)
    assert ended.outbox.events[-1].payload["duration_ms"] == 2000


# Several tasks that wait


async def two_waiting(stores: Stores, owner: Owner, chat: str, *questions: Question) -> Lease:
    """A planned run two of whose tasks wait, each for one of these questions but the second for all that are left."""
    lease = await at_work(stores, owner, chat)
    for task_id, asked in (("read", questions[:1]), ("look", questions[1:])):
        lease = await stores.approvals[0].ask(lease, ONE, task_of(lease, task_id), asked, COST, NOW)
    return lease


async def test_parked_run_goes_on_when_one_of_its_tasks_can(stores: Stores, ann: Owner, chat: str) -> None:
    of_read, one, other = a_question("one"), a_question("two"), a_question("three")
    lease = await two_waiting(stores, ann, chat, of_read, one, other)
    assert [each.task_id for each in lease.decisions] == ["read", "look", "look"]
    run = await stores.runs.get_run(ann, lease.run_id)
    assert (run.plan, run.usage, run.state) == (lease.plan, PLANNING_COST + COST + COST, RunState.RUNNING)
    events = (await stores.runs.list_events(ann, lease.run_id, 100, "")).elements
    assert folded(events) == known(run.plan)
    assert await stores.approvals[0].park(lease, ONE) is None
    assert (await decide(stores, ann, one)).lease is None
    going_on = (await decide(stores, ann, other)).lease
    assert going_on is not None
    # What the other task waits for is known to whoever goes on.
    assert [each.state for each in going_on.decisions] == ["pending", "approved", "approved"]
    begun = beginning(task_of(going_on, "look"))
    going_on = await stores.others.advance(going_on, TWO, [begun], Usage(), NOW)
    assert len(going_on.decisions) == 3
    assert (await stores.others.standing(going_on, TWO)).decisions == going_on.decisions
    # It decides beside the work, and nobody is given the run: the one who has it sees when it would park.
    assert (await decide(stores, ann, of_read)).lease is None
    going_on = await stores.others.advance(going_on, TWO, [done(begun, "Looked.")], COST, NOW)
    kept = await stores.approvals[1].park(going_on, TWO)
    assert kept is not None
    assert [(each.task_id, each.state) for each in kept.decisions] == [("read", "approved")]


async def test_time_in_which_a_task_waited_is_not_told_as_its_work(stores: Stores, ann: Owner, chat: str) -> None:
    lease, runs, asked = await at_work(stores, ann, chat), stores.runs, stores.approvals[0]
    two, one_more, of_look = (a_question("one"), a_question("two")), a_question("three"), a_question("four")

    async def decide_after(seconds: int, question: Question) -> None:
        await asked.decide(ann, question.id, Decision(True), ONE, NOW + seconds * SECOND)

    # The other one waits all the time, which is its own affair.
    lease = await asked.ask(lease, ONE, task_of(lease, "look"), [of_look], COST, NOW)
    # It waits for two answers at once, from 1 to 31 …
    lease = await asked.ask(lease, ONE, task_of(lease, "read"), two, COST, NOW + SECOND)
    await decide_after(31, two[0])
    await decide_after(11, two[1])
    lease = await runs.standing(lease, ONE)
    lease = await runs.advance(lease, ONE, [beginning(task_of(lease, "read"))], Usage(), NOW + 32 * SECOND)
    # … and once more, from 40 to 45.
    lease = await asked.ask(lease, ONE, task_of(lease, "read"), [one_more], COST, NOW + 40 * SECOND)
    await decide_after(45, one_more)
    lease = await runs.standing(lease, ONE)
    begun = beginning(task_of(lease, "read"))
    lease = await runs.advance(lease, ONE, [begun], Usage(), NOW + 45 * SECOND)
    lease = await runs.advance(lease, ONE, [done(begun, "Read.", now=NOW + 50 * SECOND)], COST, NOW + 50 * SECOND)
    assert lease.events[0].payload["duration_ms"] == (50 - 30 - 5) * 1000


async def test_run_one_of_whose_tasks_can_go_on_is_not_parked(stores: Stores, ann: Owner, chat: str) -> None:
    of_read, of_look = a_question(), a_question()
    lease = await two_waiting(stores, ann, chat, of_read, of_look)
    await decide(stores, ann, of_look)
    kept = await stores.approvals[0].park(lease, ONE)
    assert kept is not None
    assert [each.state for each in kept.decisions] == ["pending", "approved"]


async def test_deciding_again_is_the_same_or_refused(stores: Stores, ann: Owner, chat: str) -> None:
    question, other = a_question(), a_question()
    await parked(stores, ann, chat, question, other)
    first = await decide(stores, ann, question)
    again = await decide(stores, ann, question)
    assert (again.approval, again.outbox, again.lease) == (first.approval, None, None)
    assert await decided_already(decide(stores, ann, question, approve=False)) == "approved"


async def test_of_two_decisions_at_once_one_wins(stores: Stores, ann: Owner, chat: str) -> None:
    question = a_question()
    await parked(stores, ann, chat, question)
    ends = await asyncio.gather(
        decide(stores, ann, question, True, ONE), decide(stores, ann, question, False, TWO), return_exceptions=True
    )
    [won] = [each for each in ends if isinstance(each, Decided)]
    [lost] = [each for each in ends if isinstance(each, ApprovalDecided)]
    assert won.lease is not None
    assert lost.metadata["state"] == won.approval.state


async def test_question_that_nobody_answers_expires_and_the_run_goes_on(stores: Stores, ann: Owner, chat: str) -> None:
    question = a_question()
    lease = await parked(stores, ann, chat, question)
    assert await stores.approvals[1].expire(TWO, EXPIRY - SECOND, 10) == []
    late = stores.approvals[0].decide(ann, question.id, Decision(True), ONE, EXPIRY)
    assert await decided_already(late) == "expired"
    [expired] = await stores.approvals[1].expire(TWO, EXPIRY, 10)
    assert expired.approval.state is ApprovalState.EXPIRED
    assert expired.lease is not None
    assert expired.lease.run_id == lease.run_id
    assert expired.lease.events[-1].type == "approval_resolved"
    assert await stores.approvals[1].expire(TWO, EXPIRY, 10) == []
    assert await decided_already(decide(stores, ann, question)) == "expired"


async def test_question_of_a_deleted_session_is_in_no_others_way(stores: Stores, ann: Owner, chat: str) -> None:
    await parked(stores, ann, chat, a_question())
    await stores.sessions.delete_session(ann, chat, NOW)
    lease = await parked(stores, ann, await stores.session(ann), a_question())
    [expired] = await stores.approvals[1].expire(TWO, EXPIRY, 1)
    assert expired.approval.run_id == lease.run_id


async def test_question_that_is_purged_meanwhile_is_in_no_others_way(
    stores: Stores, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first one to be looked at.
    gone = replace(a_question(), expires_at=EXPIRY - SECOND)
    purged = await parked(stores, ann, chat, gone)
    kept = await parked(stores, ann, await stores.session(ann), a_question())
    locked = sql_approval_store._locked

    async def purge_and_lock(connection: AsyncConnection, run_id: str, user_id: str) -> Any:
        if run_id == purged.run_id:
            await connection.execute(sa.delete(approvals).where(approvals.c.run_id == run_id))
        return await locked(connection, run_id, user_id)

    monkeypatch.setattr(sql_approval_store, "_locked", purge_and_lock)
    [expired] = await stores.approvals[1].expire(TWO, EXPIRY, 10)
    assert expired.approval.run_id == kept.run_id


@pytest.mark.parametrize("end", ["cancelled", "replaced", "failed"])
async def test_run_that_ends_takes_its_questions_with_it(stores: Stores, ann: Owner, chat: str, end: str) -> None:
    question = a_question()
    lease = await (asking if end == "failed" else parked)(stores, ann, chat, question)
    match end:
        case "cancelled":
            await stores.runs.cancel(ann, lease.run_id, ONE, NOW)
        case "replaced":
            await stores.send(ann, chat, on_busy=OnBusy.REPLACE)
        case "failed":
            assert isinstance(await fail(stores.runs, lease, ONE, Failure("X", "x"), NOW), Ended)
    assert await decided_already(decide(stores, ann, question)) == "cancelled"
    assert await stores.approvals[0].expire(ONE, EXPIRY, 10) == []


async def test_cancelling_against_deciding_leaves_nothing_at_work(stores: Stores, ann: Owner) -> None:
    chats = [await stores.session(ann) for _ in range(8)]
    questions = [a_question() for _ in chats]
    leases = [await parked(stores, ann, chat, each) for chat, each in zip(chats, questions, strict=True)]
    await asyncio.gather(
        *(stores.runs.cancel(ann, lease.run_id, ONE, NOW) for lease in leases),
        *(decide(stores, ann, question, process=TWO) for question in questions),
        return_exceptions=True,
    )
    for lease in leases:
        row = await stores.row(lease.run_id)
        assert (row.state, row.owner) == (RunState.CANCELLED, None)
    tasks = await stores.execute(sa.select(run_tasks.c.state).distinct())
    assert [row.state for row in tasks] == [TaskState.CANCELLED]


async def test_questions_of_others_and_of_deleted_sessions_are_missing(stores: Stores, ann: Owner, chat: str) -> None:
    question = a_question()
    await parked(stores, ann, chat, question)
    for stranger in (await stores.project(), await stores.project(ann.user_id)):
        with pytest.raises(ApprovalNotFound):
            await decide(stores, stranger, question)
    with pytest.raises(ApprovalNotFound):
        await decide(stores, ann, a_question())
    await stores.sessions.delete_session(ann, chat, NOW)
    with pytest.raises(ApprovalNotFound):
        await decide(stores, ann, question)
    await stores.sessions.purge_sessions(ann, [chat])
    assert await stores.execute(sa.select(approvals)) == []
