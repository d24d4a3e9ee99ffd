"""A message without target_agent becomes a plan, the plan a graph, the graph an answer: over HTTP, to the model."""

import pytest

from tests.e2e.client import Api, Chat, answer
from tests.e2e.events import Format, Watch
from tests.e2e.plans import Errand, Step, asked_about, giving, said, states, tellable, told, usage_of
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER
from tests.fakes.openai_server import FakeModel

CODER, ANALYST, WRITER = "CodeAssistant", "DataAnalyst", "DocumentWriter"
STARTED = ["task_started", "agent_started"]
COMPLETED = ["agent_completed", "task_completed"]


async def agents_of(chat: Chat) -> dict[str, str]:
    """The ids of the project's agents, by name."""
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
    return {agent["name"]: agent["id"] for agent in agents}


async def graph_is_the_same_everywhere(chat: Chat, watch: Watch, run_id: str) -> None:
    """GetRun, the events that were watched and those that are kept each suffice to draw the graph."""
    run = await chat.run(run_id)
    assert told(watch.events) == tellable(run["plan"]["tasks"])
    assert told(await chat.timeline(run_id)) == told(watch.events)


@pytest.mark.parametrize("accept", Format)
async def test_plan_with_one_end_is_a_graph_whose_last_output_is_the_answer(
    ann: Api, model: FakeModel, accept: Format
) -> None:
    chat = await ann.new_chat()
    gate = f"both {chat.session_id}"
    errand = Errand(
        [
            Step("a", script=giving("Alpha, 𝄞.", chunks=4, gate=gate), agent=CODER),
            Step("b", script=giving("Beta\u2028!", chunks=4, gate=gate), agent=ANALYST),
            Step("c", ["a", "b"], giving("Alpha and beta, written.", chunks=6), WRITER),
        ]
    )
    async with chat.stream(errand.content, accept=accept, target_agent=None) as stream:
        await stream.until("task_started", count=2)
        await eventually(lambda: len(model.open_now(gate)) == 2, what="a and b at work at the same time")
        assert errand.asked(model, "c") == []
        model.open_gate(gate)
        watch = await stream.to_end()

    message, reply = await chat.messages()
    run = await chat.run(reply["run_id"])
    agents = await agents_of(chat)
    assert (message["content"], reply["content"]) == (errand.content, "Alpha and beta, written.")
    assert (reply["agent_id"], reply["id"]) == (agents[WRITER], run["message_id"])
    assert (run["state"], run["mode"], run["plan"]["origin"]) == ("succeeded", "orchestrated", "model")
    assert run["plan"]["problems"] == []
    assert {each["id"]: each["agent_id"] for each in run["plan"]["tasks"]} == {
        "a": agents[CODER],
        "b": agents[ANALYST],
        "c": agents[WRITER],
    }

    # The end writes the answer itself, each other task a text of its own.
    texts = {each["payload"]["message_id"]: each["payload"] for each in watch.of_type("message_delta")}
    assert watch.answers.texts[reply["id"]] == reply["content"]
    assert {texts[id]["task_id"]: text for id, text in watch.answers.texts.items()} == {
        "a": "Alpha, 𝄞.",
        "b": "Beta\u2028!",
        "c": "Alpha and beta, written.",
    }
    types = watch.types(progress=False)
    assert types[:6] == ["message_received", "plan_created", *STARTED * 2]
    assert types[6:] == [*COMPLETED * 2, *STARTED, *COMPLETED, "orchestration_completed"]
    completed = watch.final()["payload"]
    assert (completed["message"], completed["success"]) == (reply, True)
    assert completed["planning_seconds"] == run["plan"]["planning_seconds"] >= 0
    assert completed["execution_seconds"] > 0
    await graph_is_the_same_everywhere(chat, watch, run["id"])

    # What the model was sent: to plan, the agents; each task its part, and the outputs that it builds on.
    [planning] = errand.planned(model)
    assert {each["name"] for each in asked_about(planning)["agents"]} == agents.keys()
    [a], [b], [c] = (errand.asked(model, id) for id in "abc")
    assert "You are CodeAssistant" in said(a)
    assert "You are DocumentWriter" in said(c)
    for result in ('{"title": "Part a", "result": "Alpha, 𝄞."}', '{"title": "Part b", "result": "Beta\\u2028!"}'):
        assert result in said(c)
        assert result not in said(a) + said(b)
    assert c.received_at >= max(a.ended_at or 0, b.ended_at or 0)
    assert errand.combined(model) == []
    assert [each["usage"] for each in run["plan"]["tasks"]] == [usage_of([each]) for each in (a, b, c)]
    assert run["usage"] == usage_of([planning, a, b, c])

    # It is remembered as a part of something, by those who did it.
    for name, id in agents.items():
        page = await answer(ann.http.get(f"{chat.project_path}/agents/{id}/memory"))
        assert [each["interaction_type"] for each in page["memories"]] == ["task"], name


