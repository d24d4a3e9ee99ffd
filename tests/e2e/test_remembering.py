"""What agents were told comes back in other words, in other sessions, to nobody else, and after a crash."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.agents.edge.processes import command
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.events import Event
from tests.e2e.facts import FACTS, QUESTIONS, SESSIONS
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

AGENT = "CodeAssistant"
OTHER_AGENT = "DataAnalyst"


@pytest_asyncio.fixture(scope="module", params=[Layout.FIVE, Layout.ONE], ids=str)
async def minilm(
    request: pytest.FixtureRequest, model: FakeModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Suite]:
    """A suite with the embedding model that comes with it, on SQLite and files."""
    settings = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "fake-model", "EMBEDDING_MODEL": "minilm"}
    async with running(request.param, tmp_path_factory.mktemp("minilm"), **settings) as suite:
        yield suite


@pytest_asyncio.fixture(scope="module")
async def people(minilm: Suite) -> AsyncIterator[tuple[Api, Api]]:
    """Two users."""
    tokens = [await minilm.token(str(uuid.uuid4())) for _ in range(2)]
    async with signed_in(minilm.url, tokens[0]) as ann, signed_in(minilm.url, tokens[1]) as bob:
        yield ann, bob


@pytest_asyncio.fixture(scope="module")
async def told(people: tuple[Api, Api]) -> Chat:
    """A chat in a project whose agent was told every fact, session by session."""
    ann, _ = people
    project = await ann.new_project("Daily work")
    for facts in SESSIONS:
        chat = await ann.new_chat(project["id"])
        for fact in facts:
            await answer(chat.send(f"{fact} {Script(answer='Noted.').directive()}"))
    return await ann.new_chat(project["id"])


async def recalled(chat: Chat, question: str, agent: str = AGENT) -> list[Event]:
    """What the agent says it recalls for a question that a new session begins with."""
    async with chat.stream(question, target_agent=agent) as stream:
        event = await stream.until("context_retrieved")
        await stream.until("agent_completed")
    assert event["payload"]["unavailable"] is None
    memories: list[Event] = event["payload"]["memories"]
    return memories


async def agent_id(api: Api, project_id: str, name: str = AGENT) -> str:
    agents = (await answer(api.http.get(f"/my/projects/{project_id}/agents")))["agents"]
    return str(next(agent["id"] for agent in agents if agent["name"] == name))


async def memories_of(api: Api, project_id: str, agent: str, **query: str | int) -> Event:
    return await answer(api.http.get(f"/my/projects/{project_id}/agents/{agent}/memory", params=query))


async def test_paraphrased_questions_in_new_sessions_retrieve_the_right_facts(
    people: tuple[Api, Api], told: Chat
) -> None:
    ann, _ = people
    ranks: dict[str, int | None] = {}
    for question, fact in QUESTIONS:
        chat = await ann.new_chat(told.project_id)
        contents = [memory["content"] for memory in await recalled(chat, question)]
        ranks[question] = next((rank for rank, content in enumerate(contents, 1) if fact in content), None)
    hits = [question for question, rank in ranks.items() if rank is not None and rank <= 3]
    print(f"hit@3: {len(hits)} of {len(QUESTIONS)}; ranks {list(ranks.values())}")
    assert len(hits) >= 12, ranks


async def test_what_is_recalled_has_its_similarity_and_stands_in_the_prompt(
    people: tuple[Api, Api], told: Chat, model: FakeModel
) -> None:
    chat = await people[0].new_chat(told.project_id)
    question = "Which port does the staging database listen on?"
    memories = await recalled(chat, question)
    # Not by its rank: what other tests asked this agent may be more like the question than the fact is.
    [stated] = [memory for memory in memories if "6543" in memory["content"]]
    assert stated["session_id"] not in (None, chat.session_id)
    assert stated["interaction_type"] == "direct_call"
    assert all(-1 <= memory["score"] <= 1 for memory in memories)
    assert len(memories) == 5
    exchange = [each for each in model.exchanges() if each.user_text == question][-1]
    assert "port 6543" in exchange.body["messages"][0]["content"]


async def test_another_agent_project_and_user_retrieve_none(people: tuple[Api, Api], told: Chat) -> None:
    ann, bob = people
    question, fact = QUESTIONS[0]
    own_other_project, strangers = await ann.new_chat(), await bob.new_chat()
    same_project = await ann.new_chat(told.project_id)
    assert await recalled(same_project, question, agent=OTHER_AGENT) == []
    for api, chat in ((ann, own_other_project), (bob, strangers)):
        assert await recalled(chat, question) == []
        agent = await agent_id(api, chat.project_id)
        # What it was just asked is all that it remembers.
        for mode in ("semantic", "text", "hybrid"):
            page = await memories_of(api, chat.project_id, agent, q=fact, mode=mode)
            assert all(fact not in memory["content"] for memory in page["memories"])
    theirs = await agent_id(ann, told.project_id)
    for api, project in ((bob, told.project_id), (bob, strangers.project_id), (ann, own_other_project.project_id)):
        path = f"/my/projects/{project}/agents/{theirs}/memory"
        assert (await api.http.get(path, params={"q": fact})).status_code == 404


async def test_same_thing_said_twice_is_remembered_once(people: tuple[Api, Api]) -> None:
    ann, _ = people
    chat = await ann.new_chat()
    for content in ("I drink tea in the morning.", "  i drink TEA in the  morning. "):
        await answer((await ann.new_chat(chat.project_id)).send(content))
    page = await memories_of(ann, chat.project_id, await agent_id(ann, chat.project_id))
    assert page["total"] == 1
    assert page["memories"][0]["content"].startswith("  i drink TEA")


async def test_what_was_recalled_is_never_stored_again(people: tuple[Api, Api]) -> None:
    ann, _ = people
    chat = await ann.new_chat()
    fact = "The spare key of the archive lies under the third flowerpot."
    await answer(chat.send(f"{fact} {Script(answer='I will remember that.').directive()}"))
    parrot = f"As you told me:\n\n> {fact}\n\nAnything else?"
    asking = await ann.new_chat(chat.project_id)
    await answer(asking.send(f"Where do I find the key? {Script(answer=parrot).directive()}"))
    agent = await agent_id(ann, chat.project_id)
    page = await memories_of(ann, chat.project_id, agent)
    assert page["total"] == 2
    found = [memory for memory in page["memories"] if "flowerpot" in memory["content"].partition("#model")[0]]
    assert len(found) == 1
    answered = page["memories"][0]["content"].partition("}")[2]
    assert "Anything else?" in answered
    assert "flowerpot" not in answered


def edge_processes(suite: Suite) -> list[int]:
    """The suite's processes that hold its memories."""
    # One that optimises may end meanwhile.
    return [pid for pid in suite.pids() if "memory.edge.process" in command(pid)]


