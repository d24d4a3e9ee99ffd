"""What a suite must hold after everything that was asked of it, in plain Python: the truth that it is compared with."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_script import DEFAULT_ANSWER

Json = dict[str, Any]

DEFAULT_CONFIG: Json = {
    "system_prompt": "",
    "model": "",
    "tools": [],
    "concurrency_limit": 2,
    "burst_limit": None,
    "temperature": 0.7,
    "max_tokens": 4096,
    "memory": {"top_k": 5, "min_score": 0.0},
    "metadata": {},
}
STARTER_PACK = ["CodeAssistant", "DataAnalyst", "DocumentWriter"]
UNFINISHED = ("queued", "running")


def patched(current: Json, changes: Mapping[str, Any]) -> Json:
    """What a PATCH makes: messages are changed inside, `metadata` is one value."""
    result = deepcopy(current)
    for name, value in changes.items():
        inside = isinstance(value, dict) and name != "metadata"
        result[name] = patched(result[name], value) if inside else value
    return result


def updated(before: Json, after: Json, changes: Json, written: bool = True) -> Json:
    """The body after an update, which must be the one before with these changes, and a later `updated_at`."""
    assert after == {**patched(before, changes), "updated_at": after["updated_at"]}
    assert after["updated_at"] >= before["updated_at"] if written else after["updated_at"] == before["updated_at"]
    return after


@dataclass(eq=False)
class Project:
    """A project, as its owner was last told of it, and everything in it, oldest first."""

    number: int
    owner: int
    body: Json
    agents: "list[Agent]" = field(default_factory=list)
    sessions: "list[Session]" = field(default_factory=list)
    runs: "list[Run]" = field(default_factory=list)
    deleted: bool = False

    def __repr__(self) -> str:
        return f"<project {self.number}>"

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def gone(self) -> bool:
        return self.deleted

    @property
    def named(self) -> Json:
        """The ids that a path to it names."""
        return {"project_id": self.id}

    @property
    def running(self) -> "Run | None":
        return next((run for run in self.living_runs if run.state == "running"), None)

    @property
    def living_agents(self) -> "list[Agent]":
        return [agent for agent in self.agents if not agent.gone]

    @property
    def living_sessions(self) -> "list[Session]":
        return [session for session in self.sessions if not session.gone]

    @property
    def living_runs(self) -> "list[Run]":
        return [run for run in self.runs if not run.session.gone]

    def agent_named(self, name: str) -> "Agent | None":
        return next((agent for agent in self.living_agents if agent.body["name"] == name), None)


@dataclass(eq=False)
class Agent:
    """An agent, as its owner was last told of it. Its status is not the model's affair."""

    project: Project
    body: Json
    deleted: bool = False

    def __repr__(self) -> str:
        return f"<agent {self.body['name']!r} of {self.project}>"

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def gone(self) -> bool:
        return self.deleted or self.project.deleted

    @property
    def named(self) -> Json:
        return {**self.project.named, "agent_id": self.id}


@dataclass(eq=False)
class Session:
    """A session: its title, and the runs whose messages it holds."""

    project: Project
    number: int
    body: Json
    runs: "list[Run]" = field(default_factory=list)
    deleted: bool = False

    def __repr__(self) -> str:
        return f"<session {self.number} of {self.project}>"

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def gone(self) -> bool:
        return self.deleted or self.project.deleted

    @property
    def named(self) -> Json:
        return {**self.project.named, "session_id": self.id}

    @property
    def busy(self) -> bool:
        return any(run.state in UNFINISHED for run in self.runs)

    @property
    def messages(self) -> list[Json]:
        """The history without ids and times: a message and its answer stand together."""
        return [message for run in self.runs for message in run.messages]

    def promote(self) -> None:
        """Whenever a run ends, the first that waits runs."""
        if not any(run.state == "running" for run in self.runs):
            for run in self.runs:
                if run.state == "queued":
                    run.state = "running"
                    return

    def replace(self) -> None:
        """A message that replaces: nothing before it goes on."""
        for run in self.runs:
            if run.state in UNFINISHED:
                run.state = "cancelled"


@dataclass(eq=False)
class Run:
    """A run. It ends when its gate at the model is opened, or at once if it has none."""

    session: Session
    number: int
    id: str
    agent: Agent
    content: str
    state: str
    gate: str | None = None

    def __repr__(self) -> str:
        return f"<run {self.number} in {self.session}>"

    @property
    def project(self) -> Project:
        return self.session.project

    @property
    def gone(self) -> bool:
        return self.session.gone

    @property
    def named(self) -> Json:
        return {**self.project.named, "run_id": self.id}

    @property
    def messages(self) -> Iterator[Json]:
        about = {"session_id": self.session.id, "run_id": self.id, "metadata": {}}
        yield {**about, "role": "user", "content": self.content, "agent_id": None}
        if self.state == "succeeded":
            yield {**about, "role": "assistant", "content": DEFAULT_ANSWER, "agent_id": self.agent.id}

    @property
    def shown(self) -> Json:
        """What must be seen of it, in the words of the contract."""
        task_states = {"queued": "pending"}
        return {
            "id": self.id,
            "session_id": self.session.id,
            "mode": "direct",
            "state": self.state,
            "retry_of": None,
            "error": None,
            "approvals": [],
            "task": {
                "agent_id": self.agent.id,
                "instruction": self.content,
                "title": self.content.strip().split("\n", 1)[0][:80],
                "state": task_states.get(self.state, self.state),
                "output": DEFAULT_ANSWER if self.state == "succeeded" else None,
            },
            "answered": self.state == "succeeded",
            "finished": self.state not in UNFINISHED,
        }


def agent_body(body: Json) -> Json:
    """An agent without its status, which changes by itself while it works."""
    return {name: value for name, value in body.items() if name != "status"}


def session_body(body: Json) -> Json:
    """A session without what changes by itself while its runs go on."""
    return {name: value for name, value in body.items() if name not in ("updated_at", "last_event_id")}


def run_as_shown(body: Json) -> Json:
    """The part of a run's JSON that `Run.shown` knows of."""
    [task] = body["plan"]["tasks"]
    same = ("id", "session_id", "mode", "state", "retry_of", "error", "approvals")
    shown = {name: task[name] for name in ("agent_id", "instruction", "title", "state", "output")}
    if body["state"] == "running":
        # A run that waited runs as soon as the one before it ends; its task begins a moment later.
        assert shown["state"] in ("pending", "running")
        shown["state"] = "running"
    return {
        **{name: body[name] for name in same},
        "task": shown,
        "answered": body["message_id"] is not None,
        "finished": body["finished_at"] is not None,
    }


@dataclass(eq=False)
class Keyed:
    """A request that was made with a key, and what it made."""

    rpc: str
    owner: int
    values: Json
    made: Project | Agent | Session | Run

    def __repr__(self) -> str:
        return f"<{self.rpc} of {self.made}>"

    @property
    def other_content(self) -> Json:
        match self.rpc:
            case "CreateProject":
                return {"project": {"name": "Something else"}}
            case "CreateAgent":
                return {"agent": {"name": "Something else"}}
            case "CreateSession":
                return {"session": {"title": "Something else"}}
            case _:
                return {"content": "Something else"}

    @property
    def place_is_gone(self) -> bool:
        """Whether what the request names in its path is deleted."""
        match self.made:
            case Project():
                return False
            case Run(session=session):
                return session.gone
            case Agent(project=project) | Session(project=project):
                return project.deleted

    @property
    def gone(self) -> bool:
        return self.made.gone
