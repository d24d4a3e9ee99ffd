"""The right to work on runs: how one is begun and held, what it ends with, and what stores give for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.orchestrator.model import Agent, Approval, Event, Failure, Mode, OnBusy, Plan, Run, Task, Usage


@dataclass(frozen=True)
class Lease:
    """The right to work on a run, valid while the store still has this (owner, epoch) for it.

    `answer_id` is the id the answer's message will have; `position` the run's place in its session, from 0;
    `asked_at` the place of the run that brought the message: its own, unless it retries another. `working_since` is
    when work on it began, moved on by the time in which nobody had it; `usage` what it cost so far.
    """

    run_id: str
    session_id: str
    project_id: str
    user_id: str
    epoch: int
    position: int
    asked_at: int
    answer_id: str
    mode: Mode
    plan: Plan
    working_since: datetime
    usage: Usage = field(default_factory=Usage)
    events: tuple[Event, ...] = ()
    """Every event of the run that is not known to be published, oldest first: the holder publishes them."""
    fresh: bool = True
    """Whether this grant already counts as a direct run's running attempt; a takeover's does not."""
    decisions: tuple[Approval, ...] = ()
    """What the user was asked for tasks that wait or run, or about the plan, oldest first: decided or not."""
    approved_tools: tuple[str, ...] = ()
    """Tools of which the user has approved every call in this run."""
    paused: Mapping[str, str] = field(default_factory=dict)
    """Where tasks go on that were paused, by their ids: what the agents service gave, as it gave it."""

    @property
    def task(self) -> Task:
        """A direct run's only task."""
        return self.plan.tasks[0]


@dataclass(frozen=True)
class NewRun:
    """A message to accept.

    `id` and `answer_id` are allocated by the caller; the store decides whether they are used. Without an agent the run
    is to be planned.
    """

    id: str
    answer_id: str
    message_id: str
    session_id: str
    content: str
    agent: Agent | None
    on_busy: OnBusy


@dataclass(frozen=True)
class NewRetry:
    """A run to do again; `id` and `answer_id` are the new one's."""

    id: str
    answer_id: str
    run_id: str
    on_busy: OnBusy


@dataclass(frozen=True)
class RunLimits:
    """How many runs a user may have in each of two conditions, over all projects."""

    active: int
    queued: int


@dataclass(frozen=True)
class Accepted:
    """What became of a message: its run, the lease if it runs at once, and whatever else has to be published.

    `joined` says that the request_id was known and `run` is the earlier one. `stopped` are runs that it replaced.
    """

    run: Run
    lease: Lease | None = None
    joined: bool = False
    outbox: tuple["Outbox", ...] = ()
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """How a run ends: with an answer, an error, or both, which is a part of an answer.

    `agent_id` is whose answer it is, None if it was made of several; `tasks` are those that end with the run. `spent`
    is what was not counted yet. `stop_reason` names the limit that stopped it.
    """

    answer: str | None = None
    agent_id: str | None = None
    error: Failure | None = None
    tasks: tuple[Task, ...] = ()
    spent: Usage = field(default_factory=Usage)
    execution_seconds: float = 0.0
    stop_reason: str | None = None


@dataclass(frozen=True)
class Outbox:
    """Every committed event of a run that is not known to be published, oldest first."""

    run_id: str
    session_id: str
    project_id: str
    user_id: str
    epoch: int
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Ended:
    """What a run's end set free: what it has still to tell, and the lease of the run that was promoted in its place."""

    outbox: Outbox
    promoted: Lease | None = None


@dataclass(frozen=True)
class Decided:
    """A decision, and what follows from it: the lease of the run that goes on, else what it has to tell.

    Neither, if it was made before.
    """

    approval: Approval
    outbox: Outbox | None = None
    lease: Lease | None = None
