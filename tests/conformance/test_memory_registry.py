"""What every MemoryRegistry must do, on each database."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.errors import AgentNotFound
from services.agents.memory.model import Collection, Embedding
from services.agents.memory.registry import Addition, MemoryRegistry
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.sql_store import SqlAgentStore
from services.agents.store import AgentStore
from services.agents.tables import metadata
from services.runtime.errors import RequestIdReused
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.databases import Place

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINILM, LARGE = Embedding("minilm", 384), Embedding("text-embedding-3-large", 3072)


@pytest.fixture
async def agents(database_place: Place) -> AgentStore:
    return SqlAgentStore(await database_place.with_tables(metadata))


@pytest.fixture
async def registry(agents: AgentStore, database_place: Place) -> MemoryRegistry:
    return SqlMemoryRegistry(database_place.open())


@pytest.fixture
def owner() -> Owner:
    return Owner(new_id(), new_id())


async def an_agent(agents: AgentStore, owner: Owner, name: str = "Helper") -> str:
    agent = Agent(new_id(), owner, name, AgentConfig(), "ready", 1, NOW, NOW)
    await agents.create_space(owner, [agent])
    if agent not in await agents.create_space(owner, [agent]):
        await agents.create_agent(agent, None)
    return agent.id


def a_key(request_id: str, content: str = "") -> RequestKey:
    key = RequestKey.of("memories.add", request_id, content)
    assert key is not None
    return key


async def test_agent_has_no_collection_until_one_is_registered(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    agent_id = await an_agent(agents, owner)
    assert await registry.find(owner, agent_id) is None
    made = await registry.register(owner, agent_id, MINILM)
    assert made == Collection(owner, agent_id, MINILM)
    assert await registry.find(owner, agent_id) == made
    assert await registry.register(owner, agent_id, LARGE) == made


async def test_agent_of_nobody_another_or_another_project_is_missing(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    agent_id = await an_agent(agents, owner)
    await registry.register(owner, agent_id, MINILM)
    for other in (Owner(new_id(), owner.project_id), Owner(owner.user_id, new_id()), Owner(new_id(), new_id())):
        with pytest.raises(AgentNotFound):
            await registry.find(other, agent_id)
        with pytest.raises(AgentNotFound):
            await registry.register(other, agent_id, MINILM)
        assert await registry.dropped(other) == []
    with pytest.raises(AgentNotFound):
        await registry.find(owner, new_id())


async def test_two_that_register_at_once_get_one_collection(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    agent_id = await an_agent(agents, owner)
    made = await asyncio.gather(*(registry.register(owner, agent_id, each) for each in (MINILM, LARGE) * 5))
    assert len(set(made)) == 1


async def test_deleted_agents_collection_stays_as_dropped_until_it_is_forgotten(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    first, second = await an_agent(agents, owner), await an_agent(agents, owner, "Other")
    going, staying = [await registry.register(owner, each, MINILM) for each in (first, second)]
    await agents.delete_agent(owner, first, NOW)
    with pytest.raises(AgentNotFound):
        await registry.find(owner, first)
    with pytest.raises(AgentNotFound):
        await registry.register(owner, first, MINILM)
    assert await registry.dropped(owner) == [going]
    assert going in await registry.dropped()
    assert await registry.find(owner, second) == staying
    await registry.forget_dropped(NOW)
    assert await registry.dropped(owner) == [going]
    await registry.forget_dropped(NOW + timedelta(seconds=1))
    assert await registry.dropped(owner) == []
    assert await registry.find(owner, second) == staying


async def test_deleted_project_drops_the_collections_of_all_its_agents_and_no_others(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    elsewhere = Owner(owner.user_id, new_id())
    going = [await registry.register(owner, await an_agent(agents, owner, name), MINILM) for name in "ab"]
    staying = await registry.register(elsewhere, await an_agent(agents, elsewhere), MINILM)
    assert set(await agents.delete_space(owner, NOW)) == {each.agent_id for each in going}
    assert set(await registry.dropped(owner)) == set(going)
    assert await registry.dropped(elsewhere) == []
    assert await registry.find(elsewhere, staying.agent_id) == staying


async def test_registration_and_deletion_at_once_leave_nothing_undropped(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    for _ in range(10):
        agent_id = await an_agent(agents, owner, new_id()[:8])
        registered, _ = await asyncio.gather(
            registry.register(owner, agent_id, MINILM),
            agents.delete_agent(owner, agent_id, NOW),
            return_exceptions=True,
        )
        dropped = [each.agent_id for each in await registry.dropped(owner)]
        assert isinstance(registered, AgentNotFound) != (agent_id in dropped)


async def test_migration_finds_what_is_kept_by_its_embedding_and_changes_it_unless_it_is_gone(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    first, second = await an_agent(agents, owner), await an_agent(agents, owner, "Other")
    old, gone = [await registry.register(owner, each, MINILM) for each in (first, second)]
    await agents.delete_agent(owner, second, NOW)
    assert await registry.of_everybody() == [old]
    await registry.migrated(old, LARGE)
    await registry.migrated(gone, LARGE)
    assert await registry.find(owner, first) == Collection(owner, first, LARGE)
    assert await registry.of_everybody() == [Collection(owner, first, LARGE)]
    assert await registry.dropped(owner) == [gone]


async def test_migration_goes_through_everybodys_collections_in_the_order_of_their_agents(
    registry: MemoryRegistry, agents: AgentStore
) -> None:
    owners = [Owner(new_id(), new_id()) for _ in range(5)]
    ids = [await an_agent(agents, each) for each in owners]
    for owner, agent_id in reversed(list(zip(owners, ids, strict=True))):
        await registry.register(owner, agent_id, MINILM)
    assert [each.agent_id for each in await registry.of_everybody()] == sorted(ids)


async def test_agents_are_counted_by_the_model_and_the_length_of_their_vectors(
    registry: MemoryRegistry, agents: AgentStore, owner: Owner
) -> None:
    assert await registry.embeddings() == {}
    shorter = Embedding(MINILM.model, 256)
    for name, embedding in (("a", MINILM), ("b", MINILM), ("c", shorter), ("d", LARGE)):
        await registry.register(owner, await an_agent(agents, owner, name), embedding)
    elsewhere = Owner(new_id(), new_id())
    deleted = await an_agent(agents, elsewhere)
    await registry.register(elsewhere, deleted, LARGE)
    assert await registry.embeddings() == {MINILM: 2, shorter: 1, LARGE: 2}
    await agents.delete_agent(elsewhere, deleted, NOW)
    assert await registry.embeddings() == {MINILM: 2, shorter: 1, LARGE: 1}


async def test_key_stands_for_the_first_addition_and_refuses_other_content(
    registry: MemoryRegistry, owner: Owner
) -> None:
    key, memory_id, later = a_key("k"), new_id(), NOW + timedelta(hours=1)
    first = await registry.begin_addition(owner, key, memory_id, NOW)
    assert first == Addition(memory_id, NOW, ended=False)
    assert await registry.begin_addition(owner, key, new_id(), later) == first
    with pytest.raises(RequestIdReused):
        await registry.begin_addition(owner, a_key("k", "other"), memory_id, later)
    other = await registry.begin_addition(Owner(new_id(), owner.project_id), key, new_id(), later)
    assert (other.memory_id != memory_id, other.begun_at) == (True, later)


async def test_addition_that_has_ended_stays_so(registry: MemoryRegistry, owner: Owner) -> None:
    key = a_key("k")
    begun = await registry.begin_addition(owner, key, new_id(), NOW)
    await registry.end_addition(owner, key, begun, NOW)
    await registry.end_addition(owner, key, begun, NOW)
    assert await registry.begin_addition(owner, key, new_id(), NOW) == replace(begun, ended=True)


async def test_of_additions_that_begin_at_once_all_get_the_same(registry: MemoryRegistry, owner: Owner) -> None:
    begun = await asyncio.gather(
        *(registry.begin_addition(owner, a_key("k"), new_id(), NOW + timedelta(seconds=n)) for n in range(10))
    )
    assert len(set(begun)) == 1
