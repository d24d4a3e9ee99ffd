"""Two users do whatever comes to mind, by both doors; the suite must hold exactly what a model in plain Python holds.

`CODELAB_TRUTH_EXAMPLES` says how many lives they lead; with more than the default, the suite is killed now and then.
"""

import asyncio
import os
import uuid
from contextlib import AsyncExitStack

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, invariant, precondition, run_state_machine_as_test

from tests.e2e.doors import Door, calling
from tests.e2e.lives import OWNER, Stage, doors, nth, picks, step
from tests.e2e.rules.agents import AgentRules
from tests.e2e.rules.projects import ProjectRules
from tests.e2e.rules.runs import RunRules, run_of
from tests.e2e.rules.sessions import SessionRules
from tests.e2e.suite import Suite
from tests.e2e.truth import Agent, Keyed, Project, Run, Session, agent_body
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

USUAL_EXAMPLES = 6
EXAMPLES = int(os.environ.get("CODELAB_TRUTH_EXAMPLES", USUAL_EXAMPLES))
LONG = EXAMPLES > USUAL_EXAMPLES


class Truth(ProjectRules, AgentRules, SessionRules, RunRules):
    """One life. It begins and ends with nothing."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.turn = 0

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
