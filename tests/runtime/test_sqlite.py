"""SQLite on the event loop: turns, rollbacks, the log, and what a kill leaves."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import DatabaseUnavailable, prepared
from services.runtime.sqlite import SqliteDatabase

metadata = sa.MetaData()
shelves = sa.Table("shelves", metadata, sa.Column("id", sa.Integer, primary_key=True))
books = sa.Table(
    "books",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("shelf_id", sa.ForeignKey("shelves.id"), nullable=False),
    sa.Column("lent", sa.Integer, nullable=False, default=0),
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """A database with one shelf and one book on it."""
    database = SqliteDatabase(tmp_path / "library.db")
    async with database.migrate() as connection:
        await connection.run_sync(metadata.create_all)
    async with database.write() as connection:
        await connection.execute(sa.insert(shelves).values(id=1))
        await connection.execute(sa.insert(books).values(id=1, shelf_id=1))
    yield database
    await database.close()


async def lent(database: SqliteDatabase) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(sa.select(books.c.lent)) or 0)


async def test_writers_that_wait_in_mid_transaction_take_turns(database: SqliteDatabase) -> None:
    async def lend() -> None:
        async with database.write() as connection:
            before = await connection.scalar(sa.select(books.c.lent))
            await asyncio.sleep(0)
            await connection.execute(sa.update(books).values(lent=before + 1))

    await asyncio.gather(*(lend() for _ in range(50)))
    assert await lent(database) == 50


async def test_reader_does_not_wait_for_a_writer_and_does_not_see_it(database: SqliteDatabase) -> None:
    async with database.write() as connection:
        await connection.execute(sa.update(books).values(lent=7))
        assert await lent(database) == 0
    assert await lent(database) == 7


async def test_transaction_that_raises_leaves_nothing(database: SqliteDatabase) -> None:
    async def lend_and_fail() -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(books).values(lent=7))
            raise LookupError

    with pytest.raises(LookupError):
        await lend_and_fail()
    assert await lent(database) == 0


async def test_cancelled_transaction_leaves_nothing_and_frees_its_turn(database: SqliteDatabase) -> None:
    begun = asyncio.Event()

    async def dawdle() -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(books).values(lent=7))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(dawdle())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as connection:
        await connection.execute(sa.update(books).values(lent=books.c.lent + 1))
    assert await lent(database) == 1


async def test_nested_transaction_is_undone_alone(database: SqliteDatabase) -> None:
    async def lend_and_fail(connection: AsyncConnection) -> None:
        async with connection.begin_nested():
            await connection.execute(sa.update(books).values(lent=2))
            await connection.execute(sa.insert(books).values(id=2, shelf_id=404))

    async with database.write() as connection:
        await connection.execute(sa.update(books).values(lent=1))
        with pytest.raises(sa.exc.IntegrityError):
            await lend_and_fail(connection)
    assert await lent(database) == 1


async def test_migration_may_rebuild_a_table_that_others_refer_to(database: SqliteDatabase) -> None:
    async with database.migrate() as connection:
        for step in (
            "CREATE TABLE wider (id INTEGER PRIMARY KEY, colour TEXT)",
            "INSERT INTO wider (id) SELECT id FROM shelves",
            "DROP TABLE shelves",
            "ALTER TABLE wider RENAME TO shelves",
        ):
            await connection.execute(sa.text(step))
    assert await lent(database) == 0


async def test_migration_that_breaks_a_reference_changes_nothing(database: SqliteDatabase) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        async with database.migrate() as connection:
            await connection.execute(sa.delete(shelves))
    # And foreign keys are kept again.
    with pytest.raises(sa.exc.IntegrityError):
        async with database.write() as connection:
            await connection.execute(sa.delete(shelves))
    assert await lent(database) == 0


async def test_error_does_not_repeat_what_was_to_be_written(database: SqliteDatabase) -> None:
    async with database.write() as connection:
        with pytest.raises(sa.exc.IntegrityError) as refused:
            await connection.execute(sa.insert(books).values(id=2, shelf_id=987654321))
    assert "987654321" not in str(refused.value)


async def test_log_is_moved_into_the_file_while_writing_and_gone_at_the_end(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    log = tmp_path / "library.db-wal"
    largest = 0
    for _ in range(2_000):
        async with database.write() as connection:
            await connection.execute(sa.update(books).values(lent=books.c.lent + 1))
        largest = max(largest, log.stat().st_size)
        await asyncio.sleep(0)
    # A commit logs a page of 4 KiB at least: without checkpoints 2,000 of them would have logged 8 MB.
    assert 1_000_000 < largest < 7_000_000
    await database.close()
    assert not log.exists() or log.stat().st_size == 0
    reopened = SqliteDatabase(tmp_path / "library.db")
    assert await lent(reopened) == 2_000
    await reopened.close()


WRITE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
import sqlalchemy as sa
from services.runtime.sqlite import SqliteDatabase
async def main():
    database = SqliteDatabase(Path(sys.argv[1]))
    for number in range(1_000_000):
        async with database.write() as connection:
            await connection.execute(sa.text("update books set lent = lent + 1"))
        print(number + 1, flush=True)
asyncio.run(main())
"""


async def test_killed_process_loses_nothing_that_it_committed(database: SqliteDatabase, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / "library.db")), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(700):
        await process.stdout.readline()
    process.kill()
    last = (await process.stdout.read()).rstrip(b"\n").split(b"\n")[-1]
    await process.wait()
    # It may have committed once more than it could say.
    assert await lent(database) - int(last or b"700") in (0, 1)


async def test_prepared_statement_is_built_once_and_takes_new_values(database: SqliteDatabase) -> None:
    built = 0

    @prepared
    def lend(book_id: Any, times: Any) -> sa.Update:
        nonlocal built
        built += 1
        return sa.update(books).where(books.c.id == book_id).values(lent=books.c.lent + times)

    async with database.write() as connection:
        for times in (1, 2, 3):
            await connection.execute(*lend(1, times))
        await connection.execute(*lend(404, 100))
    assert (await lent(database), built) == (6, 1)
    with pytest.raises(ValueError, match="shorter"):
        lend(1)


async def test_full_disk_is_said_to_be_one_and_leaves_what_there_was(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "full.db")
    async with database.write() as connection:
        await connection.execute(sa.text("CREATE TABLE kept (text TEXT)"))
        await connection.execute(sa.text("INSERT INTO kept VALUES ('before')"))
        await connection.execute(sa.text("PRAGMA max_page_count = 8"))
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database.write() as connection:
            await connection.execute(sa.text("INSERT INTO kept VALUES (zeroblob(1000000))"))
    assert "full" in raised.value.cause
    async with database.read() as connection:
        assert (await connection.execute(sa.text("SELECT text FROM kept"))).scalars().all() == ["before"]
    await database.close()
