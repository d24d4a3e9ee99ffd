"""Executor between its store and its tasks: the moments at which something is committed and not yet acted upon."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator import executor as module
from services.orchestrator import service
from services.orchestrator.errors import RunNeedsApproval
from services.orchestrator.executor import HISTORY_BYTES
from services.orchestrator.hand import Hand
from services.orchestrator.leases import Accepted, Ending, Lease
from services.orchestrator.model import (
    ApprovalKind,
    ApprovalState,
    Decision,
    Message,
    Mode,
    OnBusy,
    Outcome,
    Owner,
    Question,
    RunState,
    Usage,
)
from services.orchestrator.service import RunService
from services.orchestrator.tables import run_tasks
from services.orchestrator.waiting import Waiting
from services.runtime.database import DatabaseUnavailable
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import NOW, ONE, TWO, Stores, a_message, lease_of, stores_in
from tests.databases import Place
from tests.e2e.polling import eventually
from tests.orchestrator.endings import done
from tests.orchestrator.fake_streams import FakeStreams, Line
from tests.orchestrator.world import AskingAgents, Gate, World


@pytest.fixture
async def world(database_place: Place) -> AsyncIterator[World]:
    world = World(await stores_in(database_place))
    yield world
    world.agents.go.set()
    async with asyncio.timeout(30):
        await world.executor.drain()


@pytest.fixture
async def ann(world: World) -> Owner:
    return await world.stores.project()


@pytest.fixture
async def chat(world: World, ann: Owner) -> str:
    return await world.stores.session(ann)


async def test_history_is_cut_to_what_a_call_can_carry(world: World, ann: Owner, chat: str) -> None:
    world.agents.go.set()
    for letter in "abc":
        long = a_message(chat, letter * (HISTORY_BYTES // 2))
        await world.until_over((await world.executor.accept(ann, long, None)).run.id)
    assert [message.content[:5] for message in world.agents.histories[-1]] == ["Done.", "bbbbb", "Done."]


async def test_renewing_does_not_cut_off_a_run_that_has_just_ended(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.send(ann, chat)
    second = await world.send(ann, chat)
    gate = Gate(world.stores.runs, "end", monkeypatch)
    world.agents.go.set()
    await gate.committed.wait()
    await world.executor._renew()
    gate.open.set()
    await world.until_over(first)
    await world.until_over(second)


async def test_renewal_that_began_before_the_end_does_not_cut_it_off_either(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    ended = Gate(world.stores.runs, "end", monkeypatch)
    renew = world.stores.runs.renew

    async def renew_late(process: str, run_ids: Any) -> set[str]:
        # Asked while the run was live, answered when it had ended.
        world.agents.go.set()
        await ended.committed.wait()
        return await renew(process, run_ids)

    monkeypatch.setattr(world.stores.runs, "renew", renew_late)
    await world.executor._renew()
    ended.open.set()
    await world.until_over(first)


async def test_drain_waits_for_an_end_that_is_being_committed(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await world.send(ann, chat)
    await world.send(ann, chat)
    gate = Gate(world.stores.runs, "end", monkeypatch)
    world.agents.go.set()
    await gate.committed.wait()
    draining = asyncio.create_task(world.executor.drain())
    await asyncio.sleep(0)
    gate.open.set()
    async with asyncio.timeout(30):
        await draining
    assert (await world.stores.runs.get_run(ann, run_id)).state is RunState.SUCCEEDED
    # What it set free is for the next process, at once.
    assert await world.stores.others.orphaned(10) == [chat]


async def test_caller_that_leaves_after_the_commit_leaves_no_orphan(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(world.stores.runs, "accept", monkeypatch)
    calling = asyncio.create_task(world.send(ann, chat))
    await gate.committed.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    gate.open.set()
    await world.agents.until(lambda: len(world.agents.began) == 1)


async def test_caller_that_leaves_while_cancelling_stops_the_run_all_the_same(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.send(ann, chat), await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    gate = Gate(world.stores.runs, "cancel", monkeypatch)
    calling = asyncio.create_task(world.executor.cancel(ann, first))
    await gate.committed.wait()
    calling.cancel()
    gate.open.set()
    await world.until_over(first)
    await world.agents.until(lambda: [each.run_id for each in world.agents.began] == [first, second])
    assert [each.run_id for each in world.agents.closed] == [first]


async def test_replaced_run_is_stopped_without_waiting_for_a_renewal(world: World, ann: Owner, chat: str) -> None:
    first = await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    await world.executor.accept(ann, a_message(chat, on_busy=OnBusy.REPLACE), None)
    await world.agents.until(lambda: len(world.agents.closed) == 1)
    assert world.agents.closed[0].run_id == first


async def test_releasing_waits_for_what_is_being_accepted(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.executor.drain()
    gate = Gate(world.stores.runs, "accept", monkeypatch, before=True)
    accepting = asyncio.create_task(world.send(ann, chat))
    await gate.reached.wait()
    releasing = asyncio.create_task(world.executor.release())
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(accepting, releasing)
    assert await world.stores.others.orphaned(10) == [chat]


async def test_process_that_takes_its_own_run_over_works_on_it_once(world: World, ann: Owner, chat: str) -> None:
    run_id = await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    await world.stores.expire(run_id)
    await world.executor._adopt_orphans()
    await world.agents.until(lambda: len(world.agents.began) == 2 and len(world.agents.closed) == 1)
    assert [each.epoch for each in world.agents.closed] == [1]
    # The end of the earlier task has not made it forget the later one: it is renewed.
    assert world.executor.runs_here(run_id)
    await world.stores.expire(run_id)
    await world.executor._renew()
    assert await world.stores.others.orphaned(10) == []
    world.agents.go.set()
    await world.until_over(run_id)
    assert [event.n for _, event in world.streams.heard] == [1, 2, 3, 4]


async def test_process_that_stood_still_goes_on_with_its_own_run(world: World, ann: Owner, chat: str) -> None:
    run_id = await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    await world.stores.expire(run_id)
    await world.executor._take_over()
    assert (await world.stores.row(run_id)).epoch == 1
    assert await world.stores.others.orphaned(10) == []
    world.agents.go.set()
    await world.until_over(run_id)
    assert len(world.agents.began) == 1


async def test_run_that_is_replaced_before_its_first_step_is_forgotten(world: World, ann: Owner, chat: str) -> None:
    first, second = await asyncio.gather(
        *(world.executor.accept(ann, a_message(chat, on_busy=OnBusy.REPLACE), None) for _ in range(2))
    )
    if first.stopped:
        first, second = second, first
    await world.until_over(first.run.id)
    await world.agents.until(lambda: second.run.id in [each.run_id for each in world.agents.began])
    # Whoever waits for it would otherwise think, until its deadline, that it is still worked on.
    assert not world.executor.runs_here(first.run.id)
    assert world.executor.runs_here(second.run.id)


async def test_run_that_was_lost_is_stopped_by_the_next_renewal(world: World, ann: Owner, chat: str) -> None:
    run_id = await world.send(ann, chat)
    await world.agents.until(lambda: len(world.agents.began) == 1)
    await world.stores.expire(run_id)
    assert isinstance(await world.stores.others.adopt(chat, "another process", NOW), Lease)
    await world.executor._renew()
    await world.agents.until(lambda: len(world.agents.closed) == 1)
    await world.executor.drain()
    # Neither drained back nor ended: it is the other's.
    assert (await world.stores.row(run_id)).owner == "another process"
    assert await world.stores.others.renew("another process", [run_id]) == {run_id}


async def test_run_that_is_said_to_be_changed_elsewhere_is_stopped_if_it_was(
    world: World, ann: Owner, chat: str
) -> None:
    async with world.executor.working(lease_seconds=3600):
        run_id = await world.send(ann, chat)
        await world.agents.until(lambda: len(world.agents.began) == 1)
        world.executor.heard_changed(run_id)
        # Somebody else said so, or it was meant for an earlier owner.
        await eventually(lambda: not world.executor._changed_elsewhere.is_set())
        assert world.executor.runs_here(run_id)
        await world.stores.others.cancel(ann, run_id, TWO, NOW)
        world.executor.heard_changed(run_id)
        await world.agents.until(lambda: len(world.agents.closed) == 1)


async def test_all_that_nobody_works_on_is_taken_however_much_it_is(
    world: World, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_LIMIT", 3)
    for _ in range(8):
        await world.stores.expire((await world.stores.running(ann, await world.stores.session(ann))).run_id)
    await world.executor._adopt_orphans()
    await world.agents.until(lambda: len(world.agents.began) == 8)


async def test_database_that_is_away_as_the_process_starts_puts_off_what_is_taken_over_and_not_the_start(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, orphaned = await world.stores.running(ann, chat), world.stores.runs.orphaned
    await world.stores.expire(left.run_id)
    outages = iter([DatabaseUnavailable("restarting")])

    async def later(limit: int) -> list[str]:
        for outage in outages:
            raise outage
        return await orphaned(limit)

    monkeypatch.setattr(world.stores.runs, "orphaned", later)
    async with world.executor.working(lease_seconds=0.2):
        await world.agents.until(lambda: [each.run_id for each in world.agents.began] == [left.run_id])


async def test_run_that_cannot_be_taken_does_not_keep_others_from_it(
    world: World, ann: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_LIMIT", 1)
    broken, sound = [await world.stores.running(ann, await world.stores.session(ann)) for _ in range(2)]
    await world.stores.execute(sa.delete(run_tasks).where(run_tasks.c.run_id == broken.run_id))
    for lease in (broken, sound):
        await world.stores.expire(lease.run_id)
    await world.executor._adopt_orphans()
    await world.agents.until(lambda: [each.run_id for each in world.agents.began] == [sound.run_id])


async def test_run_that_breaks_off_for_no_known_reason_is_taken_again_and_then_given_up(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.agents, "execute", broken)
    run_id = await world.send(ann, chat)
    for _ in range(5):
        await world.executor._finish()
        if (await world.stores.runs.get_run(ann, run_id)).state is RunState.FAILED:
            break
        await world.stores.expire(run_id)
        await world.executor._adopt_orphans()
    run = await world.stores.runs.get_run(ann, run_id)
    assert run.error is not None
    assert run.error.reason == "RUN_ABANDONED"
    await world.until_over(run_id)
    numbers = [event.n for _, event in world.streams.heard]
    assert numbers == list(range(1, len(numbers) + 1))


# Who waits


class EndsInBetween:
    """Of RunStore what waiting needs: the run ends right after it was read as running."""

    def __init__(self, waiting: Waiting, answer: Message) -> None:
        self._waiting = waiting
        self._answer = answer
        self.read = 0

    async def get_outcome(self, owner: Owner, run_id: str) -> Outcome:
        self.read += 1
        if self.read == 1:
            self._waiting.wake(run_id)
            return Outcome(RunState.RUNNING, None, None)
        return Outcome(RunState.SUCCEEDED, None, self._answer)


async def test_end_between_reading_and_waiting_is_not_missed(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_POLL_SECONDS", 3600.0)
    accepted = await world.stores.send(ann, chat)
    answer = (await world.stores.sessions.list_messages(ann, chat, 1, "")).elements[0]
    store: Any = EndsInBetween(world.waiting, answer)
    runs = RunService(store, world.agents, world.executor, world.waiting, lambda: NOW, new_id)
    async with asyncio.timeout(30):
        assert await runs.answer(ann, Accepted(accepted.run, joined=True), 3600.0) == answer


async def test_end_in_another_process_is_noticed(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_POLL_SECONDS", 0.01)
    accepted = await world.stores.send(ann, chat, process="another process")
    run_service = RunService(world.stores.runs, world.agents, world.executor, world.waiting, lambda: NOW, new_id)
    waiting = asyncio.create_task(run_service.answer(ann, accepted, 60.0))
    await world.stores.others.end(lease_of(accepted), "another process", done(lease_of(accepted)), NOW)
    async with asyncio.timeout(30):
        assert (await waiting).content == "Done."


async def test_draining_wakes_all_who_wait() -> None:
    waiting = Waiting()
    with waiting.for_run("one") as one, waiting.for_run("one") as other, waiting.for_run("two") as two:
        waiting.wake("one")
        assert (one.is_set(), other.is_set(), two.is_set()) == (True, True, False)
        waiting.wake_all()
        assert two.is_set()
    waiting.wake("one")


# Parking


async def test_run_that_asks_is_parked_and_goes_on_with_the_decisions(world: World, ann: Owner, chat: str) -> None:
    agents = AskingAgents(questions=2)
    asking = World(world.stores, agents)
    accepted = await asking.executor.accept(ann, a_message(chat), None)
    service = RunService(world.stores.runs, agents, asking.executor, asking.waiting, lambda: NOW, new_id)
    with pytest.raises(RunNeedsApproval) as caught:
        await service.answer(ann, accepted, 60)
    assert caught.value.metadata == {"run_id": accepted.run.id, "approval_id": agents.asked[0].call_id}
    assert f"GET /my/projects/{ann.project_id}/approvals" in caught.value.detail
    assert not asking.executor.runs_here(accepted.run.id)
    first, second = agents.asked
    assert (await asking.executor.decide(ann, second.call_id, Decision(False, "No."))).state is ApprovalState.REJECTED
    assert len(agents.began) == 1
    await asking.executor.decide(ann, first.call_id, Decision(True))
    await asking.until_over(accepted.run.id)
    outcome = await world.stores.runs.get_outcome(ann, accepted.run.id)
    assert outcome.answer is not None
    assert outcome.answer.content == "approved rejected"
    # Told in order: the beginning, both questions, both decisions, the second attempt, the end.
    heard = [event.n for run_id, event in asking.streams.heard if run_id == accepted.run.id]
    assert sorted(set(heard)) == list(range(1, 9))
    await asking.executor.drain()


async def test_parked_run_survives_its_process_and_goes_on_where_it_is_decided(
    world: World, ann: Owner, chat: str
) -> None:
    agents = AskingAgents()
    asking, deciding = World(world.stores, agents), World(world.stores, AskingAgents(), TWO)
    run_id = await asking.send(ann, chat)
    await eventually(lambda: agents.asked and not asking.executor.runs_here(run_id))
    await asking.executor.drain()
    await deciding.executor.decide(ann, agents.asked[0].call_id, Decision(True))
    await deciding.until_over(run_id)
    assert (await world.stores.runs.get_run(ann, run_id)).state is RunState.SUCCEEDED
    await deciding.executor.drain()


async def test_decision_that_comes_before_its_run_is_parked_is_told_in_its_place(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = AskingAgents()
    asking, deciding = World(world.stores, agents), World(world.stores, AskingAgents(), TWO)
    gate = Gate(world.stores.approvals[0], "park", monkeypatch, before=True)
    run_id = await asking.send(ann, chat)
    await gate.reached.wait()
    await deciding.executor.decide(ann, agents.asked[0].call_id, Decision(True))
    gate.open.set()
    await asking.until_over(run_id)
    # Also if whoever decided never gets to tell it.
    assert [(event.n, event.type) for _, event in asking.streams.heard] == [
        *((1, "message_received"), (2, "agent_started"), (3, "approval_required"), (4, "approval_resolved")),
        *((5, "agent_started"), (6, "agent_completed")),
    ]
    await asking.executor.drain()
    await deciding.executor.drain()


async def test_decision_that_comes_just_before_the_end_is_told_before_it(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = Beside(world.stores)
    monkeypatch.setattr(world.executor, "_works", {Mode.DIRECT: beside})
    deciding = World(world.stores, AskingAgents(), TWO)
    run_id = await world.send(ann, chat)
    await beside.waits.wait()
    await deciding.executor.decide(ann, beside.asked[0].id, Decision(True))
    world.executor.heard_changed(run_id)
    await world.until_over(run_id)
    assert [event.type for _, event in world.streams.heard][-2:] == ["approval_resolved", "agent_completed"]
    await deciding.executor.drain()


async def test_renewing_does_not_silence_a_run_that_was_just_parked(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it asks cannot be told yet.
    asking = World(world.stores, AskingAgents(), streams=FakeStreams(lines=[Line(frames=0)]))
    gate = Gate(world.stores.approvals[0], "park", monkeypatch)
    run_id = await asking.send(ann, chat)
    await gate.committed.wait()
    await asking.executor._renew()
    gate.open.set()
    await asking.streams.until(lambda: [event.n for run, event in asking.streams.heard if run == run_id] == [1, 2, 3])
    await asking.executor.drain()


async def test_question_that_expires_lets_the_run_go_on(world: World, ann: Owner, chat: str) -> None:
    agents = AskingAgents()
    later = World(world.stores, agents, approval_seconds=0.0)
    async with later.executor.working(lease_seconds=0.2):
        run_id = await later.send(ann, chat)
        await later.until_over(run_id)
    outcome = await world.stores.runs.get_outcome(ann, run_id)
    assert outcome.answer is not None
    assert outcome.answer.content == "expired"


class Beside:
    """Implements `Work`: goes on while its task waits for its user, and answers with what was decided."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.asked: list[Question] = []
        self.waits = asyncio.Event()

    async def work(self, hand: Hand) -> Ending:
        lease = hand.ledger.lease
        expires_at = NOW + timedelta(seconds=hand.approval_seconds)
        self.asked = [Question(new_id(), ApprovalKind.TOOL, {"tool": "shell"}, expires_at)]
        await self._stores.approvals[0].ask(lease, ONE, lease.task, self.asked, Usage(), NOW)
        self.waits.set()
        while True:
            await hand.decided.wait()
            hand.decided.clear()
            [decision] = (await self._stores.runs.standing(lease, ONE)).decisions
            if decision.state is not ApprovalState.PENDING:
                return done(lease, decision.state)


@pytest.mark.parametrize("heard", ["here", "from elsewhere", "by looking"])
async def test_run_that_works_beside_a_question_hears_what_was_decided(
    world: World, ann: Owner, chat: str, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    beside = Beside(world.stores)
    monkeypatch.setattr(world.executor, "_works", {Mode.DIRECT: beside})
    deciding = world if heard == "here" else World(world.stores, process=TWO)
    async with world.executor.working(lease_seconds=0.4 if heard == "by looking" else 3600):
        run_id = await world.send(ann, chat)
        await beside.waits.wait()
        await deciding.executor.decide(ann, beside.asked[0].id, Decision(True))
        if heard == "from elsewhere":
            world.executor.heard_changed(run_id)
        await world.until_over(run_id)
    outcome = await world.stores.runs.get_outcome(ann, run_id)
    assert outcome.answer is not None
    assert outcome.answer.content == "approved"
    # Both told it: whoever decided, and whoever has the run.
    told = {event.type for run, event in [*world.streams.heard, *deciding.streams.heard] if run == run_id}
    assert {"approval_required", "approval_resolved", "agent_completed"} <= told
    if deciding is not world:
        await deciding.executor.drain()
