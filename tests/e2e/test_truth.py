"""Two users do whatever comes to mind, by both doors; the suite must hold exactly what a model in plain Python holds.

`CODELAB_TRUTH_EXAMPLES` says how many lives they lead; with more than the default, the suite is killed now and then.
"""

import asyncio
import os
import uuid
from contextlib import AsyncExitStack
from typing import TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, invariant, precondition, run_state_machine_as_test

from tests.e2e.doors import Answer, Door, calling
from tests.e2e.lives import (
    ELSEWHERE,
    OWNER,
    STRANGER,
    Life,
    Stage,
    agent_configs,
    approaches,
    doors,
    fields,
    lines,
    names,
    page_sizes,
    picks,
    step,
    texts,
    users,
)
from tests.e2e.polling import eventually
from tests.e2e.suite import Suite
from tests.e2e.truth import (
    DEFAULT_CONFIG,
    STARTER_PACK,
    Agent,
    Json,
    Keyed,
    Project,
    Run,
    Session,
    patched,
    run_as_shown,
)
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

Result = TypeVar("Result")

USUAL_EXAMPLES = 6
EXAMPLES = int(os.environ.get("CODELAB_TRUTH_EXAMPLES", USUAL_EXAMPLES))
LONG = EXAMPLES > USUAL_EXAMPLES


