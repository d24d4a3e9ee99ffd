"""Graphs that do not go well: what failed is said, the rest is kept, and a retry does what is left. Also cancelling."""

import uuid

import pytest

from tests.e2e.client import AGENT, Api, Chat, answer, problem
from tests.e2e.events import Event
from tests.e2e.plans import Errand, Step, asked_about, giving, states, tellable, told, usage_of
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "model_calls": 0}


async def timeline_tells(chat: Chat, run: Event, final: str) -> Event:
    """The payload of the run's last event, which must be this one; its timeline tells the same graph."""
    events = await chat.timeline(run["id"])
    assert told(events) == tellable(run["plan"]["tasks"])
    [last] = [event for event in events if event["final"]]
    assert (last, last["type"]) == (events[-1], final)
    payload: Event = last["payload"]
    return payload


async def runs_of(chat: Chat) -> list[Event]:
    """The project's runs, oldest first."""
    listed: list[Event] = (await answer(chat.http.get(f"{chat.project_path}/runs")))["runs"]
    return listed[::-1]


async def test_failed_task_skips_what_builds_on_it_and_the_answer_is_made_of_the_rest(
    ann: Api, model: FakeModel
) -> None:
    chat, key = await ann.new_chat(), str(uuid.uuid4())
    errand = Errand(
        [
            Step("kept", script=giving("Kept.")),
            Step("broken", script=giving("Mended.", status=400, times=1, key=key)),
            Step("waiting", ["kept", "broken"], giving("Waited.")),
            Step("last", ["waiting"], giving("Last.")),
            Step("other", ["kept"], giving("Other.")),
        ],
        combining=giving("Partly."),
    )
    reply = await answer(chat.send(errand.content, target_agent=None))
    assert (reply["content"], reply["agent_id"]) == ("Partly.", None)
    failed = await chat.run(reply["run_id"])
    assert (failed["state"], failed["message_id"], failed["stop_reason"]) == ("failed", reply["id"], None)
    assert states(failed) == {
        "kept": "succeeded",
        "broken": "failed",
        "waiting": "skipped",
        "last": "skipped",
        "other": "succeeded",
    }
    [why] = [task["error"] for task in failed["plan"]["tasks"] if task["error"]]
    assert why["reason"] == "MODEL_REFUSED"
    assert failed["error"]["reason"] == "TASKS_FAILED"
    assert '"Part broken"' in failed["error"]["detail"]
    assert why["detail"] in failed["error"]["detail"]
    completed = await timeline_tells(chat, failed, "orchestration_completed")
    assert (completed["success"], completed["message"]) == (False, reply)
    [combining] = errand.combined(model)
    asked = asked_about(combining)
    assert asked["results"] == [{"title": "Part other", "result": "Other."}]
    assert {part["title"]: why["detail"] in part["detail"] for part in asked["failed"]} == {
        "Part broken": True,
        "Part waiting": False,
        "Part last": False,
    }

    # Whoever tries again pays for what is left.
    made = await answer(chat.retry(failed["id"]), 201)
    again = await chat.run_after(made["id"], "succeeded")
    assert set(states(again).values()) == {"succeeded"}
    assert [len(errand.asked(model, id)) for id in ("kept", "broken", "waiting", "last", "other")] == [1, 2, 1, 1, 1]
    assert (len(errand.planned(model)), len(errand.combined(model))) == (1, 2)
    assert [task["usage"] for task in again["plan"]["tasks"] if task["id"] in ("kept", "other")] == [NOTHING] * 2
    cost = [errand.asked(model, id)[-1] for id in ("broken", "waiting", "last")]
    assert again["usage"] == usage_of([*cost, errand.combined(model)[-1]])
    asked = asked_about(errand.combined(model)[-1])
    assert [each["result"] for each in asked["results"]] == ["Last.", "Other."]
    assert "failed" not in asked
    assert (await timeline_tells(chat, again, "orchestration_completed"))["success"] is True
    assert [each["content"] for each in await chat.messages()] == [errand.content, "Partly.", "Partly."]
    problem(await chat.retry(again["id"]), 409, "RUN_NOT_RETRYABLE")


async def test_graph_of_which_nothing_succeeds_has_no_answer(ann: Api, model: FakeModel) -> None:
    chat, key = await ann.new_chat(), str(uuid.uuid4())
    # To come again in a minute is more than anybody waits for.
    away = {"status": 503, "retry_after": 60, "times": 1}
    errand = Errand(
        [
            Step("a", script=giving("Alpha.", key=f"a {key}", **away)),
            Step("b", script=giving("Beta.", key=f"b {key}", **away)),
            Step("c", ["a", "b"], giving("Both.")),
        ]
    )
    refusal = problem(await chat.send(errand.content, target_agent=None), 503, "MODEL_UNAVAILABLE")
    failed = await chat.run(refusal["metadata"]["run_id"])
    assert (failed["state"], failed["message_id"]) == ("failed", None)
    assert failed["error"]["reason"] == "MODEL_UNAVAILABLE"
    assert states(failed) == {"a": "failed", "b": "failed", "c": "skipped"}
    told_of = await timeline_tells(chat, failed, "run_failed")
    assert (told_of["error"], told_of["task_id"]) == (failed["error"], "a")
    assert errand.combined(model) == []
    assert [each["content"] for each in await chat.messages()] == [errand.content]

    made = await answer(chat.retry(failed["id"]), 201)
    again = await chat.run_after(made["id"], "succeeded")
    assert (await chat.messages())[-1]["content"] == "Both."
    assert again["usage"] == usage_of(errand.asked(model, id)[-1] for id in "abc")


