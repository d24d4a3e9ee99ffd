"""Streams that are away, restart or have forgotten a run: it goes on, and is told once and in order."""

import asyncio
from contextlib import AsyncExitStack

from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import Client, Stage, eventually, kind


async def test_runs_go_on_without_streams_and_are_told_later_once_and_in_order(stage: Stage) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator(), stage.client() as ann:
        for content in ("one", "two"):
            assert (await ann.send(content)).content == f"Echo: {content}"
        async with stage.serving_streams():
            events = await ann.heard(finals=2)
            assert [kind(event) for event in events] == ["message_received", "agent_started", "agent_completed"] * 2
            assert [event.message_received.message.content for event in events[::3]] == ["one", "two"]


async def test_what_streams_never_heard_the_next_boot_tells_at_once(stage: Stage) -> None:
    async with stage.serving_agents():
        async with stage.serving_orchestrator(), stage.client() as ann:
            await ann.send("one")
        assert len(stage.query("SELECT 1 FROM run_events WHERE published IS NULL")) == 3
        async with stage.serving_streams(), stage.serving_orchestrator():
            async with asyncio.timeout(5):
                events = await ann_again(stage, ann).heard(finals=1)
            assert [kind(event) for event in events] == ["message_received", "agent_started", "agent_completed"]
        assert stage.query("SELECT 1 FROM run_events WHERE published IS NULL") == []


def ann_again(stage: Stage, ann: Client) -> Client:
    """The same user, with new connections."""
    again = Client(stage, ann.user_id)
    again.project_id, again.session_id = ann.project_id, ann.session_id
    return again


async def test_streams_that_restart_in_the_middle_lose_no_state_event(stage: Stage) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator(), AsyncExitStack() as first:
        await first.enter_async_context(stage.serving_streams())
        async with stage.client() as ann:
            stage.agents.script("Recite.", ["Tyger ", HOLD, "Tyger"])
            run = await ann.create("Recite.")
            execution = await stage.agents.execution("Recite.")
            before = ann.watch()
            while kind((await before.read()).event) not in ("message_delta", "message_snapshot"):
                pass
            await first.aclose()
            async with stage.serving_streams():
                watching = ann.watch()
                text = ""
                async for response in watching:
                    event = response.event
                    if kind(event) == "message_snapshot":
                        text = event.message_snapshot.text
                        execution.go.set()
                    elif kind(event) == "message_delta":
                        # The new streams service never heard the beginning of the text: a snapshot repairs it.
                        assert event.message_delta.offset == len(text)
                        text += event.message_delta.text
                    if event.final:
                        break
                watching.cancel()
                assert text == "Tyger Tyger"
                await ann.finished(run.id)
                told = await ann.timeline(run.id)
                assert [kind(event) for event in told] == ["message_received", "agent_started", "agent_completed"]


async def test_stream_of_a_finished_run_is_told_from_its_timeline(stage: Stage) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator():
        async with stage.serving_streams(), stage.client() as ann:
            await ann.send("Hi!", request_id="k")
            (run_id,) = {event.run_id for event in await ann.heard(finals=1)}
            await eventually(lambda: stage.query("SELECT 1 FROM run_events WHERE published IS NULL") == [])
        # Streams know nothing of it any more, nor are they there.
        again = ann_again(stage, ann)
        events = [response.event async for response in again.stream("Hi!", request_id="k")]
        assert [kind(event) for event in events] == [
            "heartbeat", "message_received", "agent_started", "agent_completed", "stream_ended",
        ]  # fmt: skip
        assert events[-1].stream_ended.reason == "run_finished"
        assert events[1:-1] == await again.timeline(run_id)
        rest = [response.event async for response in again.stream("Hi!", request_id="k", after=events[2].id)]
        assert [(kind(event), event.id) for event in rest[:2]] == [
            ("heartbeat", events[2].id),
            ("agent_completed", events[3].id),
        ]
        # A heartbeat had moved the cursor past what else happened in the session.
        epoch, _, seq = events[3].id.rpartition("-")
        past = f"{epoch}-{int(seq) + 5}"
        rest = [response.event async for response in again.stream("Hi!", request_id="k", after=past)]
        assert [(kind(event), event.id) for event in rest] == [("heartbeat", past), ("stream_ended", "")]
        await again.close()


async def test_timeline_has_the_ids_of_the_stream(ann: Client, stage: Stage) -> None:
    answer = await ann.send("Hi!")
    heard = await ann.heard(finals=1)
    await eventually(lambda: stage.query("SELECT 1 FROM run_events WHERE published IS NULL") == [])
    assert await ann.timeline(answer.run_id) == heard
    assert (await ann.run(answer.run_id)).last_event_id == heard[-1].id
