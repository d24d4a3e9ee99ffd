"""What can be done with sessions and runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass

from services.orchestrator.errors import (
    ModelTimeout,
    ModelUnavailable,
    NoAgents,
    RunCancelled,
    RunFailed,
    RunInterrupted,
    RunNeedsApproval,
    RunNotFinished,
)
from services.orchestrator.executor import Executor
from services.orchestrator.leases import Accepted, NewRetry, NewRun
from services.orchestrator.model import FINISHED, Event, Message, OnBusy, Outcome, Owner, Page, Run, RunState, Session
from services.orchestrator.ports import Agents
from services.orchestrator.purger import SessionPurger
from services.orchestrator.store import RunStore, SessionStore
from services.orchestrator.waiting import Waiting
from services.runtime.errors import CodelabError
from services.runtime.idempotency import RequestKey
from services.runtime.ids import Clock, NewId

# How soon a run that ends in another process is noticed.
_POLL_SECONDS = 1.0
_TIMELINE_PAGE = 200


class SessionService:
    """Sessions, their messages, and what the orchestrator keeps of projects."""

    def __init__(
        self, sessions: SessionStore, executor: Executor, purger: SessionPurger, clock: Clock, new_id: NewId
    ) -> None:
        self._sessions = sessions
        self._executor = executor
        self._purger = purger
        self._clock = clock
        self._new_id = new_id

    async def admit_project(self, owner: Owner) -> None:
        """Let the project have sessions. Raise ProjectDeleted."""
        await self._sessions.admit_project(owner)

    async def delete_project(self, owner: Owner) -> None:
        """Remove everything of the project, for good. Raise Unavailable where streams cannot be ended: call again."""
        self._executor.stop(await self._sessions.delete_project(owner))
        await self._purger.purge(owner)

    async def create(self, owner: Owner, title: str | None, request_id: str | None) -> Session:
        """Create a session, or return the one this request_id made. Raise ProjectNotFound, RequestIdReused."""
        key = RequestKey.of("CreateSession", request_id, owner.project_id, title)
        return await self._sessions.create_session(owner, self._new_id(), title, key, self._clock())

    async def get(self, owner: Owner, session_id: str) -> Session:
        """Raise SessionNotFound."""
        return await self._sessions.get_session(owner, session_id)

    async def list(self, owner: Owner, page_size: int, page_token: str) -> Page[Session]:
        """Newest first. Raise ProjectNotFound, InvalidPageToken."""
        return await self._sessions.list_sessions(owner, page_size, page_token)

    async def rename(self, owner: Owner, session_id: str, title: str | None) -> Session:
        """Raise SessionNotFound."""
        return await self._sessions.rename_session(owner, session_id, title, self._clock())

    async def delete(self, owner: Owner, session_id: str) -> None:
        """Delete the session; its streams end and its rows go soon after. Raise SessionNotFound."""
        self._executor.stop(await self._sessions.delete_session(owner, session_id, self._clock()))
        self._purger.soon()

    async def list_messages(self, owner: Owner, session_id: str, page_size: int, page_token: str) -> Page[Message]:
        """The latest first, oldest first within a page. Raise SessionNotFound, InvalidPageToken."""
        return await self._sessions.list_messages(owner, session_id, page_size, page_token)


@dataclass(frozen=True)
class Send:
    """A message to send."""

    session_id: str
    content: str
    target_agent: str | None
    on_busy: OnBusy
    request_id: str | None


class RunService:
    """Sending messages, and the runs they become."""

    def __init__(
        self,
        runs: RunStore,
        agents: Agents,
        executor: Executor,
        waiting: Waiting,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._runs = runs
        self._agents = agents
        self._executor = executor
        self._waiting = waiting
        self._clock = clock
        self._new_id = new_id

    async def send(self, owner: Owner, send: Send, timeout: float) -> Accepted:
        """Accept a message and start its run, or join the run that this request_id started.

        Raise SessionNotFound, SessionBusy, TooManyRuns, TooManyQueuedRuns, RequestIdReused, NotFound
        `AGENT_NOT_FOUND`.
        """
        # One scope for the three ways to send: what timed out as one can be joined as another.
        key = RequestKey.of(
            "Send", send.request_id, owner.project_id, send.session_id, send.content, send.target_agent, send.on_busy
        )
        # First the session: whether an agent exists is nobody's business under a foreign one. And who joins a run again
        # may do so without its agent, which may be out of reach or gone by now.
        known = await self._runs.find(owner, send.session_id, key, self._clock())
        if known is not None:
            return Accepted(known, joined=True)
        agent = None
        if send.target_agent is not None:
            agent = await self._agents.resolve(owner.user_id, owner.project_id, send.target_agent, timeout)
        new = NewRun(
            id=self._new_id(),
            answer_id=self._new_id(),
            message_id=self._new_id(),
            session_id=send.session_id,
            content=send.content,
            agent=agent,
            on_busy=send.on_busy,
        )
        return await self._executor.accept(owner, new, key)

    async def retry(self, owner: Owner, run_id: str, on_busy: OnBusy, request_id: str | None) -> Run:
        """Do again what a failed or cancelled run did not, or return the retry that this request_id started.

        Raise RunNotFound, RunNotRetryable, RunRetried, SessionBusy, TooManyRuns, TooManyQueuedRuns, RequestIdReused.
        """
        key = RequestKey.of("Retry", request_id, owner.project_id, run_id, on_busy)
        again = NewRetry(self._new_id(), self._new_id(), run_id, on_busy)
        return (await self._executor.retry(owner, again, key)).run

    async def answer(self, owner: Owner, accepted: Accepted, seconds: float) -> Message:
        """Wait for the answer to what `send` accepted.

        Raise RunCancelled, RunNeedsApproval, RunNotFinished after so many seconds, RunInterrupted when this process
        stops, or what failed the run: ModelUnavailable, ModelTimeout, NoAgents, RunFailed.
        """
        run_id = accepted.run.id
        deadline = time.monotonic() + seconds
        with self._waiting.for_run(run_id) as woken:
            # What was accepted just now has not ended yet; a run that was joined may have.
            look = accepted.joined
            while True:
                if look:
                    outcome = await self._runs.get_outcome(owner, run_id)
                    if outcome.answer is not None:
                        return outcome.answer
                    if outcome.state in FINISHED:
                        raise _failure_of(run_id, outcome)
                    if outcome.state is RunState.WAITING_APPROVAL:
                        waits = (await self._runs.get_run(owner, run_id)).approvals
                        raise RunNeedsApproval(run_id, owner.project_id, waits[0].id if waits else None)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RunNotFinished(run_id)
                if self._executor.draining:
                    raise RunInterrupted(run_id)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(_POLL_SECONDS, left)):
                        await woken.wait()
                # A run of this process would have woken us; another's is noticed by looking.
                look = woken.is_set() or not self._executor.runs_here(run_id)
                woken.clear()

    async def get(self, owner: Owner, run_id: str) -> Run:
        """Raise RunNotFound."""
        return await self._runs.get_run(owner, run_id)

    async def list(
        self, owner: Owner, states: Collection[RunState], session_id: str | None, page_size: int, page_token: str
    ) -> Page[Run]:
        """Newest first. Raise ProjectNotFound, InvalidPageToken."""
        return await self._runs.list_runs(owner, states, session_id, page_size, page_token)

    async def cancel(self, owner: Owner, run_id: str) -> Run:
        """Raise RunNotFound, RunFinished."""
        return await self._executor.cancel(owner, run_id)

    async def list_events(self, owner: Owner, run_id: str, page_size: int, page_token: str) -> Page[Event]:
        """Oldest first. Raise RunNotFound, InvalidPageToken."""
        return await self._runs.list_events(owner, run_id, page_size, page_token)

    async def timeline(self, owner: Owner, run_id: str) -> AsyncIterator[Event]:
        """Every committed event of the run, oldest first. Raise RunNotFound."""
        token = ""
        while True:
            page = await self._runs.list_events(owner, run_id, _TIMELINE_PAGE, token)
            for event in page.elements:
                yield event
            token = page.next_page_token
            if not token:
                return


def _failure_of(run_id: str, outcome: Outcome) -> CodelabError:
    if outcome.error is None:
        return RunCancelled(run_id)
    reason, detail = outcome.error.reason, outcome.error.detail
    match reason:
        case ModelUnavailable.reason:
            return ModelUnavailable(detail, run_id=run_id)
        case ModelTimeout.reason:
            return ModelTimeout(detail, run_id=run_id)
        case NoAgents.reason:
            return NoAgents(run_id=run_id)
        case _:
            return RunFailed(run_id, reason, detail)
