"""Runs as their users see them, over real sockets."""

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from codelab.orchestrator.v1 import run_pb2, run_service_pb2

from services.orchestrator import hand
from services.runtime.database import DatabaseUnavailable
from services.runtime.errors import DeadlineExceeded, Internal, Unavailable
from services.runtime.ids import new_id
from tests.orchestrator.agents import HOLD, VANISH
from tests.orchestrator.stage import Client, Stage, answers, eventually, kind, rest

SUCCEEDED, FAILED, CANCELLED = (
    run_pb2.RUN_STATE_SUCCEEDED,
    run_pb2.RUN_STATE_FAILED,
    run_pb2.RUN_STATE_CANCELLED,
)
QUEUE, REJECT, REPLACE = (
    run_service_pb2.ON_BUSY_QUEUE,
    run_service_pb2.ON_BUSY_REJECT,
    run_service_pb2.ON_BUSY_REPLACE,
)
Code = grpc.StatusCode


class ModelUnavailable(Unavailable):
    reason = "MODEL_UNAVAILABLE"


class ModelTimeout(DeadlineExceeded):
    reason = "MODEL_TIMEOUT"


class ModelFailed(Internal):
    reason = "MODEL_FAILED"


# Answers


async def test_message_is_answered_told_and_kept(ann: Client, stage: Stage) -> None:
    answer = await ann.send("Hi!")
    assert (answer.content, answer.agent_id, answer.session_id) == ("Echo: Hi!", stage.agents.agent_id, ann.session_id)
    events = await ann.heard(finals=1)
    assert [(kind(event), event.final) for event in events] == [
        ("message_received", False),
        ("agent_started", False),
        ("agent_completed", True),
    ]
    assert events[-1].agent_completed.message == answer
    run = await ann.run(answer.run_id)
    assert (run.state, run.message_id, run.usage.model_calls) == (SUCCEEDED, answer.id, 1)
    assert await ann.said() == ["Hi!", "Echo: Hi!"]


async def test_agent_gets_the_task_with_what_was_said_before(ann: Client, stage: Stage) -> None:
    await ann.send("one")
    await ann.send("two")
    first, second = stage.agents.executions
    assert list(first.request.history) == []
    assert [(each.role, each.content) for each in second.request.history] == [
        ("user", "one"),
        ("assistant", "Echo: one"),
    ]
    request = second.request
    assert (request.run_epoch, request.attempt, request.instruction) == (1, 1, "two")
    assert (second.user_id, request.project_id, request.session_id) == (ann.user_id, ann.project_id, ann.session_id)


async def test_stream_of_a_message_holds_its_events_and_its_text(ann: Client, stage: Stage) -> None:
    stage.agents.script("Recite.", ["Tyger ", "Tyger, ", "burning ", "bright"])
    text, answer, kinds = "", "", []
    async for response in ann.stream("Recite."):
        event = response.event
        if kind(event) == "message_delta":
            assert event.message_delta.offset == len(text)
            text += event.message_delta.text
        elif kind(event) == "message_snapshot":
            text = event.message_snapshot.text
        else:
            kinds.append(kind(event))
        if kind(event) == "agent_completed":
            answer = event.agent_completed.message.content
    assert answer == "Tyger Tyger, burning bright"
    # Whoever answers at once may be done before the stream begins: then the answer comes whole, and only with its end.
    assert text in (answer, "")
    assert kinds == ["heartbeat", "message_received", "agent_started", "agent_completed", "stream_ended"]


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (ModelUnavailable("the model is overloaded"), Code.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (ModelTimeout("the model kept silent"), Code.DEADLINE_EXCEEDED, "MODEL_TIMEOUT"),
        (ModelFailed("the model broke off"), Code.INTERNAL, "RUN_FAILED"),
    ],
)
async def test_failed_run_says_why_and_the_session_takes_the_next(
    ann: Client, stage: Stage, failure: Unavailable, code: Code, reason: str
) -> None:
    stage.agents.script("Try.", ["Well, ", failure])
    with answers(code, reason) as caught:
        await ann.send("Try.")
    run = await ann.run(caught.value.metadata["run_id"])
    assert (run.state, run.error.reason, run.error.detail) == (FAILED, failure.reason, failure.detail)
    assert len(stage.agents.executions) == 1
    assert [kind(event) for event in await ann.heard(finals=1)] == [
        "message_received",
        "agent_started",
        "agent_failed",
        "run_failed",
    ]
    assert (await ann.send("Hi!")).content == "Echo: Hi!"
    assert await ann.said() == ["Try.", "Hi!", "Echo: Hi!"]


