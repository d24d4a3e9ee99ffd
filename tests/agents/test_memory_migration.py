"""Memories that another model embedded are embedded anew, whatever stops it, comes late or goes in between."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.errors import AgentNotFound, EmbeddingMismatch, EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding.hashing import MODEL, HashingEmbedder, vector_of
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.migration import migrate
from services.agents.memory.model import Collection, Embedding, Memory, Vector
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.memory.store import CollectionMissing, MemoryStore
from services.agents.sql_store import SqlAgentStore
from services.agents.tables import metadata
from services.runtime.database import Database
from services.runtime.ids import new_id
from tests.conformance.memory_stores import BACKENDS, NOW, SECOND
from tests.databases import place

OLD = HashingEmbedder()
OLD_EMBEDDING = Embedding(MODEL, 512)
# More than one batch.
MANY = 70


class Backwards:
    """An Embedder that reads words from their end, whose vectors have nothing in common with those of OLD.

    `before` is called with the texts, before they are embedded; those that are embedded are taken down, as is the
    one by which a migration learns the length.
    """

    def __init__(self, dimension: int = 256, model: str = "backwards") -> None:
        self.model = model
        self.dimension = dimension
        self.texts: list[str] = []
        self.before: Callable[[Sequence[str]], Awaitable[None]] = _nothing

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.model, self.dimension)

    def warm(self) -> None:
        """There is nothing to load."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        await self.before(texts)
        self.texts += texts
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        whole = vector_of(text[::-1])
        return [sum(whole[place :: self.dimension]) for place in range(self.dimension)]

    async def close(self) -> None:
        """There is nothing to let go of."""


async def _nothing(_: Sequence[str]) -> None:
    pass


class Crashing(SqlMemoryRegistry):
    """A registry after whose change of a collection the process dies."""

    async def migrated(self, collection: Collection, to: Embedding) -> None:
        await super().migrated(collection, to)
        raise SystemExit


class Interrupted(SqlMemoryRegistry):
    """A registry before whose change of a collection something happens."""

    def __init__(self, database: Database, before: Callable[[Collection], Awaitable[None]]) -> None:
        super().__init__(database)
        self._before = before

    async def migrated(self, collection: Collection, to: Embedding) -> None:
        await self._before(collection)
        await super().migrated(collection, to)


class World:
    """A registry and a store of agents that remember by the old model."""

    def __init__(self, database: Database, store: MemoryStore) -> None:
        self.database, self.store = database, store
        self.agents, self.registry = SqlAgentStore(database), SqlMemoryRegistry(database)
        self.owner = Owner(new_id(), new_id())

    async def agent(self) -> str:
        agent = Agent(new_id(), self.owner, new_id(), AgentConfig(), "ready", 1, NOW, NOW)
        await self.agents.create_space(self.owner, [agent])
        if agent not in await self.agents.create_space(self.owner, [agent]):
            await self.agents.create_agent(agent, None)
        return agent.id

    def memory(self, agent_id: str, content: str, **fields: Any) -> Memory:
        return replace(Memory(new_id(), self.owner, agent_id, content, "task", NOW), **fields)

    async def put(self, memory: Memory) -> None:
        keeper = MemoryKeeper(self.registry, self.store, OLD, lambda: NOW)
        [vector] = await OLD.embed([memory.embedded_text])
        collection = await self.registry.find(memory.owner, memory.agent_id)
        await keeper.put(memory.owner, memory.agent_id, collection, [(memory, vector)])

    async def filled(self, number: int = MANY) -> tuple[str, list[Memory]]:
        """A new agent with so many memories."""
        agent_id = await self.agent()
        memories = [
            self.memory(agent_id, f"The value of {agent_id}/{each} is known.", timestamp=NOW + each * SECOND)
            for each in range(number)
        ]
        await self.put(memories[0])
        collection = await self.collection(agent_id)
        vectors = await OLD.embed([each.embedded_text for each in memories])
        await self.store.put(collection, list(zip(memories, vectors, strict=True)))
        return agent_id, memories

    async def collection(self, agent_id: str) -> Collection:
        found = await self.registry.find(self.owner, agent_id)
        assert found is not None
        return found

    async def everything(self, agent_id: str) -> list[Memory]:
        return await self.store.newest(await self.collection(agent_id), 1000)

    async def migrated(self, embedder: Backwards, registry: SqlMemoryRegistry | None = None) -> list[str]:
        """What is told of a whole migration."""
        return [str(each) async for each in migrate(registry or self.registry, self.store, embedder)]

    async def assert_found_by_meaning(self, embedder: Backwards, memories: Sequence[Memory]) -> None:
        for memory in memories:
            collection = await self.collection(memory.agent_id)
            assert collection.embedding == embedder.embedding
            [first] = await self.store.nearest(collection, embedder.vector(memory.embedded_text), 1)
            assert (first.memory.id, first.score) == (memory.id, pytest.approx(1, abs=1e-5))

    async def old_vectors(self, agent_id: str) -> int:
        """How many of the agent's memories the old model still finds."""
        collection = replace(await self.collection(agent_id), embedding=OLD_EMBEDDING)
        return len(await self.store.nearest(collection, vector_of("The value of"), 1000))


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "qdrant")) for name in BACKENDS]
)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with place(tmp_path) as databases, BACKENDS[request.param](tmp_path / "memory") as store:
        yield World(await databases.with_tables(metadata), store)


