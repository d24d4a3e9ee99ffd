"""The database: whether it answers, and whether its schema is the one that this version needs."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, warn
from services.runtime import migrations
from services.runtime.settings import SERVICES, Settings

_WHAT = "database"


async def database(settings: Settings) -> list[Finding]:
    """PostgreSQL if it is configured, else the files in the data folder."""
    revisions = _postgres_revisions if settings.database_url else _sqlite_revisions
    kind = "PostgreSQL" if settings.database_url else "SQLite"
    found = await revisions(settings)
    return [found] if isinstance(found, Finding) else [_judged(kind, found)]


def _judged(kind: str, found: dict[str, str | None]) -> Finding:
    """What the revision of each service's schema means; None where there is none yet."""
    newer = [name for name, revision in found.items() if revision and revision not in migrations.revisions(name)]
    if newer:
        detail = f"{kind}: the schema of {', '.join(newer)} is from a newer version of CodeLab"
        return fail(_WHAT, detail, "use that version")
    pending = {name: revision for name, revision in found.items() if revision != migrations.revisions(name)[-1]}
    if not pending:
        return ok(_WHAT, f"{kind}, every schema is as this version needs it")
    if kind == "SQLite":
        behind = [name for name, revision in pending.items() if revision is not None]
        if not behind:
            return ok(_WHAT, f"{kind}, made at the first start")
        detail = f"{kind}: the schema of {', '.join(behind)} is older than this version"
        return warn(_WHAT, detail, "the next start upgrades it, or `codelab migrate` now")
    return fail(_WHAT, f"{kind}: migrations are pending for {', '.join(pending)}", "run `codelab migrate`")


async def _postgres_revisions(settings: Settings) -> dict[str, str | None] | Finding:
    from sqlalchemy.exc import DBAPIError

    from services.runtime.database import DatabaseUnavailable
    from services.runtime.databases import database_of

    found: dict[str, str | None] = {}
    for service in filter(migrations.revisions, SERVICES):
        opened = database_of(service, settings)
        try:
            found[service] = await migrations.current_revision(opened)
        except DatabaseUnavailable as error:
            mend = "start it, or correct DATABASE_URL; without it, everything is in SQLite files of the data folder"
            return fail(_WHAT, f"PostgreSQL cannot be used: {error.cause}", mend)
        except DBAPIError as error:
            said = str((error.orig and error.orig.__cause__) or error.orig).partition("\n")[0]
            return fail(_WHAT, f"PostgreSQL refuses to be read: {said}", "grant the user of DATABASE_URL what it needs")
        finally:
            await opened.close()
    return found


async def _sqlite_revisions(settings: Settings) -> dict[str, str | None] | Finding:
    found: dict[str, str | None] = {}
    for service in filter(migrations.revisions, SERVICES):
        path = settings.data_dir / f"{service}.db"
        try:
            found[service] = await asyncio.to_thread(_sqlite_revision, path, migrations.revisions(service)[0])
        except sqlite3.Error as error:
            mend = "put back a copy that is whole, or move it away to begin anew"
            return fail(_WHAT, f"SQLite: {path} cannot be read: {error}", mend)
    return found


def _sqlite_revision(path: Path, first: str) -> str | None:
    """The revision of the file; `first` for one that was made before revisions were noted, None for one without data.

    Read directly, and only read: the suite may be at work on it.
    """
    if not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return first if tables else None
        noted: tuple[str] | None = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return noted[0] if noted else first
