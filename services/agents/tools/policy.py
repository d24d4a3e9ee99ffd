"""What agents may do without asking, by contract: a project's policy, and what it decides of a call."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from services.agents.agent import Owner
from services.agents.tools.tool import Risk, ToolSpec

Decision = Literal["auto", "ask", "deny"]
PlanApprovalMode = Literal["never", "always", "when"]


@dataclass(frozen=True)
class ToolRule:
    """What happens when a tool is called, or any of a risk (one of both is None), by an agent, or by any (None)."""

    decision: Decision
    tool: str | None = None
    risk: Risk | None = None
    agent_id: str | None = None


@dataclass(frozen=True)
class PlanApproval:
    """Which plans wait for their user; the limits count with `when` alone."""

    mode: PlanApprovalMode = "never"
    max_tasks: int | None = None
    max_tokens: int | None = None
    risks: tuple[Risk, ...] = ()


@dataclass(frozen=True)
class ToolPolicy:
    """A project's policy; without rules, and never changed, until its owner sets one."""

    rules: tuple[ToolRule, ...] = ()
    plan_approval: PlanApproval = PlanApproval()
    updated_at: datetime | None = None

    def decide(self, tool: ToolSpec, agent_id: str | None = None) -> Decision:
        """What happens when the agent calls the tool; without an agent, what rules for all agents say."""
        fitting: Sequence[tuple[bool, bool, Decision]] = [
            (rule.tool is not None, rule.agent_id is not None, rule.decision)
            for rule in self.rules
            if rule.agent_id in (None, agent_id) and (rule.tool == tool.name or rule.risk == tool.risk)
        ]
        if not fitting:
            return "auto" if tool.risk == "read" else "ask"
        # The first of those that fit most narrowly: `max` keeps the first of several.
        return max(fitting, key=lambda each: each[:2])[2]


class ToolPolicyStore(Protocol):
    """The policies of projects. What is another user's is answered like what does not exist."""

    async def get_policy(self, owner: Owner) -> ToolPolicy:
        """Return the project's policy, without rules of agents that are gone. Raise ProjectNotFound."""

    async def set_policy(self, owner: Owner, policy: ToolPolicy, now: datetime) -> ToolPolicy:
        """Replace it and return what is stored. Raise ProjectNotFound, AgentNotFound if a rule's agent is not there."""
