"""What the orchestrator remembers. The docstrings are the contract; every backend passes tests/conformance.

Whatever takes an `Owner` sees only that user's resources in that project; anything else is absent. A deleted session or
project is absent from the moment its deletion is committed, and stays so.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from services.orchestrator.model import (
    Accepted,
    Ended,
    Event,
    Failure,
    Lease,
    Message,
    NewRun,
    Outbox,
    Owner,
    Page,
    Run,
    RunState,
    Session,
    Usage,
)
from services.runtime.idempotency import RequestKey


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
        """Create a session, or return the one that `key` stands for. Raise ProjectNotFound, RequestIdReused."""

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
    """

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        """Store the message and its run: leased to `process` if the session is idle, else as `new.on_busy` says.

        A known `key` joins the earlier run. Raise SessionNotFound, ProjectNotFound, SessionBusy, RequestIdReused.
        """

    async def get_run(self, owner: Owner, run_id: str) -> Run:
        """Return the run. Raise RunNotFound."""

    async def get_answer(self, owner: Owner, run_id: str) -> tuple[Run, Message | None]:
        """Return the run and its answer, if it has one. Raise RunNotFound."""

    async def list_runs(
        self, owner: Owner, states: Collection[RunState], session_id: str | None, page_size: int, page_token: str
    ) -> Page[Run]:
        """Return a page, newest first; `states` empty is all. Raise ProjectNotFound, InvalidPageToken."""

    async def list_events(self, owner: Owner, run_id: str, page_size: int, page_token: str) -> Page[Event]:
        """Return a page of the run's timeline, oldest first. Raise RunNotFound, InvalidPageToken."""

    async def history(self, lease: Lease, limit: int) -> list[Message]:
        """Return the latest `limit` messages before the run's own, oldest first."""

    async def begin_attempt(self, lease: Lease, process: str, now: datetime) -> Lease:
        """Count another attempt at the task, with a new generation of its text. Raise LeaseLost."""

    async def succeed(self, lease: Lease, process: str, output: str, usage: Usage, now: datetime) -> Ended:
        """End the run with its answer stored, and promote the session's next. Raise LeaseLost."""

    async def fail(self, lease: Lease, process: str, error: Failure, now: datetime) -> Ended:
        """End the run without an answer, and promote the session's next. Raise LeaseLost."""

    async def cancel(self, owner: Owner, run_id: str, process: str, now: datetime) -> tuple[Run, Ended | None]:
        """Cancel the run, in whatever state before its end, and promote the session's next.

        A cancelled run stays as it is (None). Raise RunNotFound, RunFinished.
        """

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        """Renew the leases of these runs; return those that `process` still owns."""

    async def take_over(self, process: str, limit: int, now: datetime) -> tuple[list[Lease], list[Ended]]:
        """Take runs whose lease has expired and queued runs of idle sessions.

        A run that was taken over too often without progress is failed instead, and returned as ended.
        """

    async def release(self, process: str) -> None:
        """Let every lease of `process` expire now, without counting against its run."""

    async def acknowledge(self, published: Sequence[tuple[str, int, str]]) -> None:
        """Record that events (run_id, n) are published under an event id."""

    async def unpublished(self, older_than: datetime, limit: int, excluding: Collection[str]) -> list[Outbox]:
        """Return events that nobody is known to have published, by run, of runs not in `excluding`."""
