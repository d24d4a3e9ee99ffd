"""What two users do with their agents."""

import uuid

from tests.e2e.doors import Door
from tests.e2e.lives import (
    ELSEWHERE,
    OWNER,
    STRANGER,
    Life,
    agent_configs,
    approaches,
    doors,
    names,
    page_sizes,
    picks,
    step,
)
from tests.e2e.truth import DEFAULT_CONFIG, Agent, Json, Keyed, Project, agent_body, patched, updated


class AgentRules(Life):
    """An agent's name is its own within its project; what a config does not say is the default."""

    @step(project=picks, by=approaches, door=doors, name=names, config=agent_configs)
    def create_agent(self, project: Project, by: str, door: Door, name: str, config: Json) -> None:
        values = {"agent": {"name": name, "config": config}, "request_id": str(uuid.uuid4())}
        if by != OWNER or project.deleted:
            self.reach(project, STRANGER if by == ELSEWHERE else by, door, "CreateAgent", **values)
            return
        answer = self.ask(project.owner, door, "CreateAgent", **project.named, **values)
        if project.agent_named(name) is not None:
            assert (answer.code, answer.reason) == ("ALREADY_EXISTS", "AGENT_NAME_TAKEN")
            return
        body = agent_body(answer.made)
        expected = {"name": name, "config": patched(DEFAULT_CONFIG, config), "updated_at": body["created_at"]}
        assert body == {**body, **expected, "project_id": project.id}
        agent = Agent(project, body)
        project.agents.append(agent)
        self.keyed.append(Keyed("CreateAgent", project.owner, {**project.named, **values}, agent))

    @step(agent=picks, by=approaches, door=doors)
    def get_agent(self, agent: Agent, by: str, door: Door) -> None:
        found = self.reach(agent, by, door, "GetAgent")
        assert found is None or agent_body(found) == agent.body

    @step(agent=picks, by=approaches, door=doors, config=agent_configs)
    def patch_agent(self, agent: Agent, by: str, door: Door, config: Json) -> None:
        changes = {"config": config} if config else {}
        changed = self.reach(agent, by, door, "UpdateAgent", agent=changes)
        if changed is not None:
            agent.body = updated(agent.body, agent_body(changed), changes, bool(changes))

    @step(agent=picks, door=doors, name=names, config=agent_configs)
    def put_agent(self, agent: Agent, door: Door, name: str, config: Json) -> None:
        wanted = {"name": name, "config": config}
        answer = self.ask(agent.project.owner, door, "UpdateAgent", whole=True, agent=wanted, **agent.named)
        if agent.gone:
            assert answer.code == "NOT_FOUND"
        elif agent.project.agent_named(name) not in (None, agent):
            assert (answer.code, answer.reason) == ("ALREADY_EXISTS", "AGENT_NAME_TAKEN")
        else:
            whole = {"name": name, "config": patched(DEFAULT_CONFIG, config)}
            agent.body = updated({**agent.body, **whole}, agent_body(answer.made), {})

    @step(agent=picks, by=approaches, door=doors)
    def delete_agent(self, agent: Agent, by: str, door: Door) -> None:
        if any(run.agent is agent and run.session.busy for run in agent.project.living_runs):
            return  # How its runs end is told elsewhere.
        if self.reach(agent, by, door, "DeleteAgent") is not None:
            agent.deleted = True

    @step(project=picks, by=approaches, door=doors, size=page_sizes)
    def list_agents(self, project: Project, by: str, door: Door, size: int) -> None:
        found = self.listed(project, by, door, "ListAgents", "agents", size)
        if found is not None:
            assert [agent_body(each) for each in found] == [each.body for each in reversed(project.living_agents)]
