"""The cache of agents: what it keeps, for how long, and what it never takes back."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.cache import CONFIG_SECONDS, STATUS_SECONDS, AgentCache
from services.agents.in_process_cache import InProcessAgentCache
from services.runtime.ids import new_id

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Watch:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def cache(watch: Watch) -> AgentCache:
    return InProcessAgentCache(most=3, now=watch)


def an_agent(revision: int = 1) -> Agent:
    return Agent(new_id(), Owner("u", "p"), "Helper", AgentConfig(), "ready", revision, NOW, NOW)


async def test_agent_is_kept_for_an_hour(cache: AgentCache, watch: Watch) -> None:
    agent = an_agent()
    assert await cache.get(agent.id) is None
    await cache.put(agent)
    watch.seconds = CONFIG_SECONDS - 1
    assert await cache.get(agent.id) == agent
    watch.seconds = CONFIG_SECONDS
    assert await cache.get(agent.id) is None


async def test_older_revision_that_comes_late_changes_nothing(cache: AgentCache) -> None:
    old = an_agent()
    new = replace(old, revision=2, name="Renamed")
    await cache.put(new)
    await cache.put(old)
    assert await cache.get(old.id) == new


async def test_deleted_agent_that_was_read_before_is_not_kept_again(cache: AgentCache) -> None:
    agent = an_agent()
    await cache.forget(agent.id)
    await cache.put(agent)
    assert await cache.get(agent.id) is None


async def test_status_holds_for_ten_minutes_and_for_its_revision_alone(cache: AgentCache, watch: Watch) -> None:
    agent = an_agent()
    await cache.set_status(agent, "error")
    assert await cache.statuses({agent.id: 1, new_id(): 1}) == {agent.id: "error"}
    assert await cache.statuses({agent.id: 2}) == {}
    watch.seconds = STATUS_SECONDS
    assert await cache.statuses({agent.id: 1}) == {}


async def test_what_was_not_used_for_longest_makes_room(cache: AgentCache) -> None:
    first, second, third, fourth = (an_agent() for _ in range(4))
    for each in (first, second, third):
        await cache.put(each)
    assert await cache.get(first.id) == first
    await cache.put(fourth)
    assert await cache.get(second.id) is None
    assert await cache.get(first.id) == first
