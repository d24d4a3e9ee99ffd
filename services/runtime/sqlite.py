"""SQLite for one process, on the event loop itself.

A statement of ours costs tens of microseconds, less than handing it to a thread and back: with a driver that does, a
direct call spent half of its CPU on hand-overs. Nothing here waits for the disk: in WAL mode with synchronous=NORMAL a
commit only writes to the page cache, and the checkpoint, which does sync, runs in a thread.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool

from services.runtime.database import DatabaseUnavailable

log = structlog.get_logger()

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_PRAGMAS = (
    "journal_mode=WAL",
    # A crash of the process loses nothing; only a power cut can lose the last transactions.
    "synchronous=NORMAL",
    # Checkpoints are ours: see below.
    "wal_autocheckpoint=0",
    # Nobody else writes, unless somebody opens the file by hand: then we wait a little, and the loop with us.
    "busy_timeout=1000",
    "foreign_keys=ON",
)
# What a start after a crash reads again, and what the log takes on the disk.
_LOG_BYTES = 4 * 1024 * 1024


class SqliteDatabase:
    """Transactions on the file at `path`, made on first use. Writers take turns, in order, and never fail as busy. No
    turn is long, so that nobody's has to be urgent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Never waits for a connection: that would hold up the loop, and with it whoever could give one back.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            poolclass=QueuePool,
            pool_size=4,
            max_overflow=-1,
            # What a failed statement was to write is what people wrote: no error may carry it into a log.
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._writing = asyncio.Lock()
        self._log = path.with_name(f"{path.name}-wal")
        self._checkpointing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def read(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database."""
        with self._engine.connect() as connection, connection.begin():
            yield cast(AsyncConnection, _Connection(connection))

    @asynccontextmanager
    async def write(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and is rolled back when it raises."""
        async with self._writing:
            with _naming_a_full_disk(), self._engine.connect() as idle:
                connection = idle.execution_options(codelab_begin="BEGIN IMMEDIATE")
                with connection.begin():
                    yield cast(AsyncConnection, _Connection(connection))
            idle_checkpoint = self._checkpointing is None or self._checkpointing.done()
            if idle_checkpoint and self._log_bytes() > _LOG_BYTES:
                self._checkpointing = asyncio.create_task(self._checkpoint(), name=f"checkpoint {self._path.name}")

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for changes of the schema, with foreign keys checked at its end."""
        async with self._writing:
            with self._engine.connect() as idle:
                # A table is changed by making another, and dropping it may not take along what refers to it.
                _pragma(idle, "foreign_keys=OFF")
                try:
                    connection = idle.execution_options(codelab_begin="BEGIN IMMEDIATE")
                    with connection.begin():
                        yield cast(AsyncConnection, _Connection(connection))
                        broken = connection.execute(sa.text("PRAGMA foreign_key_check")).first()
                        if broken is not None:
                            raise sa.exc.IntegrityError(f"a row of {broken[0]} refers to nothing", None, ValueError())
                finally:
                    _pragma(idle, "foreign_keys=ON")

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[None]:
        """Nobody else has this database: there is nothing to hear."""
        yield

    async def close(self) -> None:
        """Give back every connection and leave one file."""
        if self._checkpointing is not None:
            await asyncio.wait([self._checkpointing])
        self._engine.dispose()
        await asyncio.to_thread(self._move_log)

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:  # Somebody removed the folder; SQLite goes on in what it has open.
            return 0

    async def _checkpoint(self) -> None:
        # Writers wait for it, the event loop does not: beside writers it would never get to the end of the log, which
        # would grow for as long as they go on.
        async with self._writing:
            try:
                await asyncio.to_thread(self._move_log)
            except sqlite3.Error as error:
                log.warning(
                    "checkpoint failed, the next one does its work too", database=self._path.name, error=str(error)
                )

    def _move_log(self) -> None:
        """Move what is committed from the log into the file."""
        connection = sqlite3.connect(self._path, timeout=1.0)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


@contextmanager
def _naming_a_full_disk() -> Iterator[None]:
    """Raise DatabaseUnavailable where the disk is full or fails: nothing was written, and trying again may help."""
    try:
        yield
    except sa.exc.OperationalError as error:
        name = getattr(error.orig, "sqlite_errorname", "")
        if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
            raise DatabaseUnavailable(f"{error.orig} ({name})") from error
        raise


class _Connection:
    """A connection with the methods of AsyncConnection that stores use; none of them suspends."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement: sa.Executable, parameters: Any = None) -> Any:
        return self._connection.scalar(statement, parameters)

    async def scalars(self, statement: sa.Executable, parameters: Any = None) -> sa.ScalarResult[Any]:
        return self._connection.scalars(statement, parameters)

    @asynccontextmanager
    async def begin_nested(self) -> AsyncIterator[None]:
        with self._connection.begin_nested():
            yield

    async def run_sync(
        self,
        work: Callable[Concatenate[sa.Connection, Arguments], Result],
        *args: Arguments.args,
        **kw: Arguments.kwargs,
    ) -> Result:
        return work(self._connection, *args, **kw)


def _configure(connection: Any, _record: object) -> None:
    # The driver would begin transactions lazily, and then only before writes: we begin them ourselves.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    _execute(connection, connection.get_execution_options().get("codelab_begin", "BEGIN"))


def _pragma(connection: sa.Connection, pragma: str) -> None:
    _execute(connection, f"PRAGMA {pragma}")


def _execute(connection: sa.Connection, statement: str) -> None:
    # Past SQLAlchemy, which would take ten times as long for it, and would begin a transaction first.
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement).close()
