"""`codelab memory migrate` on the data of a suite whose embedding model was changed."""

import asyncio
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.agents.agent import Owner
from services.agents.memory.interactions import said_once
from tests.e2e.client import AGENT, Api, Chat, answer, problem, signed_in
from tests.e2e.conftest import QUICK
from tests.e2e.events import Event
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Result, Suite, run_codelab, running
from tests.e2e.terminal import terminal
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

OTHER_AGENT, NEW_AGENT = "DataAnalyst", "DocumentWriter"
QUESTION = "Which port does the staging database listen on?"
# More than two batches of each of two agents.
MANY = 70
GATE = "the last batch"


@dataclass(frozen=True)
class Estate:
    """A data folder in which two agents of one project remember by the model `hashing`."""

    data: Path
    user: str
    project_id: str
    agents: dict[str, str]
    memories: dict[str, list[Event]]
    """By the agent's name, newest first."""

    @property
    def texts(self) -> list[str]:
        """What is to be embedded of everything."""
        contents = [memory["content"] for memories in self.memories.values() for memory in memories]
        return [QUESTION if each.startswith(QUESTION) else each for each in contents]

    def path(self, agent: str) -> str:
        return f"/my/projects/{self.project_id}/agents/{self.agents[agent]}/memory"


@pytest_asyncio.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Estate]:
    folder, user = tmp_path_factory.mktemp("remembering"), str(uuid.uuid4())
    with FakeModel() as model:
        chosen = {**QUICK, "OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "fake-model"}
        async with running(Layout.ONE, folder, **chosen) as suite:
            async with signed_in(suite.url, await suite.token(user)) as api:
                estate = await filled(api, user, folder / "data")
            await suite.stop()
        yield estate


async def filled(api: Api, user: str, data: Path) -> Estate:
    chat = await api.new_chat()
    listed = (await answer(api.http.get(f"{chat.project_path}/agents")))["agents"]
    agents = {each["name"]: each["id"] for each in listed}
    estate = Estate(data, user, chat.project_id, agents, {})
    for name in (AGENT, OTHER_AGENT):
        await answer(chat.send(QUESTION, target_agent=name))
        contents = [f"Note {number} of {name}: the value is {number * 7919}." for number in range(MANY)]
        if agents[name] == max(agents[AGENT], agents[OTHER_AGENT]):
            contents.append(last_of_all(estate, agents[name], contents))
        for number, content in enumerate(contents):
            note = {"content": content, "tags": [f"n{number % 7}", "note"], "metadata": {"number": number}}
            await answer(api.http.post(estate.path(name), json=note), 201)
        estate.memories[name] = await everything(api, estate, name)
        assert len(estate.memories[name]) == len(contents) + 1
    return estate


def last_of_all(estate: Estate, agent_id: str, others: Sequence[str]) -> str:
    """A text whose memory comes after all others, by id, and whose batch an endpoint holds until its gate is opened."""
    owner = Owner(estate.user, estate.project_id)
    ids = [said_once(owner, agent_id, each) for each in (*others, QUESTION)]
    texts = (f"Note {number}. {Script(gate=GATE).directive()}" for number in range(1_000_000))
    return next(text for text in texts if said_once(owner, agent_id, text) > max(ids))


async def everything(api: Api, estate: Estate, agent: str) -> list[Event]:
    memories: list[Event] = []
    token = ""
    while True:
        page = await answer(api.http.get(estate.path(agent), params={"page_token": token, "page_size": 100}))
        memories += page["memories"]
        if not (token := page["next_page_token"]):
            return memories


@pytest.fixture
def estate(made: Estate, folder: Path) -> Estate:
    """A copy of it, for one test."""
    shutil.copytree(made.data, folder / "data")
    return made


def using(folder: Path, **settings: str) -> Suite:
    """The suite of the folder, with another embedding model; it does not run."""
    return Suite(Layout.ONE, folder, {**QUICK, **settings})


def of_endpoint(endpoint: FakeModel, model: str = "embed-test") -> dict[str, str]:
    return {"OPENAI_BASE_URL": endpoint.url, "OPENAI_MODEL": "fake-model", "EMBEDDING_MODEL": model}


async def migrate(suite: Suite) -> Result:
    return await run_codelab("memory", "migrate", environment=suite.environment, folder=suite.folder, within=60)


@asynccontextmanager
async def owner_of(estate: Estate, folder: Path, **settings: str) -> AsyncIterator[tuple[Suite, Api]]:
    """The running suite of the folder, and whoever has the agents in it."""
    async with running(Layout.ONE, folder, **{**QUICK, **settings}) as suite:
        async with signed_in(suite.url, await suite.token(estate.user)) as api:
            yield suite, api
        assert await suite.stop() == {"up": 0}


async def assert_all_is_there_and_found(api: Api, estate: Estate) -> None:
    for name, memories in estate.memories.items():
        assert await everything(api, estate, name) == memories
        for memory in memories[::9]:
            query = {"q": memory["content"], "page_size": 1}
            [first] = (await answer(api.http.get(estate.path(name), params=query)))["memories"]
            assert first["id"] == memory["id"]


def one_line(result: Result) -> str:
    """What a command that failed said to people, beside its log: one line."""
    assert (result.code, result.stdout) == (1, ""), result.output
    [line] = [each for each in result.stderr.splitlines() if not each.startswith("{")]
    return line


def embedded(endpoint: FakeModel) -> list[str]:
    """The texts that the endpoint embedded, without the one by which a migration learns the length of vectors."""
    texts = [text for each in endpoint.embeddings() if each.outcome == "answered" for text in each.body["input"]]
    return [text for text in texts if "long" not in text]


# Before it


async def test_agent_whose_memories_another_model_embedded_says_so_and_all_others_work(
    estate: Estate, folder: Path
) -> None:
    async with owner_of(estate, folder, EMBEDDING_MODEL="minilm") as (suite, api):
        [warned] = await eventually(lambda: warnings_in(suite), what="the warning in the log")
        assert (warned["agents"], warned["embedded_by"], warned["set_now"]) == (2, ["hashing"], "minilm")
        assert "codelab memory migrate" in warned["event"]

        chat = await api.new_chat(estate.project_id)
        run = await chat.start("Anything.", target_agent=AGENT)
        run = await chat.run_after(run["id"])
        assert (run["state"], run["error"]["reason"]) == ("failed", "EMBEDDING_MISMATCH")
        assert "codelab memory migrate" in run["error"]["detail"]
        assert await status_of(chat, estate.agents[AGENT]) == "error"

        path = estate.path(AGENT)
        refusals = [
            await api.http.get(path, params={"q": "the value"}),
            await api.http.get(path, params={"q": "the value", "mode": "hybrid"}),
            await api.http.post(path, json={"content": "New."}),
            await api.http.patch(f"{path}/{estate.memories[AGENT][0]['id']}", json={"content": "Corrected."}),
        ]
        for response in refusals:
            refusal = problem(response, 409, "EMBEDDING_MISMATCH")
            assert "codelab memory migrate" in refusal["detail"]
            assert "EMBEDDING_MODEL=hashing" in refusal["detail"]

        assert await everything(api, estate, AGENT) == estate.memories[AGENT]
        newest = estate.memories[AGENT][0]
        assert await answer(api.http.get(f"{path}/{newest['id']}")) == newest
        by_words = await answer(api.http.get(path, params={"q": "7919", "mode": "text"}))
        assert [each["content"] for each in by_words["memories"]] == [f"Note 1 of {AGENT}: the value is 7919."]
        assert (await answer(api.http.patch(f"{path}/{newest['id']}", json={"tags": ["new"]})))["tags"] == ["new"]
        assert (await api.http.delete(f"{path}/{newest['id']}")).status_code == 204
        assert await everything(api, estate, AGENT) == estate.memories[AGENT][1:]

        await answer(chat.send("Tea is served at four.", target_agent=NEW_AGENT))
        found = await answer(api.http.get(estate.path(NEW_AGENT), params={"q": "When do we drink something hot?"}))
        assert "Tea" in found["memories"][0]["content"]
        assert await status_of(chat, estate.agents[NEW_AGENT]) == "ready"

        refusal = one_line(await migrate(suite))
        assert "CODELAB_DATA_DIR" in refusal
        assert "make down" in refusal


def warnings_in(suite: Suite) -> list[Event]:
    """The lines of the log that tell of memories by another model."""
    lines = (suite.folder / "up.log").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if "another model embedded" in line and line.startswith("{")]


