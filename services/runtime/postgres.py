"""PostgreSQL: a pool of connections to one schema."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.runtime.database import DatabaseUnavailable
from services.runtime.places import NoPlace, Places

log = structlog.get_logger()

_CONNECT_SECONDS = 5.0
_LISTEN_AGAIN_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
_SESSION = {
    "timezone": "UTC",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
}
# What of PostgreSQL's error codes begins so says "not now": the connection (08), too many of them or too little room
# (53), somebody's intervention or a timeout (57), a serialization failure or a deadlock (40), a lock held for too long.
_NOT_NOW = ("08", "53", "57", "40001", "40P01", "55P03", "25P03")


class PostgresDatabase:
    """Transactions on one `schema` of the database at `url` (`postgresql://…`, as libpq reads it).

    At most `connections` are open; transactions wait for them in their order, each up to 10 seconds. Who writes waits
    for the locks of others: under READ COMMITTED each statement sees what was committed before it began, so stores lock
    a row first and then look. The server ends a transaction in which nothing happens for `idle_seconds`, and frees what
    it locked: none of ours waits for anything but the database, so its process is frozen or has forgotten it. Whatever
    means "not now" is raised as DatabaseUnavailable, `in_doubt` when the answer to a commit is lost.
    """

    def __init__(self, url: str, schema: str, connections: int = 10, idle_seconds: float = 30.0) -> None:
        self._schema = schema
        idle = {"idle_in_transaction_session_timeout": f"{max(1, round(idle_seconds * 1000))}ms"}

        async def connect() -> asyncpg.Connection:
            settings = {**_SESSION, **idle, "application_name": f"codelab {schema}", "search_path": schema}
            try:
                return await asyncpg.connect(url, timeout=_CONNECT_SECONDS, server_settings=settings)
            except TimeoutError as error:
                raise DatabaseUnavailable(f"{_address(url)}no answer within {_CONNECT_SECONDS:g} s") from error
            except OSError as error:
                # Of a refused connection asyncio says which address, as a tuple, and not what happened.
                broken = isinstance(error, ConnectionError)
                said = os.strerror(error.errno) if broken and error.errno else error.strerror or error
                raise DatabaseUnavailable(f"{_address(url)}{said}") from error
            except asyncpg.PostgresError as error:
                raise DatabaseUnavailable(str(error)) from error
            except (asyncpg.InterfaceError, ValueError, OverflowError):
                # Without the driver's words, which may hold the password.
                raise DatabaseUnavailable("it is not a URL such as postgresql://user:password@host:port/name") from None

        self._connect = connect
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_PATIENCE_SECONDS,
            # What a failed statement was to write is what people wrote: no error may carry it into a log.
            hide_parameters=True,
        )
        # Where the pool itself is waited for, whoever comes just then gets what another gives back, and those who wait
        # begin again at the end: under load some waited for seconds while others went in and out.
        self._places = Places(connections)
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def read(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database."""
        async with _transaction(self._reading, self._places, urgent) as connection:
            yield connection

    @asynccontextmanager
    async def write(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and is rolled back when it raises."""
        async with _transaction(self._engine, self._places, urgent) as connection:
            yield connection

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for changes of the schema, which it makes if it is missing. Migrations take turns."""
        async with _transaction(self._engine, self._places) as connection:
            # Ours to wait for: rebuilding a large table takes its time.
            for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(sa.text(f"SET LOCAL {limit} = 0"))
            turn = int.from_bytes(hashlib.sha256(self._schema.encode()).digest()[:8], signed=True)
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(turn)))
            # Not `CREATE … IF NOT EXISTS`: it asks for the right to create schemas even where there is nothing to do.
            if not await connection.run_sync(lambda it: sa.inspect(it).has_schema(self._schema)):
                await connection.execute(sa.schema.CreateSchema(self._schema))
            yield connection

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[None]:
        """Call `heard` with each notice of the channel; over a connection of its own, which is made again when lost."""
        task = asyncio.create_task(self._listen(channel, heard), name=f"listen {channel}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _listen(self, channel: str, heard: Callable[[str], None]) -> None:
        while True:
            try:
                await self._hear(channel, heard)
            except (DatabaseUnavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("not listening to the database", channel=channel, cause=str(error))
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _hear(self, channel: str, heard: Callable[[str], None]) -> None:
        """Listen until the connection is lost."""
        connection = await self._connect()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(channel, lambda *notice: heard(str(notice[-1])))
            await lost.wait()
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Give back every connection."""
        await self._engine.dispose()


def _address(url: str) -> str:
    """`host:port: ` as the URL has it; empty if it names none, or a password could be taken for it."""
    authority, *rest = re.split("[/?#]", url.partition("://")[2], maxsplit=1)
    address = authority.rpartition("@")[2]
    if not address or "@" in "".join(rest):
        return ""
    return f"{address}: " if ":" in address.rpartition("]")[2] else f"{address}:5432: "


@asynccontextmanager
async def _transaction(engine: AsyncEngine, places: Places, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
    committing = False
    try:
        async with places.one(_PATIENCE_SECONDS, urgent=urgent), engine.begin() as connection:
            yield connection
            committing = True
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith(_NOT_NOW):
            raise DatabaseUnavailable(str(error.orig), in_doubt=committing) from error
        raise
    except (NoPlace, sa.exc.TimeoutError) as error:
        raise DatabaseUnavailable("every connection is in use") from error
