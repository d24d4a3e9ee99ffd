"""A task's way through, over a real socket: what the model is asked, and what comes of it."""

import json
from pathlib import Path

from codelab.agents.v1 import execution_service_pb2

from services.agents.tokens import estimate_tokens
from tests.agents.calls import Agents, User, events_of, serving
from tests.agents.execution.tasks import kinds, make
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


async def test_task_streams_what_happens_and_ends_with_the_whole_answer(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user)
    events = await events_of(answering.execute(user, agent_id, "Say something."))
    assert kinds(events) == ["busy", "context", "thinking", "model_called", "delta", "ready", "completed"]
    text = ""
    for event in events:
        if event.HasField("delta"):
            assert event.delta.offset == len(text)
            text += event.delta.text
    assert text == events[-1].completed.output == DEFAULT_ANSWER
    usage = events[-1].completed.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, len(DEFAULT_ANSWER.split()))
    assert usage.model_calls == 1


async def test_model_is_asked_as_the_agent_is_configured(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(
        answering, user, system_prompt="Be brief.", model="other-model", temperature=0.25, max_tokens=99
    )
    history = [
        execution_service_pb2.HistoryMessage(role="user", content="x" * 40_000),
        execution_service_pb2.HistoryMessage(role="user", content="Earlier."),
        execution_service_pb2.HistoryMessage(role="assistant", content="Indeed."),
    ]
    inputs = [execution_service_pb2.TaskInput(task_id="t", title="Research", output="42")]
    await events_of(answering.execute(user, agent_id, "Conclude.", history=history, inputs=inputs))
    body = model.exchanges()[0].body
    *before, last = body.pop("messages")
    assert before == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Earlier."},
        {"role": "assistant", "content": "Indeed."},
    ]
    assert last["role"] == "user"
    assert '{"title": "Research", "result": "42"}' in last["content"]
    assert last["content"].endswith("Conclude.")
    assert body == {
        "model": "other-model",
        "temperature": 0.25,
        "max_tokens": 99,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_agent_without_a_model_or_prompt_has_the_platforms_model_and_no_system_message(
    answering: Agents, user: User, model: FakeModel
) -> None:
    await events_of(answering.execute(user, await make(answering, user), "Hello."))
    body = model.exchanges()[0].body
    assert (body["model"], body["messages"]) == ("fake-model", [{"role": "user", "content": "Hello."}])


async def test_usage_that_is_not_reported_is_estimated_from_the_texts(answering: Agents, user: User) -> None:
    instruction = f"Hi. {Script(usage=False).directive()}"
    events = await events_of(answering.execute(user, await make(answering, user), instruction))
    usage = events[-1].completed.usage
    expected = (estimate_tokens(instruction), estimate_tokens(DEFAULT_ANSWER), 1)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.model_calls) == expected
    assert [each.model_called.prompt_tokens for each in events if each.HasField("model_called")] == [expected[0]]


async def test_planned_task_is_shown_the_request_and_does_only_its_instruction(
    answering: Agents, user: User, model: FakeModel
) -> None:
    script = Script(answer="the task's")
    request = f"All of it. {Script(answer='the request').directive()}"
    agent_id = await make(answering, user)
    events = await events_of(answering.execute(user, agent_id, f"My part. {script.directive()}", request=request))
    assert events[-1].completed.output == "the task's"
    [exchange] = model.exchanges("My part.")
    assert json.dumps({"request": request}) in exchange.body["messages"][-1]["content"]


async def test_offline_model_says_what_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        first, second = [await events_of(agents.execute(user, agent_id, "Why is the sky blue?")) for _ in range(2)]
    answer = first[-1].completed.output
    assert answer == second[-1].completed.output
    for part in ("offline model", "> Why is the sky blue?", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        assert part in answer
    assert sum(event.HasField("delta") for event in first) > 2


async def test_offline_model_quotes_whatever_the_line_ends_are(tmp_path: Path) -> None:
    async with serving(tmp_path) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        events = await events_of(agents.execute(user, agent_id, "One\rTwo\u2028Three"))
    assert "> One\n> Two\n> Three\n" in events[-1].completed.output
