"""What owners do with the tools of a project: see what its agents can do, and say what of it needs approval."""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from services.agents.agent import Owner
from services.agents.errors import InvalidToolPolicy
from services.agents.store import AgentStore
from services.agents.tools.policy import Decision, ToolPolicy, ToolPolicyStore
from services.agents.tools.tool import ToolSpec
from services.agents.tools.toolbox import Toolbox
from services.runtime.ids import Clock
from services.runtime.validation import MAX_VIOLATIONS

log = structlog.get_logger()

Violation = tuple[str, str]


@dataclass(frozen=True)
class OfferedTool:
    """A tool, what happens when it is called, and why it cannot be used on this server, if it cannot."""

    spec: ToolSpec
    decision: Decision
    unavailable: str | None


class ToolService:
    """The use cases. A project, or an agent, of somebody else is answered like one that does not exist."""

    def __init__(self, toolbox: Toolbox, policies: ToolPolicyStore, agents: AgentStore, clock: Clock) -> None:
        self._toolbox = toolbox
        self._policies = policies
        self._agents = agents
        self._clock = clock

    async def list(self, owner: Owner, agent_id: str | None) -> tuple[OfferedTool, ...]:
        """Every tool by name, with what the policy decides for this agent, or where no rule for a single one does.

        Raise ProjectNotFound, AgentNotFound.
        """
        policy = await self._policies.get_policy(owner)
        if agent_id is not None:
            await self._agents.get_agent(owner, agent_id)
        return tuple(
            OfferedTool(spec, policy.decide(spec, agent_id), self._toolbox.unavailable(spec.name))
            for spec in self._toolbox.specs
        )

    async def get_policy(self, owner: Owner) -> ToolPolicy:
        """Return the project's policy. Raise ProjectNotFound."""
        return await self._policies.get_policy(owner)

    async def set_policy(self, owner: Owner, policy: ToolPolicy) -> ToolPolicy:
        """Replace the project's policy and return it. Raise ProjectNotFound, AgentNotFound, InvalidToolPolicy."""
        wrong = [*self._wrong_rules(policy), *_wrong_approval(policy)]
        if wrong:
            raise InvalidToolPolicy(*wrong[:MAX_VIOLATIONS])
        stored = await self._policies.set_policy(owner, policy, self._clock())
        log.info("tool policy set", project_id=owner.project_id, rules=len(stored.rules))
        return stored

    def _wrong_rules(self, policy: ToolPolicy) -> Iterator[Violation]:
        seen: dict[tuple[str | None, ...], int] = {}
        for place, rule in enumerate(policy.rules):
            path = f"policy.rules[{place}]"
            if (rule.tool is None) == (rule.risk is None):
                yield path, "must have either `tool` or `risk`" + ("" if rule.tool is None else ", not both")
                continue
            if rule.tool is not None:
                yield from ((f"{path}.tool", sentence) for _, sentence in self._toolbox.unknown([rule.tool]))
            first = seen.setdefault((rule.agent_id, rule.tool, rule.risk), place)
            if first != place:
                yield path, f"is for the same calls as rules[{first}]"


def _wrong_approval(policy: ToolPolicy) -> Iterator[Violation]:
    approval = policy.plan_approval
    unlimited = approval.max_tasks is None and approval.max_tokens is None and not approval.risks
    if approval.mode == "when" and unlimited:
        yield "policy.plan_approval", "needs `max_tasks`, `max_tokens` or `risks` with mode `when`"
