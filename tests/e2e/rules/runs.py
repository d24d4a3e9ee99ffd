"""What two users send, and what becomes of it."""

import uuid

import hypothesis.strategies as st

from tests.e2e.doors import Answer, Door
from tests.e2e.lives import OWNER, Life, approaches, doors, nth, page_sizes, picks, step, texts
from tests.e2e.polling import eventually
from tests.e2e.truth import Agent, Json, Keyed, Project, Run, Session, run_as_shown
from tests.fakes.openai_script import DEFAULT_ANSWER, Script


class RunRules(Life):
    """A message is answered at once, or when its gate at the model is opened; another waits, is refused or replaces."""

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


def run_of(rpc: str, answer: Answer) -> str:
    match rpc:
        case "SendMessage":
            return str(answer.made["run_id"])
        case "StreamMessage":
            return str(final(answer)["run_id"])
        case _:
            return str(answer.made["id"])


def final(answer: Answer) -> Json:
    [event] = [event for event in answer.made if event["final"]]
    return dict(event)
