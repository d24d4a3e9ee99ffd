"""The orchestrator's stores in dictionaries: what runs cost where nothing outlives the process.

They keep the contract of services.orchestrator.store as far as an executor and its teller use it for direct runs, and
that of sessions as far as a message needs one: no request keys, no lists, no deletion. One process, one event loop: a
method that does not await is a transaction.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.orchestrator.errors import (
    LeaseLost,
    ProjectNotFound,
    RunFinished,
    RunNotFound,
    SessionBusy,
    SessionNotFound,
)
from services.orchestrator.leases import Accepted, Decided, Ended, Ending, Lease, NewRun, Outbox
from services.orchestrator.model import (
    ACTIVE,
    DIRECT_TASK,
    FINISHED,
    LEASED,
    Event,
    Failure,
    Message,
    Mode,
    OnBusy,
    Outcome,
    Owner,
    Plan,
    Role,
    Run,
    RunState,
    Session,
    Task,
    TaskState,
    Usage,
    title_of,
)
from services.orchestrator.timeline import changed, ended, received
from services.runtime.idempotency import RequestKey

_MAX_TAKEOVERS = 3


@dataclass
class _Run:
    """A run, and what only its store knows of it."""

    owner: Owner
    run: Run
    position: int
    answer_id: str
    process: str | None
    epoch: int
    lease_until: float
    attempts: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def task(self) -> Task:
        return self.run.plan.tasks[0]

    def change(self, **values: Any) -> None:
        self.run = replace(self.run, **values)

    def happen(self, now: datetime, type: str, payload: dict[str, Any], final: bool = False) -> Event:
        event = Event(len(self.events) + 1, type, payload, now, final)
        self.events.append(event)
        return event

    def store(self, task: Task, now: datetime) -> list[Event]:
        """Store the task as it is now; what is told of that."""
        self.change(plan=Plan((task,)))
        return [self.happen(now, *happened) for happened in changed(Mode.DIRECT, [task])]

    def untold(self) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.id is None)

    def lease(self, *, events: tuple[Event, ...], fresh: bool) -> Lease:
        return Lease(
            run_id=self.run.id,
            session_id=self.run.session_id,
            project_id=self.owner.project_id,
            user_id=self.owner.user_id,
            epoch=self.epoch,
            position=self.position,
            asked_at=self.position,
            answer_id=self.answer_id,
            mode=Mode.DIRECT,
            plan=self.run.plan,
            working_since=self.run.started_at or self.run.created_at,
            usage=self.run.usage,
            events=events,
            fresh=fresh,
        )

    def outbox(self, events: tuple[Event, ...]) -> Outbox:
        owner = self.owner
        return Outbox(self.run.id, self.run.session_id, owner.project_id, owner.user_id, self.epoch, events)


@dataclass
class _Session:
    """A session with its runs, and its messages by their positions: 2n of the user, 2n + 1 the answer."""

    owner: Owner
    session: Session
    runs: list[_Run] = field(default_factory=list)
    messages: dict[int, Message] = field(default_factory=dict)

    def unfinished(self) -> list[_Run]:
        return [row for row in self.runs if row.run.state not in FINISHED]

    def say(self, position: int, message: Message) -> None:
        self.messages[position] = message
        self.session = replace(self.session, message_count=self.session.message_count + 1, updated_at=message.timestamp)


class Rows:
    """What both stores know."""

    def __init__(self) -> None:
        self.projects: set[Owner] = set()
        self.sessions: dict[str, _Session] = {}
        self.runs: dict[str, _Run] = {}
        self.untold: dict[str, _Run] = {}
        """Runs with events that are not known to be published."""

    def session(self, owner: Owner, session_id: str) -> _Session:
        """Raise SessionNotFound."""
        found = self.sessions.get(session_id)
        if found is None or found.owner != owner:
            raise SessionNotFound(session_id)
        return found


class DictSessionStore:
    """`SessionStore`, as far as a message needs a session."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def admit_project(self, owner: Owner) -> None:
        self._rows.projects.add(owner)

    async def create_session(
        self, owner: Owner, session_id: str, title: str | None, key: RequestKey | None, now: datetime
    ) -> Session:
        assert key is None
        if owner not in self._rows.projects:
            raise ProjectNotFound(owner.project_id)
        session = Session(session_id, owner.project_id, title, 0, now, now, None)
        self._rows.sessions[session_id] = _Session(owner, session)
        return session

    async def get_session(self, owner: Owner, session_id: str) -> Session:
        return self._rows.session(owner, session_id).session


