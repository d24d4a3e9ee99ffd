"""A run's answer, or its failure, as its user sees it over real sockets."""

import grpc
import pytest

from services.runtime.errors import DeadlineExceeded, Internal, Unavailable
from services.runtime.ids import new_id
from tests.orchestrator.stage import FAILED, SUCCEEDED, Client, Stage, answers, kind

Code = grpc.StatusCode


class ModelUnavailable(Unavailable):
    reason = "MODEL_UNAVAILABLE"


class ModelTimeout(DeadlineExceeded):
    reason = "MODEL_TIMEOUT"


class ModelFailed(Internal):
    reason = "MODEL_FAILED"


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


async def test_unknown_ids_of_any_form_are_missing(ann: Client) -> None:
    for id in ("x", new_id(), "../..", "é" * 300):
        with answers(Code.NOT_FOUND, "RUN_NOT_FOUND"):
            await ann.run(id)
        with answers(Code.NOT_FOUND, "SESSION_NOT_FOUND"):
            await ann.send("Hi!", session_id=id)