async def test_what_nobody_foresaw_is_told_without_its_inside(ann: Client, stage: Stage) -> None:
    stage.agents.script("Try.", [RuntimeError("password=hunter2 at /srv/agents.py")])
    with answers(Code.INTERNAL, "RUN_FAILED") as caught:
        await ann.send("Try.")
    run = await ann.run(caught.value.metadata["run_id"])
    assert "hunter2" not in str(run)
    assert "hunter2" not in str(caught.value)
    assert run.error.detail


async def test_unknown_agent_leaves_nothing_behind(ann: Client) -> None:
    with answers(Code.NOT_FOUND, "AGENT_NOT_FOUND"):
        await ann.send("Hi!", target_agent="Nobody")
    assert await ann.said() == []


# Agents that are out of reach


async def test_agents_that_go_away_in_the_middle_are_asked_again(stage: Stage) -> None:
    async with stage.serving_streams(), stage.serving_orchestrator(), stage.client() as ann:
        stage.agents.script("Recite.", ["Wrong ", HOLD], ["Right"])
        async with stage.serving_agents():
            run = await ann.create("Recite.")
            await stage.agents.execution("Recite.")
        async with stage.serving_agents():
            assert (await ann.finished(run.id)).state == SUCCEEDED
        # An attempt may have found nobody in between.
        first, last = [each.request.attempt for each in stage.agents.of("Recite.")]
        assert (first, last > 1) == (1, True)
        assert await ann.said() == ["Recite.", "Right"]
        kinds = [kind(event) for event in await ann.heard(finals=1)]
        assert kinds == ["message_received", *["agent_started"] * last, "agent_completed"]


async def test_second_attempt_resets_the_text_of_the_first(ann: Client, stage: Stage) -> None:
    stage.agents.script("Recite.", ["Wrong ", HOLD, VANISH], ["Right"])
    text, generation = "", 0
    async for response in ann.stream("Recite."):
        event = response.event
        piece = event.message_delta if kind(event) == "message_delta" else event.message_snapshot
        if kind(event) not in ("message_delta", "message_snapshot"):
            continue
        text = piece.text if piece.generation > generation or kind(event) == "message_snapshot" else text + piece.text
        generation = piece.generation
        if text == "Wrong ":
            (await stage.agents.execution("Recite.")).go.set()
    assert (generation, text) == (2, "Right")


async def test_agents_that_stay_away_fail_the_run(ann: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand, "_BACKOFF_SECONDS", 0.001)
    stage.agents.script("Try.", [VANISH])
    with answers(Code.INTERNAL, "RUN_FAILED") as caught:
        await ann.send("Try.")
    assert caught.value.metadata["run_reason"] == "AGENTS_UNAVAILABLE"
    assert "Socket" not in str(caught.value)
    assert [each.request.attempt for each in stage.agents.executions] == list(range(1, hand.ATTEMPTS + 1))


async def test_task_that_ends_without_a_result_is_tried_again(ann: Client, stage: Stage) -> None:
    stage.agents.script("Try.", [VANISH], [VANISH], ["Done."])
    assert (await ann.send("Try.")).content == "Done."


async def test_task_is_tried_again_when_the_database_of_agents_is_back(
    ann: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "_BACKOFF_SECONDS", 0.001)
    stage.agents.script("Try.", [DatabaseUnavailable("restarting")], ["Done."])
    assert (await ann.send("Try.")).content == "Done."


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


# Busy sessions


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


# Callers who come again, and callers who go


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


# Streams


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


async def test_unknown_ids_of_any_form_are_missing(ann: Client) -> None:
    for id in ("x", new_id(), "../..", "é" * 300):
        with answers(Code.NOT_FOUND, "RUN_NOT_FOUND"):
            await ann.run(id)
        with answers(Code.NOT_FOUND, "SESSION_NOT_FOUND"):
            await ann.send("Hi!", session_id=id)
