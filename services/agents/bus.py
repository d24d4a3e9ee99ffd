"""The agent bus, by contract: who may work for an agent now, and who waits."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, Self

from services.agents.agent import AgentConfig

QUEUE_CAPACITY = 100
"""Tasks that may wait for one agent."""


@dataclass(frozen=True)
class Limits:
    """How many tasks an agent runs at once: `burst` while its model refuses nothing for load, else `concurrency`."""

    concurrency: int
    burst: int | None = None

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Those of an agent with this config."""
        return cls(config.concurrency_limit, config.burst_limit)

    @property
    def highest(self) -> int:
        """The limit while nothing is refused. A burst below the concurrency is none."""
        return max(self.concurrency, self.burst or 0)


class Place(Protocol):
    """One task's place at an agent: in the queue first, then among those that run."""

    @property
    def first(self) -> bool:
        """Whether the agent was idle until this task began to run."""

    def ahead(self) -> AsyncIterator[int]:
        """Yield how many waiting tasks are ahead, at once and whenever it changes; end when this task may run.

        Yields nothing if it may run at once.
        """

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call it once if the slot of the running task is lost to others, at once if it is already.

        Whoever keeps the slots heard nothing of this process for so long that it gave the slot away: the task must end,
        or more would run than may. A place that waits is never lost, nor one in process.
        """

    async def leave(self) -> bool:
        """Make room for the next task. Return whether the agent is idle now; a second call changes nothing.

        Never raises because the keeper of the slots is out of reach: the slot becomes free by itself then, and whether
        the agent is idle is told as far as this process knows.
        """


class AgentBus(Protocol):
    """A queue per agent: first come, first served, and so many at once as the agent's limits permit.

    A bus that many processes share answers for all of them, unless it says otherwise.
    """

    def enter(self, agent_id: str, limits: Limits) -> AbstractAsyncContextManager[Place]:
        """Take a place at the agent, which has these limits from now on; leave it at the end of the block.

        Raise AgentQueueFull if no more may wait, AgentQueueUnavailable if the keeper of the slots is out of reach.
        """

    async def resize(self, agent_id: str, limits: Limits) -> None:
        """Let so many tasks of the agent run at once from now on. Those that run go on.

        A keeper out of reach learns it from the next task that enters.
        """

    async def throttle(self, agent_id: str, seconds: float) -> None:
        """The model refused for load: let no more than `concurrency` run at once for so long. Those that run go on.

        Then the burst opens again, for those that wait too. Of several such times the one that ends last counts.
        Nothing happens while the keeper of the slots is out of reach.
        """

    async def busy(self, agent_ids: Iterable[str]) -> set[str]:
        """Return those of the agents that run at least one task, as far as can be known at the moment."""