async def status_of(chat: Chat, agent_id: str) -> str:
    return str((await answer(chat.http.get(f"{chat.project_path}/agents/{agent_id}")))["status"])


# The command


async def test_everything_is_found_by_meaning_afterwards_as_it_was(estate: Estate, folder: Path) -> None:
    suite = using(folder, EMBEDDING_MODEL="minilm")
    all_memories = len(estate.texts)
    told = f"minilm: {all_memories} of {all_memories} memories of 2 of 2 agents migrated\n"
    assert await migrate(suite) == Result(0, told, "")
    assert await migrate(suite) == Result(0, "minilm: nothing to migrate\n", "")
    async with owner_of(estate, folder, EMBEDDING_MODEL="minilm") as (suite, api):
        await assert_all_is_there_and_found(api, estate)
        query = {"q": "How do I connect to the DB of the test environment?", "page_size": 1}
        [first] = (await answer(api.http.get(estate.path(AGENT), params=query)))["memories"]
        assert first["content"].startswith(QUESTION)
        chat = await api.new_chat(estate.project_id)
        assert await status_of(chat, estate.agents[AGENT]) == "ready"
        await answer(chat.send("And now?", target_agent=AGENT))
        assert await status_of(chat, estate.agents[AGENT]) == "ready"
        assert warnings_in(suite) == []


async def test_folder_without_agents_has_nothing_to_migrate(folder: Path) -> None:
    assert await migrate(using(folder)) == Result(0, "hashing: nothing to migrate\n", "")


