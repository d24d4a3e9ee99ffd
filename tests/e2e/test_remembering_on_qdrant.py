"""A suite whose agents remember on a Qdrant server: a fake one, which refuses what the real one does not describe."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.e2e.client import Api, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.suite import Layout, running
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import FakeQdrant

pytestmark = pytest.mark.server_backed

FACT, QUESTION = "The staging database listens on port 6543.", "On which port listens the staging database?"
KEY = "qdrant-secret"


@pytest.fixture(scope="module")
def qdrant(qdrant_description: Description) -> Iterator[FakeQdrant]:
    with FakeQdrant(qdrant_description, KEY) as server:
        yield server
        server.assert_nothing_wrong()


@pytest_asyncio.fixture(scope="module")
async def api(qdrant: FakeQdrant, model: FakeModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    chosen = {**settings(Layout.ONE, model), "QDRANT_URL": qdrant.url, "QDRANT_API_KEY": KEY}
    async with (
        running(Layout.ONE, tmp_path_factory.mktemp("on qdrant"), **chosen) as suite,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
    ):
        yield api


async def test_what_was_told_is_recalled_corrected_and_gone_with_its_agent(api: Api, qdrant: FakeQdrant) -> None:
    chat = await api.new_chat()
    told = await answer(chat.send(FACT))
    async with (await api.new_chat(chat.project_id)).stream(QUESTION) as stream:
        event = await stream.until("context_retrieved")
        await stream.until("agent_completed")
    assert [memory["content"].startswith(FACT) for memory in event["payload"]["memories"]] == [True]
    path = f"{chat.project_path}/agents/{told['agent_id']}/memory"
    [found] = (await answer(api.http.get(path, params={"text": "6543"})))["memories"]
    await answer(api.http.patch(f"{path}/{found['id']}", json={"content": "It listens on port 7000."}))
    assert (await answer(api.http.get(path, params={"q": "port 7000", "mode": "hybrid"})))["total"] == 2
    assert (await api.http.delete(f"{chat.project_path}/agents/{told['agent_id']}")).status_code == 204
    assert len(qdrant.asked("delete_collection")) == 1


async def test_server_that_is_away_is_done_without_and_said(api: Api, qdrant: FakeQdrant) -> None:
    chat = await api.new_chat()
    told = await answer(chat.send(FACT))
    path = f"{chat.project_path}/agents/{told['agent_id']}/memory"
    qdrant.stop()
    try:
        async with chat.stream(QUESTION) as stream:
            event = await stream.until("context_retrieved")
            await stream.until("agent_completed")
        assert event["payload"] | {"agent_id": "", "task_id": ""} == {
            "agent_id": "",
            "task_id": "",
            "memories": [],
            "unavailable": "MEMORY_UNAVAILABLE",
        }
        for asking in (api.http.get(path), api.http.get(path, params={"q": "port"})):
            problem(await asking, 503, "MEMORY_UNAVAILABLE")
        problem(await api.http.post(path, json={"content": "Now."}), 503, "MEMORY_UNAVAILABLE")
        # A deletion does not wait for it.
        assert (await api.http.delete(chat.project_path)).status_code == 204
    finally:
        qdrant.start()
    other = await api.new_chat()
    await answer(other.send(FACT))
    reply = await answer((await api.new_chat(other.project_id)).send(QUESTION))
    page = await answer(api.http.get(f"{other.project_path}/agents/{reply['agent_id']}/memory"))
    assert page["total"] == 2
