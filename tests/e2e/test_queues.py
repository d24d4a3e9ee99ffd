"""Agents' queues from the outside: on Redis, and what a burst does."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.runtime.redis_client import redis_of
from tests.e2e.client import answer, signed_in
from tests.e2e.conftest import settings
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel
from tests.redis_server import RedisServer

pytestmark = pytest.mark.server_backed


@pytest.fixture
async def on_redis(folder: Path, model: FakeModel, shared_redis: RedisServer) -> AsyncIterator[Suite]:
    async with running(Layout.ONE, folder, **settings(Layout.ONE, model), REDIS_URL=shared_redis.url) as suite:
        yield suite


async def test_agent_bursts_on_redis_until_its_model_refuses_for_load(
    on_redis: Suite, model: FakeModel, shared_redis: RedisServer
) -> None:
    mark = str(uuid.uuid4())

    def saying(text: str, script: Script) -> str:
        return f"{text} {mark} {script.directive()}"

    async def send(content: str) -> str:
        return str((await answer((await api.new_chat(project)).send(content, target_agent="Bursting")))["content"])

    async with signed_in(on_redis.url, await on_redis.token(str(uuid.uuid4()))) as api:
        project = (await api.new_chat()).project_id
        config = {"concurrency_limit": 1, "burst_limit": 3}
        made = await api.http.post(f"/api/v1/projects/{project}/agents", json={"name": "Bursting", "config": config})
        agent_id = made.raise_for_status().json()["id"]
        gated = Script(answer="abcdefgh", gate=mark)
        bursting = [asyncio.create_task(send(saying("At once.", gated))) for _ in range(3)]
        await eventually(lambda: len(model.open_now(mark)) == 3, what="a burst of three")
        model.open_gate(mark)
        assert await asyncio.gather(*bursting) == ["abcdefgh"] * 3
        assert await send(saying("Refused once.", Script(status=429, times=1, answer="At last."))) == "At last."
        closed = f"{mark} closed"
        one_by_one = [asyncio.create_task(send(saying("Then.", Script(answer="abcdefgh", gate=closed)))) for _ in "123"]
        redis = redis_of(shared_redis.url)
        try:
            await eventually(lambda: _waiting(redis, agent_id, 2), what="a queue of two")
            assert 0 < await redis.pttl(f"agent_task_throttle:{agent_id}") <= 30_000
        finally:
            await redis.aclose()
        assert len(model.open_now("Then.")) == 1
        model.open_gate(closed)
        assert await asyncio.gather(*one_by_one) == ["abcdefgh"] * 3
    await on_redis.stop()


async def _waiting(redis: "Redis", agent_id: str, number: int) -> bool:
    return bool(await redis.zcard(f"agent_task_queue:{agent_id}") == number)
