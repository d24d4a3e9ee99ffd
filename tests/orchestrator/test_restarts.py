"""What a stopping process leaves to the next one, and what a killed one does."""

import asyncio
import signal

import grpc
import pytest

from codelab_client.errors import ApiError
from services.orchestrator.executor import Executor
from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import SUCCEEDED, Client, Stage, answers, decoded, eventually, kind, rest


async def test_drained_run_goes_on_at_once_in_the_next_process(stage: Stage) -> None:
    stage.agents.script("Recite.", ["Tyger ", HOLD], ["Tyger Tyger"])
    async with stage.serving_streams(), stage.serving_agents(), stage.client_later() as ann:
        async with stage.serving_orchestrator():
            await ann.begin()
            run = await ann.create("Recite.")
            await ann.create("next")
            execution = await stage.agents.execution("Recite.")
        await execution.over.wait()
        assert execution.stopped
        # Its lease is over by now, and the interruption is not held against it.
        ((owned_until, attempts),) = stage.query("SELECT lease_until, attempts FROM runs WHERE state = 'running'")
        assert (owned_until, attempts) == (0, -1)
        async with stage.serving_orchestrator():
            events = await ann.heard(finals=2)
            assert (await ann.finished(run.id)).state == SUCCEEDED
            assert await ann.said() == ["Recite.", "Tyger Tyger", "next", "Echo: next"]
        assert [kind(event) for event in events if event.run_id == run.id] == [
            "message_received",
            "agent_started",
            "agent_started",
            "agent_completed",
        ]
        first, second = stage.agents.of("Recite.")
        assert (first.request.run_epoch, second.request.run_epoch, second.request.attempt) == (1, 2, 2)


async def test_who_waits_hears_that_the_process_stops(stage: Stage) -> None:
    stage.agents.script("Wait.", [HOLD], ["Done."])
    async with stage.serving_streams(), stage.serving_agents(), stage.client_later() as ann:
        async with stage.serving_orchestrator():
            await ann.begin()
            waiting = asyncio.create_task(ann.send("Wait.", request_id="k"))
            execution = await stage.agents.execution("Wait.")
            watching = ann.stream("Wait.", request_id="k")
            await watching.read()
            began = asyncio.get_running_loop().time()
        # No stream is waited for until the drain's end.
        assert asyncio.get_running_loop().time() - began < 4
        with answers(grpc.StatusCode.UNAVAILABLE, "RUN_INTERRUPTED") as caught:
            await waiting
        assert caught.value.metadata["run_id"] == execution.request.run_id
        end = (await rest(watching))[-1].stream_ended
        assert (end.reason, end.resumable) == ("shutdown", True)
        async with stage.serving_orchestrator():
            assert (await ann.send("Wait.", request_id="k")).content == "Done."


@pytest.mark.parametrize("moment", ["in the middle of the answer", "with a queue"])
async def test_killed_process_loses_nothing(stage: Stage, moment: str) -> None:
    stage.agents.script("Recite.", ["Tyger ", HOLD], ["Tyger Tyger"])
    async with stage.serving_streams(), stage.serving_agents(), stage.client_later() as ann:
        async with stage.orchestrator_process() as process:
            await ann.begin()
            run = await ann.create("Recite.", request_id="k")
            await stage.agents.execution("Recite.")
            queued = [await ann.create(f"then {n}") for n in range(2)] if moment == "with a queue" else []
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with stage.serving_orchestrator():
            assert (await ann.send("Recite.", request_id="k")).content == "Tyger Tyger"
            for each in queued:
                assert (await ann.finished(each.id)).state == SUCCEEDED
            events = await ann.heard(finals=1 + len(queued))
        told = [(event.run_id, kind(event)) for event in events]
        assert [type for run_id, type in told if run_id == run.id] == [
            "message_received",
            "agent_started",
            "agent_started",
            "agent_completed",
        ]
        for each in queued:
            assert told.count((each.id, "message_received")) == told.count((each.id, "agent_completed")) == 1
        assert [attempt.request.run_epoch for attempt in stage.agents.of("Recite.")] == [1, 2]
        said = [content for (content,) in stage.query("SELECT content FROM messages ORDER BY position")]
        then = [line for n in range(len(queued)) for line in (f"then {n}", f"Echo: then {n}")]
        assert said == ["Recite.", "Tyger Tyger", *then]


async def test_message_accepted_after_the_drain_is_free_for_the_next_process(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain = Executor.drain

    async def drain_then_resolve(executor: Executor) -> None:
        await drain(executor)
        stage.agents.may_resolve.set()

    monkeypatch.setattr(Executor, "drain", drain_then_resolve)
    stage.agents.may_resolve.clear()
    async with stage.serving_streams(), stage.serving_agents(), stage.client_later() as ann:
        async with stage.serving_orchestrator():
            await ann.begin()
            sending = asyncio.create_task(ann.create("late", request_id="k"))
            await stage.agents.resolving.wait()
        run = await sending
        assert stage.query("SELECT state, lease_until FROM runs") == [("running", 0)]
        async with stage.serving_orchestrator():
            assert (await ann.finished(run.id)).state == SUCCEEDED


async def test_message_accepted_while_draining_is_no_orphan(stage: Stage) -> None:
    async with stage.serving_streams(), stage.serving_agents(), stage.client_later() as ann:
        async with stage.serving_orchestrator():
            await ann.begin()
            sends = [asyncio.create_task(_try(ann, f"message {number}")) for number in range(12)]
            await eventually(lambda: len(stage.agents.executions) >= 1)
        await asyncio.gather(*sends)
        assert stage.query("SELECT 1 FROM runs WHERE state = 'running' AND lease_until > 0") == []
        async with stage.serving_orchestrator():
            await eventually(lambda: stage.query("SELECT 1 FROM runs WHERE state != 'succeeded'") == [])


async def _try(ann: Client, content: str) -> None:
    """Send; a process that stops may refuse, or be gone."""
    try:
        await ann.create(content, session_id=await decoded(ann.new_session()))
    except ApiError as error:
        if error.code is not grpc.StatusCode.UNAVAILABLE:
            raise
