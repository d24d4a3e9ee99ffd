"""What RunStore promises to those who did not hear the answer to a write, held against every backend."""

import pytest

from services.orchestrator.model import Ended, Owner, RunState
from services.orchestrator.store import RunStore
from services.runtime.ids import new_id
from tests.conformance.orchestrator_stores import (
    COST,
    FAILURE,
    NOW,
    ONE,
    TWO,
    Stores,
    begin_attempt,
    fail,
    promoted,
    succeed,
    taken,
)


@pytest.fixture
async def store(stores: Stores) -> RunStore:
    return stores.runs


async def test_what_was_accepted_can_be_read_as_it_was_answered(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    first, second = await stores.send(ann, chat), await stores.send(ann, chat)
    for accepted in (first, second):
        assert await store.accepted(ann, accepted.run.id, ONE) == accepted
    assert await store.accepted(ann, new_id(), ONE) is None


async def test_what_was_accepted_is_nobodys_to_begin_once_somebody_has_it(
    stores: Stores, store: RunStore, ann: Owner, chat: str
) -> None:
    lease, second = await stores.running(ann, chat), (await stores.send(ann, chat)).run.id
    await stores.expire(lease.run_id)
    over = taken(await stores.others.adopt(chat, TWO, NOW))
    found = await store.accepted(ann, lease.run_id, ONE)
    assert found is not None
    assert (found.run.id, found.lease, found.outbox) == (lease.run_id, None, ())
    await succeed(stores.others, await begin_attempt(stores.others, over, TWO, NOW), TWO, "Hello.", COST, NOW)
    for process in (ONE, TWO):
        found = await store.accepted(ann, second, process)
        assert found is not None
        assert (found.run.state, found.lease) == (RunState.RUNNING, None)


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
async def test_what_followed_from_an_end_can_be_read_as_it_was_answered(
    stores: Stores, store: RunStore, ann: Owner, chat: str, end: str
) -> None:
    lease = await stores.running(ann, chat)
    await stores.send(ann, chat)
    assert await store.ended(ann, lease.run_id, ONE) is None
    await store.acknowledge([(lease.run_id, 1, "e-1"), (lease.run_id, 2, "e-2")])
    ended: Ended | None
    match end:
        case "succeed":
            ended = await succeed(store, lease, ONE, "Hello.", COST, NOW)
        case "fail":
            ended = await fail(store, lease, ONE, FAILURE, NOW)
        case _:
            _, ended = await store.cancel(ann, lease.run_id, ONE, NOW)
    assert await store.ended(ann, lease.run_id, ONE) == ended
    # Another process was not given what was promoted, and what has begun is not given again.
    for process, begun in ((TWO, False), (ONE, True)):
        if begun:
            await begin_attempt(store, promoted(ended), ONE, NOW)
        found = await store.ended(ann, lease.run_id, process)
        assert found is not None
        assert found.promoted is None
