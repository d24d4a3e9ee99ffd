"""StreamMessage, whatever becomes of the stream behind it."""

from contextlib import AsyncExitStack

import grpc
import pytest
from codelab.orchestrator.v1 import event_pb2, run_pb2

from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import Stage, answers, decoded, kind, rest


def text_of(events: list[event_pb2.Event]) -> str:
    """The answer as a watcher has it. Fails where a piece does not fit."""
    text = ""
    for each in events:
        if each.HasField("message_snapshot"):
            text = each.message_snapshot.text
        elif each.HasField("message_delta"):
            assert each.message_delta.offset == len(text)
            text += each.message_delta.text
    return text


async def test_a_stream_goes_on_by_itself_when_the_one_behind_it_ends(stage: Stage) -> None:
    async with (
        stage.serving_agents(),
        stage.serving_orchestrator(),
        # As if half an hour were a moment.
        stage.serving_streams(rotate_seconds=0.1, sweep_seconds=0.01),
        stage.client() as ann,
    ):
        stage.agents.script("Recite.", ["Tyger ", HOLD, "Tyger"])
        watching = ann.stream("Recite.")
        events: list[event_pb2.Event] = []
        # Each stream begins with its cursor.
        while sum(kind(each) == "heartbeat" and each.HasField("id") for each in events) < 3:
            events.append((await watching.read()).event)
        (await stage.agents.execution("Recite.")).go.set()
        events += await rest(watching)
    ids = [each.id for each in events if each.HasField("id") and kind(each) != "heartbeat"]
    assert len(ids) == len(set(ids))
    assert "resync_required" not in {kind(each) for each in events}
    # What was written between two streams comes whole, with the end.
    assert text_of(events) in ("Tyger ", "Tyger Tyger")
    assert events[-2].agent_completed.output == "Tyger Tyger"
    assert {"message_received", "agent_started"} <= {kind(each) for each in events}
    assert (kind(events[-2]), events[-2].final) == ("agent_completed", True)
    assert [each.stream_ended.reason for each in events if each.HasField("stream_ended")] == ["run_finished"]


@pytest.mark.parametrize("away", [False, True], ids=["restarted in mid-run", "away while the run ends"])
async def test_a_stream_outlives_the_streams_service(stage: Stage, away: bool) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator(), AsyncExitStack() as first:
        await first.enter_async_context(stage.serving_streams())
        async with stage.client() as ann:
            stage.agents.script("Recite.", ["Tyger ", HOLD, "Tyger"])
            watching = ann.stream("Recite.")
            events: list[event_pb2.Event] = []
            while not events or kind(events[-1]) not in ("message_delta", "message_snapshot"):
                events.append((await watching.read()).event)
            execution = await stage.agents.execution("Recite.")
            await first.aclose()
            if away:
                execution.go.set()
                await ann.finished(events[-1].run_id)
            async with stage.serving_streams():
                if not away:
                    while kind(events[-1]) != "message_snapshot":
                        events.append((await watching.read()).event)
                    execution.go.set()
                events += await rest(watching)
    finals = [each for each in events if each.final]
    assert [kind(each) for each in finals] == ["agent_completed"]
    assert finals[0].agent_completed.output == "Tyger Tyger"
    assert (events[-2].final, events[-1].stream_ended.reason) == (True, "run_finished")


async def test_a_session_deleted_while_the_streams_service_is_away_ends_its_stream(stage: Stage) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator(), AsyncExitStack() as first:
        await first.enter_async_context(stage.serving_streams())
        async with stage.client() as ann:
            stage.agents.script("Wait.", [HOLD])
            watching = ann.stream("Wait.")
            await watching.read()
            await stage.agents.execution("Wait.")
            await first.aclose()
            await ann.delete_session()
            async with stage.serving_streams():
                ended = (await rest(watching))[-1].stream_ended
    assert (ended.reason, ended.resumable) == ("deleted", False)


async def test_a_stream_too_many_is_refused_and_its_run_goes_on(stage: Stage) -> None:
    async with (
        stage.serving_agents(),
        stage.serving_orchestrator(),
        stage.serving_streams(user_streams=1),
        stage.client() as ann,
    ):
        watching = ann.watch()
        await watching.read()
        with answers(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS") as refusal:
            await decoded(ann.stream("Hi!", request_id="k").read())
        assert (await ann.finished(refusal.value.metadata["run_id"])).state == run_pb2.RUN_STATE_SUCCEEDED
        assert (await ann.send("Hi!", request_id="k")).run_id == refusal.value.metadata["run_id"]
        assert refusal.value.retry_after
        watching.cancel()
