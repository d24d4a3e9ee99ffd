"""Keys that make repeating a request safe."""

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


async def record(database: Database, request: RequestKey, resource_id: str, now: datetime = NOW) -> None:
    async with database.write() as connection:
        await keys.record(connection, ALICE, request, resource_id, now)


def test_without_request_id_there_is_no_key() -> None:
    assert RequestKey.of("Create", None, "content") is None


def test_content_is_compared_by_meaning() -> None:
    assert key("k", {"a": 1, "b": [None]}) == key("k", {"b": [None], "a": 1})
    contents: list[tuple[object, ...]] = [(), ("",), (None,), ("a", "b"), ("ab",), (["a", "b"],), (1,), ("1",)]
    assert len({key("k", *content).fingerprint for content in contents}) == len(contents)


async def test_key_leads_to_what_it_stands_for(database: Database) -> None:
    assert await find(database, key()) is None
    await record(database, key(), "made")
    assert await find(database, key()) == "made"


async def test_key_is_its_users_and_its_scopes(database: Database) -> None:
    await record(database, key(), "made")
    assert await find(database, key(), BOB) is None
    assert await find(database, key(scope="Send")) is None
    assert await find(database, key("K")) is None


async def test_other_content_is_refused(database: Database) -> None:
    await record(database, key("k", "Novel"), "made")
    with pytest.raises(RequestIdReused) as caught:
        await find(database, key("k", "Poem"))
    assert caught.value.violations[0][0] == "request_id"
    assert "Novel" not in str(caught.value)


async def test_key_lives_seven_days(database: Database) -> None:
    await record(database, key("k", "Novel"), "made")
    assert await find(database, key("k", "Novel"), now=NOW + KEPT - timedelta(seconds=1)) == "made"
    assert await find(database, key("k", "Poem"), now=NOW + KEPT) is None
    await record(database, key("k", "Poem"), "other", NOW + KEPT)
    assert await find(database, key("k", "Poem"), now=NOW + KEPT) == "other"


async def test_key_of_what_was_not_committed_stands_for_nothing(database: Database) -> None:
    async def crash() -> None:
        async with database.write() as connection:
            await keys.record(connection, ALICE, key(), "made", NOW)
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await crash()
    assert await find(database, key()) is None


async def test_forgotten_key_stands_for_nothing(database: Database) -> None:
    await record(database, key("a"), "one")
    await record(database, key("b"), "two")
    async with database.write() as connection:
        await keys.forget(connection, BOB, ["one", "two"])
        await keys.forget(connection, ALICE, ["one"])
    assert [await find(database, key(each)) for each in "ab"] == [None, "two"]
