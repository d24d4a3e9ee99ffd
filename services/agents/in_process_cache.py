"""The cache of agents in this process's memory: right for one replica."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from services.agents.agent import Agent, AgentStatus
from services.agents.cache import CONFIG_SECONDS, STATUS_SECONDS

MOST_ENTRIES = 10_000

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Entry(Generic[Value]):
    value: Value
    expires: float


class _Expiring(Generic[Value]):
    """Values that are kept for a time, the last used ones where there are too many."""

    def __init__(self, seconds: float, most: int, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._now = now
        self._entries: OrderedDict[str, _Entry[Value]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._now():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: str, value: Value) -> None:
        self._entries[key] = _Entry(value, self._now() + self._seconds)
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


@dataclass(frozen=True)
class _Deleted:
    """Stands where an agent was."""


class InProcessAgentCache:
    """See AgentCache. `now` counts seconds."""

    def __init__(self, most: int = MOST_ENTRIES, now: Callable[[], float] = monotonic) -> None:
        self._agents: _Expiring[Agent | _Deleted] = _Expiring(CONFIG_SECONDS, most, now)
        self._statuses: _Expiring[tuple[int, AgentStatus]] = _Expiring(STATUS_SECONDS, most, now)

    async def get(self, agent_id: str) -> Agent | None:
        """See AgentCache."""
        kept = self._agents.get(agent_id)
        return kept if isinstance(kept, Agent) else None

    async def put(self, agent: Agent) -> None:
        """See AgentCache."""
        kept = self._agents.get(agent.id)
        if kept is None or (isinstance(kept, Agent) and kept.revision <= agent.revision):
            self._agents.put(agent.id, agent)

    async def forget(self, agent_id: str) -> None:
        """See AgentCache."""
        self._agents.put(agent_id, _Deleted())

    async def set_status(self, agent: Agent, status: AgentStatus) -> None:
        """See AgentCache."""
        self._statuses.put(agent.id, (agent.revision, status))

    async def statuses(self, agents: Mapping[str, int]) -> Mapping[str, AgentStatus]:
        """See AgentCache."""
        kept = {agent_id: self._statuses.get(agent_id) for agent_id in agents}
        return {
            agent_id: each[1] for agent_id, each in kept.items() if each is not None and each[0] == agents[agent_id]
        }
