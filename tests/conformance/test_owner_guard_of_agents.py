"""No row of another owner leaves a store of agents and tools, though the database answers as if not asked whose."""

import pytest

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
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.conformance.forgetful import ForgetfulDatabase
from tests.conformance.orchestrator_stores import NOW
from tests.conformance.owner_questions import (
    ANOTHER_USER,
    CHANGES,
    HOUSEKEEPING,
    OTHER_PROJECT,
    Questions,
    leaks,
    missing,
    of_contract,
)
from tests.databases import Place


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
