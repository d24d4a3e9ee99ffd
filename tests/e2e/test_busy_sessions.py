"""A message comes while another is answered: the same again, one that waits, one that will not, one that replaces."""

import asyncio
import uuid

from tests.e2e.client import Api, answer, problem
from tests.e2e.events import Watch
from tests.e2e.polling import eventually
from tests.e2e.recitals import ENDLESS, reciting, saying
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


async def test_same_request_id_joins_the_first_run_in_every_way_of_sending(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    content, request_id = reciting(chat), str(uuid.uuid4())
    run = await chat.start(content, request_id=request_id)

    async def stream() -> Watch:
        async with chat.stream(content, request_id=request_id) as opened:
            await opened.until("message_snapshot", "message_delta")
            model.open_gate(chat.session_id)
            return await opened.to_end()

    sent, watch, again = await asyncio.gather(
        answer(chat.send(content, request_id=request_id)), stream(), chat.start(content, request_id=request_id)
    )
    assert again["id"] == sent["run_id"] == run["id"]
    assert watch.final()["payload"]["message"] == sent
    assert await answer(chat.send(content, request_id=request_id)) == sent
    assert len(await chat.messages()) == 2
    assert len(model.exchanges(chat.session_id)) == 1


async def test_request_id_with_other_content_is_refused(ann: Api) -> None:
    chat = await ann.new_chat()
    await answer(chat.send("One.", request_id="same"))
    problem(await chat.send("Two.", request_id="same"), 409, "REQUEST_ID_REUSED")
    assert len(await chat.messages()) == 2


async def test_message_to_a_busy_session_waits_for_its_turn(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    first = await chat.start(reciting(chat))
    second = await chat.start("And then?")
    assert second["state"] == "queued"
    model.open_gate(chat.session_id)
    done = await chat.run_after(second["id"])
    assert done["state"] == "succeeded"
    assert (await chat.run(first["id"]))["finished_at"] <= done["started_at"]
    assert [each["run_id"] for each in await chat.messages()] == [first["id"]] * 2 + [second["id"]] * 2


async def test_message_that_will_not_wait_is_refused_and_leaves_nothing(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    run = await chat.start(reciting(chat))
    problem(await chat.send("Me too!", on_busy="reject"), 409, "SESSION_BUSY")
    model.open_gate(chat.session_id)
    await chat.run_after(run["id"], "succeeded")
    assert [each["run_id"] for each in await chat.messages()] == [run["id"]] * 2


async def test_message_that_replaces_cancels_the_active_and_the_waiting(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    active = await chat.start(saying(f"Tick, {chat.session_id}.", ENDLESS))
    waiting = await chat.start("I wait.")
    await eventually(lambda: model.open_now(chat.session_id))
    async with chat.watch(after="start", run_id=active["id"]) as stream:
        reply = await answer(chat.send("Never mind.", on_busy="replace"))
        watch = await stream.to_end()
    assert reply["content"] == DEFAULT_ANSWER
    assert watch.final()["type"] == "run_cancelled"
    assert watch.final()["payload"] == {"reason": "replaced"}
    assert [(await chat.run(run["id"]))["state"] for run in (active, waiting)] == ["cancelled", "cancelled"]
    await eventually(lambda: not model.open_now(chat.session_id))


async def test_of_messages_that_replace_each_other_at_once_one_is_answered_and_the_rest_told(
    ann: Api, model: FakeModel
) -> None:
    chat = await ann.new_chat()
    # Nobody is answered before all have come.
    held = Script(gate=chat.session_id)

    async def all_but_one_are_replaced() -> bool:
        runs = (await answer(ann.http.get(f"{chat.project_path}/runs", params={"session_id": chat.session_id})))["runs"]
        return [run["state"] for run in runs].count("cancelled") == 19

    async with asyncio.timeout(60), asyncio.TaskGroup() as sending:
        sent = [
            sending.create_task(chat.send(saying(f"No, {number}!", held), on_busy="replace")) for number in range(20)
        ]
        await eventually(all_but_one_are_replaced)
        model.open_gate(chat.session_id)
    responses = [each.result() for each in sent]
    answers = [response.json() for response in responses if response.status_code == 200]
    for response in responses:
        if response.status_code != 200:
            problem(response, 409, "RUN_CANCELLED")
    runs = (await answer(ann.http.get(f"{chat.project_path}/runs", params={"session_id": chat.session_id})))["runs"]
    assert len(runs) == 20
    assert sorted(run["id"] for run in runs if run["state"] == "succeeded") == sorted(run["run_id"] for run in answers)
    # Which one is the last to come is for the session to say, but that one is not replaced.
    assert len(answers) == 1
    for run in runs:
        assert [event["final"] for event in await chat.timeline(run["id"])].count(True) == 1