@pytest.fixture
def embedder() -> Backwards:
    return Backwards()


async def test_everything_is_found_by_meaning_afterwards_and_nothing_else_has_changed(
    world: World, embedder: Backwards
) -> None:
    agent_id = await world.agent()
    memories = [
        world.memory(agent_id, "Tea at four.", tags=("tea", "a b"), metadata={"deep": {"list": [1, None]}}),
        world.memory(agent_id, "The parser fails.", success=False, session_id="s", interaction_type="tool"),
        world.memory(agent_id, "ERR_4711 is a refused card.", timestamp=NOW - 9 * SECOND, source="run/task"),
    ]
    for memory in memories:
        await world.put(memory)
    before = await world.everything(agent_id)
    assert sorted(each.id for each in before) == sorted(each.id for each in memories)
    await world.migrated(embedder)
    assert await world.everything(agent_id) == before
    await world.assert_found_by_meaning(embedder, memories)
    [named] = await world.store.matching(await world.collection(agent_id), ["err_4711"], 10)
    assert named.memory == memories[2]


async def test_what_is_embedded_of_an_interaction_is_what_was_asked(world: World, embedder: Backwards) -> None:
    agent_id = await world.agent()
    asked = "Which port? 𝄞"
    await world.put(world.memory(agent_id, f"{asked}\n\nThe port is 6543.", asked=len(asked)))
    await world.migrated(embedder)
    assert embedder.texts[1:] == [asked]


async def test_progress_is_told_from_nothing_to_all(world: World, embedder: Backwards) -> None:
    await world.filled(2)
    await world.filled(MANY)
    steps = [each async for each in migrate(world.registry, world.store, embedder)]
    assert [each.share for each in steps] == sorted(each.share for each in steps)
    assert (steps[0].share, steps[-1].share) == (0, 1)
    assert str(steps[0]) == "0 of 72 memories of 0 of 2 agents migrated"
    assert str(steps[-1]) == "72 of 72 memories of 2 of 2 agents migrated"
    assert len(steps) > 4


async def test_model_is_not_even_asked_where_nobody_remembers_anything(world: World, embedder: Backwards) -> None:
    await world.agent()
    assert await world.migrated(embedder) == ["nothing to migrate"]
    assert embedder.texts == []


async def test_second_migration_finds_nothing_to_do(world: World, embedder: Backwards) -> None:
    _, memories = await world.filled(3)
    await world.migrated(embedder)
    embedder.texts.clear()
    looked = "0 of 1 agents without need of it looked through"
    assert await world.migrated(embedder) == [looked, "nothing to migrate"]
    assert len(embedder.texts) == 1
    await world.assert_found_by_meaning(embedder, memories)


