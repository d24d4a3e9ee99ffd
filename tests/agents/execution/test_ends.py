"""Tasks that are ended from outside: by their caller, by a deletion, or with the service."""

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.agents.calls import Agents, User, events_of, refused, serving
from tests.agents.execution.tasks import HANG, SLOW, becomes_ready, closed, kinds, make, status, until
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel

# Cancelling


@pytest.mark.parametrize(("instruction", "reached"), [(HANG, "thinking"), (SLOW, "delta")], ids=["silent", "talking"])
async def test_cancelled_call_closes_the_models_request_and_frees_the_agent(
    answering: Agents, user: User, model: FakeModel, instruction: str, reached: str
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    call = answering.execute(user, agent_id, instruction)
    await until(call, reached)
    await eventually(lambda: model.open_now())
    assert await status(answering, user, agent_id) == "AGENT_STATUS_BUSY"
    call.cancel()
    await closed(model)
    await becomes_ready(answering, user, agent_id)
    events = await events_of(answering.execute(user, agent_id, "Next."))
    assert kinds(events)[:2] == ["busy", "context"]


async def test_caller_that_does_not_read_is_cancelled_all_the_same(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user)
    script = Script(answer="x" * 2_000_000, chunks=200, token_seconds=0.005)
    call = answering.execute(user, agent_id, f"Much. {script.directive()}")
    await until(call, "delta")
    await eventually(lambda: model.exchanges()[0].pieces_sent > 50)
    call.cancel()
    await closed(model)
    await becomes_ready(answering, user, agent_id)


async def test_call_cancelled_in_the_queue_leaves_it(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, SLOW)
    await until(running, "thinking")
    waiting = []
    for number in range(2):
        waiting.append(answering.execute(user, agent_id, f"Number {number}."))
        assert (await until(waiting[number], "queued"))[-1].working.position == number
    waiting[0].cancel()
    assert (await until(waiting[1], "queued"))[-1].working.position == 0
    running.cancel()
    assert kinds(await events_of(waiting[1]))[-1] == "completed"
    assert model.exchanges("Number 0.") == []
    await becomes_ready(answering, user, agent_id)


async def test_callers_that_vanish_at_any_moment_leave_nothing_behind(
    answering: Agents, user: User, model: FakeModel
) -> None:
    agent_id = await make(answering, user, concurrency_limit=2)
    for number in range(40):
        call = answering.execute(user, agent_id, f"Briefly. {Script(token_seconds=0.005).directive()}")
        await asyncio.sleep(number * 0.0005)
        call.cancel()
    await becomes_ready(answering, user, agent_id)
    await eventually(lambda: not model.open_now())
    assert kinds(await events_of(answering.execute(user, agent_id, "Next.")))[0] == "busy"


# Deleting and stopping


@pytest.mark.parametrize("what", ["agent", "project"])
async def test_deleting_stops_what_runs_and_what_waits(
    answering: Agents, user: User, model: FakeModel, what: str
) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    running = answering.execute(user, agent_id, HANG)
    await until(running, "thinking")
    waiting = answering.execute(user, agent_id, "Never.")
    await until(waiting, "queued")
    await eventually(lambda: model.open_now())
    await (answering.delete(user, agent_id) if what == "agent" else answering.delete_space(user))
    for call in (running, waiting):
        with refused(grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"):
            await events_of(call)
    await closed(model)
    assert model.exchanges("Never.") == []
    with refused(grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"):
        await events_of(answering.execute(user, agent_id, "Late."))


async def test_stopping_service_lets_tasks_finish_and_then_cuts_them_off(tmp_path: Path, model: FakeModel) -> None:
    async with serving(tmp_path, OPENAI_BASE_URL=model.url) as agents:
        user = agents.user()
        agent_id = (await agents.create_space(user))[0].id
        short = agents.execute(user, agent_id, f"Soon. {Script(token_seconds=0.03).directive()}")
        long = agents.execute(user, agent_id, SLOW)
        await until(short, "delta")
        await until(long, "delta")
        finished = asyncio.ensure_future(events_of(short))
    assert kinds(await finished)[-1] == "completed"
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        await events_of(long)
    await eventually(lambda: not model.open_now())
