"""What two users do with their projects."""

import uuid

import hypothesis.strategies as st

from tests.e2e.doors import Door
from tests.e2e.lives import OWNER, Life, approaches, doors, fields, lines, page_sizes, picks, step, texts, users
from tests.e2e.polling import eventually
from tests.e2e.truth import STARTER_PACK, Agent, Json, Keyed, Project, agent_body, updated


class ProjectRules(Life):
    """A project is made with its starter pack, and goes with all that is in it."""

    @step(
        user=users,
        door=doors,
        project=st.fixed_dictionaries({"name": lines}, optional={"workspace_path": st.none() | texts}),
    )
    def create_project(self, user: int, door: Door, project: Json) -> None:
        if len(self.of_user(user)) > 2:
            return  # They are dear, and what is in them matters more.
        values = {"project": project, "request_id": str(uuid.uuid4())}
        body = self.ask(user, door, "CreateProject", **values).made
        expected = {"workspace_path": None, **project, "updated_at": body["created_at"]}
        assert body == {**body, **expected}
        made = Project(len(self.known), user, body)
        self.known.append(made)
        pack = self.ask(user, door, "ListAgents", **made.named).made["agents"]
        assert [each["name"] for each in pack] == STARTER_PACK
        made.agents = [Agent(made, agent_body(each)) for each in reversed(pack)]
        self.keyed.append(Keyed("CreateProject", user, values, made))

    @step(project=picks, by=approaches, door=doors)
    def get_project(self, project: Project, by: str, door: Door) -> None:
        found = self.reach(project, by, door, "GetProject")
        assert found in (None, project.body)

    @step(
        project=picks,
        by=approaches,
        door=doors,
        changes=fields(name=lines | lines | st.none(), workspace_path=st.none() | texts),
    )
    def patch_project(self, project: Project, by: str, door: Door, changes: Json) -> None:
        if changes.get("name", "") is None:
            answer = self.ask(project.owner, door, "UpdateProject", project=changes, **project.named)
            assert answer.code == "INVALID_ARGUMENT" or (project.gone and answer.code == "NOT_FOUND")
            return
        changed = self.reach(project, by, door, "UpdateProject", project=changes)
        if changed is not None:
            project.body = updated(project.body, changed, changes, bool(changes))

    @step(project=picks, by=approaches, door=doors, name=lines, rest=fields(workspace_path=st.none() | texts))
    def put_project(self, project: Project, by: str, door: Door, name: str, rest: Json) -> None:
        wanted = {"name": name, **rest}
        changed = self.reach(project, by, door, "UpdateProject", whole=True, project=wanted)
        if changed is not None:
            project.body = updated(project.body, changed, {"workspace_path": None, **wanted})

    @step(project=picks, by=approaches, door=doors, chance=st.integers(0, 2))
    def delete_project(self, project: Project, by: str, door: Door, chance: int) -> None:
        if chance and by == OWNER and not project.deleted:
            return  # Else hardly any lives long enough to hold something.
        if self.reach(project, by, door, "DeleteProject") is None:
            return
        project.deleted = True

        async def removed() -> bool:
            caller = self.stage.callers[project.owner]
            lists = [await caller.ask(door, rpc, **project.named) for rpc in ("ListAgents", "ListSessions")]
            return [each.code for each in lists] == ["NOT_FOUND"] * 2

        # It is gone at once, and what is in it soon.
        self.stage.wait(eventually(removed, what=f"the removal of what {project} holds"))

    @step(user=users, door=doors, size=page_sizes)
    def list_projects(self, user: int, door: Door, size: int) -> None:
        pages, total = self.walk(user, door, "ListProjects", "projects", size)
        found = [each for page in pages for each in page]
        assert found == [each.body for each in reversed(self.of_user(user))]
        assert total == len(found)
