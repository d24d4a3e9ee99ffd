"""What SessionStore promises, held against every backend."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from services.orchestrator.errors import LeaseLost, ProjectDeleted, ProjectNotFound, RunNotFound, SessionNotFound
from services.orchestrator.model import Owner, RunState, Usage
from services.orchestrator.store import SessionStore
from services.orchestrator.tables import metadata
from services.runtime.errors import InvalidPageToken, RequestIdReused
from services.runtime.idempotency import KEPT
from services.runtime.ids import new_id
from services.runtime.pages import PAGE_BYTES
from tests.conformance.orchestrator_stores import (
    NOW,
    ONE,
    SECOND,
    Stores,
    a_key,
    succeed,
)


@pytest.fixture
async def store(stores: Stores) -> SessionStore:
    return stores.sessions


@pytest.fixture(params=["another user", "the same user's other project"])
async def stranger(request: pytest.FixtureRequest, stores: Stores, ann: Owner) -> Owner:
    """Somebody to whom nothing in Ann's project exists, though their own does."""
    return await stores.project(ann.user_id if "same" in request.param else None)


# Projects


async def test_sessions_need_an_admitted_project(store: SessionStore) -> None:
    unknown = Owner(new_id(), new_id())
    with pytest.raises(ProjectNotFound):
        await store.create_session(unknown, new_id(), None, None, NOW)
    with pytest.raises(ProjectNotFound):
        await store.list_sessions(unknown, 10, "")