async def test_model_of_an_endpoint_embeds_each_text_once_and_of_a_conversation_the_question(
    estate: Estate, folder: Path
) -> None:
    with FakeModel() as endpoint:
        endpoint.open_gate(GATE)
        assert (await migrate(using(folder, **of_endpoint(endpoint)))).code == 0
        assert sorted(embedded(endpoint)) == sorted(estate.texts)
        async with owner_of(estate, folder, **of_endpoint(endpoint)) as (_, api):
            await assert_all_is_there_and_found(api, estate)


@asynccontextmanager
async def held_at_the_last_batch(suite: Suite, endpoint: FakeModel) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command in its middle: all batches but the last one are done."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "memory", "migrate"),
        env=suite.environment,
        cwd=suite.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        await eventually(lambda: endpoint.embeddings(GATE), what="the last batch")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def broken_off(endpoint: FakeModel) -> bool:
    return [each.outcome for each in endpoint.embeddings(GATE)] == ["closed_by_client"]


def assert_only_the_last_batch_is_embedded_again(estate: Estate, endpoint: FakeModel, before: Sequence[str]) -> None:
    again = embedded(endpoint)[len(before) :]
    assert 0 < len(again) <= 32
    assert sorted([*before, *again]) == sorted(estate.texts)


async def test_kill_in_the_middle_costs_one_batch(estate: Estate, folder: Path) -> None:
    with FakeModel() as endpoint:
        suite = using(folder, **of_endpoint(endpoint))
        async with held_at_the_last_batch(suite, endpoint) as process:
            process.kill()
            await process.wait()
        # The endpoint learns of it later: it would answer what nobody waits for any more.
        await eventually(lambda: broken_off(endpoint), what="the end of the last batch")
        before = embedded(endpoint)
        endpoint.open_gate(GATE)
        assert (await migrate(suite)).code == 0
        assert_only_the_last_batch_is_embedded_again(estate, endpoint, before)
        async with owner_of(estate, folder, **of_endpoint(endpoint)) as (_, api):
            await assert_all_is_there_and_found(api, estate)


async def test_endpoint_that_goes_away_in_the_middle_is_one_line_and_the_command_is_run_again(
    estate: Estate, folder: Path
) -> None:
    with FakeModel() as endpoint:
        suite = using(folder, **of_endpoint(endpoint))
        async with held_at_the_last_batch(suite, endpoint) as process:
            endpoint.stop()
            out, err = await process.communicate()
        assert broken_off(endpoint)
        assert process.returncode is not None
        line = one_line(Result(process.returncode, out.decode(), err.decode()))
        assert "cannot be reached" in line
        assert "run this command again" in line
        before = embedded(endpoint)
        endpoint.open_gate(GATE)
        endpoint.start()
        assert (await migrate(suite)).code == 0
        assert_only_the_last_batch_is_embedded_again(estate, endpoint, before)


async def test_endpoint_that_makes_longer_vectors_now_is_refused_and_migrated_to(estate: Estate, folder: Path) -> None:
    with FakeModel() as short, FakeModel(dimension=96) as longer:
        short.open_gate(GATE)
        longer.open_gate(GATE)
        assert (await migrate(using(folder, **of_endpoint(short)))).code == 0
        async with owner_of(estate, folder, **of_endpoint(longer)) as (_, api):
            response = await api.http.get(estate.path(AGENT), params={"q": "the value"})
            detail = problem(response, 409, "EMBEDDING_MISMATCH")["detail"]
            assert "embed-test (64 dimensions)" in detail
            assert "embed-test (96 dimensions)" in detail
            assert "codelab memory migrate" in detail
        assert (await migrate(using(folder, **of_endpoint(longer)))).code == 0
        assert sorted(embedded(longer)) == sorted([*estate.texts, "the value"])
        async with owner_of(estate, folder, **of_endpoint(longer)) as (_, api):
            await assert_all_is_there_and_found(api, estate)


async def test_progress_is_a_bar_on_a_terminal(estate: Estate, folder: Path) -> None:
    environment = using(folder, EMBEDDING_MODEL="minilm").environment
    number = len(estate.texts)
    async with terminal("memory", "migrate", environment=environment, folder=folder) as screen:
        begun = await screen.until("] 0 of ")
        assert begun.endswith(f"[{'.' * 30}] 0 of ")
        await screen.until(f"[{'#' * 30}] {number} of {number} memories of 2 of 2 agents migrated\n", within=60)
        await screen.until(f"minilm: {number} of {number} memories of 2 of 2 agents migrated\n")
        assert await screen.ended() == 0
    assert "[##" in screen.seen.partition("#" * 30)[0]


async def test_model_that_the_endpoint_does_not_know_is_one_line(estate: Estate, folder: Path) -> None:
    with FakeModel(models=("embed-test",)) as endpoint:
        line = one_line(await migrate(using(folder, **of_endpoint(endpoint, "embed-tset"))))
    assert "embed-tset" in line
    assert "EMBEDDING_MODEL" in line
