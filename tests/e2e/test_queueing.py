"""Many messages: in one session one after the other, in many sessions at once; and cancelling wherever a run stands."""

import asyncio
import itertools
import uuid

import pytest

from tests.e2e.client import AGENT, Api, answer, problem
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout


async def test_five_messages_of_a_session_are_answered_in_order_each_after_the_other(
    ann: Api, model: FakeModel
) -> None:
    chat = await ann.new_chat()
    gate, marker = str(uuid.uuid4()), str(uuid.uuid4())
    scripts = [Script(answer=f"Answer {number}.", gate=gate if number == 0 else "") for number in range(5)]
    contents = [f"{marker} {number} {script.directive()}" for number, script in enumerate(scripts)]
    started = [await chat.start(content) for content in contents]
    assert [run["state"] for run in started] == ["running"] + ["queued"] * 4
    model.open_gate(gate)
    runs = [await chat.run_after(run["id"], "succeeded") for run in started]
    said = [each["content"] for each in await chat.messages()]
    assert said == [text for pair in zip(contents, [f"Answer {n}." for n in range(5)], strict=True) for text in pair]
    for before, after in itertools.pairwise(runs):
        assert before["finished_at"] <= after["started_at"]
    asked = sorted(model.exchanges(marker), key=lambda each: each.received_at)
    for number, exchange in enumerate(asked):
        # What was said and answered before, the question, and the system's prompt.
        talk = [each["content"] for each in exchange.body["messages"] if each["role"] != "system"]
        assert talk[-1].startswith(f"{marker} {number}")
        assert [each for each in talk[:-1] if each.startswith("Answer")] == [f"Answer {n}." for n in range(number)]


async def test_ten_sessions_work_at_the_same_time(ann: Api, model: FakeModel) -> None:
    project = await ann.new_project()
    agents = f"/my/projects/{project['id']}/agents"
    [agent] = [each for each in (await answer(ann.http.get(agents)))["agents"] if each["name"] == AGENT]
    await answer(ann.http.patch(f"{agents}/{agent['id']}", json={"config": {"concurrency_limit": 10}}))
    gate = str(uuid.uuid4())
    chats = [await ann.new_chat(project["id"]) for _ in range(10)]
    runs = await asyncio.gather(
        *(chat.start(f"{chat.session_id} {Script(gate=gate).directive()} {gate}") for chat in chats)
    )
    await eventually(lambda: len(model.open_now(gate)) == 10)
    model.open_gate(gate)
    for chat, run in zip(chats, runs, strict=True):
        await chat.run_after(run["id"], "succeeded")
        assert [each["run_id"] for each in await chat.messages()] == [run["id"]] * 2


@pytest.mark.parametrize("moment", ["queued", "waiting for the agent", "before the first token", "in mid-answer"])
async def test_run_is_cancelled_wherever_it_stands_and_nothing_of_it_is_left(
    ann: Api, model: FakeModel, moment: str
) -> None:
    chat = await ann.new_chat()
    marker, gate = str(uuid.uuid4()), str(uuid.uuid4())
    holding = f"Hold. {Script(gate=gate).directive()}"
    match moment:
        case "queued":
            await chat.start(holding)
            run = await chat.start(f"{marker} Never.")
            assert run["state"] == "queued"
        case "waiting for the agent":
            agents = f"{chat.project_path}/agents"
            [agent] = [each for each in (await answer(ann.http.get(agents)))["agents"] if each["name"] == AGENT]
            await answer(ann.http.patch(f"{agents}/{agent['id']}", json={"config": {"concurrency_limit": 1}}))
            await (await ann.new_chat(chat.project_id)).start(holding)
            async with chat.watch() as stream:
                await stream.read()
                run = await chat.start(f"{marker} Never.")
                working = await stream.until("agent_working")
            assert working["payload"]["phase"] == "queued"
        case "before the first token":
            run = await chat.start(f"{marker} {Script(first_token_seconds=60).directive()}")
            await eventually(lambda: model.open_now(marker))
        case _:
            run = await chat.start(f"{marker} {Script(chunks=4, after_chunks=2, gate=gate).directive()}")
            await eventually(lambda: [each for each in model.open_now(marker) if each.pieces_sent == 2])
    assert (await answer(chat.cancel(run["id"])))["state"] == "cancelled"
    await eventually(lambda: not model.open_now(marker))
    model.open_gate(gate)
    reply = await answer(chat.send("And now?"))
    assert reply["content"] == DEFAULT_ANSWER
    timeline = await chat.timeline(run["id"])
    assert [event["type"] for event in timeline if event["final"]] == ["run_cancelled"]
    done = await chat.run(run["id"])
    assert (done["state"], done["message_id"], done["plan"]["tasks"][0]["state"]) == ("cancelled", None, "cancelled")
    problem(await chat.cancel(reply["run_id"]), 409, "RUN_FINISHED")
    agents = (await answer(ann.http.get(f"{chat.project_path}/agents")))["agents"]
    assert {each["status"] for each in agents} == {"ready"}
