"""What is kept at hand of agents, by contract, so that not every look at one asks the database."""

from collections.abc import Mapping
from typing import Protocol

from services.agents.agent import Agent, AgentStatus

CONFIG_SECONDS = 3600.0
STATUS_SECONDS = 600.0


class AgentCache(Protocol):
    """Agents for an hour, and how their last task left them for ten minutes. Everything may be forgotten at any time.

    An agent is never replaced by an older revision of itself, and one that was deleted is not kept again: whoever read
    the database before an update or a deletion may come after it.
    """

    async def get(self, agent_id: str) -> Agent | None:
        """Return the agent if it is kept. The caller checks whose it is."""

    async def put(self, agent: Agent) -> None:
        """Keep the agent."""

    async def forget(self, agent_id: str) -> None:
        """The agent is deleted."""

    async def set_status(self, agent: Agent, status: AgentStatus) -> None:
        """Keep how a task left this revision of the agent."""

    async def statuses(self, agents: Mapping[str, int]) -> Mapping[str, AgentStatus]:
        """Return what is kept of the agents, by id, which have these revisions: a change of config makes it void."""
