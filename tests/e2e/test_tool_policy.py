"""What the agents of a project can do, and what of it asks first, as its owner sees and sets it over HTTP."""

from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.client import Api, Chat, answer, problem
from tests.e2e.events import Event
from tests.e2e.test_json import TIME

pytestmark = pytest.mark.one_layout

NOWHERE = "00000000-0000-4000-8000-000000000000"
NO_LIMITS = {"mode": "never", "max_tasks": None, "max_tokens": None, "risks": []}


def rule(decision: str, **target: str) -> Event:
    """A rule as answers have it."""
    return {"agent_id": None, "tool": None, "risk": None, **target, "decision": decision}


class Project:
    """A project with the agents that it begins with."""

    def __init__(self, api: Api, chat: Chat, agents: list[str]) -> None:
        self.http, self.path, self.agents = api.http, chat.project_path, agents

    async def tools(self, **query: str) -> list[Event]:
        listed: list[Event] = (await answer(self.http.get(f"{self.path}/tools", params=query)))["tools"]
        return listed

    async def decisions(self, **query: str) -> dict[str, str]:
        return {tool["name"]: tool["decision"] for tool in await self.tools(**query)}

    async def policy(self) -> Event:
        return await answer(self.http.get(f"{self.path}/tool-policy"))

    async def set(self, *rules: Event, **policy: Any) -> Event:
        return await answer(self.http.put(f"{self.path}/tool-policy", json={"rules": rules, **policy}))


async def project_of(api: Api) -> Project:
    chat = await api.new_chat()
    agents = (await answer(api.http.get(f"{chat.project_path}/agents")))["agents"]
    return Project(api, chat, [each["id"] for each in agents])


@pytest_asyncio.fixture
async def project(ann: Api) -> Project:
    return await project_of(ann)


async def test_policy_that_was_never_set_has_no_rules_and_one_that_is_set_is_read_again(project: Project) -> None:
    assert await project.policy() == {"rules": [], "plan_approval": NO_LIMITS, "updated_at": None}
    agent_id = project.agents[0]
    rules = [
        rule("auto", tool="remember"),
        rule("deny", risk="execute"),
        rule("ask", risk="read", agent_id=agent_id),
        rule("auto", risk="read"),
    ]
    limits = {"mode": "when", "max_tasks": 3, "max_tokens": None, "risks": ["execute", "external"]}
    made = await project.set(*rules, plan_approval=limits)
    assert TIME.fullmatch(made["updated_at"])
    assert made == {"rules": rules, "plan_approval": limits, "updated_at": made["updated_at"]}
    assert await project.policy() == made
    again = await answer(project.http.put(f"{project.path}/tool-policy", json=made))
    assert {**again, "updated_at": None} == {**made, "updated_at": None}


async def test_policy_is_replaced_as_a_whole(project: Project) -> None:
    await project.set(rule("auto", risk="write"), plan_approval={"mode": "always"})
    replaced = await answer(project.http.put(f"{project.path}/tool-policy", json={}))
    assert (replaced["rules"], replaced["plan_approval"]) == ([], NO_LIMITS)


async def test_risks_of_plans_are_told_once(project: Project) -> None:
    made = await project.set(plan_approval={"mode": "when", "risks": ["write", "read", "write"]})
    assert made["plan_approval"]["risks"] == ["write", "read"]


