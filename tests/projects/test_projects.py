"""Users and projects, as their clients see them."""

import asyncio
from datetime import UTC

import pytest
from codelab.projects.v1 import project_pb2
from codelab.projects.v1 import project_service_pb2 as pb
from codelab.projects.v1.project_service_pb2_grpc import ProjectServiceStub
from grpc import StatusCode

from services.runtime.ids import new_id
from tests.projects.stage import Client, Stage, answers


async def me(client: Client) -> project_pb2.User:
    return (await client.call("GetCurrentUser", pb.GetCurrentUserRequest())).user


async def test_first_call_makes_the_user_with_the_claimed_email(stage: Stage, alice: Client) -> None:
    user = await me(alice)
    assert (user.id, user.email) == (alice.id, "alice@example.com")
    assert user.created_at.ToDatetime(UTC) == stage.clock.now
    stage.clock.advance(60)
    assert await me(alice) == user


async def test_user_is_made_by_any_first_call(stage: Stage, alice: Client) -> None:
    begun = stage.clock.now
    await alice.page()
    stage.clock.advance(60)
    assert (await me(alice)).created_at.ToDatetime(UTC) == begun


async def test_users_claiming_one_email_are_both_served(
    stage: Stage, service: ProjectServiceStub, alice: Client
) -> None:
    pretender = Client(service, stage.keys, "alice@example.com")
    assert (await me(alice)).HasField("email")
    user = await me(pretender)
    assert user.id == pretender.id
    assert not user.HasField("email")
    assert (await me(alice)).email == "alice@example.com"
    assert await pretender.create()


@pytest.mark.parametrize("email", ["x" * 400, "a\x00b@example.com"], ids=["long", "with NUL"])
async def test_email_that_cannot_be_one_fails_no_call(stage: Stage, service: ProjectServiceStub, email: str) -> None:
    odd = Client(service, stage.keys, email)
    assert not (await me(odd)).HasField("email")


async def test_created_project_has_all_its_parts_and_is_visible(stage: Stage, alice: Client) -> None:
    project = await alice.create("Novel", workspace_path="~/novel")
    assert (project.name, project.workspace_path, project.user_id) == ("Novel", "~/novel", alice.id)
    assert project.created_at == project.updated_at
    assert project.created_at.ToDatetime(UTC) == stage.clock.now
    assert stage.orchestrator.made == stage.agents.made == {project.id: alice.id}
    assert await alice.get(project.id) == project
    assert await alice.get(project.id.upper()) == project
    assert list((await alice.page()).projects) == [project]


async def test_output_only_fields_are_ignored(alice: Client, bob: Client) -> None:
    project = await alice.create("Novel", id=new_id(), user_id=bob.id)
    assert project.user_id == alice.id
    changed = await alice.update(project.id, ["user_id", "id"], user_id=bob.id)
    assert changed == project


async def test_workspace_path_is_unset_or_empty_as_given(alice: Client) -> None:
    assert not (await alice.create()).HasField("workspace_path")
    assert (await alice.create(workspace_path="")).HasField("workspace_path")


