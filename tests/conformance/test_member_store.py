"""The promises of `MemberStore`, kept by every backend."""

from collections.abc import AsyncIterator

import pytest

from services.streams import members
from services.streams.members import MEMBER_SECONDS, MemberStore, MemoryMemberStore
from services.streams.store import SessionKey
from tests.conformance.event_stores import STORES, Clock, OwnClock

SESSION = SessionKey("user", "project", "session")


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.server_backed] * (name == "redis")) for name in STORES])
async def store_and_clock(request: pytest.FixtureRequest) -> AsyncIterator[tuple[MemberStore, Clock]]:
    async with STORES[request.param](request)() as (_, members, clock):
        yield members, clock


@pytest.fixture
def store(store_and_clock: tuple[MemberStore, Clock]) -> MemberStore:
    return store_and_clock[0]


@pytest.fixture
def clock(store_and_clock: tuple[MemberStore, Clock]) -> Clock:
    return store_and_clock[1]


async def test_what_was_not_added_is_not_known(store: MemberStore) -> None:
    assert not await store.has(SESSION)


@pytest.mark.parametrize("field", ["user_id", "project_id", "session_id"])
async def test_user_project_and_session_must_all_match(store: MemberStore, field: str) -> None:
    await store.add(SESSION)
    assert await store.has(SESSION)
    assert not await store.has(SESSION._replace(**{field: "else"}))


async def test_a_member_is_forgotten_after_its_time(store: MemberStore, clock: Clock) -> None:
    await store.add(SESSION)
    await clock.advance(MEMBER_SECONDS - 1)
    assert await store.has(SESSION)
    await store.add(SESSION)
    await clock.advance(MEMBER_SECONDS - 1)
    assert await store.has(SESSION)
    await clock.advance(1)
    assert not await store.has(SESSION)


async def test_removing_removes_one_and_is_idempotent(store: MemberStore) -> None:
    other = SESSION._replace(session_id="else")
    await store.add(SESSION)
    await store.add(other)
    await store.remove(SESSION)
    await store.remove(SESSION)
    assert not await store.has(SESSION)
    assert await store.has(other)


async def test_in_memory_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MEMBERS", 2)
    store = MemoryMemberStore(OwnClock())
    sessions = [SESSION._replace(session_id=str(number)) for number in range(3)]
    for session in sessions:
        await store.add(session)
    assert [await store.has(session) for session in sessions] == [False, True, True]
