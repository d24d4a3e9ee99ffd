"""The agents service over a real socket, as the orchestrator calls it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import grpc
import pytest
from codelab.agents.v1 import execution_service_pb2 as pb
from codelab.agents.v1 import memory_pb2, planning_service_pb2, tool_pb2, usage_pb2
from codelab.agents.v1.planning_service_pb2_grpc import PlanningServiceServicer

from services.orchestrator.agents_client import AgentsClient
from services.orchestrator.leases import Lease
from services.orchestrator.model import Failure, Message, Mode, Plan, Role, Task, TaskState, Usage
from services.orchestrator.ports import (
    AgentsUnreachable,
    Assignment,
    Choice,
    Completed,
    Delta,
    ModelCalled,
    PlannableAgent,
    PlanPolicy,
    Proposal,
    Rejected,
    Result,
)
from services.runtime.auth import current_caller
from services.runtime.channels import Peers
from services.runtime.errors import CodelabError, FailedPrecondition, Unavailable
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import AGENT, NOW
from tests.orchestrator.stage import Stage

Context = grpc.aio.ServicerContext[Any, Any]

USAGE = Usage(prompt_tokens=3, completion_tokens=2, model_calls=1)
TASK = Task("b", AGENT.id, AGENT.name, "Write", "Write it.", TaskState.RUNNING, 2, ("a",))
LEASE = Lease(
    run_id=new_id(),
    session_id=new_id(),
    project_id=new_id(),
    user_id=new_id(),
    epoch=3,
    position=0,
    asked_at=0,
    answer_id=new_id(),
    mode=Mode.ORCHESTRATED,
    plan=Plan((TASK,)),
    working_since=NOW,
)
HISTORY = [Message(new_id(), LEASE.session_id, None, Role.USER, "Hi!", None, NOW)]
RESULT = Result("a", "Read", "It was read.")


class NoAgents(FailedPrecondition):
    reason = "NO_AGENTS"


class ModelUnavailable(Unavailable):
    reason = "MODEL_UNAVAILABLE"


class ScriptedPlanning(PlanningServiceServicer):
    """Answers, fails or holds its calls, as the test says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fails: CodelabError | None = None
        self.holds = False
        self.holding = asyncio.Event()
        self.stopped = asyncio.Event()

    async def _hear(self, request: Any) -> None:
        assert current_caller().user_id == LEASE.user_id
        self.asked.append(request)
        if self.fails is not None:
            raise self.fails

    async def _hold(self) -> None:
        if self.holds:
            self.holding.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()

    async def ProposePlan(
        self, request: planning_service_pb2.ProposePlanRequest, context: Context
    ) -> planning_service_pb2.ProposePlanResponse:
        await self._hear(request)
        await self._hold()
        risks = [tool_pb2.TOOL_RISK_READ, tool_pb2.TOOL_RISK_EXECUTE]
        agents = [planning_service_pb2.PlannableAgent(id=AGENT.id, name=AGENT.name, risks=risks, max_tokens=99)]
        usage = usage_pb2.Usage(prompt_tokens=3, completion_tokens=2, model_calls=1)
        approval = tool_pb2.PlanApproval(mode=tool_pb2.PLAN_APPROVAL_MODE_WHEN, max_tokens=0, risks=risks[1:])
        return planning_service_pb2.ProposePlanResponse(text="[]", agents=agents, usage=usage, plan_approval=approval)

    async def ChooseAgent(
        self, request: planning_service_pb2.ChooseAgentRequest, context: Context
    ) -> planning_service_pb2.ChooseAgentResponse:
        await self._hear(request)
        agent = planning_service_pb2.PlannableAgent(id=AGENT.id, name=AGENT.name)
        return planning_service_pb2.ChooseAgentResponse(agent=agent)

    async def CombineResults(
        self, request: planning_service_pb2.CombineResultsRequest, context: Context
    ) -> AsyncIterator[planning_service_pb2.CombineResultsResponse]:
        await self._hear(request)
        yield planning_service_pb2.CombineResultsResponse(model_called=pb.ExecutionModelCalled(prompt_tokens=9))
        yield planning_service_pb2.CombineResultsResponse(delta=pb.ExecutionDelta(offset=0, text="All."))
        await self._hold()
        usage = usage_pb2.Usage(prompt_tokens=3, completion_tokens=2, model_calls=1)
        completed = pb.ExecutionCompleted(output="All.", usage=usage)
        yield planning_service_pb2.CombineResultsResponse(completed=completed)


@pytest.fixture
def planning() -> ScriptedPlanning:
    return ScriptedPlanning()


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[AgentsClient]:
    peers = Peers("orchestrator", stage.settings, stage.minter)
    yield AgentsClient(peers)
    await peers.close()


@pytest.fixture
async def agents(stage: Stage, planning: ScriptedPlanning, client: AgentsClient) -> AsyncIterator[AgentsClient]:
    """The client, with the service at the other end."""
    stage.planning = planning
    async with stage.serving_agents():
        yield client


