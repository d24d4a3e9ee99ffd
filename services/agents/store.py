"""What the service needs of its database: worker spaces, agents and who executes which task, by contract."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.agents.agent import Agent, AgentDraft, Owner
from services.runtime.idempotency import RequestKey

AgentPosition = tuple[datetime, str]
"""Where a page ends: `created_at` and id of its last agent."""


@dataclass(frozen=True)
class AgentPage:
    """Agents newest first; `more` says whether others follow, `total` how many the project has."""

    agents: tuple[Agent, ...]
    total: int
    more: bool


@dataclass(frozen=True)
class Claim:
    """One attempt at a task of a run. Of two attempts the one with the higher (run_epoch, attempt) wins."""

    run_id: str
    task_id: str
    run_epoch: int
    attempt: int

    @property
    def task(self) -> tuple[str, str]:
        """What is executed, whichever the attempt."""
        return (self.run_id, self.task_id)

    @property
    def rank(self) -> tuple[int, int]:
        """What attempts at one task are compared by."""
        return (self.run_epoch, self.attempt)

    @property
    def first(self) -> bool:
        """Whether no attempt can have come before."""
        return self.rank <= (1, 1)


class AgentStore(Protocol):
    """Worker spaces and their agents. Each method is one transaction.

    What belongs to another user, or to another project of the same user, is answered like what does not exist. Whatever
    creates something locks the project's worker space first, so that nothing is created in one that is being deleted.
    """

    async def create_space(self, owner: Owner, agents: Sequence[Agent]) -> tuple[Agent, ...]:
        """Make the project's worker space with these agents and return its agents, newest first.

        If it is there, also when another call makes it at the same time, nothing changes and its agents are returned.
        Raise ProjectDeleted if the user deleted it before, ProjectNotFound if another user has the project.
        """

    async def delete_space(self, owner: Owner, now: datetime) -> tuple[str, ...]:
        """Remove the user's worker space with everything in it, and remember for good that it was deleted.

        Return the ids of the agents that went with it.

        What its agents remember is registered as dropped with it (see MemoryRegistry).

        Also what was never made is deleted: a creation that comes later fails. Another user's space of the same id is
        neither touched nor hindered.
        """

    async def create_agent(self, agent: Agent, key: RequestKey | None) -> Agent:
        """Add the agent and return it; return what was made before if `key` is known.

        Raise ProjectNotFound if there is no worker space, AgentNameTaken if the name is not free, RequestIdReused if
        the key stands for other content, AgentNotFound if for an agent that was deleted since.
        """

    async def list_agents(self, owner: Owner, size: int, after: AgentPosition | None) -> AgentPage:
        """Return the page after this position. Equal times are ordered by id. Raise ProjectNotFound."""

    async def get_agent(self, owner: Owner, agent_id: str) -> Agent:
        """Return the agent. Raise AgentNotFound."""

    async def find_agent(self, owner: Owner, name: str) -> Agent:
        """Return the agent with exactly this name. Raise AgentNotFound."""

    async def update_agent(
        self, owner: Owner, agent_id: str, wanted: AgentDraft, paths: frozenset[str], now: datetime
    ) -> Agent:
        """Give the agent the values of `wanted` at these paths and return it, its revision one higher.

        Concurrent updates follow each other: none undoes what another changed at other paths. Raise AgentNotFound, or
        AgentNameTaken if the new name is not free.
        """

    async def delete_agent(self, owner: Owner, agent_id: str, now: datetime) -> None:
        """Remove the agent; what it remembers is registered as dropped. Raise AgentNotFound."""

    async def claim(self, owner: Owner, agent_id: str, claim: Claim, now: datetime) -> Agent:
        """Let this attempt have the task, and return its agent.

        Raise ExecutionSuperseded if the same or a later attempt had it before, AgentNotFound.
        """

    async def reclaim(self, owner: Owner, agent_id: str, claim: Claim) -> Agent:
        """Return the agent as it is now, for the attempt that has the task.

        Raise ExecutionSuperseded if a later attempt has it now, or none any more, AgentNotFound.
        """

    async def forget_claims(self, before: datetime) -> None:
        """Forget claims made before this time, of every user, and what was done under them (see EffectJournal).

        Housekeeping, which returns nobody's data.
        """
