"""Which agents fit a request best, by the meaning of what they are told to be."""

import asyncio
import math
import operator
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from services.agents.agent import Agent
from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.model import Vector
from services.agents.quoting import beginning
from services.agents.tools.tool import Risk

log = structlog.get_logger()

LONGEST_ABOUT = 600
"""Code points of its system prompt that others see of an agent: people say first what it is."""
# Of them, what is embedded: with the bundled model the starter pack is told apart no better by more, and a hundred
# agents that are met for the first time take seconds.
_LONGEST_DESCRIPTION = 400
_DESCRIPTIONS_KEPT = 2_000
# Embedded in parts, so that what was made before time was up is there the next time.
_BATCH = 32
# Whoever waits for an answer does not wait longer to have it from a better agent.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Candidate:
    """An agent that a task may be given to: as much of it as that takes."""

    id: str
    name: str
    about: str
    """The beginning of its system prompt."""
    tools: tuple[str, ...] = ()
    """Names, as its config has them: not every one is there, or permitted."""
    max_tokens: int = 0
    """Most tokens of one answer of it."""
    risks: tuple[Risk, ...] = ()
    """Of the tools that it may use; known of those that are proposed."""

    @classmethod
    def of(cls, agent: Agent) -> Self:
        """The agent as a candidate."""
        config = agent.config
        about = beginning(config.system_prompt, LONGEST_ABOUT)
        return cls(agent.id, agent.name, about, config.tools, config.max_tokens)


class Ranking:
    """Ranks agents. Vectors of their descriptions are kept, the latest used of them."""

    def __init__(self, embedder: Embedder, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._embedder = embedder
        self._patience_seconds = patience_seconds
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    async def ranked(self, request: str, agents: Sequence[Candidate]) -> list[Candidate]:
        """The agents, those that fit the request best first. Without embeddings, by name."""
        by_name = sorted(agents, key=lambda agent: agent.name)
        if len(by_name) < 2:
            return by_name
        try:
            async with asyncio.timeout(self._patience_seconds):
                scores = await self._scores(request, by_name)
        except TimeoutError:
            reason = EmbeddingUnavailable.reason
        except (EmbeddingUnavailable, EmbeddingRefused) as error:
            reason = error.reason
        else:
            # Equal ones stay in the order of their names.
            return sorted(by_name, key=lambda agent: -scores[agent.id])
        log.warning("agents ranked by name", reason=reason, agents=len(by_name))
        return by_name

    async def _scores(self, request: str, agents: Sequence[Candidate]) -> dict[str, float]:
        """The cosine of each agent's description and the request, by agent id."""
        [asked] = await self._embedder.embed([request])
        described = {agent.id: f"{agent.name}: {agent.about[:_LONGEST_DESCRIPTION]}" for agent in agents}
        known = await self._embedded(list(dict.fromkeys(described.values())))
        cosines = {text: _cosine(asked, vector) for text, vector in known.items()}
        return {agent_id: cosines[text] for agent_id, text in described.items()}

    async def _embedded(self, texts: Sequence[str]) -> dict[str, Vector]:
        found = {text: self._vectors[text] for text in texts if text in self._vectors}
        missing = [text for text in texts if text not in found]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            made = await self._embedder.embed(batch)
            for text, vector in zip(batch, made, strict=True):
                # An eighth of what a list of floats takes.
                found[text] = self._vectors[text] = array("f", vector)
        for text in texts:
            if text in self._vectors:
                self._vectors.move_to_end(text)
        while len(self._vectors) > _DESCRIPTIONS_KEPT:
            self._vectors.popitem(last=False)
        return found


def _cosine(one: Vector, other: Vector) -> float:
    product: float = sum(map(operator.mul, one, other))
    return product / (math.hypot(*one) * math.hypot(*other))