async def test_proposal_comes_with_its_agents_and_its_cost(agents: AgentsClient, planning: ScriptedPlanning) -> None:
    rejected = Rejected("No.", (Failure("PLAN_NOT_JSON", "it is no JSON"), Failure("PLAN_EMPTY", "it is empty")))
    proposal = await agents.propose(LEASE, "Do it.", HISTORY, 7, rejected)
    assert proposal == Proposal(
        "[]",
        (PlannableAgent(AGENT.id, AGENT.name, 99, ("read", "execute")),),
        USAGE,
        PlanPolicy("when", max_tasks=None, max_tokens=0, risks=("execute",)),
    )
    assert planning.asked == [
        planning_service_pb2.ProposePlanRequest(
            project_id=LEASE.project_id,
            request="Do it.",
            history=[pb.HistoryMessage(role="user", content="Hi!")],
            max_tasks=7,
            rejected=planning_service_pb2.RejectedProposal(text="No.", problems=["it is no JSON", "it is empty"]),
        )
    ]


@pytest.mark.parametrize("error", [ModelUnavailable("the model is away"), NoAgents("there are none")])
async def test_what_planning_fails_by_is_heard_at_once_and_asked_once(
    agents: AgentsClient, planning: ScriptedPlanning, error: CodelabError
) -> None:
    planning.fails = error
    with pytest.raises(type(error).__mro__[1]) as caught:
        await agents.propose(LEASE, "Do it.", [], 12, None)
    assert (caught.value.reason, caught.value.detail) == (error.reason, error.detail)
    assert not planning.asked[0].HasField("rejected")
    # A channel that repeats calls by itself would have asked the model four times.
    assert len(planning.asked) == 1


async def test_cancelled_planning_is_stopped_at_the_other_end(agents: AgentsClient, planning: ScriptedPlanning) -> None:
    planning.holds = True
    proposing = asyncio.create_task(agents.propose(LEASE, "Do it.", [], 12, None))
    async with asyncio.timeout(30):
        await planning.holding.wait()
        proposing.cancel()
        await asyncio.wait([proposing])
        await planning.stopped.wait()
    assert proposing.cancelled()


async def test_service_that_is_not_there_is_out_of_reach(client: AgentsClient) -> None:
    with pytest.raises(AgentsUnreachable):
        await client.propose(LEASE, "Do it.", [], 12, None)
    with pytest.raises(AgentsUnreachable):
        await client.choose(LEASE, "Do it.")


async def test_agent_is_chosen(agents: AgentsClient, planning: ScriptedPlanning) -> None:
    # A service that knows no policies yet says nothing of them.
    assert await agents.choose(LEASE, "Do it.") == Choice(PlannableAgent(AGENT.id, AGENT.name), PlanPolicy())
    assert planning.asked == [planning_service_pb2.ChooseAgentRequest(project_id=LEASE.project_id, request="Do it.")]


async def test_answer_is_made_of_results_and_of_what_is_missing(
    agents: AgentsClient, planning: ScriptedPlanning
) -> None:
    failed = [("Write", Failure("MODEL_FAILED", "it broke off"))]
    async with aclosing(agents.combine(LEASE, "Do it.", HISTORY, [RESULT], failed)) as happenings:
        assert [each async for each in happenings] == [ModelCalled(9), Delta(0, "All."), Completed("All.", USAGE)]
    [asked] = planning.asked
    assert list(asked.results) == [pb.TaskInput(task_id="a", title="Read", output="It was read.")]
    assert list(asked.failed) == [planning_service_pb2.FailedPart(title="Write", detail="it broke off")]


async def test_combining_that_nobody_listens_to_is_stopped_at_the_other_end(
    agents: AgentsClient, planning: ScriptedPlanning
) -> None:
    planning.holds = True
    async with aclosing(agents.combine(LEASE, "Do it.", [], [RESULT], [])) as happenings:
        assert await anext(happenings) == ModelCalled(9)
        assert await anext(happenings) == Delta(0, "All.")
    async with asyncio.timeout(30):
        await planning.stopped.wait()


@pytest.mark.parametrize(
    ("mode", "remembered_as"),
    [
        (Mode.ORCHESTRATED, memory_pb2.INTERACTION_TYPE_TASK),
        (Mode.DIRECT, memory_pb2.INTERACTION_TYPE_DIRECT_CALL),
    ],
)
async def test_task_is_executed_with_what_it_builds_on(
    stage: Stage, agents: AgentsClient, mode: Mode, remembered_as: int
) -> None:
    planned = mode is Mode.ORCHESTRATED
    results, request = ((RESULT,), "Do it.") if planned else ((), None)
    assignment = Assignment(replace(LEASE, mode=mode), TASK, HISTORY, results, request)
    async with aclosing(agents.execute(assignment)) as happenings:
        assert [each async for each in happenings][-1] == Completed("Echo: Write it.", USAGE)
    [execution] = stage.agents.executions
    asked = execution.request
    assert (asked.run_epoch, asked.attempt, asked.interaction_type) == (3, 2, remembered_as)
    assert [each.output for each in asked.inputs] == (["It was read."] if planned else [])
    assert asked.HasField("request") == planned
