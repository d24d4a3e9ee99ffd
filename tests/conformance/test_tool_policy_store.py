"""What every ToolPolicyStore must do. Each backend runs all of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.errors import AgentNotFound, ProjectNotFound
from services.agents.sql_store import SqlAgentStore
from services.agents.store import AgentStore
from services.agents.tables import metadata, tool_policies
from services.agents.tools.policy import PlanApproval, ToolPolicy, ToolPolicyStore, ToolRule
from services.agents.tools.sql_policy_store import SqlToolPolicyStore
from services.runtime.ids import new_id
from tests import databases
from tests.databases import Place
from tests.held_database import HeldDatabase, meet
from tests.postgres import PostgresServer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NEVER_SET = ToolPolicy()
ALLOW_WRITING = ToolPolicy((ToolRule("auto", risk="write"),))
FORBID_COMMANDS = ToolPolicy((ToolRule("deny", tool="run_command"),))


@dataclass
class World:
    """Ann's project with its two agents."""

    place: Place
    agents: AgentStore
    policies: ToolPolicyStore
    owner: Owner
    agent_id: str
    other_agent_id: str

    @classmethod
    async def at(cls, place: Place) -> "World":
        database = await place.with_tables(metadata)
        agents, owner = SqlAgentStore(database), Owner(new_id(), new_id())
        one, other = await agents.create_space(owner, [agent(owner, name) for name in ("Helper", "Other")])
        return cls(place, agents, SqlToolPolicyStore(database), owner, one.id, other.id)

    async def set(self, policy: ToolPolicy, now: datetime = NOW) -> ToolPolicy:
        return await self.policies.set_policy(self.owner, policy, now)

    async def get(self) -> ToolPolicy:
        return await self.policies.get_policy(self.owner)

    async def rows(self) -> int:
        async with self.place.open().read() as connection:
            return await connection.scalar(sa.select(sa.func.count()).select_from(tool_policies)) or 0


def agent(owner: Owner, name: str) -> Agent:
    return Agent(new_id(), owner, name, AgentConfig(), "ready", 1, NOW, NOW)


def elsewhere(owner: Owner) -> list[Owner]:
    """Another user, the own other project, both."""
    return [Owner(new_id(), owner.project_id), Owner(owner.user_id, new_id()), Owner(new_id(), new_id())]


@pytest.fixture
async def world(database_place: Place) -> World:
    return await World.at(database_place)


async def test_policy_that_was_never_set_has_no_rules_and_no_time(world: World) -> None:
    assert await world.get() == NEVER_SET


async def test_policy_is_read_as_it_was_set(world: World) -> None:
    rules = (
        ToolRule("deny", tool="run_command"),
        ToolRule("ask", risk="read", agent_id=world.agent_id),
        ToolRule("auto", tool="𝄞", agent_id=world.other_agent_id),
    )
    policy = ToolPolicy(rules, PlanApproval("when", 0, 1_000_000_000, ("write", "external")))
    stored = await world.set(policy)
    assert stored == replace(policy, updated_at=NOW)
    assert await world.get() == stored


async def test_policy_is_replaced_whole(world: World) -> None:
    await world.set(replace(ALLOW_WRITING, plan_approval=PlanApproval("always")))
    await world.set(FORBID_COMMANDS, LATER)
    assert await world.get() == replace(FORBID_COMMANDS, updated_at=LATER)
    await world.set(ToolPolicy(), LATER)
    assert await world.get() == ToolPolicy(updated_at=LATER)
    assert await world.rows() == 1


async def test_policies_set_at_once_leave_one_of_them(world: World) -> None:
    policies = [ToolPolicy((ToolRule("auto", tool=str(number)),)) for number in range(8)]
    stored = await asyncio.gather(*map(world.set, policies))
    assert await world.get() in stored
    assert await world.rows() == 1


async def test_rules_of_an_agent_that_is_gone_are_left_out(world: World) -> None:
    kept = (ToolRule("auto", risk="write"), ToolRule("deny", risk="write", agent_id=world.other_agent_id))
    gone = ToolRule("auto", risk="execute", agent_id=world.agent_id)
    await world.set(ToolPolicy((kept[0], gone, kept[1])))
    await world.agents.delete_agent(world.owner, world.agent_id, NOW)
    assert (await world.get()).rules == kept


async def test_rule_for_an_agent_that_is_not_there_changes_nothing(world: World) -> None:
    [stranger] = await world.agents.create_space(owner := Owner(new_id(), new_id()), [agent(owner, "Theirs")])
    mine = Owner(world.owner.user_id, new_id())
    [elsewhere_agent] = await world.agents.create_space(mine, [agent(mine, "Elsewhere")])
    before = await world.set(ALLOW_WRITING)
    for missing in (stranger.id, elsewhere_agent.id, new_id(), "no id"):
        rules = (
            ToolRule("auto", risk="read", agent_id=world.agent_id),
            ToolRule("auto", risk="read", agent_id=missing),
        )
        with pytest.raises(AgentNotFound) as refused:
            await world.set(ToolPolicy(rules), LATER)
        assert refused.value.metadata == {"agent": missing}
    assert await world.get() == before


async def test_nobody_else_reads_or_sets_a_policy(world: World) -> None:
    before = await world.set(ALLOW_WRITING)
    for other in elsewhere(world.owner):
        with pytest.raises(ProjectNotFound):
            await world.policies.get_policy(other)
        with pytest.raises(ProjectNotFound):
            await world.policies.set_policy(other, FORBID_COMMANDS, LATER)
    assert await world.get() == before


async def test_other_projects_of_the_user_have_policies_of_their_own(world: World) -> None:
    await world.set(ALLOW_WRITING)
    other = Owner(world.owner.user_id, new_id())
    await world.agents.create_space(other, [agent(other, "Helper")])
    assert await world.policies.get_policy(other) == NEVER_SET


async def test_deleted_project_takes_its_policy_along(world: World) -> None:
    await world.set(ALLOW_WRITING)
    await world.agents.delete_space(world.owner, NOW)
    with pytest.raises(ProjectNotFound):
        await world.get()
    with pytest.raises(ProjectNotFound):
        await world.set(FORBID_COMMANDS)
    assert await world.rows() == 0


# Where two transactions meet


@pytest.fixture
async def place(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    """A database in which transactions run beside each other."""
    async with databases.place(tmp_path, postgres_server) as place:
        yield place


@pytest.mark.server_backed
async def test_policy_that_is_set_while_its_project_is_deleted_is_not_left_behind(place: Place) -> None:
    world = await World.at(place)
    held = HeldDatabase(place.open())
    setting = SqlToolPolicyStore(held).set_policy(world.owner, ALLOW_WRITING, NOW)
    stored, deleted = await meet(place, held, setting, world.agents.delete_space(world.owner, NOW))
    assert stored == replace(ALLOW_WRITING, updated_at=NOW)
    assert not isinstance(deleted, BaseException)
    assert await world.rows() == 0


@pytest.mark.server_backed
async def test_policy_that_comes_while_its_project_is_being_deleted_is_refused(place: Place) -> None:
    world = await World.at(place)
    held = HeldDatabase(place.open())
    _, refused = await meet(place, held, SqlAgentStore(held).delete_space(world.owner, NOW), world.set(ALLOW_WRITING))
    assert isinstance(refused, ProjectNotFound)
    assert await world.rows() == 0
