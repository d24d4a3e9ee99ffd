"""Keys that make repeating a request safe."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.runtime.database import Database
from services.runtime.errors import RequestIdReused
from services.runtime.idempotency import KEPT, IdempotencyKeys, RequestKey
from services.runtime.ids import new_id
from tests.databases import Place

NOW = datetime(2026, 5, 17, tzinfo=UTC)
ALICE, BOB = new_id(), new_id()
metadata = sa.MetaData()
keys = IdempotencyKeys(metadata)


@pytest.fixture
async def database(database_place: Place) -> Database:
    return await database_place.with_tables(metadata)


def key(request_id: str = "k", *content: object, scope: str = "Create") -> RequestKey:
    made = RequestKey.of(scope, request_id, *content)
    assert made is not None
    return made


async def find(database: Database, request: RequestKey, user_id: str = ALICE, now: datetime = NOW) -> str | None:
    async with database.read() as connection:
        return await keys.find(connection, user_id, request, now)


async def claim(database: Database, request: RequestKey, resource_id: str, now: datetime = NOW) -> str:
    async with database.write() as connection:
        return await keys.claim(connection, ALICE, request, resource_id, now)


def test_without_request_id_there_is_no_key() -> None:
    assert RequestKey.of("Create", None, "content") is None


def test_content_is_compared_by_meaning() -> None:
    assert key("k", {"a": 1, "b": [None]}) == key("k", {"b": [None], "a": 1})
    contents: list[tuple[object, ...]] = [(), ("",), (None,), ("a", "b"), ("ab",), (["a", "b"],), (1,), ("1",)]
    assert len({key("k", *content).fingerprint for content in contents}) == len(contents)


async def test_key_leads_to_what_it_stands_for(database: Database) -> None:
    assert await find(database, key()) is None
    assert await claim(database, key(), "made") == "made"
    assert await find(database, key()) == "made"
    assert await claim(database, key(), "other") == "made"


async def test_key_is_its_users_and_its_scopes(database: Database) -> None:
    await claim(database, key(), "made")
    assert await find(database, key(), BOB) is None
    assert await find(database, key(scope="Send")) is None
    assert await find(database, key("K")) is None


async def test_other_content_is_refused(database: Database) -> None:
    await claim(database, key("k", "Novel"), "made")
    with pytest.raises(RequestIdReused):
        await claim(database, key("k", "Poem"), "other")
    with pytest.raises(RequestIdReused) as caught:
        await find(database, key("k", "Poem"))
    assert caught.value.violations[0][0] == "request_id"
    assert "Novel" not in str(caught.value)


async def test_key_lives_seven_days(database: Database) -> None:
    await claim(database, key("k", "Novel"), "made")
    assert await find(database, key("k", "Novel"), now=NOW + KEPT - timedelta(seconds=1)) == "made"
    assert await find(database, key("k", "Poem"), now=NOW + KEPT) is None
    assert await claim(database, key("k", "Poem"), "other", NOW + KEPT) == "other"
    assert await find(database, key("k", "Poem"), now=NOW + KEPT) == "other"


async def test_key_that_is_over_is_free_however_many_others_are(database: Database) -> None:
    for number in range(120):
        await claim(database, key(f"older {number}"), "one", NOW - timedelta(seconds=1))
    await claim(database, key("k", "Novel"), "made")
    assert await claim(database, key("k", "Poem"), "other", NOW + KEPT) == "other"
    assert await find(database, key("k", "Poem"), now=NOW + KEPT) == "other"


async def test_what_is_over_leaves_with_the_next_claim(database: Database) -> None:
    await claim(database, key("old"), "one")
    await claim(database, key("young"), "two", NOW + timedelta(seconds=1))
    await claim(database, key("new"), "three", NOW + KEPT)
    # Looking back, a week would hide what is still there.
    assert [await find(database, key(each)) for each in ("old", "young", "new")] == [None, "two", "three"]


async def test_key_of_what_was_not_committed_stands_for_nothing(database: Database) -> None:
    async def crash() -> None:
        async with database.write() as connection:
            await keys.claim(connection, ALICE, key(), "made", NOW)
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await crash()
    assert await find(database, key()) is None


async def test_of_twenty_claims_at_once_one_wins_and_the_others_learn_of_it(database: Database) -> None:
    made = [new_id() for _ in range(20)]
    known = await asyncio.gather(*(claim(database, key(), each) for each in made))
    assert len(set(known)) == 1
    assert known[0] in made


async def test_of_twenty_claims_at_once_for_different_contents_one_wins(database: Database) -> None:
    claims = [claim(database, key("k", number), f"made {number}") for number in range(20)]
    ends = await asyncio.gather(*claims, return_exceptions=True)
    assert [type(end) for end in ends].count(RequestIdReused) == 19


async def test_claim_waits_for_an_open_one_and_takes_its_place_when_that_fails(database: Database) -> None:
    claimed = asyncio.Event()
    end = asyncio.Event()

    async def fail() -> None:
        async with database.write() as connection:
            await keys.claim(connection, ALICE, key(), "never made", NOW)
            claimed.set()
            await end.wait()
            raise RuntimeError("crash")

    async def then() -> str:
        await claimed.wait()
        return await claim(database, key(), "made")

    failing, waiting = asyncio.create_task(fail()), asyncio.create_task(then())
    await claimed.wait()
    end.set()
    with pytest.raises(RuntimeError, match="crash"):
        await failing
    assert await waiting == "made"


async def test_forgotten_key_stands_for_nothing(database: Database) -> None:
    await claim(database, key("a"), "one")
    await claim(database, key("b"), "two")
    async with database.write() as connection:
        await keys.forget(connection, BOB, ["one", "two"])
        await keys.forget(connection, ALICE, ["one"])
    assert [await find(database, key(each)) for each in "ab"] == [None, "two"]
