"""Planning, choosing and combining, over a real socket, with the real openai client and a scripted model."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from codelab.agents.v1 import agent_pb2, execution_service_pb2, planning_service_pb2, tool_pb2

from services.agents import planning
from services.agents.models import Message
from services.agents.tokens import estimate_prompt, estimate_tokens
from tests.agents.calls import Agents, User, new_uuid, refused, serving
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script, plan_directive
from tests.fakes.openai_server import FakeModel

PACK = ["CodeAssistant", "DataAnalyst", "DocumentWriter"]
NO_AGENTS = (grpc.StatusCode.FAILED_PRECONDITION, "NO_AGENTS")
Combined = planning_service_pb2.CombineResultsResponse
RESULTS = [execution_service_pb2.TaskInput(task_id="a", title="Draft", output="42")]


@pytest.fixture
async def user(answering: Agents) -> User:
    user = answering.user()
    await answering.create_space(user)
    return user


def names(proposal: planning_service_pb2.ProposePlanResponse) -> list[str]:
    return [agent.name for agent in proposal.agents]


async def test_plan_is_what_the_model_says_whatever_that_is(answering: Agents, user: User, model: FakeModel) -> None:
    prose = "I would first 𝄞, then …"
    proposal = await answering.propose(user, f"Go. {plan_directive(prose)}", max_tasks=7)
    assert proposal.text == prose
    assert names(proposal) == PACK
    [exchange] = model.exchanges()
    said = json.loads(exchange.body["messages"][-1]["content"])
    assert (said["max_tasks"], [each["name"] for each in said["agents"]]) == (7, PACK)
    assert (exchange.body["model"], exchange.body["temperature"]) == ("fake-model", 0)
    assert exchange.body["response_format"]["json_schema"]["strict"] is True
    words = sum(len(each["content"].split()) for each in exchange.body["messages"])
    usage = proposal.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.model_calls) == (words, len(prose.split()), 1)


async def test_rejected_answer_is_shown_with_its_problems(answering: Agents, user: User) -> None:
    request = f"Go. {plan_directive('no plan')} {plan_directive('a plan', 'replan')}"
    rejected = planning_service_pb2.RejectedProposal(text="no plan", problems=["It is no JSON."])
    assert (await answering.propose(user, request)).text == "no plan"
    assert (await answering.propose(user, request, rejected=rejected)).text == "a plan"


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        (Script(status=401), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(answer="No.", refusal="policy"), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(answer="{", finish_reason="content_filter"), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(fault="cut", after_chunks=1), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(status=429, retry_after=600), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
    ],
)
async def test_model_that_does_not_answer_is_an_error_with_its_reason(
    answering: Agents, user: User, script: Script, code: grpc.StatusCode, reason: str
) -> None:
    with refused(code, reason):
        await answering.propose(user, f"Go. {script.directive('planning')}")


async def test_project_without_agents_looks_like_none_and_like_anothers(answering: Agents, user: User) -> None:
    for agent in await all_agents(answering, user):
        await answering.delete(user, agent.id)
    stranger = answering.user()
    await answering.create_space(stranger)
    told = []
    for project_id in (user.project_id, stranger.project_id, new_uuid(), "no-uuid"):
        with refused(*NO_AGENTS) as proposing:
            await answering.propose(user, "Go.", project_id=project_id)
        with refused(*NO_AGENTS) as choosing:
            await answering.choose(user, "Go.", project_id)
        told += [repr(vars(error)) for error in (*proposing, *choosing)]
    assert len(set(told)) == 1
    assert "the project has no agents: create one, then retry the run" in told[0]


async def test_cancelled_planning_reaches_the_models_connection(
    answering: Agents, user: User, model: FakeModel
) -> None:
    call = asyncio.ensure_future(answering.propose(user, f"Go. {Script(fault='hang').directive('planning')}"))
    await eventually(model.exchanges)
    call.cancel()
    await eventually(lambda: model.exchanges()[0].outcome == "closed_by_client")


async def test_too_many_agents_are_offered_as_far_as_they_fit_the_request(
    answering: Agents, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MOST_OFFERED", 3)
    cook = agent_pb2.AgentConfig(system_prompt="You cook soup, bread and other meals.")
    await answering.create(user, agent_pb2.Agent(name="Zacharias", config=cook))
    proposal = await answering.propose(user, "Cook soup and bread.")
    assert (len(proposal.agents), names(proposal)[0]) == (3, "Zacharias")
    assert json.loads(proposal.text)["tasks"][0]["agent"] == "Zacharias"
    assert await answering.choose(user, "Cook soup and bread.") == "Zacharias"
    assert await answering.choose(user, "Who writes documents for readers?") == "DocumentWriter"


async def test_agent_is_chosen_by_name_without_embeddings(tmp_path: Path, model: FakeModel) -> None:
    async with serving(tmp_path, OPENAI_BASE_URL=model.url, EMBEDDING_MODEL="an-embedder") as agents:
        user = agents.user()
        await agents.create_space(user)
        question = "Who writes documents for readers?"
        assert await agents.choose(user, question) == "DocumentWriter"
        assert await agents.choose(user, f"{question} {Script(status=404).directive()}") == "CodeAssistant"
        assert await agents.choose(user, f"{question} {Script(status=429, retry_after=600).directive()}") == PACK[0]
        described = [text for each in model.embeddings() for text in each.body["input"] if PACK[1] in text]
    assert len(described) == 1, "an agent is embedded once"


# Approval

WHEN = tool_pb2.PlanApproval(mode=tool_pb2.PLAN_APPROVAL_MODE_WHEN, max_tasks=3, risks=[tool_pb2.TOOL_RISK_WRITE])


async def test_plan_comes_with_the_policy_and_with_what_its_agents_may_do(answering: Agents, user: User) -> None:
    for agent in await all_agents(answering, user):
        await answering.delete(user, agent.id)
    tools = ["remember", "search_memory", "ask_agent"]
    bold = await answering.create(user, agent_pb2.Agent(name="Bold", config=agent_pb2.AgentConfig(tools=tools)))
    shy = agent_pb2.Agent(name="Shy", config=agent_pb2.AgentConfig(tools=tools, max_tokens=321))
    shy = await answering.create(user, shy)
    await answering.create(user, agent_pb2.Agent(name="Talker"))
    proposal, choice = await answering.propose(user, "Go."), await answering.chosen(user, "Go.")
    assert proposal.plan_approval == choice.plan_approval == never()
    assert risks(proposal) == {"Bold": ["READ", "WRITE"], "Shy": ["READ", "WRITE"], "Talker": []}
    assert {agent.name: agent.max_tokens for agent in proposal.agents} == {"Bold": 4096, "Shy": 321, "Talker": 4096}

    deny = tool_pb2.TOOL_DECISION_DENY
    rules = [
        tool_pb2.ToolRule(tool="remember", agent_id=shy.id, decision=deny),
        tool_pb2.ToolRule(risk=tool_pb2.TOOL_RISK_READ, agent_id=bold.id, decision=deny),
    ]
    await answering.set_policy(user, tool_pb2.ToolPolicy(rules=rules, plan_approval=WHEN))
    proposal, choice = await answering.propose(user, "Go."), await answering.chosen(user, "Go.")
    assert proposal.plan_approval == choice.plan_approval == WHEN
    assert risks(proposal) == {"Bold": ["WRITE"], "Shy": ["READ"], "Talker": []}
    assert choice.agent in proposal.agents


async def test_without_the_policy_nothing_is_proposed_and_no_model_is_asked(
    answering: Agents, user: User, model: FakeModel, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "agents.db", timeout=30)) as connection:
        connection.execute("ALTER TABLE tool_policies RENAME TO lost")
    with refused(grpc.StatusCode.INTERNAL, "INTERNAL"):
        await answering.propose(user, "Go.")
    with refused(grpc.StatusCode.INTERNAL, "INTERNAL"):
        await answering.choose(user, "Go.")
    assert model.exchanges() == []


async def all_agents(agents: Agents, user: User) -> list[agent_pb2.Agent]:
    return list((await agents.list(user)).agents)


def never() -> tool_pb2.PlanApproval:
    return tool_pb2.PlanApproval(mode=tool_pb2.PLAN_APPROVAL_MODE_NEVER)


def risks(proposal: planning_service_pb2.ProposePlanResponse) -> dict[str, list[str]]:
    names = {agent.name: [tool_pb2.ToolRisk.Name(risk) for risk in agent.risks] for agent in proposal.agents}
    return {name: [each.removeprefix("TOOL_RISK_") for each in of_agent] for name, of_agent in names.items()}


# Combining


async def test_results_are_combined_and_what_it_costs_is_told_before_and_after(
    answering: Agents, user: User, model: FakeModel
) -> None:
    history = [execution_service_pb2.HistoryMessage(role="user", content="Earlier.")]
    failed = [planning_service_pb2.FailedPart(title="Check", detail="the model is overloaded")]
    request = f"Go. {Script(usage=False).directive('combining')}"
    events: list[Combined] = [
        event async for event in answering.combine(user, request, history=history, results=RESULTS, failed=failed)
    ]
    first, *deltas, last = events
    assert "".join(event.delta.text for event in deltas) == last.completed.output == DEFAULT_ANSWER
    [exchange] = model.exchanges(kind="combining")
    messages = exchange.body["messages"]
    assert json.loads(messages[-1]["content"]) == {
        "request": request,
        "results": [{"title": "Draft", "result": "42"}],
        "failed": [{"title": "Check", "detail": "the model is overloaded"}],
    }
    prompt_tokens = estimate_prompt(Message(each["role"], each["content"]) for each in messages)
    assert first.model_called.prompt_tokens == last.completed.usage.prompt_tokens == prompt_tokens
    assert last.completed.usage.completion_tokens == estimate_tokens(DEFAULT_ANSWER)


async def test_combining_ends_with_the_models_failure_or_its_refusal(answering: Agents, user: User) -> None:
    cut, refusal = Script(fault="cut").directive("combining"), Script(answer="I must not.", refusal="policy")
    with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
        async for _ in answering.combine(user, f"Go. {cut}", results=RESULTS):
            pass
    events = [each async for each in answering.combine(user, f"Go. {refusal.directive('combining')}", results=RESULTS)]
    assert events[-1].completed.output == "I must not.", "as it is of a task"


async def test_offline_model_plans_and_combines(agents: Agents) -> None:
    user = agents.user()
    await agents.create_space(user)
    proposal = await agents.propose(user, "Compare tea and coffee.")
    assert [task["agent"] for task in json.loads(proposal.text)["tasks"]] == PACK
    events = [event async for event in agents.combine(user, "Compare tea and coffee.", results=RESULTS)]
    assert "**Draft**\n\n> 42" in events[-1].completed.output
