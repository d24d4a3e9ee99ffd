"""What EffectJournal promises, held against every backend."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.effects import Effect, EffectJournal, Outcome, ToolCall
from services.agents.errors import AgentNotFound, EffectNotFound, ExecutionSuperseded
from services.agents.sql_effects import SqlEffectJournal
from services.agents.sql_store import SqlAgentStore
from services.agents.store import AgentStore, Claim
from services.agents.tables import metadata
from services.runtime.ids import new_id
from tests import databases
from tests.databases import Place
from tests.held_database import HeldDatabase, meet
from tests.postgres import PostgresServer

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FIRST = Claim("run", "task", 1, 1)
NEXT = replace(FIRST, attempt=2)
TAKEOVER = replace(FIRST, run_epoch=2)
CALL = ToolCall("call-1", "send_email", {"to": "bob", "copies": [1, 2.5, None, True]})
SENT = Outcome(True, "sent")


@dataclass
class World:
    """Ann's agent, whose first attempt has the task."""

    agents: AgentStore
    journal: EffectJournal
    owner: Owner
    agent_id: str

    @classmethod
    async def at(cls, place: Place) -> "World":
        database = await place.with_tables(metadata)
        owner = Owner(new_id(), new_id())
        agents = SqlAgentStore(database)
        [agent] = await agents.create_space(
            owner, [Agent(new_id(), owner, "Helper", AgentConfig(), "ready", 1, NOW, NOW)]
        )
        world = cls(agents, SqlEffectJournal(database), owner, agent.id)
        await world.claim(FIRST)
        return world

    async def claim(self, claim: Claim, now: datetime = NOW) -> None:
        await self.agents.claim(self.owner, self.agent_id, claim, now)

    async def begin(self, claim: Claim = FIRST, call: ToolCall = CALL, now: datetime = NOW) -> Effect | None:
        return await self.journal.begin(self.owner, self.agent_id, claim, call, now)

    async def finish(self, claim: Claim = FIRST, outcome: Outcome = SENT, now: datetime = NOW) -> Effect:
        return await self.journal.finish(self.owner, claim, CALL.id, outcome, now)

    async def listed(self, task_id: str = "task") -> tuple[Effect, ...]:
        return await self.journal.list_effects(self.owner, "run", task_id)


@pytest.fixture
async def world(database_place: Place) -> World:
    return await World.at(database_place)


async def test_call_is_known_before_it_starts_and_its_outcome_after(world: World) -> None:
    assert await world.begin() is None
    begun = Effect(CALL, FIRST, NOW)
    assert await world.listed() == (begun,)
    finished = replace(begun, outcome=SENT, finished_at=NOW + SECOND)
    assert await world.finish(now=NOW + SECOND) == finished
    assert await world.listed() == (finished,)


async def test_call_that_was_begun_does_not_begin_again(world: World) -> None:
    assert await world.begin() is None
    assert await world.begin(now=NOW + SECOND) == Effect(CALL, FIRST, NOW)
    await world.finish()
    for claim in (FIRST, NEXT, TAKEOVER):
        if claim != FIRST:
            await world.claim(claim)
        again = await world.begin(claim, now=NOW + SECOND)
        assert again == Effect(CALL, FIRST, NOW, SENT, NOW)
    assert len(await world.listed()) == 1


async def test_call_begun_many_times_at_once_begins_once(world: World) -> None:
    begun = await asyncio.gather(*(world.begin() for _ in range(8)))
    assert begun.count(None) == 1
    assert len(await world.listed()) == 1


@pytest.mark.parametrize("later", [NEXT, TAKEOVER])
async def test_attempt_that_was_superseded_begins_nothing(world: World, later: Claim) -> None:
    await world.claim(later)
    with pytest.raises(ExecutionSuperseded):
        await world.begin()
    assert await world.listed() == ()
    assert await world.begin(later) is None


async def test_attempt_that_never_claimed_the_task_begins_nothing(world: World) -> None:
    for claim in (NEXT, TAKEOVER, replace(FIRST, run_id="other run"), replace(FIRST, task_id="other task")):
        with pytest.raises(ExecutionSuperseded):
            await world.begin(claim)
    assert await world.listed() == ()


async def test_attempt_that_was_superseded_still_says_how_its_call_ended(world: World) -> None:
    await world.begin()
    await world.claim(TAKEOVER)
    finished = await world.finish()
    assert (finished.outcome, finished.begun_by) == (SENT, FIRST)
    assert await world.listed() == (finished,)


async def test_nobody_else_says_how_a_call_ended(world: World) -> None:
    await world.begin()
    await world.claim(TAKEOVER)
    with pytest.raises(EffectNotFound):
        await world.finish(TAKEOVER)
    assert (await world.listed())[0].outcome is None


async def test_first_outcome_stays(world: World) -> None:
    await world.begin()
    failed = await world.finish(outcome=Outcome(False, "refused"))
    assert await world.finish(outcome=SENT, now=NOW + SECOND) == failed
    assert failed.outcome == Outcome(False, "refused")


