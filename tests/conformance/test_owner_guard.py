"""No row of another owner leaves a store, also when the database answers as if it had not been asked whose.

Every method of every store's contract is asked here for what is somebody else's, or is named with the reason why
nothing of anybody's can leave by it: a method that is new fails until it says which.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound
from structlog.testing import capture_logs

from services.agents import tables as agents_sql
from services.agents.agent import Agent, AgentConfig
from services.agents.agent import Owner as AgentOwner
from services.agents.effects import EffectJournal, Outcome, ToolCall
from services.agents.memory.model import Embedding
from services.agents.memory.registry import MemoryRegistry
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.sql_effects import SqlEffectJournal
from services.agents.sql_store import SqlAgentStore
from services.agents.store import AgentStore, Claim
from services.agents.tools.policy import ToolPolicy, ToolPolicyStore, ToolRule
from services.agents.tools.sql_policy_store import SqlToolPolicyStore
from services.orchestrator import tables
from services.orchestrator.errors import LeaseLost
from services.orchestrator.model import (
    ApprovalKind,
    ApprovalState,
    Decision,
    Lease,
    NewRetry,
    OnBusy,
    Owner,
    Question,
    Usage,
)
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.store import ApprovalStore, RunStore, SessionStore
from services.projects import sql_store as projects_sql
from services.projects.errors import ProjectRolledBack
from services.projects.sql_store import SqlProjectStore
from services.projects.store import ProjectStore, State
from services.runtime.errors import NotFound
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from services.runtime.ownership import OwnerGuard
from services.streams.memory_store import MemoryEventStore
from services.streams.store import EventStore, NewEvent, RunKey, SessionKey, TextSnapshot, View
from tests.conformance.forgetful import ForgetfulDatabase, caught, guards, owner_columns
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
from tests.databases import Place

SERVICES = ("projects", "agents", "orchestrator")
Questions = dict[str, Callable[[], Awaitable[Any]]]

ANOTHER_USER, OTHER_PROJECT = "another user", "the same user's other project"
CHANGES = "is told by its owner's whole key what to change, and answers with nothing of it"
HOUSEKEEPING = "works for every user and hands out ids alone"
UNDER_A_LEASE = "writes to one run under its lease and answers with what its holder has"


async def leaks(questions: Questions, theirs: Collection[str]) -> dict[str, str]:
    """What is wrong with each question: something of `theirs` came out of it, or nothing was caught."""
    wrong = {}
    for name, ask in questions.items():
        before = caught()
        answer = repr(await ask())
        if leaked := [each for each in theirs if each in answer]:
            wrong[name] = f"handed out {leaked}"
        elif caught() == before:
            wrong[name] = f"caught nothing, answered {answer}"
    return wrong


async def missing(asking: Awaitable[Any]) -> None:
    """What is asked for is answered like what does not exist."""
    with pytest.raises(NotFound):
        await asking


def of_contract(store: type) -> set[str]:
    """The methods that a store's Protocol promises."""
    return {name for name, value in vars(store).items() if callable(value) and not name.startswith("_")}


# Projects


async def test_project_store_hands_out_nothing_of_others(database_place: Place) -> None:
    database = await database_place.with_tables(projects_sql.metadata)
    sound, forgetful = SqlProjectStore(database), SqlProjectStore(ForgetfulDatabase(database))
    key = RequestKey.of("CreateProject", "k", "Novel")
    mine, theirs, project_id, own_id = new_id(), new_id(), new_id(), new_id()
    await sound.admit_user(theirs, "ann@example.com", NOW)
    await sound.admit_user(mine, None, NOW)
    for user, project, name, with_key in ((theirs, project_id, "Ann's novel", key), (mine, own_id, "Mine", None)):
        await sound.begin_project(user, project, name, None, with_key, NOW)
        await sound.activate_project(user, project, NOW)

    async def list_projects() -> None:
        page = await forgetful.list_projects(mine, None, 10)
        assert ([each.id for each in page.projects], page.total) == ([own_id], 1)

    async def begin_project() -> None:
        project = await forgetful.begin_project(mine, new_id(), "Novel", None, key, NOW)
        assert project.state is State.PROVISIONING
        assert await forgetful.begin_project(mine, new_id(), "Novel", None, key, NOW) == project

    async def activate_project() -> None:
        with pytest.raises(ProjectRolledBack):
            await forgetful.activate_project(mine, project_id, NOW)

    questions: Questions = {
        "list_projects": list_projects,
        "admit_user": lambda: forgetful.admit_user(mine, None, NOW),
        "get_project": lambda: missing(forgetful.get_project(mine, project_id)),
        "update_project": lambda: missing(forgetful.update_project(mine, project_id, {"name": "Taken"}, NOW)),
        "activate_project": activate_project,
        "begin_project": begin_project,
    }
    exempt = {
        "abandon_project": CHANGES,
        "delete_project": CHANGES,
        "forget_project": CHANGES,
        "claim_removals": HOUSEKEEPING,
    }
    assert questions.keys() | exempt.keys() == of_contract(ProjectStore)
    assert await leaks(questions, [theirs, "ann@example.com", project_id, "Ann's novel"]) == {}
    assert (await sound.get_project(theirs, project_id)).name == "Ann's novel"