async def test_migration_that_fails_goes_on_where_it_was_and_embeds_nothing_twice(
    world: World, embedder: Backwards
) -> None:
    memories = [each for _ in range(2) for each in (await world.filled())[1]]
    left = 4

    async def fail_at_the_fifth(_: Sequence[str]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise EmbeddingUnavailable("out of reach")

    embedder.before = fail_at_the_fifth
    with pytest.raises(EmbeddingUnavailable):
        await world.migrated(embedder)
    assert 0 < len(embedder.texts) < len(memories)
    embedder.before = _nothing
    await world.migrated(embedder)
    probe = embedder.texts[0]
    assert embedder.texts.count(probe) == 2
    once = [text for text in embedder.texts if text != probe]
    assert sorted(once) == sorted(each.content for each in memories)
    await world.assert_found_by_meaning(embedder, memories)


async def test_old_vectors_count_until_an_agent_has_all_its_new_ones(world: World, embedder: Backwards) -> None:
    agent_id, memories = await world.filled()
    async with aclosing(migrate(world.registry, world.store, embedder)) as steps:
        async for progress in steps:
            if progress.memories:
                break
    collection = await world.collection(agent_id)
    assert collection.embedding == OLD_EMBEDDING
    for memory in memories:
        [first] = await world.store.nearest(collection, vector_of(memory.content), 1)
        assert first.memory == memory


async def test_same_model_with_vectors_of_another_length_is_migrated_to(world: World, embedder: Backwards) -> None:
    agent_id, memories = await world.filled(3)
    await world.migrated(embedder)
    longer = Backwards(dimension=512)
    keeper = MemoryKeeper(world.registry, world.store, longer, lambda: NOW)
    with pytest.raises(EmbeddingMismatch, match="codelab memory migrate") as raised:
        keeper.check(await world.collection(agent_id), longer.dimension)
    assert "backwards (256 dimensions)" in str(raised.value)
    assert "backwards (512 dimensions)" in str(raised.value)
    assert "EMBEDDING_MODEL" not in str(raised.value), "to set it as it is set already mends nothing"
    assert (await world.migrated(longer))[-1] == "3 of 3 memories of 1 of 1 agents migrated"
    await world.assert_found_by_meaning(longer, memories)
    keeper.check(await world.collection(agent_id), longer.dimension)


async def test_crash_after_the_registry_changed_leaves_nothing_that_the_next_migration_does_not_remove(
    world: World, embedder: Backwards
) -> None:
    agent_id, memories = await world.filled(3)
    with suppress(SystemExit):
        await world.migrated(embedder, Crashing(world.database))
    assert await world.old_vectors(agent_id) == 3
    await world.migrated(embedder)
    assert await world.old_vectors(agent_id) == 0
    await world.assert_found_by_meaning(embedder, memories)


async def test_what_a_replica_with_the_old_setting_writes_last_is_migrated_too(
    world: World, embedder: Backwards
) -> None:
    agent_id, memories = await world.filled(3)
    late = world.memory(agent_id, "The last word is marzipan.")

    async def put_late(_: Collection) -> None:
        await world.put(late)

    await world.migrated(embedder, Interrupted(world.database, put_late))
    await world.assert_found_by_meaning(embedder, [*memories, late])


async def test_what_was_written_last_before_a_crash_is_migrated_by_the_next_migration(
    world: World, embedder: Backwards
) -> None:
    agent_id, memories = await world.filled(3)
    late = world.memory(agent_id, "The last word is marzipan.")

    class LateAndCrashing(Crashing):
        async def migrated(self, collection: Collection, to: Embedding) -> None:
            await world.put(late)
            await super().migrated(collection, to)

    with suppress(SystemExit):
        await world.migrated(embedder, LateAndCrashing(world.database))
    assert await world.store.lacking(await world.collection(agent_id), embedder.embedding, 10) == [late]
    assert (await world.migrated(embedder))[-1] == "nothing to migrate"
    await world.assert_found_by_meaning(embedder, [*memories, late])


async def test_replica_with_the_old_setting_is_told_of_the_mismatch_whenever_it_comes(
    world: World, embedder: Backwards
) -> None:
    agent_id, _ = await world.filled(3)
    stale = await world.collection(agent_id)
    await world.migrated(embedder)
    keeper = MemoryKeeper(world.registry, world.store, OLD, lambda: NOW)
    memory = world.memory(agent_id, "Late.")
    with pytest.raises(EmbeddingMismatch):
        await keeper.put(world.owner, agent_id, stale, [(memory, vector_of(memory.content))])
    assert len(await world.everything(agent_id)) == 3


async def test_agent_that_is_deleted_meanwhile_leaves_nothing_and_holds_up_nobody(
    world: World, embedder: Backwards
) -> None:
    (first, _), (second, memories) = sorted([await world.filled(), await world.filled()])
    gone = await world.collection(first)

    async def delete_the_first(texts: Sequence[str]) -> None:
        if any(first in text for text in texts) and len(embedder.texts) > 1:
            embedder.before = _nothing
            await world.agents.delete_agent(world.owner, first, NOW)
            await world.store.drop(gone)

    embedder.before = delete_the_first
    await world.migrated(embedder)
    assert len([text for text in embedder.texts if first in text]) < MANY
    with pytest.raises(AgentNotFound):
        await world.registry.find(world.owner, first)
    assert await world.registry.dropped(world.owner) == [gone]
    assert await world.store.count(gone) == 0
    await world.assert_found_by_meaning(embedder, memories)
    assert len(await world.everything(second)) == MANY


async def test_agent_that_is_deleted_and_forgotten_before_its_turn_gets_no_collection_again(
    world: World, embedder: Backwards
) -> None:
    (first, _), (second, _) = sorted([await world.filled(1), await world.filled(1)])
    gone = await world.collection(second)

    async def delete_the_second(texts: Sequence[str]) -> None:
        if any(first in text for text in texts):
            await world.agents.delete_agent(world.owner, second, NOW)
            await world.store.drop(gone)
            await world.registry.forget_dropped(NOW + SECOND)

    embedder.before = delete_the_second
    await world.migrated(embedder)
    # Nobody would ever drop it.
    for embedding in (OLD_EMBEDDING, embedder.embedding):
        memory = world.memory(second, "Anything."), [1.0] * embedding.dimension
        with pytest.raises(CollectionMissing):
            await world.store.put(replace(gone, embedding=embedding), [memory])


async def test_collection_that_a_crash_left_unmade_is_of_the_new_model(world: World, embedder: Backwards) -> None:
    agent_id = await world.agent()
    await world.registry.register(world.owner, agent_id, OLD_EMBEDDING)
    await world.migrated(embedder)
    memory = world.memory(agent_id, "The first one.")
    keeper = MemoryKeeper(world.registry, world.store, embedder, lambda: NOW)
    collection = await keeper.searchable(world.owner, agent_id)
    await keeper.put(world.owner, agent_id, collection, [(memory, embedder.vector(memory.content))])
    await world.assert_found_by_meaning(embedder, [memory])


async def test_two_migrations_at_once_are_as_good_as_one(world: World, embedder: Backwards) -> None:
    memories = [each for _ in range(2) for each in (await world.filled())[1]]
    other = Backwards()
    began = False

    async def let_the_other_do_all(_: Sequence[str]) -> None:
        nonlocal began
        if not began and len(embedder.texts) > 1:
            began = True
            await world.migrated(other)

    embedder.before = let_the_other_do_all
    assert (await world.migrated(embedder))[-1] == "140 of 140 memories of 2 of 2 agents migrated"
    assert began
    await world.assert_found_by_meaning(embedder, memories)


async def test_model_that_changes_its_length_on_the_way_is_refused(world: World, embedder: Backwards) -> None:
    agent_id, memories = await world.filled()

    async def change(_: Sequence[str]) -> None:
        if len(embedder.texts) > 1:
            embedder.dimension = 128

    embedder.before = change
    with pytest.raises(EmbeddingRefused, match="128"):
        await world.migrated(embedder)
    assert (await world.collection(agent_id)).embedding == OLD_EMBEDDING
    embedder.before = _nothing
    await world.migrated(embedder)
    await world.assert_found_by_meaning(embedder, memories)