async def test_tools_are_listed_by_name_with_what_the_policy_decides(project: Project) -> None:
    tools = await project.tools()
    assert [tool["name"] for tool in tools] == sorted(tool["name"] for tool in tools)
    by_name = {tool["name"]: tool for tool in tools}
    for name, risk, decision in (
        ("ask_agent", "read", "auto"),
        ("search_memory", "read", "auto"),
        ("remember", "write", "ask"),
    ):
        tool = by_name[name]
        assert (tool["risk"], tool["decision"], tool["unavailable"]) == (risk, decision, None)
        assert tool["description"]
        assert tool["parameters"]["type"] == "object"
        assert tool["parameters"]["additionalProperties"] is False
    one, other = project.agents[:2]
    await project.set(
        rule("auto", risk="write"),
        rule("deny", tool="remember", agent_id=one),
        rule("ask", tool="ask_agent"),
        rule("deny", risk="read", agent_id=one),
    )
    expected = {"ask_agent": "ask", "remember": "auto", "search_memory": "auto"}
    for query, changed in (
        ({}, {}),
        ({"agent_id": one}, {"remember": "deny", "search_memory": "deny"}),
        ({"agent_id": one.upper()}, {"remember": "deny", "search_memory": "deny"}),
        ({"agent_id": other}, {}),
    ):
        decisions = await project.decisions(**query)
        assert {name: decisions[name] for name in expected} == expected | changed


async def test_agents_of_a_new_project_list_tools_that_there_are(project: Project) -> None:
    there = {tool["name"] for tool in await project.tools()}
    agents = (await answer(project.http.get(f"{project.path}/agents")))["agents"]
    for tools in [agent["config"]["tools"] for agent in agents]:
        assert {"read_file", "write_file"} <= set(tools) <= there


async def test_rules_of_a_deleted_agent_go_with_it(project: Project) -> None:
    agent_id = project.agents[0]
    await project.set(rule("deny", risk="read", agent_id=agent_id), rule("auto", risk="write"))
    assert (await project.http.delete(f"{project.path}/agents/{agent_id}")).status_code == 204
    assert (await project.policy())["rules"] == [rule("auto", risk="write")]


async def test_two_rules_for_the_same_calls_are_refused_whoever_they_are_for(project: Project) -> None:
    mine = rule("auto", risk="read", agent_id=project.agents[0])
    rules = [mine, rule("ask", risk="read"), {**mine, "agent_id": project.agents[0].upper(), "decision": "deny"}]
    refused = await project.http.put(f"{project.path}/tool-policy", json={"rules": rules})
    wrong = problem(refused, 422, "INVALID_TOOL_POLICY")
    assert wrong["errors"] == [{"field": "rules[2]", "detail": "is for the same calls as rules[0]"}]


async def test_rule_for_no_tool_says_which_is_near(project: Project) -> None:
    refused = await project.http.put(f"{project.path}/tool-policy", json={"rules": [rule("ask", tool="remembre")]})
    [error] = problem(refused, 422, "INVALID_TOOL_POLICY")["errors"]
    assert error == {
        "field": "rules[0].tool",
        "detail": "no tool is named remembre, the nearest is remember: GET …/tools lists them",
    }


async def test_agent_of_another_user_or_project_looks_like_none(ann: Api, bob: Api, project: Project) -> None:
    before = await project.set(rule("auto", risk="write"))
    answers = set()
    for agent_id in (NOWHERE, (await project_of(bob)).agents[0], (await project_of(ann)).agents[0]):
        rules = [rule("auto", risk="read"), rule("deny", risk="read", agent_id=agent_id)]
        for asking in (
            project.http.put(f"{project.path}/tool-policy", json={"rules": rules}),
            project.http.get(f"{project.path}/tools", params={"agent_id": agent_id}),
        ):
            refused = problem(await asking, 404, "AGENT_NOT_FOUND")
            answers.add((refused["detail"].replace(agent_id, "…"), str(refused["errors"])))
    assert len(answers) == 1
    assert await project.policy() == before


async def test_policy_and_tools_of_another_users_project_look_like_none(bob: Api, project: Project) -> None:
    before = await project.set(rule("auto", risk="write"))
    for path in (project.path, f"/my/projects/{NOWHERE}"):
        for asking in (
            bob.http.get(f"{path}/tools"),
            bob.http.get(f"{path}/tool-policy"),
            bob.http.put(f"{path}/tool-policy", json={}),
        ):
            problem(await asking, 404, "PROJECT_NOT_FOUND")
    assert await project.policy() == before
