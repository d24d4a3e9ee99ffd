"""The guard that every row passes on its way out of a store, and the database that forgets whose it was asked for."""

from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from services.agents import tables as agents_sql
from services.orchestrator import tables
from services.projects import sql_store as projects_sql
from services.runtime.ownership import OwnerGuard
from tests.conformance.forgetful import ForgetfulDatabase, caught, guards, owner_columns
from tests.conformance.orchestrator_stores import stores_in
from tests.databases import Place

SERVICES = ("projects", "agents", "orchestrator")


async def test_forgetful_database_would_hand_out_what_others_have(database_place: Place) -> None:
    stores = await stores_in(database_place)
    ann, bob = await stores.project(), await stores.project()
    session_id = await stores.session(ann)
    sessions = tables.chat_sessions.c
    of_bob = sa.select(sessions.id).where(sessions.user_id == bob.user_id, sessions.id == session_id)
    database = database_place.open()
    async with database.read() as connection:
        assert await connection.scalar(of_bob) is None
    async with ForgetfulDatabase(database).read() as connection:
        assert await connection.scalar(of_bob) == session_id


@pytest.mark.parametrize("metadata", [projects_sql.metadata, agents_sql.metadata, tables.metadata], ids=SERVICES)
def test_every_table_says_whose_its_rows_are_and_has_a_guard(metadata: sa.MetaData) -> None:
    for table in metadata.sorted_tables:
        assert owner_columns(table), f"say in {table.name} whose its rows are"
        assert table.name in guards(), f"let the rows of {table.name} leave past an OwnerGuard"


@dataclass
class Row:
    id: str
    user_id: str
    project_id: str
    content: str = "secret"


def test_guard_lets_the_owners_rows_out_in_their_order() -> None:
    guard = OwnerGuard("of_test")
    rows = [Row("1", "ann", "p"), Row("2", "bob", "p"), Row("3", "ann", "q"), Row("4", "ann", "p")]
    with capture_logs():
        assert [row.id for row in guard.all(rows, "ann", "p")] == ["1", "4"]
        assert [row.id for row in guard.all(rows, "ann")] == ["1", "3", "4"]
        assert guard.first(rows, "bob", "p") == rows[1]
        assert guard.first(rows, "bob", "q") is None
        assert guard.first([], "ann") is None
    assert caught("of_test") == 2 + 1 + 3 + 4


def test_what_is_caught_is_logged_by_ids_alone() -> None:
    with capture_logs() as logs:
        OwnerGuard("of_test").all([Row("1", "ann", "p")], "bob", "q")
    [line] = logs
    assert line == {
        "event": "row of another owner caught",
        "log_level": "error",
        "table": "of_test",
        "row_id": "1",
        "row_user_id": "ann",
        "row_project_id": "p",
        "user_id": "bob",
        "project_id": "q",
    }
