"""Which agents fit a request best."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.agents import ranking
from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.memory.embedding.hashing import HashingEmbedder
from services.agents.memory.model import Vector
from services.agents.ranking import Candidate, Ranking

COOK = Candidate("1", "Zed", "You cook soup and bread.")
TAILOR = Candidate("2", "Ann", "You sew shirts and trousers.")
TWINS = [Candidate(f"twin-{number}", name, "You dig.") for number, name in enumerate(("Twin B", "Twin A"))]


class Embedder(HashingEmbedder):
    """Takes down what it embeds, and never answers if it is stuck."""

    stuck = False

    def __init__(self) -> None:
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        self.embedded += texts
        return await super().embed(texts)


async def names(ranked: Ranking, request: str, agents: Sequence[Candidate]) -> list[str]:
    return [each.name for each in await ranked.ranked(request, agents)]


async def test_agents_are_ranked_by_what_they_are_and_equal_ones_by_name() -> None:
    ranked = Ranking(Embedder())
    assert await names(ranked, "Bread and soup, please", [TAILOR, COOK]) == ["Zed", "Ann"]
    assert await names(ranked, "Trousers and shirts, please", [COOK, TAILOR]) == ["Ann", "Zed"]
    assert await names(ranked, "Nothing of this", TWINS) == ["Twin A", "Twin B"]


async def test_agents_are_ranked_by_name_when_embeddings_take_too_long() -> None:
    embedder = Embedder()
    embedder.stuck = True
    assert await names(Ranking(embedder, 0.01), "Bread and soup", [COOK, TAILOR]) == ["Ann", "Zed"]


async def test_descriptions_are_embedded_once_and_those_not_used_for_long_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "_DESCRIPTIONS_KEPT", 3)
    embedder = Embedder()
    ranked = Ranking(embedder)
    for agents in ([COOK, TAILOR], [COOK, TAILOR], [COOK, *TWINS], [COOK, TWINS[0]], [COOK, TAILOR]):
        await ranked.ranked("?", agents)
    described = [text.partition(":")[0] for text in embedder.embedded if text != "?"]
    assert described == ["Ann", "Zed", "Twin A", "Twin B", "Ann"]


def test_candidate_is_the_beginning_of_its_agent() -> None:
    config, now = AgentConfig(system_prompt="x" * 100_000), datetime(2026, 1, 2, tzinfo=UTC)
    agent = Agent("id", Owner("user", "project"), "Ann", config, "ready", 1, now, now)
    assert Candidate.of(agent) == Candidate("id", "Ann", "x" * 600 + "…", max_tokens=4096)


async def test_one_agent_is_the_best_without_being_embedded() -> None:
    embedder = Embedder()
    assert await names(Ranking(embedder), "Soup", [COOK]) == ["Zed"]
    assert embedder.embedded == []
