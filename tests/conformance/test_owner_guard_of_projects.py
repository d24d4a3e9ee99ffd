"""No row of another owner leaves the store of projects, though the database answers as if not asked whose."""

import pytest

from services.projects import sql_store as projects_sql
from services.projects.errors import ProjectRolledBack
from services.projects.sql_store import SqlProjectStore
from services.projects.store import ProjectStore, State
from services.runtime.idempotency import RequestKey
from services.runtime.ids import new_id
from tests.conformance.forgetful import ForgetfulDatabase
from tests.conformance.orchestrator_stores import NOW
from tests.conformance.owner_questions import CHANGES, HOUSEKEEPING, Questions, leaks, missing, of_contract
from tests.databases import Place


async def test_project_store_hands_out_nothing_of_others(database_place: Place) -> None:
    database = await database_place.with_tables(projects_sql.metadata)
    sound, forgetful = SqlProjectStore(database), SqlProjectStore(ForgetfulDatabase(database))
    key = RequestKey.of("CreateProject", "k", "Novel")
    mine, theirs, project_id, own_id = new_id(), new_id(), new_id(), new_id()
    await sound.admit_user(theirs, "ann@example.com", NOW)
    await sound.admit_user(mine, None, NOW)
    for user, project, name, with_key in ((theirs, project_id, "Ann's novel", key), (mine, own_id, "Mine", None)):
        await sound.begin_project(user, project, name, None, with_key, NOW)
        await sound.activate_project(user, project, NOW)

    async def list_projects() -> None:
        page = await forgetful.list_projects(mine, None, 10)
        assert ([each.id for each in page.projects], page.total) == ([own_id], 1)

    async def begin_project() -> None:
        project = await forgetful.begin_project(mine, new_id(), "Novel", None, key, NOW)
        assert project.state is State.PROVISIONING
        assert await forgetful.begin_project(mine, new_id(), "Novel", None, key, NOW) == project

    async def activate_project() -> None:
        with pytest.raises(ProjectRolledBack):
            await forgetful.activate_project(mine, project_id, NOW)

    questions: Questions = {
        "list_projects": list_projects,
        "admit_user": lambda: forgetful.admit_user(mine, None, NOW),
        "get_project": lambda: missing(forgetful.get_project(mine, project_id)),
        "update_project": lambda: missing(forgetful.update_project(mine, project_id, {"name": "Taken"}, NOW)),
        "activate_project": activate_project,
        "begin_project": begin_project,
    }
    exempt = {
        "abandon_project": CHANGES,
        "delete_project": CHANGES,
        "forget_project": CHANGES,
        "claim_removals": HOUSEKEEPING,
    }
    assert questions.keys() | exempt.keys() == of_contract(ProjectStore)
    assert await leaks(questions, [theirs, "ann@example.com", project_id, "Ann's novel"]) == {}
    assert (await sound.get_project(theirs, project_id)).name == "Ann's novel"
