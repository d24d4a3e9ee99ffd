"""Doing again what failed, and what a user may have at once, over HTTP."""

import asyncio
import uuid
from pathlib import Path

import pytest

from tests.e2e.client import Api, Chat, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Format
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, running
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


async def test_failed_message_is_answered_when_it_is_tried_again(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    content = f"{chat.session_id} {Script(status=400, times=1, key=chat.session_id).directive()}"
    failed = await chat.run_after((await chat.start(content))["id"], "failed")
    async with chat.watch() as stream:
        await stream.read()
        made = await answer(chat.retry(failed["id"]), 201)
        assert (made["retry_of"], made["session_id"]) == (failed["id"], chat.session_id)
        done = await chat.run_after(made["id"], "succeeded")
        final = await stream.until("agent_completed")
    assert (final["run_id"], final["payload"]["message"]["id"]) == (made["id"], done["message_id"])
    said = await chat.messages()
    assert [(each["role"], each["content"], each["run_id"]) for each in said] == [
        ("user", content, failed["id"]),
        ("assistant", DEFAULT_ANSWER, made["id"]),
    ]
    first, second = model.exchanges(chat.session_id)
    assert first.body["messages"] == second.body["messages"]
    assert [event["type"] for event in await chat.timeline(made["id"])] == ["agent_started", "agent_completed"]


async def test_what_cannot_be_retried_says_why(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    reply = await answer(chat.send("Hello."))
    refusal = problem(await chat.retry(reply["run_id"]), 409, "RUN_NOT_RETRYABLE")
    assert refusal["metadata"] == {"run_id": reply["run_id"], "state": "succeeded"}
    problem(await chat.retry(str(uuid.uuid4())), 404, "RUN_NOT_FOUND")
    run = await chat.start(f"{chat.session_id} {Script(gate=str(uuid.uuid4())).directive()}")
    await answer(chat.cancel(run["id"]))
    again = await answer(chat.retry(run["id"]), 201)
    refusal = problem(await chat.retry(run["id"]), 409, "RUN_RETRIED")
    assert refusal["metadata"] == {"run_id": run["id"], "retried_by": again["id"]}
    assert again["id"] in refusal["detail"]
    await answer(chat.cancel(again["id"]))


async def test_same_key_retries_once_however_often_it_is_asked(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    failed = await chat.run_after((await chat.start(f"Fail. {Script(status=400).directive()}"))["id"], "failed")
    key = str(uuid.uuid4())
    made = await asyncio.gather(*(answer(chat.retry(failed["id"], request_id=key), 201) for _ in range(10)))
    assert len({each["id"] for each in made}) == 1
    problem(await chat.retry(made[0]["id"], request_id=key), 409, "REQUEST_ID_REUSED")


@pytest.mark.one_layout
async def test_user_who_has_too_much_at_once_is_told_when_to_come_again(folder: Path, model: FakeModel) -> None:
    given = {
        **settings(Layout.ONE, model),
        "CODELAB_USER_ACTIVE_RUNS": "2",
        "CODELAB_USER_QUEUED_RUNS": "1",
        "CODELAB_USER_STREAMS": "1",
    }
    async with (
        running(Layout.ONE, folder, **given) as suite,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as another,
    ):
        chats = [await api.new_chat() for _ in range(3)]
        gate = str(uuid.uuid4())
        held = [await chat.start(f"Hold. {Script(gate=gate).directive()}") for chat in chats[:2]]
        refused = await chats[2].send("Me too!")
        assert problem(refused, 429, "TOO_MANY_RUNS")["metadata"] == {"limit": "2"}
        assert refused.headers["retry-after"] == "2"
        assert await chats[2].messages() == []
        waiting = await chats[0].start("I wait.")
        assert waiting["state"] == "queued"
        refused = await chats[1].send("I do not.")
        assert problem(refused, 429, "TOO_MANY_QUEUED_RUNS")["metadata"] == {"limit": "1"}
        assert refused.headers["retry-after"] == "5"
        theirs = await another.new_chat()
        await answer(theirs.send("Hello."))
        async with chats[0].watch() as open_already:
            await open_already.read()
            # Also of another session, and whichever way it is asked for.
            for accept in Format:
                refused = await api.http.get(f"{chats[1].path}/events", headers={"accept": accept})
                assert problem(refused, 429, "TOO_MANY_STREAMS")["metadata"] == {"limit": "1"}
                assert refused.headers["retry-after"] == "5"
            async with theirs.watch() as stream:
                await stream.read()
        await eventually(lambda: _is_let_in(chats[1]), what="the place of the stream that was closed")
        model.open_gate(gate)
        for chat, run in ((chats[0], held[0]), (chats[1], held[1]), (chats[0], waiting)):
            await chat.run_after(run["id"], "succeeded")
        await answer(chats[2].send("Now?"))


async def _is_let_in(chat: Chat) -> bool:
    async with chat.http.stream("GET", f"{chat.path}/events") as response:
        return response.status_code == 200