async def test_call_that_was_not_begun_does_not_end(world: World) -> None:
    with pytest.raises(EffectNotFound):
        await world.finish()
    assert await world.listed() == ()


async def test_effects_come_in_the_order_of_their_attempts_whatever_clocks_say(world: World) -> None:
    await world.begin(call=replace(CALL, id="b"), now=NOW + 9 * SECOND)
    await world.begin(call=replace(CALL, id="a"), now=NOW + 10 * SECOND)
    await world.claim(TAKEOVER)
    await world.begin(TAKEOVER, replace(CALL, id="c"))
    assert [effect.call.id for effect in await world.listed()] == ["b", "a", "c"]
    assert await world.listed("other task") == ()


async def test_whatever_tools_and_models_say_is_kept(world: World) -> None:
    said = "Ünïcødé 𝄞 \u2028"
    await world.begin(call=ToolCall(CALL.id, "t" * 100, {said: {"deep": [said, "\0"]}}))
    await world.finish(outcome=Outcome(True, f"{said}\0\ud800"))
    [effect] = await world.listed()
    assert effect.call.arguments == {said: {"deep": [said, "\0"]}}
    assert effect.outcome == Outcome(True, f"{said}\ufffd?")


async def test_effects_go_with_the_claim_of_their_task_which_they_keep_alive(world: World) -> None:
    await world.begin(now=NOW + SECOND)
    await world.agents.forget_claims(NOW + SECOND)
    assert len(await world.listed()) == 1
    await world.agents.forget_claims(NOW + 2 * SECOND)
    assert await world.listed() == ()


async def test_deleted_project_takes_its_effects_along(world: World) -> None:
    await world.begin()
    await world.agents.delete_space(world.owner, NOW)
    assert await world.listed() == ()
    with pytest.raises(AgentNotFound):
        await world.begin(call=replace(CALL, id="late"))
    with pytest.raises(EffectNotFound):
        await world.finish()


async def test_deleted_agent_begins_nothing(world: World) -> None:
    await world.agents.delete_agent(world.owner, world.agent_id, NOW)
    with pytest.raises(AgentNotFound):
        await world.begin()
    assert await world.listed() == ()


async def test_nobody_else_begins_ends_or_sees_an_effect(world: World) -> None:
    await world.begin()
    user, project = world.owner.user_id, world.owner.project_id
    for other in (Owner(new_id(), project), Owner(user, new_id()), Owner(new_id(), new_id())):
        with pytest.raises(AgentNotFound):
            await world.journal.begin(other, world.agent_id, FIRST, CALL, NOW)
        with pytest.raises(EffectNotFound):
            await world.journal.finish(other, FIRST, CALL.id, SENT, NOW)
        assert await world.journal.list_effects(other, "run", "task") == ()
    assert await world.listed() == (Effect(CALL, FIRST, NOW),)


# Where two transactions meet


@pytest.fixture
async def place(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    """A database in which transactions run beside each other."""
    async with databases.place(tmp_path, postgres_server) as place:
        yield place


@pytest.mark.server_backed
async def test_of_a_takeover_and_a_call_that_begins_the_takeover_sees_the_call_or_forbids_it(place: Place) -> None:
    world = await World.at(place)
    held = HeldDatabase(place.open())
    begun, _ = await meet(
        place,
        held,
        SqlEffectJournal(held).begin(world.owner, world.agent_id, FIRST, CALL, NOW),
        world.claim(TAKEOVER),
    )
    assert begun is None
    assert len(await world.listed()) == 1
    held = HeldDatabase(place.open())
    _, begun = await meet(
        place,
        held,
        SqlAgentStore(held).claim(world.owner, world.agent_id, replace(TAKEOVER, run_epoch=3), NOW),
        world.begin(TAKEOVER, replace(CALL, id="late")),
    )
    assert isinstance(begun, ExecutionSuperseded)
    assert len(await world.listed()) == 1


@pytest.mark.server_backed
async def test_call_that_begins_while_its_project_is_deleted_leaves_nothing_behind(place: Place) -> None:
    world = await World.at(place)
    held = HeldDatabase(place.open())
    begun, deleted = await meet(
        place,
        held,
        SqlEffectJournal(held).begin(world.owner, world.agent_id, FIRST, CALL, NOW),
        world.agents.delete_space(world.owner, NOW),
    )
    assert (begun, deleted) == (None, (world.agent_id,))
    assert await world.listed() == ()


@pytest.mark.server_backed
async def test_call_that_comes_while_its_project_is_being_deleted_does_not_begin(place: Place) -> None:
    world = await World.at(place)
    held = HeldDatabase(place.open())
    _, begun = await meet(place, held, SqlAgentStore(held).delete_space(world.owner, NOW), world.begin())
    assert isinstance(begun, AgentNotFound)
    assert await world.listed() == ()