@pytest.mark.parametrize(
    ("project", "field"),
    [
        (project_pb2.Project(), "project.name"),
        (project_pb2.Project(name="  "), "project.name"),
        (project_pb2.Project(name="x" * 201), "project.name"),
        (project_pb2.Project(name="x", workspace_path="x" * 1001), "project.workspace_path"),
        (None, "project"),
    ],
    ids=["no name", "blank name", "long name", "long path", "no project"],
)
async def test_wrong_value_is_refused_by_name(
    stage: Stage, alice: Client, project: project_pb2.Project | None, field: str
) -> None:
    with answers(StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as caught:
        await alice.call("CreateProject", pb.CreateProjectRequest(project=project))
    assert [violation[0] for violation in caught.value.violations] == [field]
    assert stage.orchestrator.asked["make"] == 0


async def test_patch_changes_what_the_mask_names(stage: Stage, alice: Client) -> None:
    project = await alice.create("Novel", workspace_path="~/novel")
    stage.clock.advance(5)
    changed = await alice.update(project.id, ["name"], name="Poem", workspace_path="ignored")
    assert (changed.name, changed.workspace_path) == ("Poem", "~/novel")
    assert changed.created_at == project.created_at
    assert changed.updated_at.ToDatetime(UTC) == stage.clock.now
    assert await alice.get(project.id) == changed


async def test_patch_with_null_clears_the_path_and_refuses_to_clear_the_name(alice: Client) -> None:
    project = await alice.create("Novel", workspace_path="~/novel")
    assert not (await alice.update(project.id, ["workspace_path"])).HasField("workspace_path")
    with answers(StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as caught:
        await alice.update(project.id, ["name"])
    assert caught.value.violations == (("project.name", "is required"),)


async def test_put_replaces_everything(alice: Client) -> None:
    project = await alice.create("Novel", workspace_path="~/novel")
    changed = await alice.update(project.id, ["*"], name="Poem")
    assert changed.name == "Poem"
    assert not changed.HasField("workspace_path")


async def test_empty_mask_changes_nothing(stage: Stage, alice: Client) -> None:
    project = await alice.create("Novel")
    stage.clock.advance(5)
    assert await alice.update(project.id, [], name="Poem") == project


async def test_unknown_mask_path_is_refused(alice: Client) -> None:
    project = await alice.create()
    with answers(StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") as caught:
        await alice.update(project.id, ["owner"])
    assert caught.value.violations == (("update_mask", "'owner' is not a field"),)


async def test_pages_hold_every_project_once_newest_first(stage: Stage, alice: Client, bob: Client) -> None:
    expected = []
    for number in range(7):
        # Three moments: several projects share one.
        stage.clock.advance(1 if number % 3 == 0 else 0)
        expected.append(await alice.create(f"p{number}"))
    await bob.create("bob's")
    expected.sort(key=lambda each: (each.created_at.ToNanoseconds(), each.id), reverse=True)
    seen: list[project_pb2.Project] = []
    token = ""
    for count in (3, 3, 1):
        page = await alice.page(3, token)
        assert (len(page.projects), page.total) == (count, 7)
        seen += page.projects
        token = page.next_page_token
    assert token == ""
    assert seen == expected


async def test_full_last_page_has_no_next(alice: Client) -> None:
    await alice.create()
    await alice.create()
    assert (await alice.page(2)).next_page_token == ""


async def test_project_created_meanwhile_moves_no_page(stage: Stage, alice: Client) -> None:
    for name in ("a", "b", "c"):
        stage.clock.advance(1)
        await alice.create(name)
    first = await alice.page(2)
    stage.clock.advance(1)
    await alice.create("d")
    assert [each.name for each in (await alice.page(2, first.next_page_token)).projects] == ["a"]


async def test_page_token_of_another_user_or_making_is_refused(alice: Client, bob: Client) -> None:
    for _ in range(2):
        await alice.create()
        await bob.create()
    token = (await alice.page(1)).next_page_token
    assert token
    for each in (token, "x", "AAAA", "ÿ", token[:-4]):
        with answers(StatusCode.OUT_OF_RANGE, "INVALID_PAGE_TOKEN"):
            await bob.page(1, each)


async def test_deleted_project_is_gone_at_once(stage: Stage, alice: Client) -> None:
    project = await alice.create()
    stage.agents.open.clear()
    await alice.delete(project.id)
    for call in (alice.get(project.id), alice.delete(project.id), alice.update(project.id, ["name"], name="x")):
        with answers(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"):
            await call
    assert (await alice.page()).total == 0
    stage.agents.open.set()


FOREIGN = {
    "GetProject": lambda id: pb.GetProjectRequest(project_id=id),
    "UpdateProject": lambda id: pb.UpdateProjectRequest(
        project_id=id, project=project_pb2.Project(name="stolen"), update_mask={"paths": ["name"]}
    ),
    "DeleteProject": lambda id: pb.DeleteProjectRequest(project_id=id),
}


def test_every_rpc_on_a_project_is_tried_with_a_foreign_one() -> None:
    methods = pb.DESCRIPTOR.services_by_name["ProjectService"].methods
    assert {each.name for each in methods if "project_id" in each.input_type.fields_by_name} == set(FOREIGN)


@pytest.mark.parametrize("method", FOREIGN)
async def test_foreign_project_is_answered_like_a_missing_one(alice: Client, bob: Client, method: str) -> None:
    project = await alice.create()
    missing = new_id()
    texts = set()
    for id in (project.id, missing):
        with answers(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND") as caught:
            await bob.call(method, FOREIGN[method](id))
        assert caught.value.metadata == {"project_id": id}
        texts.add(caught.value.detail.replace(id, "ID"))
    assert len(texts) == 1
    assert await alice.get(project.id) == project


@pytest.mark.parametrize("method", FOREIGN)
@pytest.mark.parametrize(
    "id", ["x", "../..", "\x00", "x" * 100_000, "Ünï"], ids=["word", "path", "NUL", "long", "umlaut"]
)
async def test_what_is_no_id_is_not_found(alice: Client, method: str, id: str) -> None:
    with answers(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"):
        await alice.call(method, FOREIGN[method](id))


async def test_request_id_of_another_user_is_ones_own(alice: Client, bob: Client) -> None:
    mine, theirs = await alice.create(request_id="k"), await bob.create("Other", request_id="k")
    assert mine.id != theirs.id


async def test_twenty_creates_with_one_request_id_make_one_project(stage: Stage, alice: Client) -> None:
    stage.agents.open.clear()
    calls = asyncio.gather(*(alice.create(request_id="k") for _ in range(20)))
    await stage.agents.arrived.wait()
    stage.agents.open.set()
    projects = await calls
    assert all(each == projects[0] for each in projects)
    assert (await alice.page()).total == 1
    assert len(stage.agents.made) == len(stage.orchestrator.made) == 1


async def test_twenty_creates_at_once_by_a_new_user_make_twenty(alice: Client) -> None:
    projects = await asyncio.gather(*(alice.create(f"p{number}") for number in range(20)))
    assert len({each.id for each in projects}) == (await alice.page()).total == 20


async def test_request_id_with_other_content_is_refused(alice: Client) -> None:
    await alice.create("Novel", request_id="k")
    for fields in ({"name": "Poem"}, {"name": "Novel", "workspace_path": ""}):
        with answers(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
            await alice.create(**fields, request_id="k")
    assert await alice.names() == ["Novel"]


async def test_request_id_lives_seven_days(stage: Stage, alice: Client) -> None:
    first = await alice.create(request_id="k")
    stage.clock.advance(7 * 86400 - 1)
    assert (await alice.create(request_id="k")).id == first.id
    stage.clock.advance(2)
    assert (await alice.create(request_id="k")).id != first.id


async def test_request_id_of_a_deleted_project_makes_no_second_one(alice: Client) -> None:
    project = await alice.create(request_id="k")
    await alice.delete(project.id)
    with answers(StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND"):
        await alice.create(request_id="k")
    assert await alice.names() == []
