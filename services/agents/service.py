"""Worker spaces and agents: what their owners and the projects service do with them."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import structlog

from services.agents.agent import Agent, AgentDraft, Owner
from services.agents.bus import AgentBus, Limits
from services.agents.cache import AgentCache
from services.agents.errors import UnknownTool
from services.agents.execution import Executions
from services.agents.memory.keeper import MemoryKeeper
from services.agents.starter_pack import STARTER_PACK
from services.agents.store import AgentStore
from services.agents.tools.toolbox import Toolbox
from services.agents.workspaces.workspaces import Workspaces
from services.runtime import pages
from services.runtime.errors import InvalidArgument
from services.runtime.idempotency import RequestKey
from services.runtime.ids import Clock, NewId, is_uuid
from services.runtime.validation import MAX_VIOLATIONS

log = structlog.get_logger()


@dataclass(frozen=True)
class AgentList:
    """A page of agents, newest first; the token is empty on the last page."""

    agents: tuple[Agent, ...]
    total: int
    next_page_token: str


class AgentService:
    """The use cases. Agents are returned with the status they have at the moment."""

    def __init__(
        self,
        store: AgentStore,
        cache: AgentCache,
        bus: AgentBus,
        executions: Executions,
        memories: MemoryKeeper,
        toolbox: Toolbox,
        workspaces: Workspaces,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._cache = cache
        self._bus = bus
        self._memories = memories
        self._workspaces = workspaces
        self._executions = executions
        self._toolbox = toolbox
        self._clock = clock
        self._new_id = new_id

    async def create_space(self, owner: Owner) -> tuple[Agent, ...]:
        """Make the project's worker space with the starter pack, unless it is there; return its agents.

        Raise ProjectDeleted, ProjectNotFound.
        """
        now = self._clock()
        # A microsecond apart, so that lists show them in the pack's order.
        pack = [
            self._new(owner, draft, now - timedelta(microseconds=place)) for place, draft in enumerate(STARTER_PACK)
        ]
        agents = await self._store.create_space(owner, pack)
        for agent in agents:
            await self._cache.put(agent)
        log.info("worker space is there", project_id=owner.project_id, agents=len(agents))
        return await self._live(agents)

    async def delete_space(self, owner: Owner) -> None:
        """Remove the project's worker space for good, with what its agents remember and its files; stop what they do.

        Raise WorkspaceUnavailable.
        """
        for agent_id in await self._store.delete_space(owner, self._clock()):
            await self._cache.forget(agent_id)
        self._executions.stop_project(owner)
        await self._memories.drop_deleted(owner)
        await self._workspaces.remove(owner)
        log.info("worker space deleted", project_id=owner.project_id)

    async def create(self, owner: Owner, draft: AgentDraft, request_id: str | None) -> Agent:
        """Make an agent. Raise ProjectNotFound, AgentNameTaken, InvalidArgument, UnknownTool, RequestIdReused."""
        _refuse_uuid(draft.name)
        self._refuse_unknown(draft.config.tools)
        draft = _with_each_tool_once(draft)
        key = RequestKey.of("agents.create", request_id, owner.project_id, asdict(draft))
        agent = await self._store.create_agent(self._new(owner, draft, self._clock()), key)
        return (await self._live((agent,)))[0]

    async def list(self, owner: Owner, page_size: int, page_token: str) -> AgentList:
        """Return a page of the project's agents. Raise ProjectNotFound, InvalidPageToken."""
        query = ("agents", owner.user_id, owner.project_id)
        position = pages.decode_token(page_token, *query, types=(datetime, str))
        after = None if position is None else (position[0], position[1])
        page = await self._store.list_agents(owner, pages.page_size(page_size), after)
        token = ""
        if page.more:
            last = page.agents[-1]
            token = pages.encode_token([last.created_at, last.id], *query)
        return AgentList(await self._live(page.agents), page.total, token)

    async def get(self, owner: Owner, agent_id: str) -> Agent:
        """Return the agent. Raise AgentNotFound."""
        agent = await self._cache.get(agent_id)
        if agent is None or agent.owner != owner:
            agent = await self._store.get_agent(owner, agent_id)
            await self._cache.put(agent)
        return (await self._live((agent,)))[0]

    async def resolve(self, owner: Owner, target: str) -> Agent:
        """Return the agent that a target means: by id if it is UUID-shaped, else by name. Raise AgentNotFound."""
        if is_uuid(target):
            return await self.get(owner, target)
        return (await self._live((await self._store.find_agent(owner, target),)))[0]

    async def update(self, owner: Owner, agent_id: str, wanted: AgentDraft, paths: frozenset[str]) -> Agent:
        """Give the agent the values of `wanted` at these dotted paths; without paths nothing changes.

        Names of tools that the agent has already may stay, also where no tool has them any more. Raise AgentNotFound,
        AgentNameTaken, InvalidArgument, UnknownTool.
        """
        if not paths:
            return await self.get(owner, agent_id)
        if "name" in paths:
            _refuse_uuid(wanted.name)
        if paths & {"config", "config.tools"} and self._toolbox.unknown(wanted.config.tools):
            before = await self._store.get_agent(owner, agent_id)
            self._refuse_unknown(wanted.config.tools, before.config.tools)
        wanted = _with_each_tool_once(wanted)
        agent = await self._store.update_agent(owner, agent_id, wanted, paths, self._clock())
        await self._cache.put(agent)
        await self._bus.resize(agent.id, Limits.of(agent.config))
        return (await self._live((agent,)))[0]

    async def delete(self, owner: Owner, agent_id: str) -> None:
        """Remove the agent with what it remembers, and stop what it does. Raise AgentNotFound."""
        await self._store.delete_agent(owner, agent_id, self._clock())
        await self._cache.forget(agent_id)
        self._executions.stop_agent(owner, agent_id)
        await self._memories.drop_deleted(owner)

    def _refuse_unknown(self, names: tuple[str, ...], permitted: tuple[str, ...] = ()) -> None:
        unknown = [(place, wrong) for place, wrong in self._toolbox.unknown(names) if names[place] not in permitted]
        if unknown:
            raise UnknownTool(*((f"agent.config.tools[{place}]", wrong) for place, wrong in unknown[:MAX_VIOLATIONS]))

    def _new(self, owner: Owner, draft: AgentDraft, now: datetime) -> Agent:
        return Agent(
            id=self._new_id(),
            owner=owner,
            name=draft.name,
            config=draft.config,
            status="ready",
            revision=1,
            created_at=now,
            updated_at=now,
        )

    async def _live(self, agents: tuple[Agent, ...]) -> tuple[Agent, ...]:
        busy = await self._bus.busy([agent.id for agent in agents])
        left = await self._cache.statuses({agent.id: agent.revision for agent in agents})
        return tuple(
            replace(agent, status="busy" if agent.id in busy else left.get(agent.id, agent.status)) for agent in agents
        )


def _with_each_tool_once(draft: AgentDraft) -> AgentDraft:
    return replace(draft, config=replace(draft.config, tools=tuple(dict.fromkeys(draft.config.tools))))


def _refuse_uuid(name: str) -> None:
    # A target that looks like one is an id: an agent of that name could never be addressed.
    if is_uuid(name):
        raise InvalidArgument(("agent.name", "must not look like a UUID"))
