"""Messages to a session that is busy: they wait for their turn, are refused, or replace what is there."""

import asyncio

import grpc
from codelab.orchestrator.v1 import run_service_pb2

from tests.orchestrator.agents import HOLD
from tests.orchestrator.stage import SUCCEEDED, Client, Stage, answers, kind

Code = grpc.StatusCode
REJECT, REPLACE = run_service_pb2.ON_BUSY_REJECT, run_service_pb2.ON_BUSY_REPLACE


async def test_messages_wait_for_their_turn_and_the_conversation_reads_in_order(ann: Client, stage: Stage) -> None:
    stage.agents.script("first", [HOLD, "1"])
    runs = [await ann.create(content) for content in ("first", "second", "third")]
    last = asyncio.create_task(ann.send("last"))
    (await stage.agents.execution("first")).go.set()
    assert (await last).content == "Echo: last"
    assert [(await ann.run(run.id)).state for run in runs] == [SUCCEEDED] * 3
    assert await ann.said() == [
        "first", "1", "second", "Echo: second", "third", "Echo: third", "last", "Echo: last",
    ]  # fmt: skip
    events = await ann.heard(finals=4)
    for run in runs:
        kinds = [kind(event) for event in events if event.run_id == run.id]
        assert kinds == ["message_received", "agent_started", "agent_completed"]
    # One after another: nothing of a run between its predecessor's beginning and end.
    worked = [(event.run_id, kind(event)) for event in events if kind(event) != "message_received"]
    assert [run_id for run_id, _ in worked[::2]] == [run_id for run_id, _ in worked[1::2]]


async def test_busy_session_can_reject(ann: Client, stage: Stage) -> None:
    stage.agents.script("first", [HOLD])
    run = await ann.create("first")
    with answers(Code.FAILED_PRECONDITION, "SESSION_BUSY") as caught:
        await ann.send("second", on_busy=REJECT)
    assert caught.value.metadata["run_id"] == run.id
    assert await ann.said() == ["first"]


async def test_replacing_stops_what_runs_and_what_waits_and_says_so_first(ann: Client, stage: Stage) -> None:
    stage.agents.script("first", ["Well, ", HOLD])
    first = await ann.create("first")
    execution = await stage.agents.execution("first")
    second = await ann.create("second")
    answer = await ann.send("third", on_busy=REPLACE)
    assert answer.content == "Echo: third"
    await execution.over.wait()
    assert execution.stopped
    events = await ann.heard(finals=3)
    order = [(event.run_id, kind(event)) for event in events]
    assert order.index((first.id, "run_cancelled")) < order.index((answer.run_id, "message_received"))
    assert order.index((second.id, "run_cancelled")) < order.index((answer.run_id, "message_received"))
    assert {event.run_cancelled.reason for event in events if kind(event) == "run_cancelled"} == {"replaced"}
    assert stage.agents.of("second") == []


async def test_waiting_message_of_a_deleted_agent_fails_with_its_reason(ann: Client, stage: Stage) -> None:
    stage.agents.script("first", [HOLD, "1"])
    await ann.create("first")
    waiting = asyncio.create_task(ann.send("second"))
    execution = await stage.agents.execution("first")
    await ann.until_said("first", "second")
    stage.agents.deleted = True
    execution.go.set()
    with answers(Code.INTERNAL, "RUN_FAILED") as caught:
        await waiting
    assert caught.value.metadata["run_reason"] == "AGENT_NOT_FOUND"
