"""Runs runs: takes leases, keeps them, executes, and ends each run exactly once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import structlog

from services.orchestrator.errors import LeaseLost
from services.orchestrator.model import Accepted, Ended, Failure, Lease, Message, Outbox, Owner, Run
from services.orchestrator.ports import Agents, AgentsUnreachable, Completed, Delta, Opening, Streams
from services.orchestrator.publisher import Acknowledgements, RunPublisher
from services.orchestrator.store import RunStore, SessionStore
from services.runtime.errors import CodelabError
from services.runtime.ids import Clock
from services.runtime.tasks import repeating

log = structlog.get_logger()

HISTORY_MESSAGES = 50
# At an agents service that is out of reach: about 15 s in all, enough for a restart.
ATTEMPTS = 6
_BACKOFF_SECONDS = 0.5
_FLUSH_SECONDS = 0.05
_SWEEP_LIMIT = 50
# Younger events are on their way: their run's process publishes them.
_UNPUBLISHED_AFTER = timedelta(seconds=10)


class Executor:
    """Owns the runs of this process, from their lease to their end.

    `process` is an id of this boot: after a crash the next boot is somebody else, and what this one still writes is
    refused.
    """

    def __init__(
        self,
        runs: RunStore,
        sessions: SessionStore,
        agents: Agents,
        streams: Streams,
        clock: Clock,
        process: str,
        lease_seconds: float,
    ) -> None:
        self._runs = runs
        self._sessions = sessions
        self._agents = agents
        self._streams = streams
        self._clock = clock
        self._process = process
        self._lease_seconds = lease_seconds
        self._live: dict[str, asyncio.Task[None]] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._acknowledgements = Acknowledgements()
        self._deleted = asyncio.Event()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether this process stops: runs that wait here go on elsewhere."""
        return self._draining

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Keep leases, sweep and record while the block runs. What expired before is taken at once."""
        await self._take_over()
        async with (
            repeating("renew leases", self._renew, self._lease_seconds / 3),
            repeating("take over runs", self._take_over, self._lease_seconds / 2),
            repeating("publish what was left", self._publish_what_was_left, self._lease_seconds),
            repeating("purge deleted sessions", self._purge_all, self._lease_seconds, wake=self._deleted),
            repeating("record published events", self._record, 60, wake=self._acknowledgements.wake),
        ):
            yield
            await self.drain()

    async def drain(self) -> None:
        """Stop every run where it is and give its lease back, so that the next process goes on at once. Idempotent."""
        if self._draining:
            return
        self._draining = True
        tasks = [*self._live.values(), *self._telling.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._record()
        await self._runs.release(self._process)
        for run_id in list(self._waiting):
            self._notify(run_id)

    def start(self, accepted: Accepted) -> None:
        """Do what an accepted message asks for: run it, tell about it, stop what it replaced."""
        for run_id in accepted.stopped:
            self._notify(run_id)
        for outbox in accepted.outbox:
            self._tell(outbox)
        if accepted.lease is not None:
            self._spawn(accepted.lease)

    async def cancel(self, owner: Owner, run_id: str) -> Run:
        """Cancel a run, down to the model's connection, and start the session's next.

        Raise RunNotFound, RunFinished.
        """
        run, ended = await self._runs.cancel(owner, run_id, self._process, self._clock())
        if ended is not None:
            self._tell(ended.outbox)
            self._ended(run_id, ended)
        return run

    def forget(self, run_ids: Sequence[str]) -> None:
        """Stop runs that were cancelled because their session or project is gone."""
        for run_id in run_ids:
            self._notify(run_id)
            task = self._live.get(run_id)
            if task is not None:
                task.cancel()

    async def wait(self, run_id: str, seconds: float) -> None:
        """Return when the run ended here, or after so many seconds: the store knows how it stands."""
        if self._draining:
            return
        ended = asyncio.Event()
        self._waiting.setdefault(run_id, set()).add(ended)
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            return
        finally:
            waiting = self._waiting[run_id]
            waiting.discard(ended)
            if not waiting:
                del self._waiting[run_id]

    async def purge(self, project: Owner | None = None) -> None:
        """End the streams of deleted sessions, then remove their rows.

        Raise Unavailable if streams are out of reach.
        """
        while found := await self._sessions.deleted_sessions(_SWEEP_LIMIT, project):
            for owner, session_ids in found.items():
                await self._streams.close_sessions(owner.user_id, owner.project_id, session_ids)
                await self._sessions.purge_sessions(owner, session_ids)

    def purge_soon(self) -> None:
        """Purge in the background, now."""
        self._deleted.set()

    def _spawn(self, lease: Lease) -> None:
        if self._draining:
            return  # The lease was, or will be, released with the others.
        task = asyncio.create_task(self._run(lease), name=f"run {lease.run_id}")
        self._live[lease.run_id] = task
        task.add_done_callback(lambda _: self._live.pop(lease.run_id, None))

    async def _run(self, lease: Lease) -> None:
        opening = Opening(lease.run_id, lease.session_id, lease.project_id, lease.user_id, lease.epoch)
        telling = self._telling.get(lease.run_id)
        if telling is not None:
            # What was committed before this lease comes first: a later epoch would silence it.
            await asyncio.wait([telling])
        try:
            async with RunPublisher(self._streams, opening, self._acknowledgements.add) as publisher:
                publisher.events(lease.events)
                try:
                    ended = await self._execute(lease, publisher)
                except LeaseLost:
                    log.info("run lost to another process or cancelled", run_id=lease.run_id, epoch=lease.epoch)
                    return
                publisher.events(ended.outbox.events)
                self._ended(lease.run_id, ended)
        except Exception:
            # The lease expires and somebody takes the run over, or fails it after too many times.
            log.exception("run broke off", run_id=lease.run_id)

    async def _execute(self, lease: Lease, publisher: RunPublisher) -> Ended:
        """Try the task until it is done, failed for good, or lost."""
        history = await self._runs.history(lease, HISTORY_MESSAGES)
        tries = 0
        while True:
            if not lease.fresh:
                lease = await self._runs.begin_attempt(lease, self._process, self._clock())
                publisher.events(lease.events)
            publisher.begin_text(lease)
            tries += 1
            try:
                completed = await self._attempt(lease, publisher, history)
            except AgentsUnreachable as error:
                if tries >= ATTEMPTS:
                    return await self._runs.fail(lease, self._process, _failure(error), self._clock())
                log.warning("attempt failed, trying again", run_id=lease.run_id, tries=tries, reason=error.reason)
                await asyncio.sleep(_BACKOFF_SECONDS * 2 ** (tries - 1))
                lease = replace(lease, fresh=False)
            except CodelabError as error:
                return await self._runs.fail(lease, self._process, _failure(error), self._clock())
            else:
                return await self._runs.succeed(lease, self._process, completed.output, completed.usage, self._clock())

    async def _attempt(self, lease: Lease, publisher: RunPublisher, history: list[Message]) -> Completed:
        async with aclosing(self._agents.execute(lease, history)) as happenings:
            async for happening in happenings:
                match happening:
                    case Delta():
                        publisher.text(happening.text)
                    case Completed():
                        return happening
                    case _:
                        publisher.progress(happening)
        raise AgentsUnreachable("the agents service ended the task without a result")

    def _ended(self, run_id: str, ended: Ended) -> None:
        self._notify(run_id)
        if ended.promoted is not None:
            self._spawn(ended.promoted)

    def _notify(self, run_id: str) -> None:
        """Wake who waits for the run."""
        for ended in self._waiting.get(run_id, ()):
            ended.set()

    def _tell(self, outbox: Outbox) -> None:
        """Publish events of a run that this process does not run, or no longer."""
        if self._draining:
            return  # The next process finds them unpublished.
        before = [task for task in (self._live.get(outbox.run_id), self._telling.get(outbox.run_id)) if task]
        task = asyncio.create_task(self._publish(outbox, before), name=f"tell {outbox.run_id}")
        self._telling[outbox.run_id] = task
        task.add_done_callback(lambda _: self._told(outbox.run_id, task))

    def _told(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._telling.get(run_id) is task:
            del self._telling[run_id]

    async def _publish(self, outbox: Outbox, before: list[asyncio.Task[None]]) -> None:
        if before:
            # First the run's own last words: a later epoch would silence them.
            running = self._live.get(outbox.run_id)
            if running is not None:
                running.cancel()
            await asyncio.wait(before)
        opening = Opening(outbox.run_id, outbox.session_id, outbox.project_id, outbox.user_id, outbox.epoch)
        async with RunPublisher(self._streams, opening, self._acknowledgements.add) as publisher:
            publisher.events(outbox.events)

    async def _renew(self) -> None:
        mine = set(self._live)
        if not mine:
            return
        kept = await self._runs.renew(self._process, mine)
        for run_id in mine - kept:
            task = self._live.get(run_id)
            if task is not None:
                task.cancel()

    async def _take_over(self) -> None:
        leases, ended = await self._runs.take_over(self._process, _SWEEP_LIMIT, self._clock())
        for lease in leases:
            log.info("run taken over", run_id=lease.run_id, epoch=lease.epoch)
            self._spawn(lease)
        for each in ended:
            self._tell(each.outbox)
            self._ended(each.outbox.run_id, each)

    async def _publish_what_was_left(self) -> None:
        busy = {*self._live, *self._telling}
        for outbox in await self._runs.unpublished(self._clock() - _UNPUBLISHED_AFTER, _SWEEP_LIMIT, busy):
            self._tell(outbox)

    async def _purge_all(self) -> None:
        try:
            await self.purge()
        except CodelabError as error:
            log.warning("purging interrupted", reason=error.reason)

    async def _record(self) -> None:
        await asyncio.sleep(_FLUSH_SECONDS)
        published = self._acknowledgements.take()
        if published:
            await self._runs.acknowledge(published)


def _failure(error: CodelabError) -> Failure:
    return Failure(error.reason, error.detail)
