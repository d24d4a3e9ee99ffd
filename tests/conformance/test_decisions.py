"""What ApprovalStore promises of what users change, how far a decision goes, who knows of it, and of plans."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import ApprovalDecided, ApprovalNotFound, LeaseLost, ProjectNotFound
from services.orchestrator.leases import Decided, Lease
from services.orchestrator.model import (
    Approval,
    ApprovalKind,
    ApprovalScope,
    ApprovalState,
    Decision,
    Owner,
    Question,
    RunState,
    UnendedCall,
    Usage,
)
from services.orchestrator.tables import approvals, run_tasks, runs
from services.runtime.errors import InvalidArgument, InvalidPageToken
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    AGENT,
    COST,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    begin_attempt,
    beginning,
    done,
    lease_of,
    nothing_can_be_written,
    succeed,
    taken,
    types,
)
from tests.conformance.planned_runs import PLAN, PLANNING_COST, again, at_work, planning, task_of

EXPIRY = NOW + timedelta(minutes=5)
# Nobody is to be shown it.
SCHEMA = {
    "title": "of the schema",
    "type": "object",
    "properties": {"command": {"type": "string", "maxLength": 20}, "times": {"type": "integer", "minimum": 1}},
    "required": ["command"],
    "additionalProperties": False,
}
AS_ASKED: dict[str, Any] = {"command": "make clean", "times": 1}
TASK = {"id": "one", "agent": AGENT.name, "title": "One", "instruction": "Do one.", "depends_on": []}


def about_a_tool(arguments: dict[str, Any] = AS_ASKED, tool: str = "shell") -> Question:
    return Question(new_id(), ApprovalKind.TOOL, {"tool": tool, "arguments": arguments}, EXPIRY, SCHEMA)


def about_the_plan() -> Question:
    schema = {"agents": [{"id": AGENT.id, "name": AGENT.name}], "max_tasks": 2}
    return Question(new_id(), ApprovalKind.PLAN, {"plan": {}, "reasons": []}, EXPIRY, schema)


async def asking(stores: Stores, owner: Owner, chat: str, *questions: Question, paused: str = "") -> Lease:
    """A direct run whose task waits."""
    lease = await stores.running(owner, chat)
    return await stores.approvals[0].ask(lease, ONE, lease.task, questions, COST, NOW, paused)


async def parked(stores: Stores, owner: Owner, chat: str, *questions: Question, paused: str = "") -> Lease:
    lease = await asking(stores, owner, chat, *questions, paused=paused)
    assert await stores.approvals[0].park(lease, ONE) is None
    return lease


async def planning_waits(stores: Stores, owner: Owner, chat: str, question: Question) -> Lease:
    """A run that is being planned, and asks."""
    return await stores.approvals[0].ask(await planning(stores, owner, chat), ONE, None, [question], PLANNING_COST, NOW)


async def decide(stores: Stores, owner: Owner, question: Question, decision: Decision, process: str = TWO) -> Decided:
    store = stores.approvals[0 if process == ONE else 1]
    return await store.decide(owner, question.id, decision, process, NOW + SECOND)


def leased(decided: Decided) -> Lease:
    assert decided.lease is not None
    return decided.lease


async def refused(stores: Stores, owner: Owner, question: Question, decision: Decision) -> list[str]:
    """Where the decision is wrong."""
    with pytest.raises(InvalidArgument) as caught:
        await decide(stores, owner, question, decision)
    return [path for path, _ in caught.value.violations]


# What is changed


async def test_changed_arguments_are_kept_and_told_if_they_fit_the_schema(
    stores: Stores, ann: Owner, chat: str
) -> None:
    question = about_a_tool()
    await parked(stores, ann, chat, question)
    command, times = Decision(True, arguments={"command": 1}), Decision(True, arguments={"command": "x", "times": 0})
    assert await refused(stores, ann, question, command) == ["arguments.command"]
    assert await refused(stores, ann, question, times) == ["arguments.times"]
    assert await refused(stores, ann, question, Decision(True, arguments={})) == ["arguments"]
    assert await refused(stores, ann, question, Decision(True, plan={"tasks": []})) == ["plan"]
    assert (await stores.approvals[0].get_approval(ann, question.id, NOW)).state is ApprovalState.PENDING
    other = {"command": "make test"}
    decided = await decide(stores, ann, question, Decision(True, arguments=other, scope=ApprovalScope.RUN))
    approval = decided.approval
    assert (approval.changed, approval.scope, approval.payload) == (other, ApprovalScope.RUN, question.payload)
    assert await stores.approvals[0].get_approval(ann, question.id, NOW) == approval
    lease = leased(decided)
    assert lease.decisions == (approval,)
    told = lease.events[-1].payload["approval"]
    assert (told["changed"], told["scope"]) == (other, "run")
    # The schema is nobody's but whoever's who decides.
    run = await stores.runs.get_run(ann, lease.run_id)
    assert "of the schema" not in repr((lease, decided, run))


async def test_plan_is_changed_where_a_plan_is_asked_about(stores: Stores, ann: Owner, chat: str) -> None:
    question = about_the_plan()
    await planning_waits(stores, ann, chat, question)
    assert await refused(stores, ann, question, Decision(True, arguments={})) == ["arguments"]
    [path] = await refused(stores, ann, question, Decision(True, plan={"tasks": [{**TASK, "agent": "Nobody"}]}))
    assert path.startswith("plan")
    decision = Decision(True, plan={"tasks": [TASK]}, scope=ApprovalScope.RUN)
    decided = await decide(stores, ann, question, decision)
    assert decided.approval.changed is not None
    assert [task["title"] for task in decided.approval.changed["tasks"]] == ["One"]
    # A plan is approved once.
    assert decided.approval.scope is ApprovalScope.ONCE
    assert (await decide(stores, ann, question, decision)).approval == decided.approval


@pytest.mark.parametrize(
    ("first", "again", "same"),
    [
        (Decision(True, "Go."), Decision(True, "Go on."), True),
        (Decision(False, "No."), Decision(False), True),
        (Decision(True), Decision(False), False),
        (Decision(False), Decision(True), False),
        (Decision(True), Decision(True, arguments={"times": 1.0, "command": "make clean"}), True),
        (Decision(True), Decision(True, arguments={"times": True, "command": "make clean"}), None),
        (Decision(True), Decision(True, arguments={"command": "make clean"}), False),
        (Decision(True, arguments={"command": "ls"}), Decision(True, arguments={"command": "ls"}), True),
        (Decision(True, arguments={"command": "ls"}), Decision(True, arguments={"command": "ls -l"}), False),
        (Decision(True, arguments={"command": "ls"}), Decision(True), False),
        (Decision(True), Decision(True, scope=ApprovalScope.RUN), False),
        (Decision(True, scope=ApprovalScope.RUN), Decision(True, scope=ApprovalScope.RUN), True),
    ],
)
async def test_same_decision_again_changes_nothing_and_another_is_refused(
    stores: Stores, ann: Owner, chat: str, first: Decision, again: Decision, same: bool | None
) -> None:
    question = about_a_tool()
    await parked(stores, ann, chat, question)
    made = await decide(stores, ann, question, first)
    if same:
        assert await decide(stores, ann, question, again) == Decided(made.approval)
    else:
        with pytest.raises(InvalidArgument if same is None else ApprovalDecided):
            await decide(stores, ann, question, again)
    assert await stores.approvals[0].get_approval(ann, question.id, NOW) == made.approval


async def test_of_the_same_decision_by_two_at_once_one_goes_on(stores: Stores, ann: Owner, chat: str) -> None:
    question = about_a_tool()
    await parked(stores, ann, chat, question)
    made = await asyncio.gather(*(decide(stores, ann, question, Decision(True), each) for each in (ONE, TWO)))
    assert made[0].approval == made[1].approval
    assert sorted(each.lease is None for each in made) == [False, True]


# Who knows


async def test_whoever_takes_over_what_went_on_knows_what_was_decided_and_where_it_goes_on(
    stores: Stores, ann: Owner, chat: str
) -> None:
    first, second, rejected = about_a_tool(), about_a_tool(tool="write"), about_a_tool(tool="mail")
    await parked(stores, ann, chat, first, second, rejected, paused="after the third call")
    await decide(stores, ann, rejected, Decision(False))
    await decide(stores, ann, second, Decision(True, scope=ApprovalScope.RUN))
    lease = leased(await decide(stores, ann, first, Decision(True)))
    lease = await begin_attempt(stores.others, lease, TWO, NOW)
    await stores.expire(lease.run_id)
    over = taken(await stores.runs.adopt(chat, ONE, NOW))
    assert [each.state for each in over.decisions] == ["approved", "approved", "rejected"]
    assert (over.decisions, over.paused) == (lease.decisions, {"answer": "after the third call"})
    assert over.approved_tools == lease.approved_tools == ("write",)
    assert await stores.runs.standing(over, ONE) == over
    # A pause without a place to go on from is one that begins anew.
    over = await stores.approvals[0].ask(over, ONE, over.task, [about_a_tool()], Usage(), NOW)
    assert over.paused == (await stores.runs.standing(over, ONE)).paused == {}
    decided = await decide(stores, ann, Question(over.decisions[-1].id, ApprovalKind.TOOL, {}, EXPIRY), Decision(True))
    assert decided.lease is None
    kept = await stores.approvals[0].park(over, ONE)
    assert kept is not None
    assert (len(kept.decisions), kept.approved_tools) == (4, ("write",))
    await succeed(stores.runs, await begin_attempt(stores.runs, kept, ONE, NOW), ONE, "Done.", Usage(), NOW)


async def test_place_where_a_task_goes_on_is_kept_until_it_ends(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await at_work(stores, ann, chat)
    await stores.execute(sa.update(runs).values(attempts=2))
    lease = await stores.runs.advance(lease, ONE, [], Usage(), NOW, {})
    assert (await stores.row(lease.run_id)).attempts == 2
    read, look = task_of(lease, "read"), task_of(lease, "look")
    lease = await stores.runs.advance(lease, ONE, [read, look], COST, NOW, {"read": "here", "look": "there"})
    # It was progress.
    assert (await stores.row(lease.run_id)).attempts == 0
    lease = await stores.runs.advance(lease, ONE, [beginning(read)], Usage(), NOW)
    lease = await stores.runs.advance(lease, ONE, [look], Usage(), NOW, {"look": "further"})
    assert lease.paused == (await stores.runs.standing(lease, ONE)).paused == {"read": "here", "look": "further"}
    lease = await stores.runs.advance(lease, ONE, [done(beginning(read), "Read.")], COST, NOW)
    assert lease.paused == (await stores.runs.standing(lease, ONE)).paused == {"look": "further"}
    await stores.runs.cancel(ann, lease.run_id, ONE, NOW)
    assert [row.paused for row in await stores.execute(sa.select(run_tasks.c.paused))] == [None] * 3
    retried = lease_of(await stores.runs.retry(ann, again(lease.run_id), None, ONE, NOW))
    assert (retried.paused, retried.decisions, retried.approved_tools) == ({}, (), ())


async def test_what_is_noted_is_in_the_timeline_and_is_progress(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await asking(stores, ann, chat, about_a_tool(), paused="here")
    await stores.execute(sa.update(runs).values(attempts=2))
    noted = await stores.runs.note(lease, ONE, ("tool_started", {"tool": "shell"}), NOW + SECOND)
    assert noted == replace(lease, events=noted.events)
    [event] = noted.events
    assert (event.type, event.payload, event.timestamp) == ("tool_started", {"tool": "shell"}, NOW + SECOND)
    assert types((await stores.runs.standing(lease, ONE)).events)[-1] == types([event])[0]
    assert (await stores.row(lease.run_id)).attempts == 0


async def test_what_a_call_did_is_noted_once_also_after_a_takeover(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    happened = [(type, {"call_id": "call", "tool": "shell"}) for type in ("tool_started", "tool_completed")]
    noted = [event for each in happened for event in (await stores.runs.note(lease, ONE, each, NOW)).events]
    other = ("tool_started", {"call_id": "another", "tool": "shell"})
    await stores.expire(lease.run_id)
    lease = taken(await stores.others.adopt(chat, TWO, NOW))
    # Whoever has the task now finds what is done, and says it again; it may be told already, or not.
    for each in happened:
        again = await stores.others.note(lease, TWO, each, NOW + SECOND)
        assert again == replace(lease, events=())
    noted += (await stores.others.note(lease, TWO, other, NOW + SECOND)).events
    listed = (await stores.runs.list_events(ann, lease.run_id, 100, "")).elements
    assert types(listed)[-3:] == types(noted)
    assert [event.n for event in listed] == list(range(1, len(listed) + 1))
    with pytest.raises(LeaseLost):
        await stores.runs.note(lease, ONE, happened[0], NOW)


async def test_calls_are_open_until_their_end_is_noted(stores: Stores, ann: Owner, chat: str) -> None:
    lease = await at_work(stores, ann, chat)
    for type, task_id, call_id in (
        ("tool_started", "read", "a"),
        ("tool_started", "look", "b"),
        ("tool_started", "read", "c"),
        ("tool_completed", "read", "a"),
        ("tool_started", "read", "d"),
    ):
        happened = {"task_id": task_id, "call_id": call_id, "tool": f"tool {call_id}", "agent_id": "x"}
        lease = await stores.runs.note(lease, ONE, (type, happened), NOW)
    assert await stores.others.open_calls(lease, "read") == [
        UnendedCall("c", "tool c", "x"),
        UnendedCall("d", "tool d", "x"),
    ]
    assert await stores.others.open_calls(lease, "write") == []


async def test_run_says_what_it_waits_for(stores: Stores, ann: Owner, chat: str) -> None:
    first, second = about_a_tool(), about_a_tool()
    lease = await parked(stores, ann, chat, first, second)

    async def said() -> list[Approval]:
        run = await stores.runs.get_run(ann, lease.run_id)
        [listed] = (await stores.runs.list_runs(ann, [], chat, 10, "")).elements
        assert listed == run
        return list(run.approvals)

    assert await said() == list(lease.decisions)
    await decide(stores, ann, first, Decision(False))
    assert [each.id for each in await said()] == [second.id]
    await stores.runs.cancel(ann, lease.run_id, ONE, NOW)
    assert await said() == []


# Plans


async def test_run_that_asks_about_its_plan_is_parked_and_planned_again_with_the_decision(
    stores: Stores, ann: Owner, chat: str
) -> None:
    question = about_the_plan()
    asked = await planning_waits(stores, ann, chat, question)
    [event] = asked.events
    assert (event.type, event.payload["approval"]["task_id"]) == ("approval_required", None)
    assert asked.usage == PLANNING_COST
    told = (await stores.runs.list_events(ann, asked.run_id, 10, "")).elements
    assert await stores.runs.standing(asked, ONE) == replace(asked, events=tuple(told))
    assert await stores.approvals[0].park(asked, ONE) is None
    row = await stores.row(asked.run_id)
    assert (row.state, row.owner) == (RunState.WAITING_APPROVAL, None)
    assert (await stores.send(ann, chat)).run.state is RunState.QUEUED
    lease = leased(await decide(stores, ann, question, Decision(True)))
    assert (lease.epoch, lease.plan.tasks, lease.usage) == (asked.epoch + 1, (), PLANNING_COST)
    assert [each.state for each in lease.decisions] == [ApprovalState.APPROVED]
    assert (await stores.runs.get_run(ann, lease.run_id)).state is RunState.PLANNING
    # One active run a session, still.
    assert await stores.others.adopt(chat, TWO, NOW) is None
    await nothing_can_be_written(stores, stores.runs, asked, ONE)
    await stores.expire(lease.run_id)
    over = taken(await stores.runs.adopt(chat, ONE, NOW))
    assert over.decisions == lease.decisions
    over = await stores.runs.plan(over, ONE, PLAN, Usage(), NOW)
    with pytest.raises(LeaseLost):
        await stores.approvals[0].ask(over, ONE, None, [about_the_plan()], Usage(), NOW)


async def test_plan_that_is_decided_before_its_run_parks_is_gone_on_with(stores: Stores, ann: Owner, chat: str) -> None:
    question = about_the_plan()
    lease = await planning_waits(stores, ann, chat, question)
    assert (await decide(stores, ann, question, Decision(False, "Too long."))).lease is None
    kept = await stores.approvals[0].park(lease, ONE)
    assert kept is not None
    assert [(each.state, each.reason) for each in kept.decisions] == [("rejected", "Too long.")]


async def test_plan_that_nobody_decides_about_expires_and_its_run_goes_on(
    stores: Stores, ann: Owner, chat: str
) -> None:
    question = about_the_plan()
    lease = await planning_waits(stores, ann, chat, question)
    assert await stores.approvals[0].park(lease, ONE) is None
    [expired] = await stores.approvals[1].expire(TWO, EXPIRY, 10)
    assert [each.state for each in leased(expired).decisions] == [ApprovalState.EXPIRED]
    assert (await stores.runs.get_run(ann, lease.run_id)).state is RunState.PLANNING


async def test_cancelling_against_deciding_about_plans_leaves_nothing_at_work(stores: Stores, ann: Owner) -> None:
    chats = [await stores.session(ann) for _ in range(6)]
    questions = [about_the_plan() for _ in chats]
    leases = [await planning_waits(stores, ann, chat, each) for chat, each in zip(chats, questions, strict=True)]
    for lease in leases:
        await stores.approvals[0].park(lease, ONE)
    await asyncio.gather(
        *(stores.runs.cancel(ann, lease.run_id, ONE, NOW) for lease in leases),
        *(decide(stores, ann, question, Decision(True)) for question in questions),
        return_exceptions=True,
    )
    for lease in leases:
        row = await stores.row(lease.run_id)
        assert (row.state, row.owner) == (RunState.CANCELLED, None)
    assert (await stores.approvals[0].list_approvals(ann, [ApprovalState.PENDING], None, 10, "", NOW)).total == 0


# Lists


async def test_approvals_come_newest_first_in_pages_by_state_and_run(stores: Stores, ann: Owner, chat: str) -> None:
    store = stores.approvals[0]
    at_once = [about_a_tool() for _ in range(3)]
    of_one = await asking(stores, ann, chat, *at_once)
    other = await stores.running(ann, await stores.session(ann))
    last = about_a_tool()
    await store.ask(other, ONE, other.task, [last], Usage(), NOW + SECOND)
    await decide(stores, ann, at_once[1], Decision(False))
    every = list(ApprovalState)

    async def listed(states: list[ApprovalState], run_id: str | None = None, size: int = 2) -> list[str]:
        ids: list[str] = []
        token = ""
        while True:
            page = await store.list_approvals(ann, states, run_id, size, token, NOW)
            ids += [each.id for each in page.elements]
            token = page.next_page_token
            if not token:
                assert page.total == len(ids)
                return ids

    newest_first = [last.id, *(each.id for each in reversed(at_once))]
    assert await listed(every) == newest_first
    assert await listed([ApprovalState.PENDING]) == [each for each in newest_first if each != at_once[1].id]
    assert await listed([ApprovalState.REJECTED, ApprovalState.APPROVED]) == [at_once[1].id]
    assert await listed(every, other.run_id) == [last.id]
    assert await listed(every, new_id()) == []
    page = await store.list_approvals(ann, every, None, 2, "", NOW)
    assert page.elements[0] == await store.get_approval(ann, last.id, NOW)
    assert page.elements[0].run_id != of_one.run_id
    for other_list in ([ApprovalState.PENDING], None), (every, of_one.run_id):
        with pytest.raises(InvalidPageToken):
            await store.list_approvals(ann, *other_list, 2, page.next_page_token, NOW)


async def test_question_is_expired_once_its_time_is_over_whoever_wrote_that_down(
    stores: Stores, ann: Owner, chat: str
) -> None:
    store, question = stores.approvals[0], about_a_tool()
    await parked(stores, ann, chat, question)
    assert (await store.get_approval(ann, question.id, EXPIRY - SECOND)).state is ApprovalState.PENDING
    assert (await store.get_approval(ann, question.id, EXPIRY)).state is ApprovalState.EXPIRED
    assert (await store.list_approvals(ann, [ApprovalState.PENDING], None, 10, "", EXPIRY)).elements == []
    [expired] = (await store.list_approvals(ann, [ApprovalState.EXPIRED], None, 10, "", EXPIRY)).elements
    assert (expired.id, expired.state) == (question.id, ApprovalState.EXPIRED)
    for approve in (True, False):
        with pytest.raises(ApprovalDecided):
            await store.decide(ann, question.id, Decision(approve), ONE, EXPIRY)
    assert [row.state for row in await stores.execute(sa.select(approvals.c.state))] == ["pending"]


async def test_page_of_long_approvals_has_fewer_and_loses_none(stores: Stores, ann: Owner, chat: str) -> None:
    store, long = stores.approvals[0], [about_a_tool({"command": "x" * 1_500_000}) for _ in range(4)]
    await asking(stores, ann, chat, *long)
    first = await store.list_approvals(ann, [ApprovalState.PENDING], None, 10, "", NOW)
    rest = await store.list_approvals(ann, [ApprovalState.PENDING], None, 10, first.next_page_token, NOW)
    assert (len(first.elements), len(rest.elements), rest.next_page_token) == (2, 2, "")
    assert len({each.id for each in [*first.elements, *rest.elements]}) == 4


async def test_approvals_of_others_of_deleted_sessions_and_of_no_project_are_missing(
    stores: Stores, ann: Owner, chat: str
) -> None:
    store, question = stores.approvals[0], about_a_tool()
    await asking(stores, ann, chat, question)
    for stranger in (await stores.project(), await stores.project(ann.user_id)):
        with pytest.raises(ApprovalNotFound):
            await store.get_approval(stranger, question.id, NOW)
        assert (await store.list_approvals(stranger, list(ApprovalState), None, 10, "", NOW)).total == 0
    await stores.sessions.delete_session(ann, chat, NOW)
    with pytest.raises(ApprovalNotFound):
        await store.get_approval(ann, question.id, NOW)
    assert (await store.list_approvals(ann, list(ApprovalState), None, 10, "", NOW)).total == 0
    with pytest.raises(ProjectNotFound):
        await store.list_approvals(Owner(ann.user_id, new_id()), [ApprovalState.PENDING], None, 10, "", NOW)
