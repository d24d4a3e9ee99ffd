"""Calls that break off with their attempt: whoever watches is told that they are over, and of each one end alone."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from services.orchestrator import hand
from services.orchestrator.model import Decision, Owner, Usage
from services.orchestrator.ports import (
    AgentsUnreachable,
    Assignment,
    Completed,
    Consultation,
    Happening,
    Paused,
    ToolEvent,
    Wanted,
)
from services.orchestrator.wire import event_message
from tests.conformance.orchestrator_stores import AGENT, TWO, Stores, stores_in
from tests.databases import Place
from tests.e2e.polling import eventually
from tests.orchestrator.world import HeldAgents, World

HOLD = None
"""A step: go on for ever."""


class ScriptedAgents(HeldAgents):
    """Implements `Agents`: each execution takes the next of the scripts."""

    def __init__(self, *scripts: list[Happening | AgentsUnreachable | None]) -> None:
        super().__init__()
        self._scripts = list(scripts)

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        for step in self._scripts.pop(0):
            if isinstance(step, AgentsUnreachable):
                raise step
            if step is HOLD:
                await self._note(self.began, assignment.lease)
                await asyncio.Event().wait()
            else:
                yield step


def started(call_id: str, tool: str = "ask_agent") -> ToolEvent:
    return ToolEvent("tool_started", {**_call(call_id, tool), "arguments": {}})


def completed(call_id: str, output: str, tool: str = "ask_agent") -> ToolEvent:
    return ToolEvent("tool_completed", {**_call(call_id, tool), "success": True, "output": output, "truncated": False})


def consulting(call_id: str) -> Paused:
    return Paused("where it was", (), (Consultation(call_id, "DataAnalyst", "Which colour?"),), Usage())


def _call(call_id: str, tool: str) -> dict[str, Any]:
    return {"agent_id": AGENT.id, "task_id": "answer", "call_id": call_id, "tool": tool}


@pytest.fixture
async def stores(database_place: Place) -> Stores:
    return await stores_in(database_place)


@pytest.fixture
async def ann(stores: Stores) -> Owner:
    return await stores.project()


async def dies(world: World, run_id: str) -> None:
    """Nobody hears of the process any more, and its lease is over."""
    for task in list(world.executor._tasks):
        task.cancel()
    await eventually(lambda: not world.executor.runs_here(run_id))
    await world.stores.expire(run_id)


async def calls(stores: Stores, owner: Owner, run_id: str) -> list[tuple[str, str, str]]:
    """What the run's timeline tells of calls: their ids, and how they end."""
    events = (await stores.runs.list_events(owner, run_id, 100, "")).elements
    told = [event_message(event, "s", run_id) for event in events if event.type in ("tool_started", "tool_completed")]
    return [
        (each.tool_completed.call_id, "good" if each.tool_completed.success else "bad", each.tool_completed.output)
        if each.HasField("tool_completed")
        else (each.tool_started.call_id, "began", "")
        for each in told
    ]


UNKNOWN = ("bad", "It was interrupted, and nobody knows how it ended.")


async def test_consultation_that_a_takeover_interrupts_is_over_before_the_next_attempt_asks_again(
    stores: Stores, ann: Owner
) -> None:
    first = World(stores, ScriptedAgents([started("one"), consulting("one")], [started("below", "read_file"), HOLD]))
    run_id = await first.send(ann, await stores.session(ann))
    await first.agents.until(lambda: len(first.agents.began) == 1)
    await dies(first, run_id)
    agents = ScriptedAgents(
        [started("two"), consulting("two")],
        [Completed("Blue.", Usage())],
        [completed("two", "Blue."), Completed("They say blue.", Usage())],
    )
    second = World(stores, agents, process=TWO)
    await second.executor._adopt_orphans()
    await second.until_over(run_id)
    assert await calls(stores, ann, run_id) == [
        ("one", "began", ""),
        ("below", "began", ""),
        ("one", *UNKNOWN),
        ("below", *UNKNOWN),
        ("two", "began", ""),
        ("two", "good", "Blue."),
    ]
    await second.executor.drain()
    await first.executor.drain()


async def test_call_that_broke_off_with_the_agents_service_is_over_before_the_next_attempt(
    stores: Stores, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "_BACKOFF_SECONDS", 0.001)
    agents = ScriptedAgents(
        [started("one", "run_command"), AgentsUnreachable("Socket closed")], [Completed("Done.", Usage())]
    )
    world = World(stores, agents)
    run_id = await world.send(ann, await stores.session(ann))
    await world.until_over(run_id)
    assert await calls(stores, ann, run_id) == [("one", "began", ""), ("one", *UNKNOWN)]
    await world.executor.drain()


async def test_call_that_the_next_attempt_goes_on_with_has_the_end_that_it_tells(stores: Stores, ann: Owner) -> None:
    asked = "a9a9a9a9-0000-4000-8000-000000000002"
    wanted = Paused("where it was", (Wanted(asked, {"tool": "run_command"}, {"type": "object"}),), (), Usage())
    agents = ScriptedAgents([wanted], [started(asked, "run_command"), HOLD])
    first = World(stores, agents)
    run_id = await first.send(ann, await stores.session(ann))
    await eventually(lambda: not first.executor.runs_here(run_id))
    await first.executor.decide(ann, asked, Decision(True))
    await agents.until(lambda: len(agents.began) == 1)
    await dies(first, run_id)
    # The journal of the agents service knows how it ended.
    known = ScriptedAgents([completed(asked, "Made it.", "run_command"), Completed("Done.", Usage())])
    second = World(stores, known, process=TWO)
    await second.executor._adopt_orphans()
    await second.until_over(run_id)
    assert await calls(stores, ann, run_id) == [(asked, "began", ""), (asked, "good", "Made it.")]
    await second.executor.drain()
    await first.executor.drain()
