"""No row of another owner leaves a store of sessions and runs, though the database answers as if not asked whose."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound

from services.orchestrator import tables
from services.orchestrator.errors import LeaseLost
from services.orchestrator.leases import Lease, NewRetry
from services.orchestrator.model import ApprovalKind, ApprovalState, Decision, OnBusy, Owner, Question, Usage
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.store import ApprovalStore, RunStore, SessionStore
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.conformance.forgetful import ForgetfulDatabase, caught
from tests.conformance.orchestrator_stores import (
    LIMITS,
    NOW,
    ONE,
    TWO,
    Stores,
    a_key,
    a_message,
    lease_of,
    stores_in,
    succeed,
)
from tests.conformance.owner_questions import (
    ANOTHER_USER,
    CHANGES,
    HOUSEKEEPING,
    OTHER_PROJECT,
    UNDER_A_LEASE,
    Questions,
    leaks,
    missing,
    of_contract,
)
from tests.databases import Place


class Estate:
    """What somebody has in a project: a session with an answered message, and one more run that is under way."""

    session_id: str
    run_id: str
    lease: Lease
    key: RequestKey

    @classmethod
    async def of(cls, stores: Stores, owner: Owner, name: str) -> "Estate":
        made = cls()
        made.key = a_key(f"key of {name}")
        made.session_id = (await stores.sessions.create_session(owner, new_id(), f"Chat of {name}", None, NOW)).id
        accepted = await stores.send(owner, made.session_id, f"Question of {name}", key=made.key)
        made.run_id = accepted.run.id
        await succeed(stores.runs, lease_of(accepted), ONE, f"Answer to {name}", Usage(), NOW)
        made.lease = await stores.running(owner, made.session_id, f"Second question of {name}")
        return made

    def secrets(self, name: str) -> list[str]:
        return [self.run_id, self.lease.run_id, self.lease.answer_id, f"of {name}", f"to {name}"]


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_session_store_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    stores = await stores_in(database_place)
    forgetful = SqlSessionStore(ForgetfulDatabase(database_place.open()))
    theirs = await stores.project()
    mine = await stores.project(None if asker == ANOTHER_USER else theirs.user_id)
    hers, own = await Estate.of(stores, theirs, "Ann"), await Estate.of(stores, mine, "me")
    session_key = a_key("session", scope="CreateSession")
    deleted = (await stores.sessions.create_session(theirs, new_id(), "Deleted of Ann", session_key, NOW)).id
    await stores.sessions.delete_session(theirs, deleted, NOW)
    # A project that its owner deleted is not deleted for others.
    await stores.sessions.delete_project(await stores.project())

    async def list_sessions() -> None:
        page = await forgetful.list_sessions(mine, 10, "")
        assert ([each.id for each in page.elements], page.total) == ([own.session_id], 1)

    async def create_session() -> None:
        creating = forgetful.create_session(mine, new_id(), "New", session_key, NOW)
        if asker == ANOTHER_USER:
            assert (await creating).title == "New"
        else:
            # Keys are the user's, and this one's session is another project's.
            await missing(creating)

    questions: Questions = {
        "list_sessions": list_sessions,
        "admit_project": lambda: forgetful.admit_project(mine),
        "create_session": create_session,
        "get_session": lambda: missing(forgetful.get_session(mine, hers.session_id)),
        "rename_session": lambda: missing(forgetful.rename_session(mine, hers.session_id, "Taken", NOW)),
        "list_messages": lambda: missing(forgetful.list_messages(mine, hers.session_id, 10, "")),
        "deleted_sessions": lambda: forgetful.deleted_sessions(10, mine),
        "delete_project": lambda: forgetful.delete_project(mine),
    }
    exempt = {"delete_session": CHANGES, "purge_sessions": CHANGES}
    assert questions.keys() | exempt.keys() == of_contract(SessionStore)
    assert await leaks(questions, [*hers.secrets("Ann"), hers.session_id, deleted, theirs.project_id]) == {}
    assert (await stores.sessions.get_session(theirs, hers.session_id)).title == "Chat of Ann"


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_run_store_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    stores = await stores_in(database_place)
    forgetful = SqlRunStore(ForgetfulDatabase(database_place.open()), 30.0, LIMITS)
    theirs = await stores.project()
    mine = await stores.project(None if asker == ANOTHER_USER else theirs.user_id)
    hers, own = await Estate.of(stores, theirs, "Ann"), await Estate.of(stores, mine, "me")

    async def list_runs() -> None:
        page = await forgetful.list_runs(mine, [], None, 10, "")
        assert ({each.id for each in page.elements}, page.total) == ({own.run_id, own.lease.run_id}, 2)
        elsewhere = await forgetful.list_runs(mine, [], hers.session_id, 10, "")
        assert (elsewhere.elements, elsewhere.total) == ([], 0)

    async def find() -> None:
        await missing(forgetful.find(mine, hers.session_id, None, NOW))
        finding = forgetful.find(mine, own.session_id, hers.key, NOW)
        if asker == ANOTHER_USER:
            assert await finding is None
        else:
            await missing(finding)

    async def accept() -> None:
        await missing(forgetful.accept(mine, a_message(hers.session_id), None, ONE, NOW))
        if asker == ANOTHER_USER:
            accepted = await forgetful.accept(mine, a_message(own.session_id), hers.key, ONE, NOW)
            assert (accepted.joined, accepted.run.session_id) == (False, own.session_id)

    async def retry() -> None:
        again = NewRetry(new_id(), new_id(), hers.run_id, OnBusy.QUEUE)
        await missing(forgetful.retry(mine, again, None, ONE, NOW))

    questions: Questions = {
        "list_runs": list_runs,
        "find": find,
        "get_run": lambda: missing(forgetful.get_run(mine, hers.run_id)),
        "get_outcome": lambda: missing(forgetful.get_outcome(mine, hers.run_id)),
        "list_events": lambda: missing(forgetful.list_events(mine, hers.run_id, 10, "")),
        "cancel": lambda: missing(forgetful.cancel(mine, hers.lease.run_id, ONE, NOW)),
        "accept": accept,
        "retry": retry,
        "accepted": lambda: forgetful.accepted(mine, hers.lease.run_id, ONE),
        "ended": lambda: forgetful.ended(mine, hers.run_id, ONE),
    }
    exempt = {
        "plan": UNDER_A_LEASE,
        "advance": UNDER_A_LEASE,
        "note": UNDER_A_LEASE,
        "standing": UNDER_A_LEASE,
        "end": UNDER_A_LEASE,
        "history": UNDER_A_LEASE,
        "asked": UNDER_A_LEASE,
        "open_calls": UNDER_A_LEASE,
        "renew": HOUSEKEEPING,
        "release": HOUSEKEEPING,
        "acknowledge": HOUSEKEEPING,
        "orphaned": HOUSEKEEPING,
        "adopt": "gives whoever works on a run what that run's user has",
        "unpublished": "gives whoever tells of a run what that run's user has",
    }
    assert questions.keys() | exempt.keys() == of_contract(RunStore)
    assert await leaks(questions, [*hers.secrets("Ann"), hers.session_id, theirs.project_id]) == {}
    assert (await stores.runs.get_run(theirs, hers.lease.run_id)).finished_at is None


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_approval_store_hands_out_and_decides_nothing_of_others(database_place: Place, asker: str) -> None:
    stores = await stores_in(database_place)
    forgetful = SqlApprovalStore(ForgetfulDatabase(database_place.open()), 30.0)
    theirs = await stores.project()
    mine = await stores.project(None if asker == ANOTHER_USER else theirs.user_id)
    hers = await Estate.of(stores, theirs, "Ann")
    question = Question(new_id(), ApprovalKind.TOOL, {"tool": "shell"}, NOW + timedelta(minutes=5))
    await stores.approvals[0].ask(hers.lease, ONE, hers.lease.task, [question], Usage(), NOW)

    async def list_approvals() -> None:
        for run_id in (None, hers.lease.run_id):
            page = await forgetful.list_approvals(mine, [ApprovalState.PENDING], run_id, 10, "", NOW)
            assert (page.elements, page.total) == ([], 0)

    questions: Questions = {
        "list_approvals": list_approvals,
        "get_approval": lambda: missing(forgetful.get_approval(mine, question.id, NOW)),
        "decide": lambda: missing(forgetful.decide(mine, question.id, Decision(True), ONE, NOW)),
    }
    exempt = {
        "ask": UNDER_A_LEASE,
        "park": UNDER_A_LEASE,
        "expire": "decides for whichever user did not, and hands out what that user's run has",
    }
    assert questions.keys() | exempt.keys() == of_contract(ApprovalStore)
    assert await leaks(questions, [*hers.secrets("Ann"), hers.session_id, theirs.project_id]) == {}
    decided = await stores.approvals[0].decide(theirs, question.id, Decision(True), ONE, NOW)
    assert decided.approval.state is ApprovalState.APPROVED


async def test_what_belongs_to_a_run_leaves_with_the_runs_user_alone(database_place: Place) -> None:
    stores = await stores_in(database_place)
    forgetful = SqlRunStore(ForgetfulDatabase(database_place.open()), 30.0, LIMITS)
    of_sessions = SqlSessionStore(ForgetfulDatabase(database_place.open()))
    ann = await stores.project()
    estate = await Estate.of(stores, ann, "Ann")
    lease, later = estate.lease, NOW + timedelta(days=1)

    async def disowned(table: sa.Table, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer while the rows of this table, below Ann's runs and sessions, are somebody else's."""
        before = caught(table.name)
        await stores.execute(sa.update(table).values(user_id=new_id()))
        try:
            return await ask()
        finally:
            assert caught(table.name) > before
            await stores.execute(sa.update(table).values(user_id=ann.user_id))

    tasks, events, messages = tables.run_tasks, tables.run_events, tables.messages
    assert (await disowned(tasks, lambda: forgetful.get_run(ann, estate.run_id))).plan.tasks == ()
    listed = await disowned(tasks, lambda: forgetful.list_runs(ann, [], None, 10, ""))
    assert [run.plan.tasks for run in listed.elements] == [(), ()]
    assert (await disowned(events, lambda: forgetful.list_events(ann, estate.run_id, 10, ""))).elements == []
    assert [each.events for each in await disowned(events, lambda: forgetful.unpublished(later, 10, ()))] == [(), ()]
    assert (await disowned(messages, lambda: of_sessions.list_messages(ann, estate.session_id, 10, ""))).elements == []
    assert (await disowned(messages, lambda: forgetful.get_outcome(ann, estate.run_id))).answer is None
    assert await disowned(messages, lambda: forgetful.history(lease, 10)) == []
    with pytest.raises(LeaseLost):
        await disowned(messages, lambda: forgetful.asked(lease))
    begun = {"call_id": "c", "task_id": lease.task.id, "tool": "shell", "agent_id": "a"}
    lease = await stores.runs.note(lease, ONE, ("tool_started", begun), NOW)
    assert await disowned(events, lambda: forgetful.open_calls(lease, lease.task.id)) == []
    question = Question(new_id(), ApprovalKind.TOOL, {"tool": "shell"}, NOW + timedelta(minutes=5))
    lease = await stores.approvals[0].ask(lease, ONE, lease.task, [question], Usage(), NOW)
    approvals = tables.approvals
    assert (await disowned(approvals, lambda: forgetful.get_run(ann, lease.run_id))).approvals == ()
    assert (await disowned(approvals, lambda: forgetful.standing(lease, ONE))).decisions == ()
    with pytest.raises(NoResultFound):
        await disowned(tasks, lambda: forgetful.standing(lease, ONE))
    await stores.expire(lease.run_id)
    with pytest.raises(NoResultFound):
        await disowned(tasks, lambda: forgetful.adopt(estate.session_id, TWO, NOW))
    adopted = await disowned(events, lambda: forgetful.adopt(estate.session_id, TWO, NOW))
    assert (adopted.run_id, adopted.events) == (lease.run_id, ())
    instead = a_message(estate.session_id, on_busy=OnBusy.REPLACE)
    assert (await disowned(tables.runs, lambda: forgetful.accept(ann, instead, None, ONE, NOW))).stopped == ()