async def test_results_that_cannot_be_combined_are_put_together_and_combined_by_a_retry(
    ann: Api, model: FakeModel
) -> None:
    chat = await ann.new_chat()
    combining = giving("One.", status=400, times=1, key=chat.session_id)
    errand = Errand([Step("a", script=giving("Alpha.")), Step("b", script=giving("Beta."))], combining)
    reply = await answer(chat.send(errand.content, target_agent=None))
    for text in ("Part a", "Alpha.", "Part b", "Beta."):
        assert text in reply["content"]
    failed = await chat.run(reply["run_id"])
    assert (failed["state"], failed["error"]["reason"]) == ("failed", "MODEL_REFUSED")
    assert failed["error"]["detail"] in reply["content"]
    assert set(states(failed).values()) == {"succeeded"}
    assert (await timeline_tells(chat, failed, "orchestration_completed"))["success"] is False

    made = await answer(chat.retry(failed["id"]), 201)
    again = await chat.run_after(made["id"], "succeeded")
    assert (await chat.messages())[-1]["content"] == "One."
    assert [len(errand.asked(model, id)) for id in "ab"] == [1, 1]
    assert again["usage"] == usage_of(errand.combined(model)[1:])


@pytest.mark.parametrize("moment", ["planning", "in mid-graph", "combining"])
async def test_planned_run_is_cancelled_wherever_it_stands_down_to_the_model(
    ann: Api, model: FakeModel, moment: str
) -> None:
    chat = await ann.new_chat()
    never = {"chunks": 4, "gate": f"never {uuid.uuid4()}"}
    planning, graph, combining = (
        giving("abcdefgh", **never) if moment == each else Script()
        for each in ("planning", "in mid-graph", "combining")
    )
    errand = Errand(
        [Step("done"), Step("left", ["done"], graph), Step("right", ["done"], graph), Step("end", ["left"])],
        combining,
        planning,
    )
    run_id = (await chat.start(errand.content, target_agent=None))["id"]
    at_work = 2 if moment == "in mid-graph" else 1

    def waits() -> bool:
        held = [each for each in model.open_now(errand.marker) if each.pieces_sent == 2]
        return len(held) == at_work and {each.kind for each in held} == {"task" if at_work == 2 else moment}

    await eventually(waits, what=f"the model at work {moment}")
    cancelled = await answer(chat.cancel(run_id))
    assert cancelled["state"] == "cancelled"
    await eventually(lambda: not model.open_now(errand.marker), what="no connection to the model")
    stopped = [each for each in model.exchanges(errand.marker) if each.outcome != "answered"]
    assert [each.outcome for each in stopped] == ["closed_by_client"] * at_work
    run = await chat.run(run_id)
    assert (run["state"], run["message_id"], run["error"]) == ("cancelled", None, None)
    assert (
        states(run)
        == {
            "planning": {},
            "in mid-graph": {"done": "succeeded", "left": "cancelled", "right": "cancelled", "end": "cancelled"},
            "combining": {"done": "succeeded", "left": "succeeded", "right": "succeeded", "end": "succeeded"},
        }[moment]
    )
    await timeline_tells(chat, run, "run_cancelled")
    assert (await answer(chat.send("And now?", target_agent=None)))["content"] == DEFAULT_ANSWER
    agents = (await answer(ann.http.get(f"{chat.project_path}/agents")))["agents"]
    assert {each["status"] for each in agents} == {"ready"}


async def test_cancelled_graph_is_finished_by_a_retry(ann: Api, model: FakeModel) -> None:
    chat, gate = await ann.new_chat(), str(uuid.uuid4())
    errand = Errand([Step("a", script=giving("Alpha.")), Step("b", ["a"], giving("Beta.", gate=gate))])
    run_id = (await chat.start(errand.content, target_agent=None))["id"]
    await eventually(lambda: [each for each in model.open_now(gate) if each.kind == "task"])
    await answer(chat.cancel(run_id))
    made = await answer(chat.retry(run_id), 201)
    model.open_gate(gate)
    run = await chat.run_after(made["id"], "succeeded")
    assert states(run) == {"a": "succeeded", "b": "succeeded"}
    assert [len(errand.asked(model, id)) for id in "ab"] == [1, 2]
    await timeline_tells(chat, run, "orchestration_completed")
    assert [each["content"] for each in await chat.messages()] == [errand.content, "Beta."]


async def test_project_without_agents_says_so_and_answers_once_it_has_one(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    agents = f"{chat.project_path}/agents"
    for agent in (await answer(ann.http.get(agents)))["agents"]:
        assert (await ann.http.delete(f"{agents}/{agent['id']}")).status_code == 204
    content = f"Is anybody here, {chat.session_id}?"
    refusal = problem(await chat.send(content, target_agent=None), 409, "NO_AGENTS")
    [failed] = await runs_of(chat)
    assert refusal["metadata"] == {"run_id": failed["id"]}
    assert (failed["state"], failed["error"]["reason"], failed["plan"]["tasks"]) == ("failed", "NO_AGENTS", [])
    assert model.exchanges(content) == []
    await timeline_tells(chat, failed, "run_failed")

    await answer(ann.http.post(agents, json={"name": AGENT}), 201)
    made = await answer(chat.retry(failed["id"]), 201)
    run = await chat.run_after(made["id"], "succeeded")
    assert [task["agent_name"] for task in run["plan"]["tasks"]] == [AGENT]
    said = [(each["role"], each["content"]) for each in await chat.messages()]
    assert said == [("user", content), ("assistant", DEFAULT_ANSWER)]
