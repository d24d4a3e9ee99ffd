"""What the orchestrator works with. Field names are the contract's; enums are the contract's words in lower case."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

Element = TypeVar("Element")


class Mode(StrEnum):
    """How a message is worked on."""

    DIRECT = "direct"
    ORCHESTRATED = "orchestrated"


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    PLANNING = "planning"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (RunState.PLANNING, RunState.RUNNING, RunState.WAITING_APPROVAL)
"""States of which a session has at most one run."""
UNFINISHED = (*ACTIVE, RunState.QUEUED)
LEASED = (RunState.PLANNING, RunState.RUNNING)
"""States in which some process owns the run and renews its lease."""
FINISHED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
RETRYABLE = (RunState.FAILED, RunState.CANCELLED)


class PlanOrigin(StrEnum):
    """Where a plan comes from."""

    MODEL = "model"
    MENDED = "mended"
    FALLBACK = "fallback"
    USER = "user"


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class OnBusy(StrEnum):
    """What happens to a message when its session has an active run."""

    QUEUE = "queue"
    REJECT = "reject"
    REPLACE = "replace"


class ApprovalKind(StrEnum):
    """What is to be approved."""

    TOOL = "tool"
    PLAN = "plan"


class ApprovalState(StrEnum):
    """Where a decision stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class ApprovalScope(StrEnum):
    """How far an approval goes: to what was asked, or to every later call of the tool in the run."""

    ONCE = "once"
    RUN = "run"


ENDED_TASK = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)


@dataclass(frozen=True)
class Owner:
    """Whose, and which project's: every query carries both."""

    user_id: str
    project_id: str


@dataclass(frozen=True)
class Session:
    """A conversation in a project."""

    id: str
    project_id: str
    title: str | None
    message_count: int
    created_at: datetime
    updated_at: datetime
    last_event_id: str | None


@dataclass(frozen=True)
class Message:
    """What somebody said in a session."""

    id: str
    session_id: str
    run_id: str | None
    role: Role
    content: str
    agent_id: str | None
    timestamp: datetime
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What a piece of work cost at the model."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0

    @property
    def tokens(self) -> int:
        """Sent and produced."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.model_calls + other.model_calls,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.model_calls - other.model_calls,
        )


@dataclass(frozen=True)
class Failure:
    """Why something failed: a name for programs, a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Agent:
    """The agent that a message means."""

    id: str
    name: str


@dataclass(frozen=True)
class Task:
    """One agent's part of a run."""

    id: str
    agent_id: str
    agent_name: str
    title: str
    instruction: str
    state: TaskState
    attempt: int
    depends_on: tuple[str, ...] = ()
    output: str | None = None
    error: Failure | None = None
    usage: Usage = Usage()
    started_at: datetime | None = None
    finished_at: datetime | None = None


DIRECT_TASK = "answer"
"""The id of the task of a plan that is one task for one agent."""
_TITLE_LENGTH = 80


def title_of(request: str) -> str:
    """What a request is about, in a line."""
    return request.strip().split("\n", 1)[0][:_TITLE_LENGTH]


@dataclass(frozen=True)
class Plan:
    """A graph of tasks, each after those it depends on; a direct run's is one task, and has no origin.

    `problems` is what was wrong with the model's proposals.
    """

    tasks: tuple[Task, ...] = ()
    origin: PlanOrigin | None = None
    problems: tuple[Failure, ...] = ()
    planning_seconds: float | None = None

    def with_tasks(self, tasks: Iterable[Task]) -> "Plan":
        """The plan with these of its tasks as they are now."""
        now = {task.id: task for task in tasks}
        return replace(self, tasks=tuple(now.get(task.id, task) for task in self.tasks))


@dataclass(frozen=True)
class Approval:
    """Something that waits, or waited, for its user's decision. `payload` says what exactly would happen."""

    id: str
    run_id: str
    task_id: str | None
    kind: ApprovalKind
    state: ApprovalState
    payload: dict[str, Any]
    reason: str | None
    expires_at: datetime
    decided_at: datetime | None
    created_at: datetime
    changed: dict[str, Any] | None = None
    """What the user changed it to: a tool's arguments, a plan."""
    scope: ApprovalScope | None = None
    """Unless it was approved, None."""


@dataclass(frozen=True)
class Question:
    """Something to ask the user; `id` is the approval's.

    `schema` is what the user's changes are held against, and nobody is shown it: of a tool the JSON schema of its
    arguments, of a plan `{"agents": [{"id", "name"}], "max_tasks"}`.
    """

    id: str
    kind: ApprovalKind
    payload: dict[str, Any]
    expires_at: datetime
    schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the user says to a question. `arguments` and `plan` are what it is changed to, with an approval only."""

    approve: bool
    reason: str | None = None
    arguments: dict[str, Any] | None = None
    plan: dict[str, Any] | None = None
    scope: ApprovalScope = ApprovalScope.ONCE


@dataclass(frozen=True)
class Run:
    """The work that one message started."""

    id: str
    session_id: str
    mode: Mode
    state: RunState
    plan: Plan
    message_id: str | None
    retry_of: str | None
    error: Failure | None
    stop_reason: str | None
    usage: Usage
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    last_event_id: str | None
    approvals: tuple[Approval, ...] = ()
    """What it waits for, oldest first."""


@dataclass(frozen=True)
class Event:
    """A committed change of a run's state: number `n` of the run, from 1.

    `id` is its place in the stream, once it is published; `payload` has the shape of the contract's payload of that
    `type`.
    """

    n: int
    type: str
    payload: dict[str, Any]
    timestamp: datetime
    final: bool = False
    id: str | None = None


@dataclass(frozen=True)
class UnendedCall:
    """A call of a tool that some attempt at a task began, and of which nobody has told how it ended."""

    id: str
    tool: str
    agent_id: str


@dataclass(frozen=True)
class Outcome:
    """How a run stands for somebody who waits for its answer."""

    state: RunState
    error: Failure | None
    answer: Message | None


@dataclass(frozen=True)
class Page(Generic[Element]):
    """A page of a list: its elements, how many there are in all, the token of the next page (empty at the end)."""

    elements: list[Element]
    total: int
    next_page_token: str
