"""Runs that are stopped: cancelled, or deleted with their session or project."""

import asyncio

import grpc
import pytest

from tests.orchestrator.agents import HOLD, VANISH
from tests.orchestrator.stage import CANCELLED, Client, Stage, answers, eventually, kind, rest

Code = grpc.StatusCode


# Cancelling


async def test_cancelling_stops_the_task_and_tells_who_waits(ann: Client, stage: Stage) -> None:
    stage.agents.script("Wait.", ["Well, ", HOLD])
    waiting = asyncio.create_task(ann.send("Wait."))
    execution = await stage.agents.execution("Wait.")
    run = await ann.cancel(execution.request.run_id)
    assert run.state == CANCELLED
    async with asyncio.timeout(30):
        await execution.over.wait()
    assert execution.stopped
    with answers(Code.ABORTED, "RUN_CANCELLED") as caught:
        await waiting
    assert caught.value.metadata["run_id"] == run.id
    kinds = [(kind(event), event.final) for event in await ann.heard(finals=1)]
    assert kinds == [("message_received", False), ("agent_started", False), ("run_cancelled", True)]
    assert (await ann.cancel(run.id)).state == CANCELLED
    assert (await ann.send("Hi!")).content == "Echo: Hi!"


async def test_cancelling_between_two_attempts_stops_the_run(ann: Client, stage: Stage) -> None:
    stage.agents.script("Try.", [VANISH])
    run = await ann.create("Try.")
    await (await stage.agents.execution("Try.")).over.wait()
    assert (await ann.cancel(run.id)).state == CANCELLED
    assert [kind(event) for event in await ann.heard(finals=1)][-1] == "run_cancelled"


async def test_finished_run_cannot_be_cancelled(ann: Client) -> None:
    answer = await ann.send("Hi!")
    with answers(Code.FAILED_PRECONDITION, "RUN_FINISHED"):
        await ann.cancel(answer.run_id)


# Deletion


async def test_deleting_a_session_stops_its_run_and_leaves_nothing(ann: Client, stage: Stage) -> None:
    stage.agents.script("Wait.", [HOLD])
    waiting = asyncio.create_task(ann.send("Wait.", request_id="k"))
    execution = await stage.agents.execution("Wait.")
    watching = ann.watch()
    await watching.read()
    await ann.delete_session()
    with answers(Code.NOT_FOUND, "RUN_NOT_FOUND"):
        await waiting
    await execution.over.wait()
    assert execution.stopped
    end = (await rest(watching))[-1].stream_ended
    assert (end.reason, end.resumable) == ("deleted", False)
    await eventually(lambda: stage.query("SELECT 1 FROM chat_sessions") == [])
    for table in ("messages", "runs", "run_tasks", "run_events"):
        assert stage.query(f"SELECT 1 FROM {table}") == []
    with answers(Code.NOT_FOUND, "SESSION_NOT_FOUND"):
        await ann.send("Wait.", request_id="k")


async def test_deleting_a_project_stops_its_runs_for_good(ann: Client, stage: Stage) -> None:
    stage.agents.script("Wait.", [HOLD])
    await ann.create("Wait.")
    execution = await stage.agents.execution("Wait.")
    await ann.delete_project()
    await execution.over.wait()
    assert execution.stopped
    assert stage.query("SELECT 1 FROM chat_sessions UNION SELECT 1 FROM runs") == []
    with answers(Code.NOT_FOUND, "SESSION_NOT_FOUND"):
        await ann.send("Hi!")
    await ann.delete_project()


async def test_project_is_deleted_later_when_streams_are_away(stage: Stage) -> None:
    async with stage.serving_agents(), stage.serving_orchestrator(), stage.client() as ann:
        await ann.send("Hi!")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ann.delete_project()
        assert refused.value.code() is Code.UNAVAILABLE
        # It is deleted all the same, for whoever asks.
        with answers(Code.NOT_FOUND, "SESSION_NOT_FOUND"):
            await ann.send("Hi!")
        async with stage.serving_streams():
            await eventually(lambda: stage.query("SELECT 1 FROM chat_sessions") == [])
