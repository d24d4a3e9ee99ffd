"""What happens while a task is executed, or something else is answered by the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.agents.agent import AgentStatus
from services.agents.memory.model import Found
from services.agents.models import Usage
from services.agents.tools.tool import Output, Risk


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
    """It is done, last unless it is paused; `output` is all deltas joined."""

    output: str
    usage: Usage


AnswerEvent = ModelCalled | Delta | Completed


@dataclass(frozen=True)
class ToolStarted:
    """A tool begins; `call_id` is unique among the calls of all runs."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCompleted:
    """A tool ended, with what the model is told of it."""

    call_id: str
    tool: str
    output: Output


@dataclass(frozen=True)
class WantedApproval:
    """What is to be known of a tool whose call needs its user's approval.

    `warnings` are sentences about what a reader may overlook in the arguments.
    """

    risk: Risk
    warnings: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class WantedConsultation:
    """What another agent is asked, by its name or id."""

    agent: str
    question: str


@dataclass(frozen=True)
class PendingCall:
    """A call that a task waits for."""

    call_id: str
    tool: str
    arguments: Mapping[str, Any]
    wanted: WantedApproval | WantedConsultation


@dataclass(frozen=True)
class Paused:
    """The task stops here, always last; whoever goes on with it needs `state`, and to know what became of the calls."""

    state: str
    calls: tuple[PendingCall, ...]
    usage: Usage


ExecutionEvent = Working | ContextRetrieved | StatusChanged | ToolStarted | ToolCompleted | Paused | AnswerEvent
