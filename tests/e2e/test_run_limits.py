"""A run that spends too much is stopped at once, says which limit it was, and gives what it has."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.client import AGENT, Api, Chat, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event
from tests.e2e.plans import Errand, Step, giving, states, tellable, told
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, running
from tests.fakes.openai_script import DEFAULT_ANSWER
from tests.fakes.openai_server import FakeModel

TOKENS, MODEL_CALLS, SECONDS = 20_000, 4, 4
# More tokens than a run may use, and it never ends.
LONG = giving("word ", repeat=TOKENS, chunks=20, token_seconds=0.02, after_chunks=19, gate="never")


@pytest_asyncio.fixture(scope="module")
async def ann(model: FakeModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """A user of a suite that permits little."""
    given = {
        **settings(Layout.ONE, model),
        "CODELAB_RUN_TOKENS": str(TOKENS),
        "CODELAB_RUN_MODEL_CALLS": str(MODEL_CALLS),
        "CODELAB_RUN_SECONDS": str(SECONDS),
        "CODELAB_RUN_TASKS": "6",
    }
    async with (
        running(Layout.ONE, tmp_path_factory.mktemp("limits"), **given) as suite,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
    ):
        yield api


async def stopped(chat: Chat, model: FakeModel, errand: Errand, run_id: str, reason: str) -> Event:
    """The run once this limit has stopped it: nothing of it is left at the model, and its events tell the same."""
    run = await chat.run_after(run_id, "failed")
    assert (run["stop_reason"], run["error"]["reason"]) == (reason, reason)
    assert "CODELAB_RUN_" in run["error"]["detail"]
    await eventually(lambda: not model.open_now(errand.marker), what="no connection to the model")
    events = await chat.timeline(run_id)
    assert told(events) == tellable(run["plan"]["tasks"])
    return run


async def test_tokens_are_counted_while_an_answer_streams(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    errand = Errand([Step("short", script=giving("Short.")), Step("long", ["short"], LONG), Step("end", ["long"])])
    reply = await answer(chat.send(errand.content, target_agent=None))
    run = await stopped(chat, model, errand, reply["run_id"], "RUN_TOKEN_LIMIT")
    assert states(run) == {"short": "succeeded", "long": "cancelled", "end": "cancelled"}
    [long] = errand.asked(model, "long")
    assert long.outcome == "closed_by_client"
    # What was done, what was not, and why.
    for text in ("Short.", "Part long", "Part end", run["error"]["detail"]):
        assert text in reply["content"]
    assert reply["id"] == run["message_id"]
    # The stopped task's tokens are the run's too.
    tokens = [sum(each["usage"][name] for each in run["plan"]["tasks"]) for name in run["usage"]]
    assert run["usage"]["completion_tokens"] > tokens[1] - 1 > TOKENS // 2
    assert run["usage"]["model_calls"] == 3
    completed = (await chat.timeline(run["id"]))[-1]
    assert (completed["type"], completed["payload"]["success"]) == ("orchestration_completed", False)


async def test_run_whose_only_answer_grows_too_long_ends_without_one(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    errand = Errand([Step("long", script=LONG)])
    refusal = problem(await chat.send(errand.content, target_agent=None), 500, "RUN_FAILED")
    assert refusal["metadata"]["run_reason"] == "RUN_TOKEN_LIMIT"
    run = await stopped(chat, model, errand, refusal["metadata"]["run_id"], "RUN_TOKEN_LIMIT")
    assert (run["message_id"], states(run)) == (None, {"long": "cancelled"})
    assert (await answer(chat.send("Shorter.")))["content"] == DEFAULT_ANSWER


async def test_direct_run_is_stopped_too(ann: Api, model: FakeModel) -> None:
    chat, errand = await ann.new_chat(), Errand([])
    run_id = (await chat.start(f"{errand.marker} {LONG.directive()}", target_agent=AGENT))["id"]
    run = await chat.run_after(run_id, "failed")
    assert run["stop_reason"] == "RUN_TOKEN_LIMIT"
    await eventually(lambda: not model.open_now(errand.marker))


async def test_model_is_not_called_more_often_than_may_be(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    errand = Errand([Step("a"), *(Step(id, [before]) for before, id in zip("abcd", "bcde", strict=True))])
    reply = await answer(chat.send(errand.content, target_agent=None))
    run = await stopped(chat, model, errand, reply["run_id"], "RUN_MODEL_CALL_LIMIT")
    assert list(states(run).values()) == ["succeeded"] * 3 + ["cancelled"] * 2
    assert len(model.exchanges(errand.marker)) == run["usage"]["model_calls"] == MODEL_CALLS
    assert DEFAULT_ANSWER in reply["content"]


async def test_run_whose_time_is_up_gives_what_it_has(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    slow = giving("abcdefgh", gate="never")
    errand = Errand([Step("a", script=giving("Alpha.")), Step("b", script=slow), Step("c", ["b"])])
    reply = await answer(chat.send(errand.content, target_agent=None))
    run = await stopped(chat, model, errand, reply["run_id"], "RUN_TIME_LIMIT")
    assert states(run) == {"a": "succeeded", "b": "cancelled", "c": "cancelled"}
    assert "Alpha." in reply["content"]
    assert [each.outcome for each in errand.asked(model, "b")] == ["closed_by_client"]


async def test_plan_of_too_many_tasks_for_this_suite_is_not_taken(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    errand = Errand([Step(id) for id in "abcdefg"])
    reply = await answer(chat.send(errand.content, target_agent=None))
    plan = (await chat.run(reply["run_id"]))["plan"]
    assert (plan["origin"], [each["reason"] for each in plan["problems"]]) == ("fallback", ["PLAN_TOO_LARGE"] * 2)
