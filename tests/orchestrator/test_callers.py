"""Callers who come again, with the same key, and callers who go: the run is one, and goes on."""

import asyncio

import grpc
from codelab.orchestrator.v1 import run_service_pb2

from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import SUCCEEDED, Client, Stage, answers, eventually, kind, rest

Code = grpc.StatusCode
REPLACE = run_service_pb2.ON_BUSY_REPLACE


async def test_send_that_ran_out_of_time_can_be_joined_in_all_three_ways(ann: Client, stage: Stage) -> None:
    stage.agents.script("Wait.", [HOLD, "Done."])
    with answers(Code.DEADLINE_EXCEEDED, "RUN_NOT_FINISHED") as caught:
        await ann.send("Wait.", timeout=2.0, request_id="k")
    run_id = caught.value.metadata["run_id"]
    execution = await stage.agents.execution("Wait.")
    # Its agent may be gone meanwhile: the run is what the key stands for.
    stage.agents.deleted = True
    assert (await ann.create("Wait.", request_id="k")).id == run_id
    joined = asyncio.create_task(ann.send("Wait.", request_id="k"))
    call = ann.stream("Wait.", request_id="k")
    assert kind((await call.read()).event) == "heartbeat"
    execution.go.set()
    assert ((await joined).content, (await joined).run_id) == ("Done.", run_id)
    assert [kind(event) for event in await rest(call)][-2:] == ["agent_completed", "stream_ended"]
    assert (await ann.send("Wait.", request_id="k")).content == "Done."
    assert await ann.said() == ["Wait.", "Done."]


async def test_same_request_id_with_other_content_is_refused(ann: Client) -> None:
    await ann.send("Hi!", request_id="k")
    for other in ({"content": "Ho!"}, {"content": "Hi!", "on_busy": REPLACE}):
        with answers(Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
            await ann.create(**other, request_id="k")  # type: ignore[arg-type]


async def test_twenty_sends_with_one_request_id_are_one_run(ann: Client, stage: Stage) -> None:
    sent = await asyncio.gather(*(ann.send("Hi!", request_id="k") for _ in range(20)))
    assert len({answer.id for answer in sent}) == 1
    assert len(stage.agents.executions) == 1


async def test_run_goes_on_when_its_caller_goes_away(ann: Client, stage: Stage) -> None:
    stage.agents.script("Wait.", [HOLD, "Done."])
    waiting = asyncio.create_task(ann.send("Wait."))
    execution = await stage.agents.execution("Wait.")
    waiting.cancel()
    watching = ann.stream("Wait.", request_id="w")
    await watching.read()
    watching.cancel()
    execution.go.set()
    run = await ann.finished(execution.request.run_id)
    assert (run.state, execution.stopped) == (SUCCEEDED, False)


async def test_whoever_leaves_while_sending_leaves_no_run_that_nobody_runs(ann: Client, stage: Stage) -> None:
    async def send_and_leave(number: int) -> None:
        session_id = await ann.new_session()
        sending = asyncio.create_task(ann.create(f"message {number}", session_id=session_id))
        # At some moment of the call, other ones at each.
        await asyncio.sleep(number * 0.0005)
        sending.cancel()

    await asyncio.gather(*(send_and_leave(number) for number in range(40)))
    # Each is answered, and none is unknown to its session. What is still being accepted has neither by now.
    unanswered = "SELECT DISTINCT run_count * 2 - message_count FROM chat_sessions"
    await eventually(lambda: stage.query(unanswered) == [(0,)])
    await eventually(lambda: stage.query("SELECT 1 FROM runs WHERE state != 'succeeded'") == [])
    # None of them waited for a lease to expire.
    epochs = stage.query("SELECT DISTINCT epoch, attempts FROM runs")
    assert epochs in ([], [(1, 0)])
