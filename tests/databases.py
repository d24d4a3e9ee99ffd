"""A database of each kind, for what must hold on all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from services.runtime.database import Database
from services.runtime.ids import new_id
from services.runtime.postgres import PostgresDatabase
from services.runtime.sqlite import SqliteDatabase
from tests.postgres import PostgresServer


@dataclass
class Place:
    """Where one database is: what is opened here, by however many, sees the same rows."""

    file: Path
    url: str = ""
    schema: str = field(default_factory=lambda: f"test_{new_id().replace('-', '_')}")
    _opened: list[Database] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "postgresql" if self.url else "sqlite"

    def open(self) -> Database:
        """The database, as a process of its own would open it. It is closed with the place."""
        database: Database = (
            PostgresDatabase(self.url, self.schema, connections=10) if self.url else SqliteDatabase(self.file)
        )
        self._opened.append(database)
        return database

    async def with_tables(self, metadata: sa.MetaData) -> Database:
        """The database, opened, with these tables made."""
        database = self.open()
        async with database.migrate() as connection:
            await connection.run_sync(metadata.create_all)
        return database


@asynccontextmanager
async def place(folder: Path, server: PostgresServer | None = None) -> AsyncIterator[Place]:
    """An empty database: a file in the folder, or a schema of the server."""
    made = Place(folder / "database.db", "" if server is None else server.url())
    try:
        yield made
    finally:
        for database in made._opened:
            await database.close()
        if server is not None:
            await server.execute(f'DROP SCHEMA IF EXISTS "{made.schema}" CASCADE')
