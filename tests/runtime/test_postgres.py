"""PostgreSQL as the services use it: what it forbids, what it raises, and how it comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.runtime.database import DatabaseUnavailable, epoch_now, lock_rows, notice, turn
from services.runtime.postgres import PostgresDatabase
from tests import databases
from tests.databases import Place
from tests.e2e.polling import eventually
from tests.e2e.ports import free_ports
from tests.losing_postgres import Loss, losing
from tests.postgres import PostgresServer

pytestmark = pytest.mark.server_backed

metadata = sa.MetaData()
books = sa.Table("books", metadata, sa.Column("id", sa.String(36), primary_key=True), sa.Column("lent", sa.Integer))
_HANG_UP = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def place(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with databases.place(tmp_path, postgres_server) as place:
        await place.with_tables(metadata)
        database = place.open()
        async with database.write() as connection:
            await connection.execute(sa.insert(books), [{"id": id, "lent": 0} for id in "ab"])
        yield place


async def lent(place: Place) -> list[int]:
    async with place.open().read() as connection:
        return list(await connection.scalars(sa.select(books.c.lent).order_by(books.c.id)))


async def test_reader_sees_one_state_and_writes_nothing(place: Place) -> None:
    database = place.open()
    count = sa.select(sa.func.sum(books.c.lent))
    async with database.read() as reading:
        assert await reading.scalar(count) == 0
        async with database.write() as writing:
            await writing.execute(sa.update(books).values(lent=1))
        assert await reading.scalar(count) == 0
    with pytest.raises(DBAPIError, match="read-only"):
        async with database.read() as reading:
            await reading.execute(sa.update(books).values(lent=2))
    assert await lent(place) == [1, 1]


async def test_clock_is_the_moment_and_not_the_transactions_beginning(place: Place) -> None:
    async with place.open().read() as connection:
        first = await connection.scalar(sa.select(epoch_now()))
        await connection.execute(sa.text("SELECT pg_sleep(0.01)"))
        assert await connection.scalar(sa.select(epoch_now())) > first


async def test_two_that_change_the_same_rows_do_not_wait_for_each_other_for_ever(place: Place) -> None:
    database = place.open()

    async def change() -> None:
        async with database.write() as connection:
            await lock_rows(connection, books.c.id, books.c.lent < 1000)
            await connection.execute(sa.update(books).values(lent=books.c.lent + 1))

    await asyncio.gather(*(change() for _ in range(40)))
    assert await lent(place) == [40, 40]


async def test_deadlock_is_something_to_try_again(place: Place) -> None:
    database = place.open()
    both_began = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(books).where(books.c.id == first).values(lent=1))
            await both_began.wait()
            await connection.execute(sa.update(books).where(books.c.id == second).values(lent=1))

    ends = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["DatabaseUnavailable", "NoneType"]


async def test_connection_that_breaks_off_is_something_to_try_again(place: Place) -> None:
    database, other = place.open(), place.open()

    async def change() -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(books).values(lent=7))
            async with other.write() as hanging_up:
                await hanging_up.execute(_HANG_UP, {"name": f"codelab {place.schema}"[:63]})
            await connection.execute(sa.update(books).values(lent=8))

    with pytest.raises(DatabaseUnavailable) as broken:
        await change()
    assert not broken.value.in_doubt
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.sum(books.c.lent))) == 0


@pytest.mark.parametrize(("loss", "kept"), [(Loss.ANSWER, [7, 7]), (Loss.COMMIT, [0, 0])])
async def test_connection_that_breaks_off_at_the_commit_leaves_it_in_doubt(
    place: Place, loss: Loss, kept: list[int]
) -> None:
    async with losing(place.url) as proxy:
        database = PostgresDatabase(proxy.url, place.schema)
        proxy.loses = loss
        with pytest.raises(DatabaseUnavailable) as broken:
            async with database.write() as connection:
                await connection.execute(sa.update(books).values(lent=7))
        assert broken.value.in_doubt
        await database.close()
    assert await lent(place) == kept


async def test_connections_that_broke_off_while_idle_are_replaced(place: Place) -> None:
    database, other = place.open(), place.open()
    await asyncio.gather(*(_read(database) for _ in range(5)))
    async with other.write() as hanging_up:
        hung_up = (await hanging_up.execute(_HANG_UP, {"name": f"codelab {place.schema}"[:63]})).all()
    assert len(hung_up) > 1
    # One call meets what is broken, and then all of it is thrown away.
    with pytest.raises(DatabaseUnavailable):
        await _read(database)
    for _ in range(6):
        await _read(database)


async def _read(database: object) -> None:
    assert isinstance(database, PostgresDatabase)
    async with database.read() as connection:
        await connection.execute(sa.select(sa.func.pg_sleep(0.01)))


async def test_transaction_in_which_nothing_happens_is_ended_and_frees_what_it_locked(place: Place) -> None:
    frozen = PostgresDatabase(place.url, place.schema, connections=1, idle_seconds=0.1)

    async def change() -> None:
        async with frozen.write() as connection:
            await connection.execute(sa.update(books).values(lent=7))
            async with place.open().write() as other:
                # Waits for the locks.
                await other.execute(sa.update(books).values(lent=1))
            await connection.execute(sa.update(books).values(lent=8))

    with pytest.raises(DatabaseUnavailable):
        await change()
    await frozen.close()
    assert await lent(place) == [1, 1]


async def test_connections_are_had_in_the_order_in_which_they_were_asked_for(place: Place) -> None:
    database = PostgresDatabase(place.url, place.schema, connections=1)
    order: list[int] = []

    async def read(number: int) -> None:
        async with database.read() as connection:
            order.append(number)
            await connection.execute(sa.select(1))

    reading = [asyncio.create_task(read(0))]
    # One more in each turn of the loop, so that some come just as a connection is given back.
    while len(order) < 3:
        reading.append(asyncio.create_task(read(len(reading))))
        await asyncio.sleep(0)
    await asyncio.gather(*reading)
    await database.close()
    assert order == sorted(order)


async def test_urgent_transaction_begins_before_those_that_wait(place: Place) -> None:
    database = PostgresDatabase(place.url, place.schema, connections=1)
    order: list[str] = []

    async def write(name: str, urgent: bool) -> None:
        async with database.write(urgent=urgent):
            order.append(name)

    async with database.read():
        waiting = [asyncio.create_task(write(name, name == "urgent")) for name in ("first", "second", "urgent")]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    await database.close()
    assert order == ["urgent", "first", "second"]


async def test_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(place: Place) -> None:
    database = PostgresDatabase(place.url, place.schema, connections=1)
    changed = asyncio.Event()

    async def change() -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(books).values(lent=7))
            changed.set()
            await connection.execute(sa.select(sa.func.pg_sleep(60)))

    task = asyncio.create_task(change())
    await changed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _read(database)
    await database.close()
    assert await lent(place) == [0, 0]


async def test_server_that_is_not_there_is_something_to_try_again_and_keeps_the_password_to_itself() -> None:
    port = free_ports()
    causes = {
        f"postgresql://me:hush@127.0.0.1:{port}/x": f"127.0.0.1:{port}: Connection refused",
        f"postgresql://127.0.0.1:{port}?user=me&password=p@hush": "Connection refused",
        "postgresql://me:hush@nowhere.invalid/x": "nowhere.invalid:5432: ",
        "postgresql://me:hush@@[::1/x": "it is not a URL",
    }
    for url, cause in causes.items():
        database = PostgresDatabase(url, "any")
        with pytest.raises(DatabaseUnavailable) as caught:
            async with database.read():
                pass
        assert caught.value.cause.startswith(cause)
        assert "hush" not in str(caught.value) + caught.value.cause
        await database.close()


async def test_error_does_not_repeat_what_was_to_be_written(place: Place) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with place.open().write() as connection:
            await connection.execute(sa.insert(books).values(id="a diary" * 10, lent=1))
    assert "diary" not in str(caught.value)


async def tell(place: Place, text: str, then: Exception | None = None) -> None:
    async with place.open().write() as connection:
        await connection.execute(sa.select(notice("news", text)))
        if then is not None:
            raise then


async def test_notices_are_heard_once_committed_and_again_after_the_connection_broke_off(
    place: Place, postgres_server: PostgresServer
) -> None:
    heard: list[str] = []
    listener = place.open()
    async with listener.listening("news", heard.append):
        await _until_told(place, heard, "first")
        with pytest.raises(ZeroDivisionError):
            await tell(place, "never", then=ZeroDivisionError())
        async with place.open().write() as connection:
            await connection.execute(_HANG_UP, {"name": f"codelab {place.schema}"})
        await _until_told(place, heard, "second")
    assert set(heard) == {"first", "second"}


async def _until_told(place: Place, heard: list[str], text: str) -> None:
    """Tell it until it is heard: what is told before somebody listens is lost."""

    async def told() -> bool:
        await tell(place, text)
        return text in heard

    await eventually(told)


async def test_turn_is_waited_for_until_its_transaction_ends(place: Place) -> None:
    async with place.open().write() as first:
        await first.execute(sa.select(turn("ann")))

        async def take(name: str) -> None:
            async with place.open().write() as second:
                await second.execute(sa.select(turn(name)))

        await take("bob")
        waiting = asyncio.create_task(take("ann"))
        await take("bob")
        assert not waiting.done()
    await waiting
