"""A suite whose agents queue at Redis."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from services.runtime.redis_client import redis_of
from tests import redis_server
from tests.e2e.client import Api, answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel
from tests.redis_server import RedisServer

pytestmark = pytest.mark.server_backed


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    """One that a test may stop."""
    with redis_server.running() as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, model: FakeModel, own_redis: RedisServer) -> AsyncIterator[Api]:
    chosen = settings(Layout.ONE, model) | {"REDIS_URL": own_redis.url}
    async with running(Layout.ONE, tmp_path_factory.mktemp("queues"), **chosen) as suite:
        async with signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as signed:
            yield signed
        assert await suite.stop() == {"up": 0}


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[Redis]:
    client = redis_of(own_redis.url)
    yield client
    await client.aclose()


async def test_agent_bursts_until_its_model_refuses_for_load_and_queues_then(
    api: Api, model: FakeModel, redis: Redis
) -> None:
    project = (await api.new_project())["id"]
    wanted = {"name": "Bursting", "config": {"concurrency_limit": 1, "burst_limit": 3}}
    agent_id = (await answer(api.http.post(f"/my/projects/{project}/agents", json=wanted), 201))["id"]

    async def said(script: Script) -> str:
        sending = (await api.new_chat(project)).send(script.directive(), target_agent="Bursting")
        return str((await answer(sending))["content"])

    async def answers_at_gate(gate: str, at_once: int, waiting: int) -> None:
        answers = [asyncio.create_task(said(Script(answer="abcdefgh", gate=gate))) for _ in range(3)]

        async def as_expected() -> bool:
            queued = await redis.zcard(f"agent_task_queue:{agent_id}")
            return (len(model.open_now(gate)), queued) == (at_once, waiting)

        await eventually(as_expected, what=f"{at_once} at once, {waiting} waiting")
        model.open_gate(gate)
        assert await asyncio.gather(*answers) == ["abcdefgh"] * 3

    await answers_at_gate(f"wide-{project}", at_once=3, waiting=0)
    assert await said(Script(status=429, times=1, key=project, answer="At last.")) == "At last."
    await answers_at_gate(f"narrow-{project}", at_once=1, waiting=2)
    assert 0 < await redis.pttl(f"agent_task_throttle:{agent_id}") <= 30_000


async def test_message_that_comes_while_redis_is_away_is_answered_when_it_is_back(
    api: Api, own_redis: RedisServer
) -> None:
    chat = await api.new_chat()
    own_redis.stop()
    try:
        run = await chat.start("Are you there?")
        await chat.run_after(run["id"], "running")
        # Whoever looks at the agents meanwhile is not told of Redis.
        await answer(api.http.get(f"{chat.project_path}/agents"))
    finally:
        own_redis.start()
    assert (await chat.run_after(run["id"]))["state"] == "succeeded"