class Truth(Life):
    """One life. It begins and ends with nothing."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.turn = 0

    # -- projects -------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """A little of everything, so that every rule has something to work on."""
        for user in (0, 1):
            self.create_project(user, Door.HTTP, {"name": "First", "workspace_path": "~/first"})
            project = self.known[-1]
            self.patch_project(project, OWNER, nth(list(Door), user), {"name": "First of all"})
            self.create_agent(project, OWNER, Door.GRPC, "Ada", {"metadata": {"a": 1.5, "b": "x"}, "burst_limit": 3})
            for title in ("One", None):
                self.create_session(project, OWNER, Door.HTTP, {"title": title})
            idle, busy = project.sessions
            self.send(idle, 0, OWNER, Door.HTTP, "Hello!", True, None)
            for text in ("Take your time.", "I wait.", "I wait longer."):
                self.start(busy, 1, OWNER, Door.GRPC, text, "queue")
            self.rename_session(idle, OWNER, Door.HTTP, {"title": None})
        for number, made in enumerate(self.keyed):
            self.repeat(made, nth(list(Door), number), "StreamMessage")

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

    # -- agents ---------------------------------------------------------------------------------------------------

    @step(project=picks, by=approaches, door=doors, name=names, config=agent_configs)
    def create_agent(self, project: Project, by: str, door: Door, name: str, config: Json) -> None:
        values = {"agent": {"name": name, "config": config}, "request_id": str(uuid.uuid4())}
        if by != OWNER or project.deleted:
            self.reach(project, STRANGER if by == ELSEWHERE else by, door, "CreateAgent", **values)
            return
        answer = self.ask(project.owner, door, "CreateAgent", **project.named, **values)
        if project.agent_named(name) is not None:
            assert (answer.code, answer.reason) == ("ALREADY_EXISTS", "AGENT_NAME_TAKEN")
            return
        body = agent_body(answer.made)
        expected = {"name": name, "config": patched(DEFAULT_CONFIG, config), "updated_at": body["created_at"]}
        assert body == {**body, **expected, "project_id": project.id}
        agent = Agent(project, body)
        project.agents.append(agent)
        self.keyed.append(Keyed("CreateAgent", project.owner, {**project.named, **values}, agent))

    @step(agent=picks, by=approaches, door=doors)
    def get_agent(self, agent: Agent, by: str, door: Door) -> None:
        found = self.reach(agent, by, door, "GetAgent")
        assert found is None or agent_body(found) == agent.body

    @step(agent=picks, by=approaches, door=doors, config=agent_configs)
    def patch_agent(self, agent: Agent, by: str, door: Door, config: Json) -> None:
        changes = {"config": config} if config else {}
        changed = self.reach(agent, by, door, "UpdateAgent", agent=changes)
        if changed is not None:
            agent.body = updated(agent.body, agent_body(changed), changes, bool(changes))

    @step(agent=picks, door=doors, name=names, config=agent_configs)
    def put_agent(self, agent: Agent, door: Door, name: str, config: Json) -> None:
        wanted = {"name": name, "config": config}
        answer = self.ask(agent.project.owner, door, "UpdateAgent", whole=True, agent=wanted, **agent.named)
        if agent.gone:
            assert answer.code == "NOT_FOUND"
        elif agent.project.agent_named(name) not in (None, agent):
            assert (answer.code, answer.reason) == ("ALREADY_EXISTS", "AGENT_NAME_TAKEN")
        else:
            whole = {"name": name, "config": patched(DEFAULT_CONFIG, config)}
            agent.body = updated({**agent.body, **whole}, agent_body(answer.made), {})

    @step(agent=picks, by=approaches, door=doors)
    def delete_agent(self, agent: Agent, by: str, door: Door) -> None:
        if any(run.agent is agent and run.session.busy for run in agent.project.living_runs):
            return  # How its runs end is told elsewhere.
        if self.reach(agent, by, door, "DeleteAgent") is not None:
            agent.deleted = True

    # -- sessions -------------------------------------------------------------------------------------------------

    @step(project=picks, by=approaches, door=doors, session=fields(title=st.none() | lines))
    def create_session(self, project: Project, by: str, door: Door, session: Json) -> None:
        values = {"session": session, "request_id": str(uuid.uuid4())}
        by = STRANGER if by == ELSEWHERE else by
        body = self.reach(project, by, door, "CreateSession", **values)
        if body is None:
            return
        expected = {"title": session.get("title"), "project_id": project.id, "message_count": 0, "last_event_id": None}
        assert body == {**body, **expected, "updated_at": body["created_at"]}
        made = Session(project, len(project.sessions), session_body(body))
        project.sessions.append(made)
        self.keyed.append(Keyed("CreateSession", project.owner, {**project.named, **values}, made))

    @step(session=picks, by=approaches, door=doors)
    def get_session(self, session: Session, by: str, door: Door) -> None:
        found = self.reach(session, by, door, "GetSession")
        if found is not None:
            self.compare_session(session, found)

    @step(session=picks, by=approaches, door=doors, changes=fields(title=st.none() | lines))
    def rename_session(self, session: Session, by: str, door: Door, changes: Json) -> None:
        changed = self.reach(session, by, door, "UpdateSession", session=changes)
        if changed is not None:
            session.body = {**session.body, **changes}
            self.compare_session(session, changed)

    @step(session=picks, by=approaches, door=doors, chance=st.integers(0, 2))
    def delete_session(self, session: Session, by: str, door: Door, chance: int) -> None:
        if chance and by == OWNER and not session.gone:
            return
        if self.reach(session, by, door, "DeleteSession") is not None:
            session.deleted = True

    def compare_session(self, session: Session, found: Json) -> None:
        assert found["updated_at"] >= found["created_at"]
        assert session_body(found) == {**session.body, "message_count": len(session.messages)}

    @step(session=picks, by=approaches, door=doors, size=page_sizes)
    def read_history(self, session: Session, by: str, door: Door, size: int) -> None:
        if by != OWNER or session.gone:
            self.reach(session, by, door, "ListMessages", page_size=size)
            return
        pages, total = self.walk(session.project.owner, door, "ListMessages", "messages", size, **session.named)
        found = [each for page in reversed(pages) for each in page]
        assert [{name: each[name] for name in each.keys() - {"id", "timestamp"}} for each in found] == session.messages
        assert total == len(found) == len({each["id"] for each in found})

    # -- messages and runs ----------------------------------------------------------------------------------------

    @step(
        session=picks,
        agent=st.integers(0, 9),
        by=approaches,
        door=doors,
        text=texts,
        by_name=st.booleans(),
        on_busy=st.sampled_from([None, "reject", "replace"]),
    )
    def send(
        self, session: Session, agent: int, by: str, door: Door, text: str, by_name: bool, on_busy: str | None
    ) -> None:
        if session.busy and on_busy is None:
            on_busy = "reject"  # It would wait for its turn, and we for it.
        rpc = "StreamMessage" if by_name else "SendMessage"
        self._send(rpc, session, nth(session.project.agents, agent), by, door, text, by_name, on_busy, None)

    @step(
        session=picks,
        agent=st.integers(0, 9),
        by=approaches,
        door=doors,
        text=texts,
        on_busy=st.sampled_from([None, "queue", "reject", "replace"]),
    )
    def start(self, session: Session, agent: int, by: str, door: Door, text: str, on_busy: str | None) -> None:
        running = session.project.running
        if running is not None and running.session is not session:
            return  # An agent has two places: one for this, one for what is sent.
        agent_meant = nth(session.project.agents, agent)
        self._send("CreateRun", session, agent_meant, by, door, text, False, on_busy, str(uuid.uuid4()))

    def _send(
        self,
        rpc: str,
        session: Session,
        agent: Agent,
        by: str,
        door: Door,
        text: str,
        by_name: bool,
        on_busy: str | None,
        gate: str | None,
    ) -> None:
        content = text if gate is None else f"{text}\n{Script(gate=gate).directive()}"
        target = agent.body["name"] if by_name else agent.id
        key = str(uuid.uuid4())
        values: Json = {"content": content, "target_agent": target, "request_id": key}
        if on_busy is not None:
            values["on_busy"] = on_busy
        if by != OWNER or session.gone:
            self.reach(session, by, door, rpc, **values)
            return
        project = session.project
        answer = self.ask(project.owner, door, rpc, **session.named, **values)
        meant = project.agent_named(target) if by_name else (agent if agent in project.living_agents else None)
        if meant is None:
            assert (answer.code, answer.reason) == ("NOT_FOUND", "AGENT_NOT_FOUND")
            return
        if session.busy and on_busy == "reject":
            assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "SESSION_BUSY")
            return
        if on_busy == "replace":
            session.replace()
        state = "queued" if session.busy else "running"
        run = Run(session, len(project.runs), run_of(rpc, answer), meant, content, state, gate)
        if gate is None:
            run.state = "succeeded"
            said = answer.made if rpc == "SendMessage" else final(answer)["payload"]["message"]
            assert said["content"] == DEFAULT_ANSWER
        session.runs.append(run)
        project.runs.append(run)
        self.keyed.append(Keyed(rpc, project.owner, {**session.named, **values}, run))

    @step(run=picks, by=approaches, door=doors)
    def get_run(self, run: Run, by: str, door: Door) -> None:
        found = self.reach(run, by, door, "GetRun")
        assert found is None or run_as_shown(found) == run.shown

    @step(run=picks, by=approaches, door=doors)
    def cancel_run(self, run: Run, by: str, door: Door) -> None:
        if run.state == "succeeded" and by == OWNER and not run.session.gone:
            answer = self.ask(run.session.project.owner, door, "CancelRun", **run.named)
            assert (answer.code, answer.reason) == ("FAILED_PRECONDITION", "RUN_FINISHED")
            return
        found = self.reach(run, by, door, "CancelRun")
        if found is not None:
            run.state = "cancelled"
            run.session.promote()
            assert run_as_shown(found) == run.shown
            self.list_runs(run.project, run.session, [], OWNER, door, 3)

    @step(session=picks, door=doors)
    def let_finish(self, session: Session, door: Door) -> None:
        run = next((run for run in session.runs if run.state == "running"), None)
        if session.gone or run is None or run.gate is None:
            return
        self.stage.model.open_gate(run.gate)
        run.state = "succeeded"
        session.promote()

        async def finished() -> bool:
            caller = self.stage.callers[session.project.owner]
            return run_as_shown((await caller.ask(door, "GetRun", **run.named)).made) == run.shown

        self.stage.wait(eventually(finished, what=f"the end of {run}"))
        self.list_runs(session.project, session, [], OWNER, door, 3)

    # -- lists ----------------------------------------------------------------------------------------------------

    @step(user=users, door=doors, size=page_sizes)
    def list_projects(self, user: int, door: Door, size: int) -> None:
        pages, total = self.walk(user, door, "ListProjects", "projects", size)
        found = [each for page in pages for each in page]
        assert found == [each.body for each in reversed(self.of_user(user))]
        assert total == len(found)

    @step(project=picks, by=approaches, door=doors, size=page_sizes)
    def list_agents(self, project: Project, by: str, door: Door, size: int) -> None:
        found = self.listed(project, by, door, "ListAgents", "agents", size)
        if found is not None:
            assert [agent_body(each) for each in found] == [each.body for each in reversed(project.living_agents)]

    @step(project=picks, by=approaches, door=doors, size=page_sizes)
    def list_sessions(self, project: Project, by: str, door: Door, size: int) -> None:
        found = self.listed(project, by, door, "ListSessions", "sessions", size)
        if found is not None:
            assert [each["id"] for each in found] == [each.id for each in reversed(project.living_sessions)]
            for body, session in zip(found, reversed(project.living_sessions), strict=True):
                self.compare_session(session, body)

    @step(
        project=picks,
        session=st.none() | picks,
        states=st.lists(
            st.sampled_from(["queued", "running", "succeeded", "cancelled", "failed"]), max_size=2, unique=True
        ),
        by=approaches,
        door=doors,
        size=page_sizes,
    )
    def list_runs(
        self, project: Project, session: Session | None, states: list[str], by: str, door: Door, size: int
    ) -> None:
        query: Json = {"state": states} if states else {}
        if session is not None:
            query["session_id"] = session.id
        found = self.listed(project, by, door, "ListRuns", "runs", size, **query)
        if found is not None:
            expected = [
                run.shown
                for run in reversed(project.living_runs)
                if (not states or run.state in states) and session in (None, run.session)
            ]
            assert [run_as_shown(each) for each in found] == expected

    # -- again, and other trouble ---------------------------------------------------------------------------------

    @step(made=picks, door=doors, way=st.sampled_from(["SendMessage", "StreamMessage", "CreateRun"]))
    def repeat(self, made: Keyed, door: Door, way: str) -> None:
        rpc = made.rpc
        if isinstance(made.made, Run):
            rpc = way if made.made.state not in ("queued", "running") else "CreateRun"
        answer = self.ask(made.owner, door, rpc, **made.values)
        if made.gone:
            assert answer.code == "NOT_FOUND"
            return
        match made.made:
            case Project():
                assert answer.made == made.made.body
            case Agent():
                assert agent_body(answer.made) == made.made.body
            case Session():
                self.compare_session(made.made, answer.made)
            case Run() as run if rpc == "SendMessage" and run.state == "cancelled":
                assert (answer.code, answer.reason) == ("ABORTED", "RUN_CANCELLED")
            case Run() as run:
                assert run_of(rpc, answer) == run.id

    @step(made=picks, door=doors)
    def reuse_key(self, made: Keyed, door: Door) -> None:
        answer = self.ask(made.owner, door, made.rpc, **{**made.values, **made.other_content})
        if made.place_is_gone:
            assert answer.code == "NOT_FOUND"
        else:
            assert (answer.code, answer.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    @precondition(lambda self: LONG)
    @step(chance=st.integers(0, 4))
    def crash(self, chance: int) -> None:
        if chance == 0:
            self.stage.wait(self.stage.suite.kill())
            self.stage.wait(self.stage.suite.start())

    # -- always ---------------------------------------------------------------------------------------------------

    @invariant()
    def everyone_sees_their_own_projects(self) -> None:
        self.turn += 1
        if self.turn % 3 == 0:
            self.list_projects(self.turn % 2, nth(list(Door), self.turn // 2), 200)

    def teardown(self) -> None:
        """At the end of a life everything is looked at once more; then nothing is left of it."""
        try:
            for number, project in enumerate(self.known):
                door = nth(list(Door), number)
                self.get_project(project, OWNER, door)
                self.list_agents(project, OWNER, door, 3)
                self.list_sessions(project, OWNER, door, 2)
                self.list_runs(project, None, [], OWNER, door, 4)
                for session in project.living_sessions:
                    self.read_history(session, OWNER, door, 3)
        finally:
            for project in self.of_user(0) + self.of_user(1):
                self.ask(project.owner, Door.HTTP, "DeleteProject", **project.named)
                project.deleted = True
            for user in (0, 1):
                self.list_projects(user, Door.GRPC, 200)


def nth(things: list[Result], number: int) -> Result:
    return things[number % len(things)]


def agent_body(body: Json) -> Json:
    """An agent without its status, which changes by itself while it works."""
    return {name: value for name, value in body.items() if name != "status"}


def session_body(body: Json) -> Json:
    """A session without what changes by itself while its runs go on."""
    return {name: value for name, value in body.items() if name not in ("updated_at", "last_event_id")}


def updated(before: Json, after: Json, changes: Json, written: bool = True) -> Json:
    """The body after an update, which must be the one before with these changes, and a later `updated_at`."""
    assert after == {**patched(before, changes), "updated_at": after["updated_at"]}
    assert after["updated_at"] >= before["updated_at"] if written else after["updated_at"] == before["updated_at"]
    return after


def final(answer: Answer) -> Json:
    [event] = [event for event in answer.made if event["final"]]
    return dict(event)


def run_of(rpc: str, answer: Answer) -> str:
    match rpc:
        case "SendMessage":
            return str(answer.made["run_id"])
        case "StreamMessage":
            return str(final(answer)["run_id"])
        case _:
            return str(answer.made["id"])


async def test_two_users_doing_anything_find_exactly_what_they_made(suite: Suite, model: FakeModel) -> None:
    tokens = await asyncio.gather(*(suite.token(str(uuid.uuid4())) for _ in range(2)))
    async with AsyncExitStack() as stack:
        ann, bob = [await stack.enter_async_context(calling(suite, token)) for token in tokens]
        stage = Stage(suite, model, (ann, bob), asyncio.get_running_loop())
        bounds = settings(
            max_examples=EXAMPLES,
            stateful_step_count=80,
            derandomize=not LONG,
            database=None,
            deadline=None,
            # Each example is seconds long: of a failure the first is shown, and made shorter only when there is time.
            phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        await asyncio.to_thread(run_state_machine_as_test, lambda: Truth(stage), settings=bounds)
    # What a query forgets is hidden by the guard behind it: it must have had nothing to do.
    logs = [path.read_text(errors="replace") for path in suite.folder.glob("*.log")]
    assert [line for log in logs for line in log.splitlines() if "row of another owner caught" in line] == []
