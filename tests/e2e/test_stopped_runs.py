"""What stops a run and its model's request, cancelling and deleting, and what does not: a client that goes away."""

import asyncio

import pytest

from tests.e2e.client import Api, answer, problem
from tests.e2e.events import Format
from tests.e2e.polling import eventually
from tests.e2e.recitals import ENDLESS, POEM, answered, cut_after, reciting, saying
from tests.fakes.openai_server import FakeModel


async def test_cancel_closes_the_models_request(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    async with chat.stream(saying(f"Tick, {chat.session_id}.", ENDLESS)) as stream:
        delta = await stream.until("message_delta")
        assert len(model.open_now(chat.session_id)) == 1
        run = await answer(chat.cancel(delta["run_id"]))
        assert run["state"] == "cancelled"
        await eventually(lambda: not model.open_now(chat.session_id), within=10)
        watch = await stream.to_end()
    assert [each.outcome for each in model.exchanges(chat.session_id)] == ["closed_by_client"]
    assert watch.final()["type"] == "run_cancelled"
    assert watch.final()["payload"] == {"reason": "cancelled"}
    assert (await answer(chat.cancel(run["id"])))["finished_at"] == run["finished_at"], "cancelled twice"
    await answered(chat)


async def test_waiting_sender_of_a_cancelled_run_is_told_so(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(chat.send(saying(f"Tick, {chat.session_id}.", ENDLESS)))
        await eventually(lambda: model.open_now(chat.session_id))
        [run] = (await answer(ann.http.get(f"{chat.project_path}/runs")))["runs"]
        await answer(chat.cancel(run["id"]))
    told = problem(sending.result(), 409, "RUN_CANCELLED")
    assert told["metadata"]["run_id"] == run["id"]


async def test_finished_run_cannot_be_cancelled(ann: Api) -> None:
    chat = await ann.new_chat()
    reply = await answer(chat.send("Hello."))
    problem(await chat.cancel(reply["run_id"]), 409, "RUN_FINISHED")


async def test_client_that_goes_away_does_not_stop_its_run(ann: Api, model: FakeModel) -> None:
    streaming, waiting = await asyncio.gather(ann.new_chat(), ann.new_chat())
    watch = await cut_after(streaming, reciting(streaming), 2, Format.SSE)
    sending = asyncio.create_task(waiting.send(reciting(waiting)))
    await eventually(lambda: model.open_now(waiting.session_id))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    for chat in (streaming, waiting):
        model.open_gate(chat.session_id)
    done = await streaming.run_after(watch.events[0]["run_id"])
    [abandoned] = (await answer(ann.http.get(f"{waiting.project_path}/runs")))["runs"]
    assert (await waiting.run_after(abandoned["id"]))["state"] == done["state"] == "succeeded"
    for chat in (streaming, waiting):
        assert (await chat.messages())[-1]["content"] == POEM


@pytest.mark.parametrize("what", ["session", "project"])
async def test_deleting_ends_streams_and_the_models_request(ann: Api, model: FakeModel, what: str) -> None:
    chat = await ann.new_chat()
    path = chat.session_path if what == "session" else chat.project_path
    async with chat.watch(after="start") as stream:
        await chat.start(saying(f"Tick, {chat.session_id}.", ENDLESS))
        await stream.until("message_delta")
        deleted = await ann.http.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        watch = await stream.to_end()
    assert watch.ended == {"reason": "deleted", "resumable": False}
    await eventually(lambda: not model.open_now(chat.session_id))
    assert (await ann.http.get(path)).status_code == 404
    assert (await ann.http.get(f"{chat.session_path}/messages")).status_code == 404
    assert (await chat.send("Hello?")).status_code == 404
