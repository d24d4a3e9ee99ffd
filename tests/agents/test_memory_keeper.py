"""A collection comes with the first memory and goes with the agent, whatever comes late or in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.errors import AgentNotFound, EmbeddingMismatch, MemoryUnavailable
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.embedding.hashing import HashingEmbedder
from services.agents.memory.keeper import TOMBSTONES_KEPT, MemoryKeeper
from services.agents.memory.model import Collection, Embedding, Memory, Vector
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.memory.store import CollectionMissing
from services.agents.sql_store import SqlAgentStore
from services.agents.tables import metadata
from services.runtime.ids import new_id
from tests.databases import place

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Hooked(EdgeMemoryStore):
    """A real store that stops where a test wants something to happen, or that is out of reach."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.before_create = asyncio.Event()
        self.creating = asyncio.Event()
        self.before_create.set()
        self.away = False

    async def create(self, collection: Collection) -> None:
        self.creating.set()
        await self.before_create.wait()
        await super().create(collection)

    async def drop(self, collection: Collection) -> None:
        if self.away:
            raise MemoryUnavailable
        await super().drop(collection)


class World:
    """A keeper on real backends, and a clock that is set by hand."""

    def __init__(self, agents: SqlAgentStore, registry: SqlMemoryRegistry, store: Hooked, folder: Path) -> None:
        self.agents, self.registry, self.store, self.folder = agents, registry, store, folder
        self.now = START
        self.embedder = HashingEmbedder()
        self.owner = Owner(new_id(), new_id())
        self.keeper = MemoryKeeper(registry, store, self.embedder, lambda: self.now)

    async def agent(self) -> str:
        agent = Agent(new_id(), self.owner, new_id(), AgentConfig(), "ready", 1, START, START)
        await self.agents.create_space(self.owner, [agent])
        if agent not in await self.agents.create_space(self.owner, [agent]):
            await self.agents.create_agent(agent, None)
        return agent.id

    async def point(self, agent_id: str, content: str = "A fact.") -> tuple[Memory, Vector]:
        [vector] = await self.embedder.embed([content])
        return Memory(new_id(), self.owner, agent_id, content, "direct_call", START), vector

    async def put(self, agent_id: str) -> str:
        memory, vector = await self.point(agent_id)
        collection = await self.keeper.find(self.owner, agent_id)
        await self.keeper.put(self.owner, agent_id, collection, [(memory, vector)])
        return memory.id

    async def delete(self, agent_id: str) -> None:
        await self.agents.delete_agent(self.owner, agent_id, self.now)
        await self.keeper.drop_deleted(self.owner)

    def folders(self) -> list[str]:
        """What there is of any collection on disk."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir()) if self.folder.exists() else []


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with place(tmp_path) as databases:
        database = await databases.with_tables(metadata)
        store = Hooked(tmp_path / "memory")
        try:
            yield World(SqlAgentStore(database), SqlMemoryRegistry(database), store, tmp_path / "memory")
        finally:
            await store.close()


async def test_collection_is_made_with_the_first_memory_and_not_before(world: World) -> None:
    agent_id = await world.agent()
    assert await world.keeper.find(world.owner, agent_id) is None
    assert world.folders() == []
    memory_id = await world.put(agent_id)
    collection = await world.keeper.searchable(world.owner, agent_id)
    assert collection is not None
    assert [each.id for each in await world.store.get(collection, [memory_id])] == [memory_id]
    assert world.folders() == [f"{agent_id}_context"]


async def test_registered_collection_that_a_crash_left_unmade_is_made_by_the_next_memory(world: World) -> None:
    agent_id = await world.agent()
    await world.registry.register(world.owner, agent_id, Embedding("hashing", 512))
    memory_id = await world.put(agent_id)
    collection = await world.keeper.find(world.owner, agent_id)
    assert collection is not None
    assert [each.id for each in await world.store.get(collection, [memory_id])] == [memory_id]


async def test_deletion_removes_the_files(world: World) -> None:
    doomed, staying = await world.agent(), await world.agent()
    for each in (doomed, staying):
        await world.put(each)
    await world.delete(doomed)
    assert world.folders() == [f"{staying}_context"]


async def test_late_memory_of_a_deleted_agent_is_refused_and_brings_nothing_back(world: World) -> None:
    agent_id = await world.agent()
    await world.put(agent_id)
    collection = await world.keeper.find(world.owner, agent_id)
    point = await world.point(agent_id)
    await world.delete(agent_id)
    # Whoever found the collection before the deletion writes after it.
    with pytest.raises(AgentNotFound):
        await world.keeper.put(world.owner, agent_id, collection, [point])
    with pytest.raises(AgentNotFound):
        await world.keeper.put(world.owner, agent_id, None, [point])
    assert world.folders() == []


async def test_collection_that_is_made_while_its_agent_is_deleted_is_dropped_again(world: World) -> None:
    agent_id = await world.agent()
    world.store.before_create.clear()
    putting = asyncio.create_task(world.put(agent_id))
    await world.store.creating.wait()
    # Registered and looked for, not yet made: now the agent goes, and what there is of its collection is dropped.
    await world.delete(agent_id)
    world.store.before_create.set()
    with pytest.raises(AgentNotFound):
        await putting
    assert world.folders() == []


async def test_store_out_of_reach_does_not_hold_up_a_deletion_and_the_sweep_drops_later(world: World) -> None:
    agent_id = await world.agent()
    await world.put(agent_id)
    world.store.away = True
    await world.delete(agent_id)
    assert world.folders() == [f"{agent_id}_context"]
    world.now += TOMBSTONES_KEPT * 2
    await world.keeper.sweep()
    assert len(await world.registry.dropped()) == 1
    world.store.away = False
    await world.keeper.sweep()
    assert world.folders() == []
    await world.keeper.sweep()
    assert await world.registry.dropped() == []


async def test_tombstone_is_kept_for_as_long_as_a_write_may_be_late(world: World) -> None:
    agent_id = await world.agent()
    await world.put(agent_id)
    collection = await world.keeper.find(world.owner, agent_id)
    assert collection is not None
    await world.delete(agent_id)
    # A creation that hung in another replica all the time.
    await world.store.create(collection)
    world.now += TOMBSTONES_KEPT - timedelta(seconds=1)
    await world.keeper.sweep()
    assert world.folders() == []
    assert len(await world.registry.dropped()) == 1


async def test_deleted_project_drops_what_all_its_agents_remember(world: World) -> None:
    for agent_id in (await world.agent(), await world.agent()):
        await world.put(agent_id)
    await world.agents.delete_space(world.owner, START)
    await world.keeper.drop_deleted(world.owner)
    assert world.folders() == []


async def test_vectors_of_another_model_are_refused_with_the_command_that_mends_it(world: World) -> None:
    agent_id = await world.agent()
    await world.registry.register(world.owner, agent_id, Embedding("minilm", 384))
    with pytest.raises(EmbeddingMismatch, match="codelab memory migrate"):
        await world.keeper.searchable(world.owner, agent_id)
    with pytest.raises(EmbeddingMismatch):
        await world.put(agent_id)
    assert world.folders() == []


async def test_put_to_what_is_gone_is_told_apart_from_an_empty_collection(world: World) -> None:
    agent_id = await world.agent()
    collection = await world.registry.register(world.owner, agent_id, Embedding("hashing", 512))
    with pytest.raises(CollectionMissing):
        await world.store.put(collection, [await world.point(agent_id)])
    assert await world.store.count(collection) == 0