async def test_admitting_a_project_twice_changes_nothing(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    await store.admit_project(ann)
    assert (await store.get_session(ann, session_id)).id == session_id


async def test_twenty_admissions_at_once_are_one(store: SessionStore) -> None:
    owner = Owner(new_id(), new_id())
    await asyncio.gather(*(store.admit_project(owner) for _ in range(20)))
    assert (await store.list_sessions(owner, 10, "")).total == 0


async def test_deleted_project_is_never_admitted_again(store: SessionStore, ann: Owner) -> None:
    await store.delete_project(ann)
    with pytest.raises(ProjectDeleted):
        await store.admit_project(ann)


async def test_deleting_an_unknown_project_leaves_a_tombstone(store: SessionStore) -> None:
    late = Owner(new_id(), new_id())
    assert await store.delete_project(late) == []
    with pytest.raises(ProjectDeleted):
        await store.admit_project(late)


async def test_the_tombstone_is_its_owners_alone(store: SessionStore, ann: Owner) -> None:
    # Else a stranger who guesses an id could keep it from its owner.
    await store.delete_project(Owner(new_id(), ann.project_id))
    await store.admit_project(ann)


async def test_deleting_a_project_returns_its_active_runs_once(stores: Stores, ann: Owner) -> None:
    one, other = await stores.session(ann), await stores.session(ann)
    running = [(await stores.send(ann, each)).run.id for each in (one, one, other)]
    done = await stores.running(ann, await stores.session(ann))
    await succeed(stores.runs, done, ONE, "Done.", Usage(), NOW)
    assert sorted(await stores.sessions.delete_project(ann)) == sorted(running)
    assert await stores.sessions.delete_project(ann) == []


async def test_nothing_of_a_deleted_project_is_seen_or_made(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    run = (await stores.send(ann, session_id)).run
    await store.delete_project(ann)
    for absent in calls_on_a_session(store, ann, session_id):
        with pytest.raises(SessionNotFound):
            await absent()
    with pytest.raises(ProjectNotFound):
        await store.create_session(ann, new_id(), None, None, NOW)
    with pytest.raises(ProjectNotFound):
        await store.list_sessions(ann, 10, "")
    with pytest.raises(ProjectNotFound):
        await stores.runs.list_runs(ann, (), None, 10, "")
    with pytest.raises((ProjectNotFound, SessionNotFound)):
        await stores.send(ann, session_id)
    with pytest.raises(RunNotFound):
        await stores.runs.get_run(ann, run.id)


async def test_no_session_survives_a_deletion_at_the_same_time(stores: Stores, ann: Owner) -> None:
    async def create() -> None:
        try:
            await stores.session(ann)
        except ProjectNotFound:
            return

    await asyncio.gather(*(create() for _ in range(10)), stores.sessions.delete_project(ann), *(create() for _ in "ab"))
    remaining = await stores.sessions.deleted_sessions(100, ann)
    await stores.sessions.purge_sessions(ann, remaining.get(ann, []))
    assert await stores.execute(sa.select(metadata.tables["chat_sessions"].c.id)) == []


# Sessions


async def test_created_session_is_returned_and_read_back(store: SessionStore, ann: Owner) -> None:
    id = new_id()
    made = await store.create_session(ann, id, "My chat", None, NOW)
    assert made == await store.get_session(ann, id)
    assert (made.id, made.project_id, made.title, made.message_count) == (id, ann.project_id, "My chat", 0)
    assert (made.created_at, made.updated_at, made.last_event_id) == (NOW, NOW, None)


async def test_same_key_returns_the_first_session_as_it_is_now(store: SessionStore, ann: Owner) -> None:
    key = a_key("k", "x", scope="CreateSession")
    made = await store.create_session(ann, new_id(), "One", key, NOW)
    await store.rename_session(ann, made.id, "Two", NOW + SECOND)
    again = await store.create_session(ann, new_id(), "One", key, NOW + 2 * SECOND)
    assert (again.id, again.title) == (made.id, "Two")
    assert (await store.list_sessions(ann, 10, "")).total == 1


async def test_same_key_with_other_content_is_refused(store: SessionStore, ann: Owner) -> None:
    await store.create_session(ann, new_id(), "One", a_key("k", "x"), NOW)
    with pytest.raises(RequestIdReused):
        await store.create_session(ann, new_id(), "Two", a_key("k", "y"), NOW)
    assert (await store.list_sessions(ann, 10, "")).total == 1


async def test_keys_are_their_users_own_and_live_seven_days(stores: Stores, store: SessionStore, ann: Owner) -> None:
    bob = await stores.project()
    made = await store.create_session(ann, new_id(), None, a_key(), NOW)
    assert (await store.create_session(bob, new_id(), None, a_key(), NOW)).id != made.id
    assert (await store.create_session(ann, new_id(), None, a_key(), NOW + KEPT - SECOND)).id == made.id
    assert (await store.create_session(ann, new_id(), None, a_key(), NOW + KEPT)).id != made.id


async def test_twenty_creations_with_one_key_make_one_session(store: SessionStore, ann: Owner) -> None:
    made = await asyncio.gather(*(store.create_session(ann, new_id(), None, a_key(), NOW) for _ in range(20)))
    assert len({each.id for each in made}) == 1
    assert (await store.list_sessions(ann, 10, "")).total == 1


async def test_key_of_a_deleted_session_makes_no_second_one(store: SessionStore, ann: Owner) -> None:
    made = await store.create_session(ann, new_id(), None, a_key(), NOW)
    await store.delete_session(ann, made.id, NOW)
    with pytest.raises(SessionNotFound):
        await store.create_session(ann, new_id(), None, a_key(), NOW)
    # Nor when its row is gone.
    await store.purge_sessions(ann, [made.id])
    with pytest.raises(SessionNotFound):
        await store.create_session(ann, new_id(), None, a_key(), NOW)
    assert (await store.list_sessions(ann, 10, "")).total == 0


async def test_one_key_used_in_two_projects_at_once_makes_one_session(stores: Stores, ann: Owner) -> None:
    other = await stores.project(ann.user_id)
    made = await asyncio.gather(
        *(
            stores.sessions.create_session(owner, new_id(), None, a_key("k", owner.project_id), NOW)
            for owner in (ann, other) * 10
        ),
        return_exceptions=True,
    )
    refused = [each for each in made if isinstance(each, BaseException)]
    assert {type(each) for each in refused} == {RequestIdReused}
    assert len(refused) == 10
    totals = [(await stores.sessions.list_sessions(owner, 10, "")).total for owner in (ann, other)]
    assert sorted(totals) == [0, 1]


async def test_renaming_changes_title_and_time_alone(stores: Stores, store: SessionStore, ann: Owner) -> None:
    made = await store.get_session(ann, await stores.session(ann))
    renamed = await store.rename_session(ann, made.id, None, NOW + SECOND)
    assert renamed == await store.get_session(ann, made.id)
    assert (renamed.title, renamed.created_at, renamed.updated_at) == (None, NOW, NOW + SECOND)


def calls_on_a_session(store: SessionStore, owner: Owner, session_id: str) -> list[Callable[[], Awaitable[Any]]]:
    """Every method that takes a session's id from outside."""
    return [
        lambda: store.get_session(owner, session_id),
        lambda: store.rename_session(owner, session_id, "Mine", NOW),
        lambda: store.delete_session(owner, session_id, NOW),
        lambda: store.list_messages(owner, session_id, 10, ""),
    ]


async def test_somebody_elses_session_is_missing(
    stores: Stores, store: SessionStore, ann: Owner, stranger: Owner
) -> None:
    session_id = await stores.session(ann)
    lease = await stores.running(ann, session_id)
    before = await store.get_session(ann, session_id)
    for foreign, missing in zip(
        calls_on_a_session(store, stranger, session_id), calls_on_a_session(store, stranger, new_id()), strict=True
    ):
        with pytest.raises(SessionNotFound):
            await foreign()
        with pytest.raises(SessionNotFound):
            await missing()
    await store.purge_sessions(stranger, [session_id])
    assert (await store.list_sessions(stranger, 10, "")).elements == []
    assert await store.deleted_sessions(10, stranger) == {}
    assert await store.delete_project(stranger) == []
    assert await store.get_session(ann, session_id) == before
    assert await stores.runs.renew(ONE, [lease.run_id]) == {lease.run_id}


# Lists


async def test_sessions_come_newest_first_in_pages_also_when_made_at_once(
    stores: Stores, store: SessionStore, ann: Owner
) -> None:
    await stores.session(await stores.project(ann.user_id))
    ids = [await stores.session(ann, NOW + SECOND * (number // 3)) for number in range(8)]
    seen: list[str] = []
    token = ""
    while True:
        page = await store.list_sessions(ann, 2, token)
        assert page.total == 8
        seen += [session.id for session in page.elements]
        token = page.next_page_token
        if not token:
            break
        assert len(page.elements) == 2
    # Ties are ordered by id, and none is lost or repeated on the edge of a page.
    expected = sorted(enumerate(ids), key=lambda each: (each[0] // 3, each[1]), reverse=True)
    assert seen == [id for _, id in expected]


async def test_last_page_that_is_full_has_no_token(stores: Stores, store: SessionStore, ann: Owner) -> None:
    for _ in range(2):
        await stores.session(ann)
    assert (await store.list_sessions(ann, 2, "")).next_page_token == ""


async def test_page_tokens_are_good_for_their_own_list_alone(stores: Stores, store: SessionStore, ann: Owner) -> None:
    other = await stores.project(ann.user_id)
    session_id = await stores.session(ann)
    await stores.session(ann)
    lease = await stores.running(ann, session_id)
    await succeed(stores.runs, lease, ONE, "Hello.", Usage(), NOW)
    sessions = (await store.list_sessions(ann, 1, "")).next_page_token
    spoken = (await store.list_messages(ann, session_id, 1, "")).next_page_token
    raw = base64.urlsafe_b64decode(sessions + "===")
    tampered = base64.urlsafe_b64encode(raw.replace(b"2026", b"never")).decode()
    for bad in ("x", "…", sessions[:-3], spoken, tampered):
        with pytest.raises(InvalidPageToken):
            await store.list_sessions(ann, 1, bad)
    with pytest.raises(InvalidPageToken):
        await store.list_sessions(other, 1, sessions)
    with pytest.raises(InvalidPageToken):
        await store.list_messages(ann, session_id, 1, sessions)


async def test_messages_are_paged_backwards_and_read_forwards(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    for number in range(3):
        lease = await stores.running(ann, session_id, f"question {number}")
        await succeed(stores.runs, lease, ONE, f"answer {number}", Usage(), NOW)
    first = await store.list_messages(ann, session_id, 4, "")
    assert [each.content for each in first.elements] == ["question 1", "answer 1", "question 2", "answer 2"]
    second = await store.list_messages(ann, session_id, 4, first.next_page_token)
    assert [each.content for each in second.elements] == ["question 0", "answer 0"]
    assert (first.total, second.total, second.next_page_token) == (6, 6, "")


async def test_page_of_long_messages_has_fewer_and_loses_none(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    for letter in "abc":
        await stores.send(ann, session_id, letter * (PAGE_BYTES // 2))
    first = await store.list_messages(ann, session_id, 50, "")
    second = await store.list_messages(ann, session_id, 50, first.next_page_token)
    assert [each.content[0] for each in first.elements] == ["b", "c"]
    assert [each.content[0] for each in second.elements] == ["a"]
    assert (first.total, second.next_page_token) == (3, "")


# Deletion


async def test_deleting_a_session_returns_its_active_runs(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    active = (await stores.send(ann, session_id)).run.id
    queued = (await stores.send(ann, session_id)).run.id
    beside = await stores.running(ann, await stores.session(ann))
    assert sorted(await store.delete_session(ann, session_id, NOW)) == sorted([active, queued])
    assert await stores.runs.renew(ONE, [active, beside.run_id]) == {beside.run_id}


async def test_deleted_session_is_missing_for_every_method(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = await stores.session(ann)
    lease = await stores.running(ann, session_id)
    await store.delete_session(ann, session_id, NOW)
    for purged in (False, True):
        if purged:
            await store.purge_sessions(ann, [session_id])
        for absent in calls_on_a_session(store, ann, session_id):
            with pytest.raises(SessionNotFound):
                await absent()
        with pytest.raises(SessionNotFound):
            await stores.send(ann, session_id)
        with pytest.raises(RunNotFound):
            await stores.runs.get_run(ann, lease.run_id)
        with pytest.raises(LeaseLost):
            await succeed(stores.runs, lease, ONE, "Too late.", Usage(), NOW)
        assert (await store.list_sessions(ann, 10, "")).total == 0


async def test_deleted_sessions_wait_to_be_purged_of_one_project_or_all(
    stores: Stores, store: SessionStore, ann: Owner
) -> None:
    bob = await stores.project()
    doomed = {owner: [await stores.session(owner), await stores.session(owner)] for owner in (ann, bob)}
    kept = await stores.session(ann)
    for owner, session_ids in doomed.items():
        for session_id in session_ids:
            await store.delete_session(owner, session_id, NOW)
    assert {owner: set(ids) for owner, ids in (await store.deleted_sessions(10)).items()} == {
        owner: set(ids) for owner, ids in doomed.items()
    }
    assert set((await store.deleted_sessions(10, ann))[ann]) == set(doomed[ann])
    assert sum(len(ids) for ids in (await store.deleted_sessions(3)).values()) == 3
    await store.purge_sessions(ann, [*doomed[ann], *doomed[bob], kept])
    assert await store.deleted_sessions(10) == {bob: (await store.deleted_sessions(10))[bob]}
    assert (await store.get_session(ann, kept)).id == kept


async def test_purging_leaves_no_row(stores: Stores, store: SessionStore, ann: Owner) -> None:
    session_id = (await store.create_session(ann, new_id(), "Chat", a_key("s"), NOW)).id
    lease = (await stores.send(ann, session_id, key=a_key("m"))).lease
    assert lease is not None
    await succeed(stores.runs, lease, ONE, "Hello.", Usage(), NOW)
    await store.delete_session(ann, session_id, NOW)
    await store.purge_sessions(ann, [session_id])
    left = {
        table.name: len(await stores.execute(sa.select(table)))
        for table in metadata.sorted_tables
        # A project's tombstone and its keys stay, so that nothing late brings back what is gone.
        if table.name not in ("projects", "idempotency_keys")
    }
    assert left == dict.fromkeys(left, 0)
    await store.purge_sessions(ann, [session_id])


async def test_runs_of_a_deleted_session_are_over_without_events(
    stores: Stores, store: SessionStore, ann: Owner
) -> None:
    session_id = await stores.session(ann)
    lease = await stores.running(ann, session_id)
    await store.delete_session(ann, session_id, NOW)
    row = await stores.row(lease.run_id)
    assert (row.state, row.owner, row.epoch, row.event_count) == (RunState.CANCELLED, None, lease.epoch + 1, 2)
    assert await stores.runs.unpublished(NOW + SECOND, 10, ()) == []
    assert await stores.runs.orphaned(10) == []
    assert await stores.runs.adopt(session_id, ONE, NOW) is None
