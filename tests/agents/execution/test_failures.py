"""Models that fail, before they say something or in the middle: how the task ends, and what becomes of the agent."""

import grpc
import pytest
from codelab.agents.v1 import agent_pb2

from services.agents import answering as answers
from tests.agents.calls import Agents, User, events_of, refused
from tests.agents.execution.tasks import Event, kinds, make, status
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        (Script(status=500), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=3600), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=1e15), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(status=429, retry_after=1e300), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(fault="reset", after_chunks=0), grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (Script(fault="hang"), grpc.StatusCode.DEADLINE_EXCEEDED, "MODEL_TIMEOUT"),
        (Script(fault="stall"), grpc.StatusCode.DEADLINE_EXCEEDED, "MODEL_TIMEOUT"),
        (Script(fault="reset", token_seconds=0.02), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="cut"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="error_chunk"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="garbage_body"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="garbage_sse"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="not_sse"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(fault="empty_choices"), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(answer=" \n "), grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
        (Script(status=401), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=403), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=400), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
        (Script(status=404), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
    ],
    ids=lambda value: value.directive() if isinstance(value, Script) else None,
)
async def test_models_failure_ends_the_task_with_its_reason_and_frees_the_agent(
    impatient: Agents, script: Script, code: grpc.StatusCode, reason: str
) -> None:
    user = impatient.user()
    await impatient.create_space(user)
    agent_id = await make(impatient, user, concurrency_limit=1)
    read: list[Event] = []
    with refused(code, reason) as errors:
        async for event in impatient.execute(user, agent_id, f"Secret words. {script.directive()}"):
            read.append(event)
    # Trying again is no use until somebody changes a setting.
    left = "error" if code is grpc.StatusCode.FAILED_PRECONDITION else "ready"
    assert kinds(read)[-1] == left
    assert "completed" not in kinds(read)
    assert not any(leak in errors[0].detail for leak in ("Secret", "Scripted", "127.0.0.1", "Traceback"))
    assert await status(impatient, user, agent_id) == f"AGENT_STATUS_{left.upper()}"
    events = await events_of(impatient.execute(user, agent_id, "And again."))
    assert events[-1].completed.output == DEFAULT_ANSWER
    assert await status(impatient, user, agent_id) == "AGENT_STATUS_READY"


async def test_change_of_its_config_ends_an_agents_error(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"):
        await events_of(answering.execute(user, agent_id, f"Hello. {Script(status=404).directive()}"))
    assert await status(answering, user, agent_id) == "AGENT_STATUS_ERROR"
    config = agent_pb2.AgentConfig(model="another")
    await answering.update(user, agent_id, agent_pb2.Agent(config=config), "config.model")
    assert await status(answering, user, agent_id) == "AGENT_STATUS_READY"


async def test_model_that_is_down_is_unavailable_and_comes_back(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user)
    model.stop()
    with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"):
        await events_of(answering.execute(user, agent_id, "Hello."))
    model.start()
    assert (await events_of(answering.execute(user, agent_id, "Hello.")))[-1].completed.output == DEFAULT_ANSWER


async def test_refused_call_is_repeated_and_counted(answering: Agents, user: User, model: FakeModel) -> None:
    script = Script(status=503, times=2, retry_after=0.01)
    events = await events_of(answering.execute(user, await make(answering, user), f"Hi. {script.directive()}"))
    assert events[-1].completed.output == DEFAULT_ANSWER
    assert events[-1].completed.usage.model_calls == 3
    assert len(model.exchanges()) == 3


async def test_answer_that_does_not_end_is_ended(
    answering: Agents, user: User, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LONGEST_ANSWER", 10)
    agent_id = await make(answering, user)
    fits, endless = Script(answer="abcde" * 2), Script(answer="abcde" * 40, chunks=40, token_seconds=0.2)
    assert (await events_of(answering.execute(user, agent_id, fits.directive())))[-1].completed.output == "abcdeabcde"
    with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
        await events_of(answering.execute(user, agent_id, endless.directive()))
    await eventually(lambda: model.exchanges()[1].outcome == "closed_by_client")


async def test_call_that_said_something_is_not_repeated(answering: Agents, user: User, model: FakeModel) -> None:
    script = Script(fault="reset", times=1, token_seconds=0.02)
    with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
        await events_of(answering.execute(user, await make(answering, user), f"Hi. {script.directive()}"))
    assert len(model.exchanges()) == 1
