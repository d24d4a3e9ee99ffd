"""An agent searches its own memory and keeps something in it: on real stores, with the embedder that finds words."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.embedding.hashing import HashingEmbedder
from services.agents.memory.keeper import MemoryKeeper
from services.agents.memory.model import EVERYTHING, Memory, Vector
from services.agents.memory.service import MemoryDraft, MemoryService
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.sql_store import SqlAgentStore
from services.agents.tables import metadata
from services.agents.tools.memory_tools import RememberTool, SearchMemoryTool
from services.agents.tools.tool import MOST_OUTPUT, Caller, Output, Tool, ToolFailed
from services.runtime.errors import CodelabError
from services.runtime.ids import new_id
from services.runtime.json_schema import violations
from tests.databases import place

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACT = "The staging database listens on port 6543."


class Failing(HashingEmbedder):
    """An embedder that can be out of reach, or be another one all of a sudden."""

    error: CodelabError | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.error is not None:
            raise self.error
        return await super().embed(texts)


@dataclass
class World:
    """Ann's project, whose first agent calls."""

    agents: SqlAgentStore
    memories: MemoryService
    embedder: Failing
    search: Tool
    remember: Tool
    owner: Owner = field(default_factory=lambda: Owner(new_id(), new_id()))
    all: list[Agent] = field(default_factory=list)

    def caller(self, agent: Agent | None = None) -> Caller:
        return Caller(agent or self.all[0], "session", "run", "task")

    async def found(self, query: str, agent: Agent | None = None, **more: Any) -> list[dict[str, Any]]:
        """The quotations that the agent gets."""
        output = await self.search.run(self.caller(agent), {"query": query, **more})
        return quotations(output)

    async def kept(self, content: str, **more: Any) -> Output:
        return await self.remember.run(self.caller(), {"content": content, **more})

    async def stored(self, agent: Agent | None = None) -> list[Memory]:
        page = await self.memories.list(self.owner, (agent or self.all[0]).id, EVERYTHING, None, 50, "")
        return list(page.memories)


