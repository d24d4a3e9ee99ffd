"""Whatever a model does instead of answering, the run says so, and its session goes on."""

import asyncio

import pytest

from tests.e2e.client import Api, Chat, answer, problem
from tests.e2e.polling import eventually
from tests.e2e.recitals import answered, saying
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

FAILING: dict[str, tuple[Script, int, str]] = {
    "always busy": (Script(status=429), 503, "MODEL_UNAVAILABLE"),
    "always failing": (Script(status=500), 503, "MODEL_UNAVAILABLE"),
    "resets the connection": (Script(fault="reset", after_chunks=0), 503, "MODEL_UNAVAILABLE"),
    "never answers": (Script(fault="hang"), 504, "MODEL_TIMEOUT"),
    "stalls": (Script(fault="stall"), 504, "MODEL_TIMEOUT"),
    "breaks off": (Script(fault="reset"), 500, "RUN_FAILED"),
    "ends early": (Script(fault="cut"), 500, "RUN_FAILED"),
    "error in mid-answer": (Script(fault="error_chunk"), 500, "RUN_FAILED"),
    "garbage body": (Script(fault="garbage_body"), 500, "RUN_FAILED"),
    "garbage event": (Script(fault="garbage_sse"), 500, "RUN_FAILED"),
    "no choices": (Script(fault="empty_choices"), 500, "RUN_FAILED"),
    "blank answer": (Script(answer=" \n" * 20), 500, "RUN_FAILED"),
    "refuses the request": (Script(status=400), 500, "RUN_FAILED"),
    "refuses the key": (Script(status=401), 500, "RUN_FAILED"),
}


async def test_run_whose_model_fails_is_failed_with_its_reason_and_the_session_goes_on(ann: Api) -> None:
    project = await ann.new_project()

    async def one(name: str) -> None:
        try:
            await fails_and_goes_on(await ann.new_chat(project["id"]), *FAILING[name])
        except BaseException as error:
            error.add_note(f"model: {name}")
            raise

    # All at once: most of them only wait.
    async with asyncio.TaskGroup() as group:
        for name in FAILING:
            group.create_task(one(name))


async def fails_and_goes_on(chat: Chat, script: Script, status: int, reason: str) -> None:
    content = saying("Hello.", script)
    async with chat.watch(after="start") as stream:
        failed = problem(await chat.send(content), status, reason)
        await stream.until("run_failed")
    run = await chat.run(failed["metadata"]["run_id"])
    assert run["state"] == "failed"
    assert run["error"]["reason"].startswith("MODEL_")
    assert run["error"]["detail"]
    assert "Traceback" not in failed["detail"]
    watch = stream.watch
    assert watch.types(progress=False) == ["message_received", "agent_started", "agent_failed", "run_failed"]
    assert watch.final()["payload"]["error"] == run["error"]
    assert [(each["role"], each["content"]) for each in await chat.messages()] == [("user", content)]
    await answered(chat)


async def test_model_that_is_down_fails_the_run_and_is_asked_again_once_it_is_back(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    model.stop()
    try:
        problem(await chat.send("Anybody there?"), 503, "MODEL_UNAVAILABLE")
    finally:
        model.start()
    assert [each["role"] for each in await chat.messages()] == ["user"]
    await answered(chat)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refusal_that_passes_is_retried_before_the_first_token(ann: Api, model: FakeModel, status: int) -> None:
    chat = await ann.new_chat()
    script = Script(status=status, times=1, key=chat.session_id, retry_after=0.1)
    assert (await answer(chat.send(saying(f"{chat.session_id}?", script))))["content"] == DEFAULT_ANSWER
    await eventually(lambda: not model.open_now(chat.session_id))
    assert [each.outcome for each in model.exchanges(chat.session_id)] == ["refused", "answered"]
