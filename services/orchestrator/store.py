"""What the orchestrator remembers. The docstrings are the contract; every backend passes tests/conformance.

Whatever takes an `Owner` sees only that user's resources in that project; anything else is absent. A deleted session or
project is absent from the moment its deletion is committed, and stays so.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.orchestrator.leases import Accepted, Decided, Ended, Ending, Lease, NewRetry, NewRun, Outbox
from services.orchestrator.model import (
    Approval,
    ApprovalState,
    Decision,
    Event,
    Message,
    Outcome,
    Owner,
    Page,
    Plan,
    Question,
    Run,
    RunState,
    Session,
    Task,
    UnendedCall,
    Usage,
)
from services.orchestrator.timeline import Happened
from services.runtime.idempotency import RequestKey

_NOTHING: Mapping[str, str] = {}


class SessionStore(Protocol):
    """Projects as far as sessions need them, sessions, and their messages."""

    async def admit_project(self, owner: Owner) -> None:
        """Let the project have sessions. Idempotent. Raise ProjectDeleted if it was deleted."""

    async def delete_project(self, owner: Owner) -> list[str]:
        """Close the project for good, delete its sessions, cancel their runs. Idempotent.

        Return the ids of the runs that were active.
        """

    async def create_session(
        self, owner: Owner, session_id: str, title: str | None, key: RequestKey | None, now: datetime
    ) -> Session:
        """Create a session, or return the one that `key` stands for.

        Raise ProjectNotFound, RequestIdReused, SessionNotFound if what the key stands for was deleted since.
        """

    async def get_session(self, owner: Owner, session_id: str) -> Session:
        """Return the session. Raise SessionNotFound."""

    async def list_sessions(self, owner: Owner, page_size: int, page_token: str) -> Page[Session]:
        """Return a page, newest first. Raise ProjectNotFound, InvalidPageToken."""

    async def rename_session(self, owner: Owner, session_id: str, title: str | None, now: datetime) -> Session:
        """Change the title. Raise SessionNotFound."""

    async def delete_session(self, owner: Owner, session_id: str, now: datetime) -> list[str]:
        """Delete the session and cancel its runs. Return the ids of those that were active. Raise SessionNotFound."""

    async def list_messages(self, owner: Owner, session_id: str, page_size: int, page_token: str) -> Page[Message]:
        """Return a page, oldest first in it; the first page holds the latest.

        Raise SessionNotFound, InvalidPageToken.
        """

    async def deleted_sessions(self, limit: int, project: Owner | None = None) -> dict[Owner, list[str]]:
        """Return sessions that are deleted and not purged, of `project` or of all."""

    async def purge_sessions(self, owner: Owner, session_ids: Sequence[str]) -> None:
        """Remove every row of these deleted sessions."""


class RunStore(Protocol):
    """Runs: one active a session, each owned by one process at a time, each change an event in the same transaction.

    A process is known by `process`, an id of its boot. What it writes to a run it writes under its lease; a write under
    a lease that is no longer the run's raises LeaseLost and changes nothing.

    Whoever may speak for a run is given all of its events that are not known to be published, oldest first: with the
    lease, with a cancellation, by `unpublished`.
    """

    async def find(self, owner: Owner, session_id: str, key: RequestKey | None, now: datetime) -> Run | None:
        """Return the run that `key` stands for, None if there is none yet. Raise SessionNotFound, RequestIdReused."""

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        """Store the message and its run: leased to `process` if the session is idle, else as `new.on_busy` says.

        A known `key` joins the earlier run. Raise SessionNotFound, ProjectNotFound, SessionBusy, TooManyRuns,
        TooManyQueuedRuns, RequestIdReused: they leave nothing behind.
        """

    async def retry(
        self, owner: Owner, again: NewRetry, key: RequestKey | None, process: str, now: datetime
    ) -> Accepted:
        """Store a run that does again what a failed or cancelled one did not; else as `accept`.

        Raise RunNotFound, ProjectNotFound, RunNotRetryable, RunRetried, and what `accept` raises: they leave nothing
        behind.
        """

    async def accepted(self, owner: Owner, run_id: str, process: str) -> Accepted | None:
        """Return the run that `accept` or `retry` made, None if none: for whoever did not hear the answer.

        What it replaced is not in it: the next renewal stops that, and `unpublished` has what it has to tell.
        """

    async def get_run(self, owner: Owner, run_id: str) -> Run:
        """Return the run. Raise RunNotFound."""

    async def get_outcome(self, owner: Owner, run_id: str) -> Outcome:
        """Return how the run stands, and its answer if it has one. Raise RunNotFound."""

    async def list_runs(
        self, owner: Owner, states: Collection[RunState], session_id: str | None, page_size: int, page_token: str
    ) -> Page[Run]:
        """Return a page, newest first; `states` empty is all. Raise ProjectNotFound, InvalidPageToken."""

    async def list_events(self, owner: Owner, run_id: str, page_size: int, page_token: str) -> Page[Event]:
        """Return a page of the run's timeline, oldest first. Raise RunNotFound, InvalidPageToken."""

    async def history(self, lease: Lease, limit: int) -> list[Message]:
        """Return the latest `limit` messages before the one that the run answers, oldest first."""

    async def asked(self, lease: Lease) -> str:
        """Return the user's message that the run answers."""

    async def plan(self, lease: Lease, process: str, plan: Plan, spent: Usage, now: datetime) -> Lease:
        """Give a run that is being planned its tasks, and let it run; it cost `spent`. Raise LeaseLost.

        Tasks of the plan may be running already. The lease returned has the events of this change alone.
        """

    async def advance(
        self,
        lease: Lease,
        process: str,
        tasks: Sequence[Task],
        spent: Usage,
        now: datetime,
        paused: Mapping[str, str] = _NOTHING,
    ) -> Lease:
        """Store tasks of the run as they are now; it cost `spent` more. Raise LeaseLost.

        `paused` is where some of them go on (see Lease), which is progress. What is told: of a task that runs, that its
        attempt began; of one that ended or is skipped, that. If one ended, takeovers are counted anew. The lease
        returned has the events of this change alone.
        """

    async def note(self, lease: Lease, process: str, happened: Happened, now: datetime) -> Lease:
        """Add an event to the run's timeline that changes nothing. Raise LeaseLost.

        The lease returned has that event alone; none, if the timeline has one of this type and of the same `call_id`.
        Noted is progress: takeovers are counted anew.
        """

    async def open_calls(self, lease: Lease, task_id: str) -> list[UnendedCall]:
        """Return the task's calls of which the run's timeline has the beginning and no end, in order."""

    async def standing(self, lease: Lease, process: str) -> Lease:
        """Return the lease as it is stored: for whoever did not hear the answer to a change. Raise LeaseLost.

        It has all events that are not known to be published.
        """

    async def end(self, lease: Lease, process: str, ending: Ending, now: datetime) -> Ended:
        """End the run, store its answer if it has one, and promote the session's next. Raise LeaseLost.

        It has succeeded unless there is an error. The outbox has the events of the end alone: what came before is with
        the lease's holder.
        """

    async def cancel(self, owner: Owner, run_id: str, process: str, now: datetime) -> tuple[Run, Ended | None]:
        """Cancel the run, in whatever state before its end, and promote the session's next.

        A cancelled run stays as it is (None). Raise RunNotFound, RunFinished.
        """

    async def ended(self, owner: Owner, run_id: str, process: str) -> Ended | None:
        """Return what followed from the run's end, None without one: for whoever did not hear the answer to ending it.

        The outbox has the epoch of the end, and all that is not known to be published; promoted is what `process` was
        given of the session and has not begun.
        """

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        """Renew the leases of these runs; return those that `process` still owns.

        One that another transaction holds is not renewed this time, and not waited for.
        """

    async def orphaned(self, limit: int) -> list[str]:
        """Return ids of sessions where nobody works though there is work: a lease expired, or a run waits for none."""

    async def adopt(self, session_id: str, process: str, now: datetime) -> Lease | Ended | None:
        """Take the session's run whose lease has expired, or start the first that waits; None if neither is there.

        What another transaction holds is not waited for: None, and it is orphaned still. A run that was taken over too
        often without progress is failed instead, and returned as ended.
        """

    async def release(self, process: str) -> None:
        """Let every lease of `process` expire now, without counting against its run."""

    async def acknowledge(self, published: Sequence[tuple[str, int, str]]) -> None:
        """Record that events (run_id, n) are published under an event id, in the order in which they were."""

    async def unpublished(self, older_than: datetime, limit: int, excluding: Collection[str]) -> list[Outbox]:
        """Return what at most `limit` runs have to tell whose first such event is older than `older_than`.

        Oldest first; runs in `excluding` are left out.
        """