# Agents


def _agent(owner: AgentOwner, name: str, prompt: str) -> Agent:
    return Agent(new_id(), owner, name, AgentConfig(system_prompt=prompt), "ready", 1, NOW, NOW)


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_agent_store_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    database = await database_place.with_tables(agents_sql.metadata)
    sound, forgetful = SqlAgentStore(database), SqlAgentStore(ForgetfulDatabase(database))
    theirs = AgentOwner(new_id(), new_id())
    mine = AgentOwner(new_id() if asker == ANOTHER_USER else theirs.user_id, new_id())
    hers, own = _agent(theirs, "Hers", "of Ann"), _agent(mine, "Mine", "mine")
    await sound.create_space(theirs, [_agent(theirs, "Other", "of Ann")])
    await sound.create_space(mine, [own])
    key = RequestKey.of("agents.create", "k", "content")
    await sound.create_agent(hers, key)
    claim = Claim(new_id(), "task", 1, 1)
    await sound.claim(theirs, hers.id, claim, NOW)

    nobody = AgentOwner(mine.user_id, new_id())

    async def list_agents() -> None:
        await missing(forgetful.list_agents(nobody, 10, None))
        page = await forgetful.list_agents(mine, 10, None)
        assert ([each.id for each in page.agents], page.total) == ([own.id], 1)

    async def create_agent() -> Agent:
        await missing(forgetful.create_agent(_agent(nobody, "Hers", "mine"), None))
        return await forgetful.create_agent(_agent(mine, "Hers", "mine"), key if asker == ANOTHER_USER else None)

    async def claim_same_task() -> None:
        await missing(forgetful.claim(mine, hers.id, claim, NOW))
        assert (await forgetful.claim(mine, own.id, claim, NOW)).id == own.id

    questions: Questions = {
        "list_agents": list_agents,
        "create_space": lambda: forgetful.create_space(mine, [_agent(mine, "Again", "mine")]),
        "get_agent": lambda: missing(forgetful.get_agent(mine, hers.id)),
        "find_agent": lambda: missing(forgetful.find_agent(mine, "Hers")),
        "update_agent": lambda: missing(forgetful.update_agent(mine, hers.id, own.draft, frozenset({"name"}), NOW)),
        "claim": claim_same_task,
        "reclaim": lambda: missing(forgetful.reclaim(mine, hers.id, claim)),
        "create_agent": create_agent,
    }
    exempt = {"delete_space": CHANGES, "delete_agent": CHANGES, "forget_claims": HOUSEKEEPING}
    assert questions.keys() | exempt.keys() == of_contract(AgentStore)
    assert await leaks(questions, [hers.id, theirs.project_id, "of Ann"]) == {}
    assert await sound.get_agent(theirs, hers.id) == hers


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_effect_journal_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    database = await database_place.with_tables(agents_sql.metadata)
    agents, sound = SqlAgentStore(database), SqlEffectJournal(database)
    forgetful = SqlEffectJournal(ForgetfulDatabase(database))
    theirs = AgentOwner(new_id(), new_id())
    mine = AgentOwner(new_id() if asker == ANOTHER_USER else theirs.user_id, new_id())
    hers, own = _agent(theirs, "Hers", ""), _agent(mine, "Mine", "")
    claim, call, outcome = Claim(new_id(), "task", 1, 1), ToolCall("call", "send", {"to": "Ann"}), Outcome(True, "Sent")
    for agent in (hers, own):
        await agents.create_space(agent.owner, [agent])
        await agents.claim(agent.owner, agent.id, claim, NOW)
    await sound.begin(theirs, hers.id, claim, call, NOW)

    async def begin() -> None:
        await missing(forgetful.begin(mine, hers.id, claim, call, NOW))
        assert await forgetful.begin(mine, own.id, claim, call, NOW) is None

    questions: Questions = {
        "list_effects": lambda: forgetful.list_effects(mine, *claim.task),
        "finish": lambda: missing(forgetful.finish(mine, claim, call.id, outcome, NOW)),
        "begin": begin,
    }
    assert questions.keys() == of_contract(EffectJournal)
    assert await leaks(questions, [hers.id, theirs.project_id, "Ann"]) == {}
    [effect] = await sound.list_effects(theirs, *claim.task)
    assert effect.outcome is None


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_tool_policy_store_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    database = await database_place.with_tables(agents_sql.metadata)
    agents, sound = SqlAgentStore(database), SqlToolPolicyStore(database)
    forgetful = SqlToolPolicyStore(ForgetfulDatabase(database))
    theirs = AgentOwner(new_id(), new_id())
    mine = AgentOwner(new_id() if asker == ANOTHER_USER else theirs.user_id, new_id())
    nobody = AgentOwner(mine.user_id, new_id())
    hers, own = _agent(theirs, "Hers", ""), _agent(mine, "Mine", "")
    for agent in (hers, own):
        await agents.create_space(agent.owner, [agent])
    secret = ToolPolicy((ToolRule("deny", tool="of Ann", agent_id=hers.id),))
    await sound.set_policy(theirs, secret, NOW)

    async def get_policy() -> None:
        await missing(forgetful.get_policy(nobody))
        assert await forgetful.get_policy(mine) == ToolPolicy()

    async def set_policy() -> ToolPolicy:
        await missing(forgetful.set_policy(nobody, ToolPolicy(), NOW))
        await missing(forgetful.set_policy(mine, secret, NOW))
        return await forgetful.set_policy(mine, ToolPolicy((ToolRule("auto", risk="write", agent_id=own.id),)), NOW)

    questions: Questions = {"get_policy": get_policy, "set_policy": set_policy}
    assert questions.keys() == of_contract(ToolPolicyStore)
    assert await leaks(questions, [hers.id, theirs.project_id, "of Ann"]) == {}
    assert (await sound.get_policy(theirs)).rules == secret.rules


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_memory_registry_hands_out_nothing_of_others(database_place: Place, asker: str) -> None:
    database = await database_place.with_tables(agents_sql.metadata)
    agents, sound = SqlAgentStore(database), SqlMemoryRegistry(database)
    forgetful = SqlMemoryRegistry(ForgetfulDatabase(database))
    theirs = AgentOwner(new_id(), new_id())
    mine = AgentOwner(new_id() if asker == ANOTHER_USER else theirs.user_id, new_id())
    hers, gone, own = _agent(theirs, "Hers", ""), _agent(theirs, "Gone", ""), _agent(mine, "Mine", "")
    await agents.create_space(theirs, [hers, gone])
    await agents.create_space(mine, [own])
    for each in (hers, gone):
        await sound.register(theirs, each.id, Embedding("secret-model", 3))
    await agents.delete_agent(theirs, gone.id, NOW)
    key = RequestKey.of("memories.add", "k", "content")
    assert key is not None
    addition = await sound.begin_addition(theirs, key, hers.id, NOW)
    await sound.end_addition(theirs, key, addition, NOW)

    questions: Questions = {
        "find": lambda: missing(forgetful.find(mine, hers.id)),
        "register": lambda: missing(forgetful.register(mine, hers.id, Embedding("minilm", 384))),
        "dropped": lambda: forgetful.dropped(mine),
    }
    if asker == ANOTHER_USER:
        questions["begin_addition"] = lambda: forgetful.begin_addition(mine, key, new_id(), NOW)
    exempt = {
        "begin_addition": "keys are the user's in all projects",
        "end_addition": CHANGES,
        "forget_dropped": HOUSEKEEPING,
        "of_everybody": "is for a migration of everybody's, by an operator",
        "embeddings": "counts everybody's, for an operator",
        "migrated": CHANGES,
    }
    assert questions.keys() | exempt.keys() == of_contract(MemoryRegistry)
    assert await leaks(questions, [hers.id, gone.id, theirs.project_id, "secret-model"]) == {}