async def everything_of(api: Api, project_id: str, agent: str) -> list[str]:
    contents: list[str] = []
    token = ""
    while True:
        page = await memories_of(api, project_id, agent, page_token=token)
        contents += [memory["content"] for memory in page["memories"]]
        token = page["next_page_token"]
        if not token:
            return contents


async def test_kill_of_the_process_that_holds_the_memories_loses_nothing_that_was_answered(
    minilm: Suite, people: tuple[Api, Api], told: Chat
) -> None:
    ann, _ = people
    agent = await agent_id(ann, told.project_id)
    before = await everything_of(ann, told.project_id, agent)
    assert all(any(fact in content for content in before) for fact in FACTS)
    [holder] = edge_processes(minilm)

    async def say(number: int) -> None:
        chat = await ann.new_chat(told.project_id)
        await answer(chat.send(f"Fact number {number} of the crash: the value is {number * 7919}."))

    saying = [asyncio.create_task(say(number)) for number in range(6)]
    os.kill(holder, signal.SIGKILL)
    await asyncio.gather(*saying)
    after = await everything_of(ann, told.project_id, agent)
    assert set(before) <= set(after)
    missing = [number for number in range(6) if not any(f"Fact number {number} " in content for content in after)]
    assert missing == []
    assert edge_processes(minilm) != [holder]


async def test_kill_of_the_agents_process_loses_nothing_that_was_answered(
    minilm: Suite, people: tuple[Api, Api], told: Chat
) -> None:
    ann, _ = people
    agent = await agent_id(ann, told.project_id)
    await answer((await ann.new_chat(told.project_id)).send("The last word before the crash is marzipan."))
    before = await everything_of(ann, told.project_id, agent)
    victim = minilm.processes["agents" if minilm.layout is Layout.FIVE else "up"]
    victim.kill()
    await victim.wait()
    await minilm.restore()
    assert await everything_of(ann, told.project_id, agent) == before
    [first, *_] = await recalled(await ann.new_chat(told.project_id), "What was the last word?")
    assert "marzipan" in first["content"]
    assert len(edge_processes(minilm)) == 1


async def test_deletion_removes_the_files_and_nothing_brings_them_back(minilm: Suite, people: tuple[Api, Api]) -> None:
    ann, _ = people
    chat = await ann.new_chat()
    folders: list[Path] = []
    for name in (AGENT, OTHER_AGENT):
        await answer(chat.send("Remember this for a moment.", target_agent=name))
        [folder] = list((minilm.folder / "data").rglob(f"{await agent_id(ann, chat.project_id, name)}_context"))
        folders.append(folder)
    agent = await agent_id(ann, chat.project_id)
    late = Script(answer="Too late.", gate="deleted").directive()
    run = await chat.start(f"Say it late. {late}")
    await chat.run_after(run["id"], "running")
    assert (await ann.http.delete(f"{chat.project_path}/agents/{agent}")).status_code == 204
    assert (await chat.run_after(run["id"]))["state"] == "failed"
    assert (await ann.http.get(f"{chat.project_path}/agents/{agent}/memory")).status_code == 404
    assert [folder.exists() for folder in folders] == [False, True]
    assert (await ann.http.delete(chat.project_path)).status_code == 204
    await eventually(lambda: not folders[1].exists(), what="the end of the project's files")
