"""Attempts at one task: the latest goes on, and no other."""

import asyncio
from pathlib import Path

import grpc
import pytest

from services.runtime.databases import migrate
from services.runtime.settings import Settings
from tests.agents.calls import Agents, User, events_of, new_uuid, refused, serving
from tests.agents.execution.tasks import HANG, SLOW, becomes_ready, closed, kinds, make, until
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel
from tests.postgres import PostgresServer


@pytest.mark.parametrize("later", [{"run_epoch": 1, "attempt": 2}, {"run_epoch": 2, "attempt": 1}])
async def test_later_attempt_cancels_the_running_one_and_a_late_earlier_one_is_refused(
    answering: Agents, user: User, model: FakeModel, later: dict[str, int]
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    first = answering.execute(user, agent_id, HANG, run_epoch=1, attempt=1, **task)
    await until(first, "thinking")
    await eventually(lambda: model.open_now())
    second = await events_of(answering.execute(user, agent_id, "Again.", **task, **later))
    assert second[-1].completed.output == DEFAULT_ANSWER
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(first)
    await closed(model)
    for run_epoch, attempt in ((1, 1), (later["run_epoch"], later["attempt"])):
        with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
            await events_of(answering.execute(user, agent_id, "Late.", run_epoch=run_epoch, attempt=attempt, **task))
    assert len(model.exchanges()) == 2


@pytest.mark.server_backed
async def test_attempt_that_waits_here_does_not_begin_what_another_replica_has_done_meanwhile(
    tmp_path: Path, model: FakeModel, postgres_server: PostgresServer
) -> None:
    shared = {
        "DATABASE_URL": await postgres_server.create_database(f"replicas {new_uuid()}"),
        "OPENAI_BASE_URL": model.url,
        "OPENAI_MODEL": "fake-model",
        "SERVICE_TOKEN_KEY": "service-" * 10,
    }
    await migrate(Settings.load({**shared, "CODELAB_DATA_DIR": str(tmp_path)}))
    async with serving(tmp_path / "one", **shared) as here, serving(tmp_path / "two", **shared) as there:
        user = here.user()
        await here.create_space(user)
        agent_id = await make(here, user, concurrency_limit=1)
        running = here.execute(user, agent_id, SLOW)
        await until(running, "thinking")
        task = {"run_id": new_uuid(), "task_id": new_uuid()}
        waiting = here.execute(user, agent_id, "First owner's.", run_epoch=1, **task)
        await until(waiting, "queued")
        # The run's owner is frozen, and does not hang up; the next one's call comes to the other replica.
        done = await events_of(there.execute(user, agent_id, "Second owner's.", run_epoch=2, **task))
        assert kinds(done)[-1] == "completed"
        running.cancel()
        with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
            await events_of(waiting)
    assert model.exchanges("First owner's.") == []


async def test_later_attempt_cancels_one_that_still_waits(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, SLOW)
    await until(running, "thinking")
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    waiting = answering.execute(user, agent_id, "First attempt.", **task)
    await until(waiting, "queued")
    later = answering.execute(user, agent_id, "Second attempt.", attempt=2, **task)
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(waiting)
    running.cancel()
    assert kinds(await events_of(later))[-1] == "completed"
    assert model.exchanges("First attempt.") == []


async def test_attempts_that_come_at_once_leave_the_latest(answering: Agents, user: User) -> None:
    agent_id = await make(answering, user, concurrency_limit=5)
    task = {"run_id": new_uuid(), "task_id": new_uuid()}
    script = Script(token_seconds=0.02).directive()
    calls = [answering.execute(user, agent_id, script, attempt=attempt, **task) for attempt in range(1, 8)]
    ends = await asyncio.gather(*map(events_of, calls), return_exceptions=True)
    assert not isinstance(ends[-1], BaseException)
    assert all(isinstance(end, grpc.aio.AioRpcError) for end in ends[:-1])
    await becomes_ready(answering, user, agent_id)