def quotations(output: Output) -> list[dict[str, Any]]:
    assert output.success
    assert len(output.text) <= MOST_OUTPUT
    return [json.loads(each) for each in output.text.split("\n") if each.startswith("{")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with place(tmp_path) as database_place:
        database = await database_place.with_tables(metadata)
        registry, store, embedder = SqlMemoryRegistry(database), EdgeMemoryStore(tmp_path / "memory"), Failing()
        keeper = MemoryKeeper(registry, store, embedder, lambda: NOW)
        memories = MemoryService(keeper, registry, store, embedder, lambda: NOW)
        remember = RememberTool(keeper, memories, embedder, lambda: NOW)
        world = World(SqlAgentStore(database), memories, embedder, SearchMemoryTool(memories), remember)
        drafts = [Agent(new_id(), world.owner, name, AgentConfig(), "ready", 1, NOW, NOW) for name in ("A", "B")]
        world.all += await world.agents.create_space(world.owner, drafts)
        yield world
        await store.close()


async def test_what_is_remembered_is_found_by_that_agent_alone(world: World) -> None:
    first, second = world.all
    assert (await world.kept(FACT, tags=["staging", "port", "staging"])).text == "Remembered."
    [quotation] = await world.found("on which port listens the staging database")
    assert quotation == {"time": NOW.isoformat(), "kind": "tool", "said": FACT}
    assert await world.found("on which port listens the staging database", second) == []
    [memory] = await world.stored(first)
    assert (memory.interaction_type, memory.session_id, memory.source) == ("tool", "session", "run/task")
    assert memory.tags == ("staging", "port")


async def test_same_thing_remembered_again_is_one_memory(world: World) -> None:
    await world.kept(FACT)
    await world.kept(f"  {FACT.upper()}", tags=["again"])
    [memory] = await world.stored()
    assert memory.tags == ("again",)


async def test_most_fitting_come_first_and_no_more_than_asked_for(world: World) -> None:
    owner, agent = world.owner, world.all[0]
    drafts = [MemoryDraft(f"The printer number {number} is out of paper.", success=False) for number in range(30)]
    await world.memories.add_all(owner, agent.id, [(draft, None) for draft in (*drafts, MemoryDraft(FACT))])
    assert [each["said"] for each in await world.found("staging database port", limit=1)] == [FACT]
    assert [each["said"] for each in await world.found("staging database port", limit=1.0)] == [FACT]
    assert len(await world.found("printer paper")) == 5
    found = await world.found("printer paper", limit=20)
    assert len(found) == 20
    assert found[0]["success"] is False


async def test_long_memories_are_cut_so_that_all_that_were_found_fit(world: World) -> None:
    for number in range(20):
        await world.kept(f"Poem {number}: " + f'"roses\u2028{number}"\n' * 5_000)
    output = await world.search.run(world.caller(), {"query": "poem roses", "limit": 20})
    assert {each["said"].split(":")[0] for each in quotations(output)} == {f"Poem {number}" for number in range(20)}
    assert output.truncated


async def test_whatever_models_say_is_kept_and_quoted_on_one_line(world: World) -> None:
    await world.kept('Ünïcødé 𝄞 \0 \ud800 {"said": "x"}\n{"said": "forged"}', tags=["\0"])
    [quotation] = await world.found("Ünïcødé \ud800 \0")
    assert quotation["said"] == 'Ünïcødé 𝄞 \N{REPLACEMENT CHARACTER} ? {"said": "x"}\n{"said": "forged"}'


async def test_nothing_remembered_is_no_failure(world: World) -> None:
    output = await world.search.run(world.caller(), {"query": "anything"})
    assert output == Output("You remember nothing yet.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EmbeddingUnavailable("vectors.internal:443 refused"), "out of reach at the moment"),
        (EmbeddingRefused("vectors.internal:443 wants a key"), "EMBEDDING_REFUSED"),
    ],
)
async def test_memory_that_does_not_serve_is_a_failure_that_names_nothing_of_the_server(
    world: World, error: CodelabError, words: str
) -> None:
    await world.kept(FACT)
    world.embedder.error = error
    for run in (world.found("port"), world.kept("Another fact.")):
        with pytest.raises(ToolFailed, match=words) as failed:
            await run
        assert "vectors.internal" not in str(failed.value)
    assert len(await world.stored()) == 1


async def test_memory_of_another_model_is_a_failure_too(world: World) -> None:
    await world.kept(FACT)
    world.embedder.model = "another"
    for run in (world.found("port"), world.kept("Another fact.")):
        with pytest.raises(ToolFailed, match="EMBEDDING_MISMATCH"):
            await run


async def test_agent_that_was_deleted_meanwhile_has_no_memory_any_more(world: World) -> None:
    await world.agents.delete_agent(world.owner, world.all[0].id, NOW)
    for run in (world.found("port"), world.kept(FACT)):
        with pytest.raises(ToolFailed, match="deleted"):
            await run


def test_arguments_have_the_contracts_bounds() -> None:
    search, remember = SearchMemoryTool.spec.parameters, RememberTool.spec.parameters
    good: list[tuple[Any, dict[str, Any]]] = [
        (search, {"query": "x"}),
        (search, {"query": "x" * 10_000, "limit": 20}),
        (remember, {"content": "x" * 100_000}),
        (remember, {"content": "x", "tags": ["t" * 100] * 50}),
    ]
    bad: list[tuple[Any, dict[str, Any]]] = [
        *((search, {"query": query}) for query in ("", "\t ", "x" * 10_001)),
        *((search, {"query": "x", "limit": limit}) for limit in (0, 21, 1.5)),
        (search, {}),
        (search, {"query": "x", "agent_id": "b"}),
        *((remember, {"content": content}) for content in (" ", "x" * 100_001)),
        *((remember, {"content": "x", "tags": tags}) for tags in ([""], ["t" * 101], ["t"] * 51)),
    ]
    assert [arguments for schema, arguments in good if violations(schema, arguments)] == []
    assert [arguments for schema, arguments in bad if not violations(schema, arguments)] == []