async def test_plan_with_several_ends_is_answered_by_what_the_model_makes_of_them(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    errand = Errand(
        [
            Step("root", script=giving("Rooted.")),
            Step("middle", ["root"], giving("Between.")),
            Step("left", ["middle"], giving("Left."), ANALYST),
            Step("right", ["root"], giving("Right."), WRITER),
        ],
        combining=giving("Left and right, and what 中文 else.", chunks=5, token_seconds=0.03),
    )
    async with chat.watch() as stream:
        await stream.read()
        run_id = (await chat.start(errand.content, target_agent=None))["id"]
        await stream.until("orchestration_completed")
        watch = stream.watch
    reply, run = (await chat.messages())[-1], await chat.run(run_id)
    assert (reply["content"], reply["agent_id"]) == ("Left and right, and what 中文 else.", None)
    assert (run["state"], run["message_id"]) == ("succeeded", reply["id"])
    pieces = [
        each["payload"] for each in watch.of_type("message_delta") if each["payload"]["message_id"] == reply["id"]
    ]
    assert len(pieces) > 1, "the answer came at once instead of as it was written"
    assert {(each["task_id"], each["agent_id"]) for each in pieces} == {(None, None)}
    assert watch.answers.texts[reply["id"]] == reply["content"]
    await graph_is_the_same_everywhere(chat, watch, run_id)

    # Each is shown what it depends on, and nothing of what that was built on.
    shown = {step.id: said(errand.asked(model, step.id)[0]) for step in errand.steps}
    quoting = {id: [each.id for each in errand.steps if f'"Part {each.id}", "result"' in shown[id]] for id in shown}
    assert quoting == {step.id: [*step.depends_on] for step in errand.steps}
    [combining] = errand.combined(model)
    asked = asked_about(combining)
    assert asked["request"] == errand.content
    # Not what others were built on.
    assert asked["results"] == [
        {"title": "Part left", "result": "Left."},
        {"title": "Part right", "result": "Right."},
    ]
    assert "failed" not in asked
    tasks = [exchange for id in ("root", "middle", "left", "right") for exchange in errand.asked(model, id)]
    assert run["usage"] == usage_of([*errand.planned(model), *tasks, combining])
    listed = (await answer(ann.http.get(f"{chat.project_path}/runs")))["runs"]
    assert [(each["id"], each["usage"], states(each)) for each in listed] == [(run_id, run["usage"], states(run))]


async def test_history_of_planned_messages_is_what_was_asked_and_answered(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    first = Errand([Step("a", script=giving("Inside.")), Step("b", ["a"], giving("Outside."))])
    reply = await answer(chat.send(first.content, target_agent=None))
    assert reply["content"] == "Outside."
    # Planned as one task, which is all that the model was asked for.
    question = f"And now, {first.marker[::-1]}?"
    again = await answer(chat.send(question, target_agent=None))
    assert again["content"] == DEFAULT_ANSWER
    talk = [first.content, "Outside.", question, DEFAULT_ANSWER]
    assert [each["content"] for each in await chat.messages()] == talk
    planning, task = model.exchanges(question)
    assert (planning.kind, task.kind) == ("planning", "task")
    assert [each["said"] for each in asked_about(planning)["conversation"]] == talk[:2]
    history = [each["content"] for each in task.body["messages"] if each["role"] != "system"][:-1]
    assert history == talk[:2]
