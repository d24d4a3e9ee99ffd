"""What ProjectStore promises, held against every backend."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.projects.errors import ProjectNotFound, ProjectRolledBack
from services.projects.sql_store import SqlProjectStore, metadata
from services.projects.store import CREATE_MAY_TAKE, Position, Project, ProjectStore, Removal, State, backoff
from services.runtime.errors import RequestIdReused
from services.runtime.idempotency import KEPT, RequestKey
from services.runtime.ids import new_id
from tests.databases import Place

NOW = datetime(2026, 5, 17, 12, 30, 15, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def store(database_place: Place) -> ProjectStore:
    return SqlProjectStore(await database_place.with_tables(metadata))


@pytest.fixture
async def alice(store: ProjectStore) -> str:
    return (await store.admit_user(new_id(), "alice@example.com", NOW)).id


@pytest.fixture
async def bob(store: ProjectStore) -> str:
    return (await store.admit_user(new_id(), "bob@example.com", NOW)).id


def key(request_id: str = "k", *content: str) -> RequestKey:
    made = RequestKey.of("CreateProject", request_id, *content)
    assert made is not None
    return made


async def begin(
    store: ProjectStore, user_id: str, request: RequestKey | None = None, now: datetime = NOW, name: str = "Novel"
) -> Project:
    return await store.begin_project(user_id, new_id(), name, "~/novel", request, now)


async def create(store: ProjectStore, user_id: str, now: datetime = NOW, name: str = "Novel") -> Project:
    project = await begin(store, user_id, now=now, name=name)
    return await store.activate_project(user_id, project.id, now)


async def claim(store: ProjectStore, now: datetime, limit: int = 10, underway: tuple[str, ...] = ()) -> list[Removal]:
    return await store.claim_removals(now, limit, underway)


# Users


async def test_admitting_makes_the_user_once(store: ProjectStore) -> None:
    id = new_id()
    made = await store.admit_user(id, "a@example.com", NOW)
    assert (made.id, made.email, made.created_at) == (id, "a@example.com", NOW)
    assert await store.admit_user(id, None, NOW + SECOND) == made


async def test_twenty_admissions_at_once_make_one_user(store: ProjectStore) -> None:
    id = new_id()
    users = await asyncio.gather(*(store.admit_user(id, "a@example.com", NOW + n * SECOND) for n in range(20)))
    assert len(set(users)) == 1


async def test_newly_claimed_email_replaces_the_old_one(store: ProjectStore, alice: str) -> None:
    assert (await store.admit_user(alice, "new@example.com", NOW)).email == "new@example.com"
    other = await store.admit_user(new_id(), "alice@example.com", NOW)
    assert other.email == "alice@example.com"


async def test_email_of_another_user_is_stored_as_none(store: ProjectStore, alice: str) -> None:
    later = await store.admit_user(new_id(), "alice@example.com", NOW)
    assert later.email is None
    assert (await store.admit_user(alice, None, NOW)).email == "alice@example.com"


async def test_user_who_claims_anothers_email_loses_their_own(store: ProjectStore, alice: str, bob: str) -> None:
    assert (await store.admit_user(bob, "alice@example.com", NOW)).email is None


async def test_twenty_users_claiming_one_email_at_once_are_all_admitted(store: ProjectStore) -> None:
    users = await asyncio.gather(*(store.admit_user(new_id(), "a@example.com", NOW) for _ in range(20)))
    assert sorted(user.email or "" for user in users) == [""] * 19 + ["a@example.com"]


# From PROVISIONING to ACTIVE


async def test_begun_project_is_not_visible(store: ProjectStore, alice: str) -> None:
    project = await begin(store, alice)
    assert project == Project(project.id, alice, "Novel", "~/novel", State.PROVISIONING, NOW, NOW)
    for attempt in (
        store.get_project(alice, project.id),
        store.update_project(alice, project.id, {"name": "x"}, NOW),
        store.delete_project(alice, project.id, NOW),
    ):
        with pytest.raises(ProjectNotFound):
            await attempt
    assert (await store.list_projects(alice, None, 10)).total == 0


async def test_activated_project_is_visible(store: ProjectStore, alice: str) -> None:
    begun = await begin(store, alice)
    project = await store.activate_project(alice, begun.id, NOW + SECOND)
    assert project.state is State.ACTIVE
    assert await store.get_project(alice, begun.id) == project
    assert await store.activate_project(alice, begun.id, NOW + SECOND) == project


@pytest.mark.parametrize("end", ["abandoned", "overdue", "deleted", "forgotten"])
async def test_activating_what_was_given_up_raises_rolled_back(store: ProjectStore, alice: str, end: str) -> None:
    project = await begin(store, alice)
    if end in ("deleted", "forgotten"):
        await store.activate_project(alice, project.id, NOW)
        await store.delete_project(alice, project.id, NOW)
    elif end == "abandoned":
        await store.abandon_project(alice, project.id, NOW)
    assert [each.project_id for each in await claim(store, NOW + CREATE_MAY_TAKE)] == [project.id]
    if end == "forgotten":
        await store.forget_project(alice, project.id)
    with pytest.raises(ProjectRolledBack):
        await store.activate_project(alice, project.id, NOW)


async def test_same_key_returns_the_same_project(store: ProjectStore, alice: str) -> None:
    first = await begin(store, alice, key())
    assert await begin(store, alice, key()) == first
    active = await store.activate_project(alice, first.id, NOW)
    assert await begin(store, alice, key()) == active


async def test_twenty_begins_with_one_key_at_once_make_one_project(store: ProjectStore, alice: str) -> None:
    projects = await asyncio.gather(*(begin(store, alice, key()) for _ in range(20)))
    assert len({project.id for project in projects}) == 1


async def test_same_key_with_other_content_raises(store: ProjectStore, alice: str) -> None:
    await begin(store, alice, key("k", "Novel"))
    with pytest.raises(RequestIdReused):
        await begin(store, alice, key("k", "Poem"))


async def test_keys_of_two_users_are_two(store: ProjectStore, alice: str, bob: str) -> None:
    assert (await begin(store, alice, key())).id != (await begin(store, bob, key())).id


async def test_key_is_kept_seven_days(store: ProjectStore, alice: str) -> None:
    project = await begin(store, alice, key())
    await store.activate_project(alice, project.id, NOW)
    assert (await begin(store, alice, key(), NOW + KEPT - SECOND)).id == project.id
    assert (await begin(store, alice, key(), NOW + KEPT)).id != project.id


async def test_key_of_a_deleted_project_raises_not_found(store: ProjectStore, alice: str) -> None:
    project = await begin(store, alice, key())
    await store.activate_project(alice, project.id, NOW)
    await store.delete_project(alice, project.id, NOW)
    with pytest.raises(ProjectNotFound):
        await begin(store, alice, key())
    await claim(store, NOW)
    await store.forget_project(alice, project.id)
    with pytest.raises(ProjectNotFound):
        await begin(store, alice, key())


async def test_key_of_a_rolled_back_project_makes_another(store: ProjectStore, alice: str) -> None:
    project = await begin(store, alice, key())
    await claim(store, NOW + CREATE_MAY_TAKE)
    again = await begin(store, alice, key(), NOW + CREATE_MAY_TAKE)
    assert (again.id != project.id, again.state) == (True, State.PROVISIONING)


# Reading and changing


async def test_foreign_project_is_not_found_by_any_method(store: ProjectStore, alice: str, bob: str) -> None:
    project = await create(store, alice)
    for attempt in (
        store.get_project(bob, project.id),
        store.update_project(bob, project.id, {"name": "x"}, NOW),
        store.update_project(bob, project.id, {}, NOW),
        store.delete_project(bob, project.id, NOW),
    ):
        with pytest.raises(ProjectNotFound):
            await attempt
    with pytest.raises(ProjectRolledBack):
        await store.activate_project(bob, project.id, NOW)
    await store.abandon_project(bob, project.id, NOW)
    await store.forget_project(bob, project.id)
    assert (await store.list_projects(bob, None, 10)).projects == ()
    assert await store.get_project(alice, project.id) == project


async def test_update_changes_what_is_named(store: ProjectStore, alice: str) -> None:
    project = await create(store, alice)
    renamed = await store.update_project(alice, project.id, {"name": "Poem"}, NOW + SECOND)
    assert (renamed.name, renamed.workspace_path) == ("Poem", "~/novel")
    assert (renamed.created_at, renamed.updated_at) == (NOW, NOW + SECOND)
    cleared = await store.update_project(alice, project.id, {"workspace_path": None}, NOW + SECOND)
    assert (cleared.name, cleared.workspace_path) == ("Poem", None)
    assert await store.get_project(alice, project.id) == cleared


async def test_update_without_changes_writes_nothing(store: ProjectStore, alice: str) -> None:
    project = await create(store, alice)
    assert await store.update_project(alice, project.id, {}, NOW + SECOND) == project


async def test_list_is_newest_first_and_each_position_goes_on(store: ProjectStore, alice: str, bob: str) -> None:
    projects = [await create(store, alice, NOW + (n // 3) * SECOND) for n in range(8)]
    await create(store, bob)
    await begin(store, alice)
    projects.sort(key=lambda each: (each.created_at, each.id), reverse=True)
    for index in range(-1, 8):
        after = Position(projects[index].created_at, projects[index].id) if index >= 0 else None
        page = await store.list_projects(alice, after, 3)
        assert list(page.projects) == projects[index + 1 : index + 4]
        assert (page.total, page.has_more) == (8, index + 4 < 8)


# From ACTIVE or PROVISIONING to gone


async def test_deleted_project_is_not_found(store: ProjectStore, alice: str) -> None:
    project = await create(store, alice)
    await store.delete_project(alice, project.id, NOW)
    with pytest.raises(ProjectNotFound):
        await store.get_project(alice, project.id)
    with pytest.raises(ProjectNotFound):
        await store.delete_project(alice, project.id, NOW)


async def test_deletion_is_due_at_once_and_again_after_each_backoff(store: ProjectStore, alice: str) -> None:
    project = await create(store, alice)
    await store.delete_project(alice, project.id, NOW)
    now = NOW
    for attempts in (1, 2, 3):
        assert await claim(store, now) == [Removal(project.id, alice, attempts, rolled_back=False)]
        assert await claim(store, now + backoff(attempts) - SECOND / 2) == []
        now += backoff(attempts)
    await store.forget_project(alice, project.id)
    assert await claim(store, NOW + timedelta(days=1)) == []


def test_backoff_doubles_up_to_a_minute() -> None:
    assert [backoff(n).total_seconds() for n in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


async def test_create_is_due_when_its_time_is_over(store: ProjectStore, alice: str) -> None:
    project = await begin(store, alice)
    assert await claim(store, NOW + CREATE_MAY_TAKE - SECOND) == []
    assert await claim(store, NOW + CREATE_MAY_TAKE) == [Removal(project.id, alice, 1, rolled_back=True)]


async def test_create_that_returns_has_its_time_anew(store: ProjectStore, alice: str) -> None:
    await begin(store, alice, key())
    await begin(store, alice, key(), NOW + 50 * SECOND)
    assert await claim(store, NOW + 50 * SECOND + CREATE_MAY_TAKE - SECOND) == []
    assert len(await claim(store, NOW + 50 * SECOND + CREATE_MAY_TAKE)) == 1


async def test_active_project_is_never_due(store: ProjectStore, alice: str) -> None:
    project = await create(store, alice)
    await store.abandon_project(alice, project.id, NOW)
    assert await claim(store, NOW + timedelta(days=400)) == []
    await store.forget_project(alice, project.id)
    assert await store.get_project(alice, project.id) == project


async def test_claim_takes_the_longest_due_and_leaves_out_what_is_underway(store: ProjectStore, alice: str) -> None:
    ids = [(await create(store, alice)).id for _ in range(4)]
    for offset, id in enumerate(ids):
        await store.delete_project(alice, id, NOW + offset * SECOND)
    claimed = await claim(store, NOW + 3 * SECOND, limit=2, underway=(ids[0],))
    assert [each.project_id for each in claimed] == ids[1:3]


async def test_two_claims_at_once_share_nothing(store: ProjectStore, alice: str) -> None:
    ids = [(await create(store, alice)).id for _ in range(6)]
    for id in ids:
        await store.delete_project(alice, id, NOW)
    claims = await asyncio.gather(*(claim(store, NOW, limit=4) for _ in range(3)))
    assert sorted(each.project_id for removals in claims for each in removals) == sorted(ids)


async def test_projects_are_there_after_reopening(database_place: Place) -> None:
    database = await database_place.with_tables(metadata)
    store = SqlProjectStore(database)
    user = await store.admit_user(new_id(), None, NOW)
    project = await create(store, user.id)
    await database.close()
    assert await SqlProjectStore(database_place.open()).get_project(user.id, project.id) == project
