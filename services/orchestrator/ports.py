"""The services that the orchestrator calls, as it sees them. Adapters: agents_client, streams_client."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from services.orchestrator.model import Agent, Event, Lease, Message, Question, Usage
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
class Paused:
    """The task stops here, and goes on in another attempt once the user has decided."""

    questions: tuple[Question, ...]


Happening = Progress | Delta | Completed | Paused


class Agents(Protocol):
    """Where tasks are executed."""

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        """Return the agent that `target` means. Raise NotFound `AGENT_NOT_FOUND`, AgentsUnreachable."""

    def execute(self, lease: Lease, history: list[Message]) -> AsyncGenerator[Happening, None]:
        """Run the lease's task, which knows the lease's decisions; the last element is Completed or Paused.

        Closing the iterator stops the task down to the model's connection. Raise AgentsUnreachable, or the task's own
        failure as a CodelabError.
        """


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
    """A piece of the answer for watchers; with `snapshot`, the whole of it so far (`offset` is 0 then)."""

    message_id: str
    task_id: str
    agent_id: str
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
