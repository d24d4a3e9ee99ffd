"""An answer is read as it is written, in both formats: whole, cut and joined again, late, and by who only watches."""

import uuid

import pytest

from tests.e2e.client import Api
from tests.e2e.events import Format, Watch
from tests.e2e.recitals import DIRECT_EVENTS, POEM, answered, cut_after, reciting, saying
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

POEM_SCRIPT = Script(answer=POEM, chunks=40, token_seconds=0.01)


@pytest.mark.parametrize("accept", Format)
async def test_streamed_message_rebuilds_the_stored_answer(ann: Api, accept: Format) -> None:
    chat = await ann.new_chat()
    async with chat.stream(saying("Recite.", POEM_SCRIPT), accept=accept) as stream:
        first = await stream.read()
        assert first is not None
        assert first.id, "the first block is the cursor"
        watch = await stream.to_end()
    stored = (await chat.messages())[-1]
    assert stored["content"] == POEM
    assert watch.answers.texts == {stored["id"]: POEM}
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.final()["payload"]["message"] == stored
    assert watch.ended == {"reason": "run_finished", "resumable": False}
    assert len(watch.of_type("message_delta")) > 3, "the answer came at once instead of as it was written"


@pytest.mark.parametrize("accept", Format)
async def test_stream_cut_in_mid_answer_resumes_after_last_event_id(ann: Api, model: FakeModel, accept: Format) -> None:
    chat = await ann.new_chat()
    watch = await cut_after(chat, reciting(chat), 2, accept)
    run_id = watch.events[0]["run_id"]
    assert watch.last_id is not None
    # Cut once more, then to the end.
    async with chat.watch(accept=accept, watch=watch, run_id=run_id) as stream:
        await stream.until("message_snapshot")
    async with chat.watch(accept=accept, watch=watch, run_id=run_id) as stream:
        await stream.until("message_snapshot")
        model.open_gate(chat.session_id)
        await stream.until("message_delta")
        await stream.to_end()
    stored = (await chat.messages())[-1]
    assert watch.answers.texts == {stored["id"]: POEM}
    assert stored["content"] == POEM
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.final()["payload"]["message"] == stored


async def test_stream_cut_in_mid_answer_is_joined_again_by_its_request_id(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    content, request_id = reciting(chat), str(uuid.uuid4())
    watch = await cut_after(chat, content, 2, Format.SSE, request_id=request_id)
    async with chat.stream(content, watch=watch, request_id=request_id) as stream:
        await stream.until("message_snapshot")
        model.open_gate(chat.session_id)
        await stream.to_end()
    stored = (await chat.messages())[-1]
    assert watch.answers.texts == {stored["id"]: stored["content"]}
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert len(model.exchanges(chat.session_id)) == 1


async def test_who_comes_late_reads_the_whole_run_from_the_buffer(ann: Api) -> None:
    chat = await ann.new_chat()
    run = await chat.start("Hello.")
    await chat.run_after(run["id"], "succeeded")
    async with chat.watch(after="start", run_id=run["id"]) as stream:
        watch = await stream.to_end()
    assert watch.types(progress=False) == DIRECT_EVENTS
    assert watch.ended["reason"] == "run_finished"


async def test_watcher_of_a_session_sees_every_run_and_heartbeats_between_them(ann: Api) -> None:
    chat = await ann.new_chat()
    async with chat.watch() as stream:
        for _ in range(2):
            await answered(chat)
            await stream.until("agent_completed")
        while (frame := await stream.read()) is not None and frame.comment is None:
            pass
        assert frame is not None, "the stream ended instead of sending a heartbeat"
    assert stream.watch.types(progress=False) == DIRECT_EVENTS * 2


async def test_run_says_after_which_event_to_watch_without_missing_any(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    run = await chat.start(reciting(chat))
    seen = await chat.run_after(run["id"], "running")
    watch = Watch(last_id=seen["last_event_id"])
    async with chat.watch(watch=watch, run_id=run["id"]) as stream:
        model.open_gate(chat.session_id)
        await stream.to_end()
    assert list(watch.answers.texts.values()) == [POEM]
    assert watch.final()["type"] == "agent_completed"