class DictRunStore:
    """`RunStore`, as far as an executor uses it."""

    def __init__(self, rows: Rows, lease_seconds: float) -> None:
        self._rows = rows
        self._lease_seconds = lease_seconds

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None, process: str, now: datetime) -> Accepted:
        assert key is None
        session = self._rows.session(owner, new.session_id)
        before = session.unfinished()
        if before and new.on_busy is OnBusy.REJECT:
            raise SessionBusy(new.session_id, before[0].run.id)
        replaced: list[Outbox] = []
        if new.on_busy is OnBusy.REPLACE:
            replaced = [self._cancel(row, "replaced", now) for row in before]
            before = []
        row = self._insert(session, new, None if before else process, now)
        stopped = tuple(outbox.run_id for outbox in replaced)
        if before:
            return Accepted(row.run, outbox=(*replaced, row.outbox(row.untold())), stopped=stopped)
        lease = row.lease(events=row.untold(), fresh=True)
        return Accepted(row.run, lease=lease, outbox=tuple(replaced), stopped=stopped)

    async def get_run(self, owner: Owner, run_id: str) -> Run:
        return self._own(owner, run_id).run

    async def get_outcome(self, owner: Owner, run_id: str) -> Outcome:
        row = self._own(owner, run_id)
        answer = self._rows.sessions[row.run.session_id].messages.get(2 * row.position + 1)
        return Outcome(row.run.state, row.run.error, answer)

    async def history(self, lease: Lease, limit: int) -> list[Message]:
        messages = self._rows.sessions[lease.session_id].messages
        before = [messages[position] for position in range(2 * lease.position) if position in messages]
        return before[-limit:]

    async def asked(self, lease: Lease) -> str:
        return self._rows.sessions[lease.session_id].messages[2 * lease.position].content

    async def advance(self, lease: Lease, process: str, tasks: Sequence[Task], spent: Usage, now: datetime) -> Lease:
        row = self._fence(lease, process)
        told = [event for task in tasks for event in row.store(task, now)]
        row.change(usage=row.run.usage + spent)
        self._rows.untold[row.run.id] = row
        return row.lease(events=tuple(told), fresh=True)

    async def end(self, lease: Lease, process: str, ending: Ending, now: datetime) -> Ended:
        return self._end(self._fence(lease, process), lease, process, ending, now)

    async def cancel(self, owner: Owner, run_id: str, process: str, now: datetime) -> tuple[Run, Ended | None]:
        row = self._own(owner, run_id)
        if row.run.state is RunState.CANCELLED:
            return row.run, None
        if row.run.state in FINISHED:
            raise RunFinished(run_id, row.run.state.value)
        outbox = self._cancel(row, "cancelled", now)
        return row.run, Ended(outbox, self._promote(row.run.session_id, process, now))

    async def renew(self, process: str, run_ids: Collection[str]) -> set[str]:
        mine = [row for run_id in run_ids if (row := self._rows.runs.get(run_id)) and self._leased_to(row, process)]
        for row in mine:
            row.lease_until = self._lease_end()
        return {row.run.id for row in mine}

    async def orphaned(self, limit: int) -> list[str]:
        return [each for each, session in self._rows.sessions.items() if self._is_orphaned(session)][:limit]

    async def adopt(self, session_id: str, process: str, now: datetime) -> Lease | Ended | None:
        session = self._rows.sessions.get(session_id)
        if session is None:
            return None
        row = next((each for each in session.unfinished() if self._is_expired(each)), None)
        if row is None:
            return self._promote(session_id, process, now)
        row.process, row.epoch, row.attempts = process, row.epoch + 1, row.attempts + 1
        row.lease_until = self._lease_end()
        if row.attempts <= _MAX_TAKEOVERS:
            return row.lease(events=row.untold(), fresh=False)
        untold, error = row.untold(), Failure("RUN_ABANDONED", "the run never got further")
        failed = replace(row.task, state=TaskState.FAILED, error=error, finished_at=now)
        lease = row.lease(events=untold, fresh=False)
        ended = self._end(row, lease, process, Ending(error=error, tasks=(failed,)), now)
        return replace(ended, outbox=row.outbox(untold + ended.outbox.events))

    async def release(self, process: str) -> None:
        for row in self._rows.runs.values():
            if self._leased_to(row, process) and row.lease_until > 0:
                row.lease_until, row.attempts = 0.0, row.attempts - 1

    async def acknowledge(self, published: Sequence[tuple[str, int, str]]) -> None:
        for run_id, n, event_id in published:
            row = self._rows.runs.get(run_id)
            if row is None:
                continue
            row.events[n - 1] = replace(row.events[n - 1], id=event_id)
            row.change(last_event_id=event_id)
            session = self._rows.sessions[row.run.session_id]
            session.session = replace(session.session, last_event_id=event_id)
            if not row.untold():
                self._rows.untold.pop(run_id, None)

    async def unpublished(self, older_than: datetime, limit: int, excluding: Collection[str]) -> list[Outbox]:
        told = [row.outbox(row.untold()) for run_id, row in self._rows.untold.items() if run_id not in excluding]
        left = [outbox for outbox in told if outbox.events[0].timestamp < older_than]
        return sorted(left, key=lambda outbox: outbox.events[0].timestamp)[:limit]

    def _insert(self, session: _Session, new: NewRun, process: str | None, now: datetime) -> _Run:
        """Begun if there is a process to begin it, else queued."""
        assert new.agent is not None
        title = title_of(new.content)
        task = Task(DIRECT_TASK, new.agent.id, new.agent.name, title, new.content, TaskState.PENDING, 0)
        state, started, epoch = (RunState.QUEUED, None, 0) if process is None else (RunState.RUNNING, now, 1)
        run = Run(
            id=new.id,
            session_id=new.session_id,
            mode=Mode.DIRECT,
            state=state,
            plan=Plan((task,)),
            message_id=None,
            retry_of=None,
            error=None,
            stop_reason=None,
            usage=Usage(),
            created_at=now,
            started_at=started,
            finished_at=None,
            last_event_id=None,
        )
        row = _Run(session.owner, run, len(session.runs), new.answer_id, process, epoch, self._lease_end())
        self._rows.runs[new.id] = self._rows.untold[new.id] = row
        session.runs.append(row)
        message = Message(new.message_id, new.session_id, new.id, Role.USER, new.content, None, now)
        session.say(2 * row.position, message)
        row.happen(now, *received(message))
        if process is not None:
            row.store(replace(task, state=TaskState.RUNNING, attempt=1, started_at=now), now)
        return row

    def _end(self, row: _Run, lease: Lease, process: str, ending: Ending, now: datetime) -> Ended:
        session_id, answer = row.run.session_id, None
        if ending.answer is not None:
            answer = Message(row.answer_id, session_id, row.run.id, Role.ASSISTANT, ending.answer, ending.agent_id, now)
            self._rows.sessions[session_id].say(2 * row.position + 1, answer)
        for task in ending.tasks:
            row.store(task, now)
        row.change(
            state=RunState.SUCCEEDED if ending.error is None else RunState.FAILED,
            error=ending.error,
            stop_reason=ending.stop_reason,
            finished_at=now,
            usage=row.run.usage + ending.spent,
            message_id=None if answer is None else answer.id,
        )
        assert row.run.started_at is not None
        *happened, last = ended(lease, ending, answer, (now - row.run.started_at).total_seconds())
        events = [*(row.happen(now, *each) for each in happened), row.happen(now, *last, final=True)]
        row.process = None
        self._rows.untold[row.run.id] = row
        return Ended(row.outbox(tuple(events)), self._promote(session_id, process, now))

    def _cancel(self, row: _Run, reason: str, now: datetime) -> Outbox:
        row.process, row.epoch = None, row.epoch + 1
        cancelled = replace(row.task, state=TaskState.CANCELLED, finished_at=now)
        row.change(plan=Plan((cancelled,)), state=RunState.CANCELLED, finished_at=now)
        row.happen(now, "run_cancelled", {"reason": reason}, final=True)
        self._rows.untold[row.run.id] = row
        return row.outbox(row.untold())

    def _promote(self, session_id: str, process: str, now: datetime) -> Lease | None:
        waiting = self._rows.sessions[session_id].unfinished()
        if not waiting or any(row.run.state in ACTIVE for row in waiting):
            return None
        row = waiting[0]
        row.process, row.epoch, row.lease_until = process, row.epoch + 1, self._lease_end()
        row.change(state=RunState.RUNNING, started_at=now)
        return row.lease(events=row.untold(), fresh=False)

    def _own(self, owner: Owner, run_id: str) -> _Run:
        row = self._rows.runs.get(run_id)
        if row is None or row.owner != owner:
            raise RunNotFound(run_id)
        return row

    def _fence(self, lease: Lease, process: str) -> _Run:
        row = self._rows.runs.get(lease.run_id)
        if row is None or not self._leased_to(row, process) or row.epoch != lease.epoch:
            raise LeaseLost(lease.run_id)
        row.lease_until = self._lease_end()
        return row

    def _leased_to(self, row: _Run, process: str) -> bool:
        return row.process == process and row.run.state in LEASED

    def _is_orphaned(self, session: _Session) -> bool:
        unfinished = session.unfinished()
        active = [row for row in unfinished if row.run.state in ACTIVE]
        return any(map(self._is_expired, active)) if active else bool(unfinished)

    def _is_expired(self, row: _Run) -> bool:
        return row.run.state in LEASED and row.lease_until < time.monotonic()

    def _lease_end(self) -> float:
        return time.monotonic() + self._lease_seconds


class DictApprovalStore:
    """`ApprovalStore`, as far as an executor uses it while nothing is asked."""

    async def expire(self, process: str, now: datetime, limit: int) -> list[Decided]:
        return []
