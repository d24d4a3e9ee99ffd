"""The journal of what agents did outside, by contract: what may have happened is never done again unknowingly."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.agents.agent import Owner
from services.agents.store import Claim


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool with side effects.

    `id` is the call's own among all that are made for its task, whichever the attempt: models repeat the ids that they
    invent. At most 100 characters, like the tool's name.
    """

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a call ended."""

    success: bool
    output: str


@dataclass(frozen=True)
class Effect:
    """A call that was recorded before it started. Without an outcome, nobody knows whether it happened."""

    call: ToolCall
    begun_by: Claim
    started_at: datetime
    outcome: Outcome | None = None
    finished_at: datetime | None = None


class EffectJournal(Protocol):
    """What the calls of each task are known to have done. Each method is one transaction.

    Effects live as long as the claim of their task, which beginning one renews, and go with it and with their project.
    """

    async def begin(self, owner: Owner, agent_id: str, claim: Claim, call: ToolCall, now: datetime) -> Effect | None:
        """Record the call, which starts when this has returned None.

        Return what is recorded if it was begun before: then it must not start. Nor may it if this raises, also
        DatabaseUnavailable: nobody knows what is recorded then. Raise ExecutionSuperseded unless the attempt still has
        the task, AgentNotFound if the agent is gone. Once a later attempt has claimed the task, no earlier one begins.
        """

    async def finish(self, owner: Owner, claim: Claim, call_id: str, outcome: Outcome, now: datetime) -> Effect:
        """Record how a call ended that this attempt began, and return what is recorded: the first outcome stays.

        An attempt that was superseded may do so too: what its call did has happened, and the sooner that is known, the
        fewer are told that it is not. Raise EffectNotFound if this attempt has begun no such call, or its project or
        the claim of its task is gone.
        """

    async def list_effects(self, owner: Owner, run_id: str, task_id: str) -> tuple[Effect, ...]:
        """Return what was begun for the task, in the order in which it was."""
