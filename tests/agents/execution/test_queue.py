"""The queue of an agent's tasks."""

import asyncio

from codelab.agents.v1 import agent_pb2

from tests.agents.calls import Agents, User, events_of
from tests.agents.execution.tasks import SLOW, becomes_ready, kinds, make, until
from tests.e2e.polling import eventually
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import FakeModel


async def test_agent_is_busy_from_its_first_task_to_its_last(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=2)
    instruction = Script(gate="all are there").directive()
    calls = [answering.execute(user, agent_id, instruction) for _ in range(2)]
    read = [await until(call, "thinking") for call in calls]
    calls.append(answering.execute(user, agent_id, instruction))
    read.append(await until(calls[-1], "queued"))
    model.open_gate("all are there")
    told = [kinds(begun + await events_of(call)) for begun, call in zip(read, calls, strict=True)]
    assert sum("busy" in each for each in told) == 1
    assert sum("ready" in each for each in told) == 1
    assert sum("queued" in each for each in told) == 1
    assert all(each[-1] == "completed" for each in told)


async def test_tasks_are_done_in_the_order_they_came(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    calls = []
    for number in range(5):
        calls.append(answering.execute(user, agent_id, f"Number {number}. {Script(token_seconds=0.02).directive()}"))
        await until(calls[-1], "queued" if number else "thinking")
    await asyncio.gather(*map(events_of, calls))
    assert [exchange.user_text[:9] for exchange in model.exchanges()] == [f"Number {number}." for number in range(5)]
    ended = [exchange.ended_at or 0.0 for exchange in model.exchanges()]
    assert all(exchange.received_at >= end for exchange, end in zip(model.exchanges()[1:], ended[:-1], strict=True))


async def test_higher_limit_lets_waiting_tasks_run(answering: Agents, user: User, model: FakeModel) -> None:
    agent_id = await make(answering, user, concurrency_limit=1)
    calls = [answering.execute(user, agent_id, SLOW)]
    await eventually(lambda: len(model.exchanges()) == 1)
    calls.append(answering.execute(user, agent_id, SLOW))
    await until(calls[1], "queued")
    wanted = agent_pb2.Agent(config=agent_pb2.AgentConfig(concurrency_limit=2, system_prompt="New."))
    await answering.update(user, agent_id, wanted, "config.concurrency_limit", "config.system_prompt")
    await until(calls[1], "thinking")
    await eventually(lambda: len(model.exchanges()) == 2)
    # Who waited starts with the config of the moment it starts.
    assert [exchange.body["messages"][0]["role"] for exchange in model.exchanges()] == ["user", "system"]
    for call in calls:
        call.cancel()
    await becomes_ready(answering, user, agent_id)


async def test_agents_do_not_wait_for_each_other(answering: Agents, user: User) -> None:
    first, second = [await make(answering, user, name, concurrency_limit=1) for name in ("First", "Second")]
    running = answering.execute(user, first, SLOW)
    await until(running, "thinking")
    assert "queued" not in kinds(await events_of(answering.execute(user, second, "Hello.")))
    running.cancel()
