"""The database of a service: one engine, visible transactions, and what SQLite and PostgreSQL do not share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.types import TypeDecorator

_SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    # In WAL mode a crash of the process loses nothing; only a power cut can lose the last transactions.
    "synchronous=NORMAL",
    "busy_timeout=10000",
    "foreign_keys=ON",
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on databases with and without time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse what is not aware: it would be read back as another moment."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """SQLite gives back what it got, without its zone."""
        return value if value is None or value.tzinfo is not None else value.replace(tzinfo=UTC)


class epoch_now(sa.sql.functions.FunctionElement[float]):
    """The database's own clock, in seconds since 1970: leases compare no other."""

    type = sa.Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(element: epoch_now, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgresql_now(element: epoch_now, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())"


class Database:
    """Transactions on one database. SQLite has one writer: writes queue here, fairly, instead of failing as busy."""

    def __init__(self, readers: AsyncEngine, writer: AsyncEngine) -> None:
        self._readers = readers
        self._writer = writer

    @classmethod
    def sqlite(cls, path: Path) -> "Database":
        """The SQLite file at `path`, made on first use."""
        url = sa.URL.create("sqlite+aiosqlite", database=str(path))
        pool: dict[str, Any] = {
            "poolclass": AsyncAdaptedQueuePool,
            "max_overflow": 0,
            "pool_timeout": 30,
        }
        readers = create_async_engine(url, pool_size=4, **pool)
        writer = create_async_engine(url, pool_size=1, **pool)
        for engine, begin in ((readers, "BEGIN"), (writer, "BEGIN IMMEDIATE")):
            _prepare_sqlite(engine, begin)
        return cls(readers, writer)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and changes nothing."""
        async with self._readers.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and is rolled back when it raises.

        Hold none across an RPC or a model call: on SQLite it keeps every other writer waiting.
        """
        async with self._writer.begin() as connection:
            yield connection

    async def create(self, metadata: sa.MetaData) -> None:
        """Create the tables that are missing. Processes that start together take turns."""
        async with self.write() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Give back every connection."""
        await self._readers.dispose()
        await self._writer.dispose()


def _prepare_sqlite(engine: AsyncEngine, begin: str) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # The driver would begin transactions lazily, and then only before writes: we begin them ourselves.
        connection.isolation_level = None
        for pragma in _SQLITE_PRAGMAS:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    @event.listens_for(engine.sync_engine, "invalidate")
    def roll_back(connection: Any, _record: object, _error: BaseException | None) -> None:
        # A cancelled transaction ends here. Closing alone would keep its lock as long as a cursor of it lives, which
        # the CancelledError's own traceback holds: all writers would wait, and then fail.
        with suppress(asyncio.CancelledError):  # Cancelled again, after the driver was told: that is enough.
            connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)
