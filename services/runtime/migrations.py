"""The schema of a service's database: what this version needs, and how an older one becomes it.

A service keeps its migrations in its folder `migrations`, one file a revision, written for SQLite and PostgreSQL alike;
file names sort in their order: `v0001_first_light.py` has the revision `0001`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.runtime.database import Database
from services.runtime.errors import StartupError

_FOLDER = Path(__file__).resolve().parents[1]
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))
# Folders of data that were made before there were migrations have this revision, and no note of it.
_FIRST = "0001"


@dataclass(frozen=True)
class Upgrade:
    """What became of a schema: its revision before (None: there was nothing) and after."""

    before: str | None
    after: str


def revisions(service: str) -> list[str]:
    """The revisions of the service's schema, oldest first; none if it keeps nothing in a database."""
    return sorted(path.name[1:5] for path in (_FOLDER / service / "migrations").glob("v*.py"))


async def current_revision(database: Database) -> str | None:
    """The revision that the database is at, None if it holds nothing."""
    async with database.read() as connection:
        return await connection.run_sync(_revision)


async def upgrade(database: Database, service: str) -> Upgrade:
    """Bring the schema to the newest revision, in one transaction; several that try at once take turns.

    Raise StartupError if a newer version of CodeLab made it.
    """
    newest = revisions(service)[-1]
    # Read first: Alembic takes longer to import than a start should, and nearly always there is nothing to do.
    before = await current_revision(database)
    if before != newest:
        _refuse_newer(service, before)
        async with database.migrate() as connection:
            before = await connection.run_sync(_upgrade, service)
    return Upgrade(before, newest)


async def require_current(database: Database, service: str) -> None:
    """Raise StartupError unless the schema is the one that this version needs."""
    newest = revisions(service)[-1]
    found = await current_revision(database)
    _refuse_newer(service, found)
    if found != newest:
        state = "does not exist yet" if found is None else f"is at revision {found}, and {newest} is needed"
        raise StartupError(f"the schema of {service} {state}: run `codelab migrate`")


def _refuse_newer(service: str, found: str | None) -> None:
    if found is not None and found not in revisions(service):
        raise StartupError(
            f"the data of {service} was written by a newer version of CodeLab (its schema is at revision {found}): "
            "use that version"
        )


def _revision(connection: sa.Connection) -> str | None:
    tables = sa.inspect(connection)
    if tables.has_table(_VERSION.name):
        found: str | None = connection.scalar(sa.select(_VERSION.c.version_num))
        return found
    return _FIRST if connection.dialect.name == "sqlite" and tables.get_table_names() else None


def _upgrade(connection: sa.Connection, service: str) -> str | None:
    """Run the migrations that are missing; return the revision before. The connection's transaction is the caller's."""
    # Slow to import, and rarely needed.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    before = _revision(connection)
    _refuse_newer(service, before)
    folder = str(_FOLDER / service / "migrations")
    scripts = ScriptDirectory(folder, version_locations=[folder])

    def run(step: Callable[[Any, EnvironmentContext], Any]) -> None:
        environment = EnvironmentContext(Config(), scripts, fn=step)
        with environment:
            environment.configure(connection=connection)
            environment.run_migrations()

    noted = sa.inspect(connection).has_table(_VERSION.name)
    if before is not None and not noted:
        run(lambda found, _: scripts._stamp_revs(before, found))
    run(lambda found, _: scripts._upgrade_revs("head", found))
    return before
