"""PostgreSQL goes away under a running suite, and comes back."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import postgres
from tests.e2e.client import Api, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel, Script
from tests.postgres import PostgresServer

pytestmark = pytest.mark.server_backed


@pytest.fixture
def server() -> "AsyncIterator[PostgresServer]":
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.running(programs) as started:
        yield started


@pytest_asyncio.fixture
async def on_postgres(server: PostgresServer, model: FakeModel, folder: Path) -> AsyncIterator[Suite]:
    chosen = {**settings(Layout.ONE, model), "DATABASE_URL": await server.create_database("suite")}
    migrated = await run_codelab("migrate", environment=clean_environment(**chosen), folder=folder)
    assert migrated.code == 0, migrated.output
    async with running(Layout.ONE, folder, **chosen) as suite:
        yield suite


async def test_outage_is_503_and_leaves_no_run_behind(
    on_postgres: Suite, server: PostgresServer, model: FakeModel
) -> None:
    async with signed_in(on_postgres.url, await on_postgres.token(str(uuid.uuid4()))) as api:
        chat = await api.new_chat()
        gate = f"outage {uuid.uuid4()}"
        at_work = await chat.start(f"Hold on. {Script(gate=gate).directive()}")
        await chat.run_after(at_work["id"], "running")

        await asyncio.to_thread(server.stop, signal.SIGQUIT)
        for response in (
            await api.http.get("/my/projects"),
            await api.http.post("/my/projects", json={"name": "Lost"}),
            await api.http.get(f"{chat.project_path}/agents"),
            await chat.send("Anybody there?"),
        ):
            assert "postgres" not in problem(response, 503, "DATABASE_UNAVAILABLE")["detail"].lower()
            assert response.headers["retry-after"] == "1"
        # The streams need no database.
        await eventually(lambda: readiness(api, "degraded"), what="a degraded suite")
        # The model's answer comes while nobody can write it down.
        model.open_gate(gate)
        await asyncio.to_thread(server.start)

        await eventually(lambda: readiness(api, "ready"), what="a suite that is ready again")
        assert (await chat.run_after(at_work["id"]))["state"] == "succeeded"
        await answer(chat.send("And now?"))
        said = [(message["role"], message["run_id"]) for message in await chat.messages()]
        assert len(said) == len(set(said)) == 4


async def readiness(api: Api, status: str) -> bool:
    return bool((await api.http.get("/ready")).json()["status"] == status)
