"""What happens while a task is executed, or something else is answered by the model."""

from dataclasses import dataclass
from typing import Literal

from services.agents.agent import AgentStatus
from services.agents.memory.model import Found
from services.agents.models import Usage


@dataclass(frozen=True)
class Working:
    """The task entered a phase; `position` counts the tasks ahead of it while it is queued."""

    phase: Literal["queued", "thinking", "tool"]
    position: int | None = None


@dataclass(frozen=True)
class ContextRetrieved:
    """Memory was searched for what helps with the task: `found` is in the prompt, as far as it fits.

    `unavailable` is the reason why it could not be searched; the task goes on without.
    """

    found: tuple[Found, ...] = ()
    unavailable: str | None = None


@dataclass(frozen=True)
class StatusChanged:
    """The agent became busy, or ready again; or it cannot work until somebody changes something."""

    status: AgentStatus


@dataclass(frozen=True)
class ModelCalled:
    """The model is about to be called, with about so many tokens."""

    prompt_tokens: int


@dataclass(frozen=True)
class Delta:
    """A piece of the answer; `offset` counts Unicode code points."""

    offset: int
    text: str


@dataclass(frozen=True)
class Completed:
    """It is done, always last; `output` is all deltas joined."""

    output: str
    usage: Usage


AnswerEvent = ModelCalled | Delta | Completed
ExecutionEvent = Working | ContextRetrieved | StatusChanged | AnswerEvent
