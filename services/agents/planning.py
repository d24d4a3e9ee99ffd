"""Thinking about a project's agents as a whole: who should do what, and what their results come to."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.agents.agent import AgentConfig, Owner
from services.agents.answering import answering
from services.agents.combining_prompt import FailedPart, combining_prompt
from services.agents.errors import NoAgents, ProjectNotFound
from services.agents.events import AnswerEvent, Completed
from services.agents.memory.embedding.expecting import ExpectingEmbedder
from services.agents.models import CallsWanted, Message, Model, ModelRequest, Throttled, Usage
from services.agents.planning_prompt import PLAN_FORMAT, Rejected, instructions_in, planning_prompt
from services.agents.quoting import TaskInput
from services.agents.ranking import Candidate, Ranking
from services.agents.store import AgentPosition, AgentStore
from services.agents.tools.policy import PlanApproval, ToolPolicy, ToolPolicyStore
from services.agents.tools.tool import RISKS
from services.agents.tools.toolbox import Toolbox
from services.runtime.pages import MAX_PAGE_SIZE

MOST_OFFERED = 20
"""Agents that a planner is told about: their descriptions are a page or two."""
MOST_CONSIDERED = 1_000
"""Agents of a project that are ranked, the newest ones: each is embedded once."""
# Of an answer, as agents have it by default: some models refuse to be permitted more.
_MOST_TOKENS = AgentConfig().max_tokens
_PLAN_TEMPERATURE = 0.0
# As the agents of the starter pack have it that must not invent.
_COMBINING_TEMPERATURE = 0.2


@dataclass(frozen=True)
class Proposal:
    """What the model answered when it was asked for a plan, the agents it could choose from, and what that cost.

    `approval` says whether it waits for its user, if it is a plan.
    """

    text: str
    agents: tuple[Candidate, ...]
    usage: Usage
    approval: PlanApproval


@dataclass(frozen=True)
class Choice:
    """The agent that fits a request best. `approval` says whether a plan that is it alone waits for its user."""

    agent: Candidate
    approval: PlanApproval


class Planning:
    """The use cases. They pass no agent's queue and touch no agent's memory: the platform's model thinks."""

    def __init__(
        self,
        store: AgentStore,
        policies: ToolPolicyStore,
        toolbox: Toolbox,
        ranking: Ranking,
        model: Model,
        embedder: ExpectingEmbedder,
    ) -> None:
        self._store = store
        self._policies = policies
        self._toolbox = toolbox
        self._ranking = ranking
        self._model = model
        self._embedder = embedder

    async def propose(
        self, owner: Owner, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        """Ask the model for a plan; what it answers may be none. Raise NoAgents, or what the model raises."""
        agents = await self._agents(owner)
        # Before the model is paid for a plan: without the policy there is none.
        policy = await self._policy(owner)
        if len(agents) > MOST_OFFERED:
            agents = (await self._ranking.ranked(request, agents))[:MOST_OFFERED]
        asked = ModelRequest(
            planning_prompt(request, agents, history, max_tasks, rejected),
            model="",
            temperature=_PLAN_TEMPERATURE,
            max_tokens=_MOST_TOKENS,
            asked=request,
            purpose="plan",
            answer_format=PLAN_FORMAT,
        )
        completed = Completed("", Usage())
        async with aclosing(answering(self._model, asked)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    completed = event
        # If it becomes the plan, each agent looks for its instruction in its memory first of all.
        self._embedder.expect(instructions_in(completed.output)[:max_tasks])
        offered = tuple(self._with_risks(agent, policy) for agent in agents)
        return Proposal(completed.output, offered, completed.usage, policy.plan_approval)

    async def choose(self, owner: Owner, request: str) -> Choice:
        """Return the agent that fits the request best. Raise NoAgents."""
        agents, policy = await self._agents(owner), await self._policy(owner)
        [best, *_] = await self._ranking.ranked(request, agents)
        return Choice(self._with_risks(best, policy), policy.plan_approval)

    async def combine(
        self, request: str, history: Sequence[Message], results: Sequence[TaskInput], failed: Sequence[FailedPart]
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield how the model makes one answer of the results, Completed last. Closing the iterator ends its work.

        Raise what the model raises.
        """
        asked = ModelRequest(
            combining_prompt(request, history, results, failed),
            model="",
            temperature=_COMBINING_TEMPERATURE,
            max_tokens=_MOST_TOKENS,
            asked=request,
            purpose="combination",
        )
        async with aclosing(answering(self._model, asked)) as events:
            async for event in events:
                # No agent's limit is concerned, and the call was repeated or fails. No tools are offered.
                if not isinstance(event, Throttled | CallsWanted):
                    yield event

    def _with_risks(self, agent: Candidate, policy: ToolPolicy) -> Candidate:
        """The agent with the risks of the tools that it may use, asking or not."""
        usable = [name for name in agent.tools if self._toolbox.unavailable(name) is None]
        specs = [spec for name in usable if (spec := self._toolbox.spec(name)) is not None]
        risks = {spec.risk for spec in specs if policy.decide(spec, agent.id) != "deny"}
        return replace(agent, risks=tuple(risk for risk in RISKS if risk in risks))

    async def _policy(self, owner: Owner) -> ToolPolicy:
        """The project's policy. Raise NoAgents if the project has gone meanwhile."""
        try:
            return await self._policies.get_policy(owner)
        except ProjectNotFound:
            raise NoAgents from None

    async def _agents(self, owner: Owner) -> list[Candidate]:
        """The project's agents, newest first. Raise NoAgents, also if there is no such project of this user."""
        agents: list[Candidate] = []
        after: AgentPosition | None = None
        more = True
        try:
            while more and len(agents) < MOST_CONSIDERED:
                page = await self._store.list_agents(owner, MAX_PAGE_SIZE, after)
                if not page.agents:
                    break
                agents += map(Candidate.of, page.agents)
                after, more = (page.agents[-1].created_at, page.agents[-1].id), page.more
        except ProjectNotFound:
            raise NoAgents from None
        if not agents:
            raise NoAgents
        return agents
