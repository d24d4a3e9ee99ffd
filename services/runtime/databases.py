"""Which database a service has: a server's schema, or a file in the data folder."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from services.runtime import migrations
from services.runtime.data_folder import DataFolder
from services.runtime.database import Database, DatabaseUnavailable
from services.runtime.errors import StartupError
from services.runtime.server import ServiceServer
from services.runtime.settings import SERVICES, Settings
from services.runtime.tasks import repeating

log = structlog.get_logger()

_LOOK_SECONDS = 2.0


def database_of(service: str, settings: Settings) -> Database:
    """The service's database, whatever its schema. Nothing connects yet; close it after use."""
    # Imported where it is chosen: neither costs those who use the other.
    if settings.database_url:
        from services.runtime.postgres import PostgresDatabase

        # Who does nothing for a lease has lost its runs; who takes them over must not wait for its locks much longer.
        return PostgresDatabase(
            settings.database_url, service, settings.database_connections, idle_seconds=settings.lease_seconds
        )
    from services.runtime.sqlite import SqliteDatabase

    return SqliteDatabase(settings.data_dir / f"{service}.db")


@asynccontextmanager
async def open_database(service: str, settings: Settings) -> AsyncIterator[Database]:
    """The service's database with the schema that this version needs, closed when the block ends.

    In the data folder an older schema is upgraded; on a server, which may serve others, the operator decides when.
    Raise StartupError.
    """
    database = database_of(service, settings)
    try:
        with _said_in_one_line(service):
            if settings.database_url:
                await migrations.require_current(database, service)
            else:
                await migrations.upgrade(database, service)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def reporting_outages(database: Database, server: ServiceServer) -> AsyncIterator[None]:
    """While the block runs, the server's health follows from whether its database answers."""
    answers = True

    async def look() -> None:
        nonlocal answers
        before, cause = answers, ""
        try:
            # Not behind others: that many wait for the database does not mean that it is away.
            async with database.read(urgent=True) as connection:
                await connection.execute(sa.select(1))
            answers = True
        except DatabaseUnavailable as error:
            answers, cause = False, error.cause
        if answers and not before:
            log.info("the database is back", service=server.service)
        if not answers and before:
            log.error("the database is out of reach", service=server.service, cause=cause)
        if answers != before:
            await server.report(serving=answers)

    async with repeating("watch the database", look, _LOOK_SECONDS):
        yield


async def migrate(settings: Settings, *, check: bool = False) -> list[str]:
    """Bring the schema of every service to this version, each in a transaction; return a line on each.

    Running it again, or twice at once, does no harm. With `check` nothing is changed. Raise StartupError, also if
    `check` finds something to do, or if a data folder is in use.
    """
    lines = []
    folder = DataFolder(settings.data_dir)
    for service in filter(migrations.revisions, SERVICES):
        if not settings.database_url:
            folder.lock(service)
        database = database_of(service, settings)
        try:
            with _said_in_one_line(service):
                if check:
                    await migrations.require_current(database, service)
                done = await migrations.upgrade(database, service)
        finally:
            await database.close()
            folder.release()
        before = "new" if done.before is None else done.before
        lines.append(f"{service}: {f'{before} → {done.after}' if before != done.after else f'at {before} already'}")
    return lines


@contextmanager
def _said_in_one_line(service: str) -> Iterator[None]:
    """What a database cannot or may not do as StartupError: a missing right, a table that is somebody else's."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise StartupError(f"DATABASE_URL: the database cannot be used: {error.cause}") from None
    except DBAPIError as error:
        # The driver's own words: SQLAlchemy's go on with the statement, over many lines.
        said = str((error.orig and error.orig.__cause__) or error.orig).partition("\n")[0]
        raise StartupError(f"the database refuses what the schema of {service} needs: {said}") from error
