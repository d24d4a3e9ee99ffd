"""The services that the orchestrator calls, as it sees them. Adapters: agents_client, streams_client."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from services.orchestrator.leases import Lease
from services.orchestrator.model import Agent, Event, Failure, Message, Task, Usage
from services.runtime.errors import Unavailable


class AgentsUnreachable(Unavailable):
    """The agents service did not answer, or went away while it worked: worth another attempt."""

    reason = "AGENTS_UNAVAILABLE"


@dataclass(frozen=True)
class Progress:
    """Something to tell watchers while a task runs.

    `payload` has the shape of the contract's payload of that `type`.
    """

    type: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class Delta:
    """A piece of the answer; `offset` in Unicode code points."""

    offset: int
    text: str


@dataclass(frozen=True)
class Completed:
    """The task is done. `output` is all deltas joined."""

    output: str
    usage: Usage


@dataclass(frozen=True)
class Consultation:
    """What a task asks another agent, by its name or id, in one of its calls."""

    call_id: str
    agent: str
    question: str


@dataclass(frozen=True)
class Wanted:
    """A call of a tool that needs its user's approval: what the question's payload says, and its schema."""

    call_id: str
    payload: dict[str, Any]
    schema: dict[str, Any]


@dataclass(frozen=True)
class Paused:
    """The task stops here, and goes on from `state` in another attempt, once all is known that it waits for."""

    state: str
    wanted: tuple[Wanted, ...]
    consultations: tuple[Consultation, ...]
    usage: Usage


@dataclass(frozen=True)
class ToolEvent:
    """A tool began or ended: to be kept with the run, and then told.

    `payload` has the shape of the contract's payload of that `type`.
    """

    type: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class ModelCalled:
    """A call to the model begins; its prompt has about so many tokens. What it costs in the end Completed says."""

    prompt_tokens: int


@dataclass(frozen=True)
class Answer:
    """What became of a call that a task waited for.

    Approved, as it was asked or with other arguments; refused, `detail` says why; or done, `detail` is what it gave.
    """

    call_id: str
    kind: Literal["approved", "refused", "done"]
    detail: str = ""
    success: bool = True
    arguments: dict[str, Any] | None = None


Happening = Progress | ToolEvent | Delta | ModelCalled | Completed | Paused


@dataclass(frozen=True)
class Result:
    """What a finished task gave, for whoever builds on it."""

    task_id: str
    title: str
    output: str


@dataclass(frozen=True)
class Assignment:
    """An attempt at a task of the lease's run.

    `history` is the session before the run, oldest first; `results` those of the tasks that this one depends on;
    `request` the user's message, where the task is only a part of what it asks. `state` is where it goes on if it was
    paused, with these answers and with tools of which every call is approved; `unattended` that nobody can be asked.
    """

    lease: Lease
    task: Task
    history: Sequence[Message]
    results: tuple[Result, ...] = ()
    request: str | None = None
    state: str = ""
    answers: tuple[Answer, ...] = ()
    approved_tools: tuple[str, ...] = ()
    unattended: bool = False


@dataclass(frozen=True)
class PlannableAgent(Agent):
    """An agent, and what it may come to: the tokens of one answer, the risks of its tools in the contract's words."""

    max_tokens: int = 0
    risks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanPolicy:
    """Which plans wait for their user, by the project's policy; the limits count with `when` alone."""

    mode: Literal["never", "always", "when"] = "never"
    max_tasks: int | None = None
    max_tokens: int | None = None
    risks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """What the model answered when it was asked for a plan, and the agents it could choose from."""

    text: str
    agents: tuple[PlannableAgent, ...]
    usage: Usage
    policy: PlanPolicy = PlanPolicy()


@dataclass(frozen=True)
class Choice:
    """The agent that fits a request best."""

    agent: PlannableAgent
    policy: PlanPolicy = PlanPolicy()


@dataclass(frozen=True)
class Rejected:
    """A proposal that was no plan, and why."""

    text: str
    problems: tuple[Failure, ...]


class Agents(Protocol):
    """Where tasks are executed, and thought about."""

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        """Return the agent that `target` means. Raise NotFound `AGENT_NOT_FOUND`, AgentsUnreachable."""

    def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        """Run the task, which knows the lease's decisions about it; the last element is Completed or Paused.

        Closing the iterator stops the task down to the model's connection. Raise AgentsUnreachable, or the task's own
        failure as a CodelabError.
        """

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        """Ask the model for a plan. Cancelling the caller ends the model's work.

        Raise AgentsUnreachable, FailedPrecondition `NO_AGENTS`, or what the model failed by.
        """

    async def choose(self, lease: Lease, request: str) -> Choice:
        """Return the agent that fits the request best. Raise AgentsUnreachable, FailedPrecondition `NO_AGENTS`."""

    def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        """Make one answer of the results, which says what is missing, by titles; as `execute`, never Paused."""


@dataclass(frozen=True)
class Opening:
    """Whose events a stream of frames carries."""

    run_id: str
    session_id: str
    project_id: str
    user_id: str
    epoch: int


@dataclass(frozen=True)
class Text:
    """A piece of a text for watchers; with `snapshot`, the whole of it so far (`offset` is 0 then).

    Without a task it is the answer that is made of several results.
    """

    message_id: str
    task_id: str | None
    agent_id: str | None
    generation: int
    offset: int
    text: str
    snapshot: bool = False


Frame = Event | Progress | Text


class Streams(Protocol):
    """Where events are published."""

    async def publish(
        self, opening: Opening, frames: AsyncGenerator[Frame, None], acknowledged: Callable[[int, str], None]
    ) -> None:
        """Publish frames until there are no more; call `acknowledged(n, event_id)` for each state event.

        Raise Aborted `RUN_SUPERSEDED` if a later epoch of the run publishes, NotFound once the session is deleted,
        Unavailable if the stream breaks: what was not acknowledged then has to be published again.
        """

    async def close_sessions(self, user_id: str, project_id: str, session_ids: list[str]) -> None:
        """End the streams of deleted sessions. Idempotent. Raise Unavailable."""
