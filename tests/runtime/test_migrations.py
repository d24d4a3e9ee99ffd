"""Migrations: what they make, who may run them when, and what they refuse."""

import asyncio
import importlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.runtime import migrations
from services.runtime.database import Database
from services.runtime.databases import migrate, open_database
from services.runtime.errors import StartupError
from services.runtime.settings import Settings
from tests.databases import Place
from tests.postgres import PostgresServer

TABLES = {
    "projects": "services.projects.sql_store",
    "agents": "services.agents.tables",
    "orchestrator": "services.orchestrator.tables",
}


def tables_of(service: str) -> sa.MetaData:
    metadata: sa.MetaData = importlib.import_module(TABLES[service]).metadata
    return metadata


async def run(database: Database, *statements: str) -> None:
    async with database.migrate() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))


@pytest.mark.parametrize("service", TABLES)
async def test_migrations_lead_to_the_tables_that_the_code_uses(database_place: Place, service: str) -> None:
    database = database_place.open()
    await migrations.upgrade(database, service)
    async with database.read() as connection:
        differences = await connection.run_sync(
            lambda it: compare_metadata(
                MigrationContext.configure(it, opts={"compare_type": True, "compare_server_default": True}),
                tables_of(service),
            )
        )
    assert differences == []


@pytest.mark.parametrize("service", TABLES)
async def test_migrating_again_changes_nothing(database_place: Place, service: str) -> None:
    first = await migrations.upgrade(database_place.open(), service)
    assert first == migrations.Upgrade(None, migrations.revisions(service)[-1])
    assert await migrations.upgrade(database_place.open(), service) == migrations.Upgrade(first.after, first.after)
    await migrations.require_current(database_place.open(), service)


async def test_several_that_migrate_at_once_take_turns(database_place: Place) -> None:
    done = await asyncio.gather(*(migrations.upgrade(database_place.open(), "orchestrator") for _ in range(4)))
    newest = migrations.revisions("orchestrator")[-1]
    assert sorted(str(each.before) for each in done) == [newest] * 3 + ["None"]


async def test_migration_that_fails_leaves_nothing(database_place: Place) -> None:
    database = database_place.open()
    await run(database, "CREATE TABLE runs (id INTEGER)", "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    with pytest.raises(sa.exc.DBAPIError):
        await migrations.upgrade(database, "orchestrator")
    assert await migrations.current_revision(database) is None
    async with database.read() as connection:
        assert await connection.run_sync(lambda it: set(sa.inspect(it).get_table_names())) == {
            "runs",
            "alembic_version",
        }


async def test_data_of_a_newer_version_is_not_touched(database_place: Place) -> None:
    database = database_place.open()
    await migrations.upgrade(database, "agents")
    await run(database, "UPDATE alembic_version SET version_num = '9999'")
    for refused in (migrations.upgrade, migrations.require_current):
        with pytest.raises(StartupError, match="newer version"):
            await refused(database, "agents")


@pytest.mark.server_backed
async def test_service_does_not_start_on_a_server_whose_schema_is_not_the_one_it_needs(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.create_database("waiting_for_migration")
    settings = Settings.load({"DATABASE_URL": url, "CODELAB_DATA_DIR": str(tmp_path)})
    with pytest.raises(StartupError, match="does not exist yet: run `codelab migrate`"):
        async with open_database("projects", settings):
            pass
    with pytest.raises(StartupError, match="run `codelab migrate`"):
        await migrate(settings, check=True)
    assert len(await migrate(settings)) == len(TABLES)
    for line in await migrate(settings, check=True):
        assert "already" in line
    async with open_database("projects", settings):
        pass


@pytest.mark.server_backed
async def test_what_the_server_does_not_permit_is_said_in_one_line(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.create_database("of_others")
    await postgres_server.execute("CREATE SCHEMA projects", "of_others")
    await postgres_server.execute("CREATE TABLE projects.users (id int)", "of_others")
    settings = Settings.load({"DATABASE_URL": url, "CODELAB_DATA_DIR": str(tmp_path)})
    with pytest.raises(StartupError, match=r'refuses what the schema of projects needs: relation "users" .* exists$'):
        await migrate(settings)


async def test_data_folder_is_migrated_by_itself_and_not_while_it_is_used(tmp_path: Path) -> None:
    settings = Settings.load({"CODELAB_DATA_DIR": str(tmp_path)})
    async with open_database("agents", settings) as database:
        assert await migrations.current_revision(database) == migrations.revisions("agents")[-1]
    async with asyncio.timeout(30):
        lines = await migrate(settings)
    assert [line.split(":")[0] for line in lines] == list(TABLES)
