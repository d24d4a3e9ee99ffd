"""What RunStore promises of what is read and told of runs, held against every backend."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.orchestrator.errors import ProjectNotFound, RunNotFound
from services.orchestrator.leases import Accepted
from services.orchestrator.model import Owner, RunState
from services.orchestrator.store import RunStore
from services.runtime.errors import InvalidPageToken
from services.runtime.ids import new_id
from services.runtime.pages import PAGE_BYTES
from tests.conformance.orchestrator_stores import (
    COST,
    FAILURE,
    NOW,
    ONE,
    SECOND,
    TWO,
    Stores,
    fail,
    lease_of,
    promoted,
    succeed,
    taken,
    timeline,
    types,
)

# History


async def test_history_is_what_was_said_at_earlier_positions(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first = await stores.running(ann, chat, "one")
    for content in ("two", "three"):
        await stores.send(ann, chat, content)
    assert await store.history(first, 10) == []
    second = promoted(await succeed(store, first, ONE, "1", COST, NOW))
    # The third message is older than this answer, and comes after it all the same.
    assert [each.content for each in await store.history(second, 10)] == ["one", "1"]
    third = promoted(await fail(store, second, ONE, FAILURE, NOW))
    assert [each.content for each in await store.history(third, 10)] == ["one", "1", "two"]
    assert [each.content for each in await store.history(third, 2)] == ["1", "two"]
    await succeed(store, third, ONE, "3", COST, NOW)
    said = (await stores.sessions.list_messages(ann, chat, 10, "")).elements
    assert [each.content for each in said] == ["one", "1", "two", "three", "3"]


# What is told


async def test_events_are_unpublished_until_they_are_acknowledged(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert outbox.events == lease.events
    assert (outbox.run_id, outbox.session_id, outbox.project_id, outbox.user_id, outbox.epoch) == (
        lease.run_id,
        chat,
        ann.project_id,
        ann.user_id,
        lease.epoch,
    )
    await store.acknowledge([(lease.run_id, 1, "e-1")])
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert types(outbox.events) == [(2, "agent_started", False)]
    await store.acknowledge([(lease.run_id, 2, "e-2"), (lease.run_id, 2, "e-2"), (new_id(), 1, "e-3")])
    assert await store.unpublished(NOW + SECOND, 10, ()) == []
    told = (await store.list_events(ann, lease.run_id, 10, "")).elements
    assert [event.id for event in told] == ["e-1", "e-2"]


async def test_unpublished_is_what_is_old_enough_by_its_first_event(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    await succeed(store, lease, ONE, "Hello.", COST, NOW + 60 * SECOND)
    assert await store.unpublished(NOW, 10, ()) == []
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    # The end is young, but must not be left behind: nor may it overtake.
    assert types(outbox.events) == await timeline(store, ann, lease.run_id)


async def test_unpublished_comes_oldest_first_by_run_and_leaves_out_what_is_told_already(
    stores: Stores, store: RunStore, ann: Owner
) -> None:
    leases = []
    for number in range(4):
        now = NOW + number * SECOND
        leases.append(lease_of(await stores.send(ann, await stores.session(ann, now), now=now)))
    found = await store.unpublished(NOW + 60 * SECOND, 2, (leases[0].run_id,))
    assert [each.run_id for each in found] == [leases[1].run_id, leases[2].run_id]
    assert all(len(each.events) == 2 for each in found)


async def test_unpublished_has_the_epoch_of_now(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await stores.expire(lease.run_id)
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    (outbox,) = await store.unpublished(NOW + SECOND, 10, ())
    assert outbox.epoch == over.epoch


async def test_last_event_is_the_last_one_acknowledged(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    first = await stores.running(ann, chat)
    second = (await stores.send(ann, chat)).run.id
    await store.acknowledge([(first.run_id, 1, "e-1"), (second, 1, "e-2"), (first.run_id, 2, "e-3")])
    assert (await stores.sessions.get_session(ann, chat)).last_event_id == "e-3"
    assert (await store.get_run(ann, first.run_id)).last_event_id == "e-3"
    assert (await store.get_run(ann, second)).last_event_id == "e-2"


# Reading


async def test_somebody_elses_run_is_missing(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    row = await stores.row(lease.run_id)
    for stranger in (await stores.project(), await stores.project(ann.user_id)):
        for run_id in (lease.run_id, new_id()):
            calls: list[Callable[[Owner, str], Awaitable[Any]]] = [
                store.get_run,
                store.get_outcome,
                lambda owner, run_id: store.list_events(owner, run_id, 10, ""),
                lambda owner, run_id: store.cancel(owner, run_id, ONE, NOW),
            ]
            for call in calls:
                with pytest.raises(RunNotFound):
                    await call(stranger, run_id)
        assert (await store.list_runs(stranger, (), None, 10, "")).total == 0
        assert (await store.list_runs(stranger, (), chat, 10, "")).elements == []
    assert await stores.row(lease.run_id) == row


async def test_runs_come_newest_first_in_pages_by_state_and_session(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    accepted: list[Accepted] = [await stores.send(ann, chat, now=NOW + SECOND * (n // 2)) for n in range(6)]
    elsewhere = (await stores.send(ann, await stores.session(ann), now=NOW + 9 * SECOND)).run.id
    seen: list[str] = []
    token = ""
    while True:
        page = await store.list_runs(ann, (), chat, 4, token)
        assert page.total == 6
        seen += [run.id for run in page.elements]
        token = page.next_page_token
        if not token:
            break
    expected = sorted(enumerate(accepted), key=lambda each: (each[0] // 2, each[1].run.id), reverse=True)
    assert seen == [each.run.id for _, each in expected]
    running = await store.list_runs(ann, (RunState.RUNNING,), None, 10, "")
    assert {run.id for run in running.elements} == {accepted[0].run.id, elsewhere}
    assert running.elements[0] == await store.get_run(ann, elsewhere)
    both = await store.list_runs(ann, (RunState.RUNNING, RunState.QUEUED), None, 10, "")
    assert both.total == 7


async def test_page_of_long_runs_has_fewer_and_loses_none(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    sent = [(await stores.send(ann, chat, "x" * PAGE_BYTES, now=NOW + SECOND * n)).run.id for n in range(2)]
    first = await store.list_runs(ann, (), None, 50, "")
    second = await store.list_runs(ann, (), None, 50, first.next_page_token)
    assert [each.id for each in first.elements + second.elements] == sent[::-1]
    assert (len(first.elements), first.total, second.next_page_token) == (1, 2, "")


async def test_page_tokens_are_good_for_their_own_list_alone(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease = await stores.running(ann, chat)
    other = await stores.send(ann, chat)
    of_runs = (await store.list_runs(ann, (), None, 1, "")).next_page_token
    of_events = (await store.list_events(ann, lease.run_id, 1, "")).next_page_token
    assert of_runs
    assert of_events
    for bad in ("x", of_events, of_runs[2:]):
        with pytest.raises(InvalidPageToken):
            await store.list_runs(ann, (), None, 1, bad)
    for states, session_id in (((RunState.QUEUED,), None), ((), chat)):
        with pytest.raises(InvalidPageToken):
            await store.list_runs(ann, states, session_id, 1, of_runs)
    for run_id, bad in ((other.run.id, of_events), (lease.run_id, of_runs)):
        with pytest.raises(InvalidPageToken):
            await store.list_events(ann, run_id, 1, bad)


async def test_timeline_is_paged_oldest_first(stores: Stores, store: RunStore, ann: Owner, chat: str) -> None:
    lease = await stores.running(ann, chat)
    await fail(store, lease, ONE, FAILURE, NOW)
    first = await store.list_events(ann, lease.run_id, 3, "")
    second = await store.list_events(ann, lease.run_id, 3, first.next_page_token)
    assert [event.n for event in first.elements + second.elements] == [1, 2, 3, 4]
    assert (first.total, second.total, second.next_page_token) == (4, 4, "")


async def test_runs_of_an_unknown_project_are_not_an_empty_list(store: RunStore) -> None:
    with pytest.raises(ProjectNotFound):
        await store.list_runs(Owner(new_id(), new_id()), (), None, 10, "")