# Sessions and runs


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


async def test_forgetful_database_would_hand_out_what_others_have(database_place: Place) -> None:
    stores = await stores_in(database_place)
    ann, bob = await stores.project(), await stores.project()
    session_id = await stores.session(ann)
    sessions = tables.chat_sessions.c
    of_bob = sa.select(sessions.id).where(sessions.user_id == bob.user_id, sessions.id == session_id)
    database = database_place.open()
    async with database.read() as connection:
        assert await connection.scalar(of_bob) is None
    async with ForgetfulDatabase(database).read() as connection:
        assert await connection.scalar(of_bob) == session_id


@pytest.mark.parametrize("metadata", [projects_sql.metadata, agents_sql.metadata, tables.metadata], ids=SERVICES)
def test_every_table_says_whose_its_rows_are_and_has_a_guard(metadata: sa.MetaData) -> None:
    for table in metadata.sorted_tables:
        assert owner_columns(table), f"say in {table.name} whose its rows are"
        assert table.name in guards(), f"let the rows of {table.name} leave past an OwnerGuard"


# Streams


@dataclass(frozen=True, eq=False)
class Confused(SessionKey):
    """A key of which a store looks at the session's id alone."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Confused) and self.session_id == other.session_id

    def __hash__(self) -> int:
        return hash(self.session_id)


@pytest.mark.parametrize("asker", [ANOTHER_USER, OTHER_PROJECT])
async def test_event_store_hands_out_nothing_of_others(asker: str) -> None:
    theirs = Confused(new_id(), new_id(), new_id())
    mine = replace(theirs, user_id=new_id()) if asker == ANOTHER_USER else replace(theirs, project_id=new_id())
    run, event = RunKey(new_id(), 1), NewEvent("run_failed", final=False, payload=b"of Ann")
    store = MemoryEventStore(lambda: 0.0, iter("abcdefgh").__next__)
    heard: list[Any] = []

    async def listen() -> None:
        with store.listen(mine, lambda position, content: heard.append(content)):
            await store.publish(theirs, run, event, 2)
            text = TextSnapshot(run.run_id, new_id(), None, new_id(), 1, "of Ann", 0.0)
            await store.publish_text(theirs, run, text)
        assert heard == []

    async def read() -> View:
        await store.publish(theirs, run, event, 1)
        return await store.read(mine, run.run_id)

    async def publish() -> None:
        await store.publish(theirs, run, event, 3)
        # The run's third event is known, but to its own session.
        first = await store.publish(mine, run, event, 3)
        assert first is not None
        assert first.seq == 1

    questions: Questions = {"listen": listen, "read": read, "publish": publish}
    exempt = {"open_run": CHANGES, "publish_text": CHANGES, "close": CHANGES}
    assert questions.keys() | exempt.keys() == of_contract(EventStore)
    assert await leaks(questions, ["of Ann", run.run_id]) == {}


# The guard itself


@dataclass
class Row:
    id: str
    user_id: str
    project_id: str
    content: str = "secret"


def test_guard_lets_the_owners_rows_out_in_their_order() -> None:
    guard = OwnerGuard("of_test")
    rows = [Row("1", "ann", "p"), Row("2", "bob", "p"), Row("3", "ann", "q"), Row("4", "ann", "p")]
    with capture_logs():
        assert [row.id for row in guard.all(rows, "ann", "p")] == ["1", "4"]
        assert [row.id for row in guard.all(rows, "ann")] == ["1", "3", "4"]
        assert guard.first(rows, "bob", "p") == rows[1]
        assert guard.first(rows, "bob", "q") is None
        assert guard.first([], "ann") is None
    assert caught("of_test") == 2 + 1 + 3 + 4


def test_what_is_caught_is_logged_by_ids_alone() -> None:
    with capture_logs() as logs:
        OwnerGuard("of_test").all([Row("1", "ann", "p")], "bob", "q")
    [line] = logs
    assert line == {
        "event": "row of another owner caught",
        "log_level": "error",
        "table": "of_test",
        "row_id": "1",
        "row_user_id": "ann",
        "row_project_id": "p",
        "user_id": "bob",
        "project_id": "q",
    }
