"""The whole suite is killed, or stopped, in the middle of runs, and started again."""

import asyncio
import time

import httpx
import pytest

from tests.e2e.client import Api, answer
from tests.e2e.events import StreamBroken, Watch
from tests.e2e.recitals import POEM, answered, reciting, saying
from tests.e2e.suite import Suite
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel


async def test_killing_everything_loses_nothing_that_was_acknowledged(ann: Api, suite: Suite, model: FakeModel) -> None:
    project = await ann.new_project("Survivor")
    chat = await ann.new_chat(project["id"])
    await answer(chat.send("Remember this."))
    before = await chat.messages()
    # The model answers the second request for it: the first dies with its process.
    script = Script(fault="stall", times=1, key=chat.session_id)
    watch = Watch()
    async with chat.watch(watch=watch) as stream:
        active = await chat.start(saying(f"Try, {chat.session_id}.", script))
        queued = await chat.start("I wait.")
        await stream.until("message_delta")
        await suite.kill()
        # The gateway may have had the time to say that the others are gone.
        with pytest.raises((httpx.TransportError, StreamBroken)):
            await stream.to_end()
    await suite.start()

    assert await answer(ann.http.get(chat.project_path)) == project
    assert (await chat.messages())[: len(before)] == before
    first, second = await asyncio.gather(chat.run_after(active["id"]), chat.run_after(queued["id"]))
    assert first["state"] == "succeeded" or first["error"]["reason"], first
    assert second["state"] == "succeeded"
    async with chat.watch(watch=watch) as stream:
        resync = await stream.until("resync_required")
        assert resync["payload"]["latest_id"]
        await answered(chat)
        completed = await stream.until("agent_completed")
    assert completed["payload"]["message"] == (await chat.messages())[-1]
    for run in (active, queued):
        assert [event["final"] for event in await chat.timeline(run["id"])].count(True) == 1


async def test_sigterm_ends_open_streams_and_then_every_process_with_zero(
    ann: Api, suite: Suite, model: FakeModel
) -> None:
    idle, busy = await asyncio.gather(ann.new_chat(), ann.new_chat())
    async with idle.watch() as quiet, busy.stream(reciting(busy)) as active:
        await active.until("message_delta")
        # As a browser does: both streams are read while the suite stops.
        reading = asyncio.gather(quiet.to_end(), active.to_end())
        started = time.monotonic()
        codes = await suite.stop()
        seconds = time.monotonic() - started
        watches = await reading
    assert set(codes.values()) == {0}, codes
    # Before the end of their drain.
    assert seconds < 18, "processes waited instead of ending their streams"
    for watch in watches:
        assert watch.ended == {"reason": "shutdown", "resumable": True}

    model.open_gate(busy.session_id)
    await suite.start()
    run = await busy.run_after(active.watch.events[0]["run_id"])
    assert run["state"] == "succeeded"
    assert (await busy.messages())[-1]["content"] == POEM
    await answered(idle)