class ApprovalStore(Protocol):
    """What runs ask their users, and the parking of runs meanwhile: nobody owns or leases a parked run.

    Parking and deciding both lock the run's row and then look at what is undecided: whichever comes second sees the
    other. A run that ends takes its questions with it.
    """

    async def ask(
        self,
        lease: Lease,
        process: str,
        task: Task | None,
        questions: Sequence[Question],
        spent: Usage,
        now: datetime,
        paused: str = "",
    ) -> Lease:
        """Let a task wait for these decisions, stored as it is but for its state. Raise LeaseLost.

        `paused` is where it goes on (see Lease). Without a task the question is about the plan of a run that is being
        planned, and has none until then. The lease returned has the events of the questions alone.
        """

    async def park(self, lease: Lease, process: str) -> Lease | None:
        """Give the run up until its user decides, None if so; nothing of it may be running. Raise LeaseLost.

        If all is decided that one of its tasks waits for, or about its plan, the lease stays, and is returned with the
        decisions.
        """

    async def decide(self, owner: Owner, approval_id: str, decision: Decision, process: str, now: datetime) -> Decided:
        """Approve or reject. The last decision that a parked task waits for leases its run to `process`.

        A run that waits for a decision about its plan is being planned again then. Deciding the same again changes
        nothing; another reason is no other decision. Raise ApprovalNotFound, ApprovalDecided, InvalidArgument if what
        it is changed to does not fit the question's schema.
        """

    async def get_approval(self, owner: Owner, approval_id: str, now: datetime) -> Approval:
        """Return the approval, expired if nobody decided in time. Raise ApprovalNotFound."""

    async def list_approvals(
        self,
        owner: Owner,
        states: Collection[ApprovalState],
        run_id: str | None,
        page_size: int,
        page_token: str,
        now: datetime,
    ) -> Page[Approval]:
        """Return a page, newest first, of those in one of these states. Raise ProjectNotFound, InvalidPageToken.

        What nobody decided in time is expired, also if `expire` has not come to it.
        """

    async def expire(self, process: str, now: datetime, limit: int) -> list[Decided]:
        """Reject, as expired, at most `limit` questions that nobody answered in time, of whatever user; as `decide`."""
