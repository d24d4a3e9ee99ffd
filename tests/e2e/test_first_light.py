"""One real message through the whole suite: on five separate processes, and again on one."""

import asyncio
import uuid

import httpx
import pytest

from tests.e2e.client import AGENT, Api, Chat, answer, problem
from tests.e2e.recitals import DIRECT_EVENTS, saying
from tests.e2e.suite import Suite
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel


async def test_sent_message_is_answered_and_both_are_kept(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    text = f"Hello, {chat.session_id}."
    reply = await answer(chat.send(text))
    messages = await chat.messages()
    assert [(each["role"], each["content"]) for each in messages] == [("user", text), ("assistant", DEFAULT_ANSWER)]
    assert messages[1] == reply
    assert reply["run_id"] == messages[0]["run_id"]
    assert reply["agent_id"] is not None
    session = await answer(ann.http.get(chat.session_path))
    assert session["message_count"] == 2
    [asked] = model.exchanges(chat.session_id)
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.body["model"] == "fake-model"
    assert asked.body["messages"][0]["role"] == "system"


async def test_next_message_carries_the_history_of_the_session(ann: Api, model: FakeModel) -> None:
    chat = await ann.new_chat()
    await answer(chat.send("My name is Ann."))
    await answer(chat.send(f"What is my name, {chat.session_id}?"))
    [asked] = model.exchanges(chat.session_id)
    spoken = [(each["role"], each["content"]) for each in asked.body["messages"] if each["role"] != "system"]
    assert spoken[:2] == [("user", "My name is Ann."), ("assistant", DEFAULT_ANSWER)]


async def test_created_run_is_followed_to_its_end_and_leaves_a_timeline(ann: Api) -> None:
    chat = await ann.new_chat()
    run = await chat.start("Hello.")
    assert run["mode"] == "direct"
    assert run["session_id"] == chat.session_id
    done = await chat.run_after(run["id"])
    assert done["state"] == "succeeded"
    assert done["error"] is None
    [task] = done["plan"]["tasks"]
    assert (task["state"], task["output"], task["agent_name"]) == ("succeeded", DEFAULT_ANSWER, AGENT)
    assert done["usage"]["model_calls"] == 1
    assert done["usage"]["completion_tokens"] == len(DEFAULT_ANSWER.split())
    assert done["message_id"] == (await chat.messages())[-1]["id"]
    timeline = await chat.timeline(run["id"])
    assert [event["type"] for event in timeline] == DIRECT_EVENTS
    assert [event["final"] for event in timeline] == [False, False, True]
    listed = await answer(ann.http.get(f"{chat.project_path}/runs", params={"state": ["succeeded"]}))
    assert [each["id"] for each in listed["runs"]] == [run["id"]]


async def test_fifty_messages_at_once_are_each_answered_with_their_own_words(ann: Api) -> None:
    chats = await asyncio.gather(*(ann.new_chat() for _ in range(50)))

    async def echo(chat: Chat) -> tuple[str, str]:
        script = Script(answer=f"You are in {chat.session_id}.", first_token_seconds=0.1)
        return chat.session_id, (await answer(chat.send(saying("Where am I?", script))))["content"]

    for session_id, text in await asyncio.gather(*map(echo, chats)):
        assert text == f"You are in {session_id}."


async def test_unknown_agent_is_not_found_and_leaves_nothing(ann: Api) -> None:
    chat = await ann.new_chat()
    for target in ("Nobody", str(uuid.uuid4())):
        problem(await chat.send("Hello.", target_agent=target), 404, "AGENT_NOT_FOUND")
    assert await chat.messages() == []


# -- who may see what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer not.a.token", "Basic YWRtaW46YWRtaW4="])
async def test_call_without_a_good_token_is_unauthenticated(suite: Suite, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with httpx.AsyncClient(base_url=suite.url, headers=headers, timeout=30) as nobody:
        for path in ("/my", "/my/projects", f"/my/projects/{uuid.uuid4()}"):
            response = await nobody.get(path)
            assert response.status_code == 401, response.text
            assert "WWW-Authenticate" in response.headers


async def test_user_lists_only_their_own_projects(ann: Api, bob: Api) -> None:
    mine = await ann.new_project("Ann's")
    theirs = await bob.new_project("Bob's")
    for api, own, foreign in ((ann, mine, theirs), (bob, theirs, mine)):
        ids = {each["id"] for each in (await answer(api.http.get("/my/projects?page_size=200")))["projects"]}
        assert own["id"] in ids
        assert foreign["id"] not in ids
