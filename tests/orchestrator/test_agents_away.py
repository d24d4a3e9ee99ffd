"""Agents that are out of reach, or go away in the middle: a run's task is tried again."""

import grpc
import pytest

from services.orchestrator import hand
from services.runtime.database import DatabaseUnavailable
from tests.orchestrator.agents import HOLD, VANISH
from tests.orchestrator.stage import SUCCEEDED, Client, Stage, answers, kind

Code = grpc.StatusCode


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
