"""The agent bus, by contract: who may work for an agent now, and who waits."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Place(Protocol):
    """One task's place at an agent: in the queue first, then among those that run."""

    @property
    def first(self) -> bool:
        """Whether the agent was idle until this task began to run."""

    def ahead(self) -> AsyncIterator[int]:
        """Yield how many waiting tasks are ahead, at once and whenever it changes; end when this task may run.

        Yields nothing if it may run at once.
        """

    async def leave(self) -> bool:
        """Make room for the next task. Return whether the agent is idle now; a second call changes nothing."""


class AgentBus(Protocol):
    """A queue per agent: first come, first served, and so many at once as the agent's limit permits."""

    def enter(self, agent_id: str, limit: int) -> AbstractAsyncContextManager[Place]:
        """Take a place at the agent, which runs `limit` tasks at once from now on; leave it at the end of the block.

        Raise AgentQueueFull if no more may wait.
        """

    async def resize(self, agent_id: str, limit: int) -> None:
        """Let so many tasks of the agent run at once from now on. Those that run go on."""

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """Return those of the agents that run at least one task."""
