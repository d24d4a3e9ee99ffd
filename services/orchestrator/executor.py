"""Runs runs: takes leases, keeps them, executes, and ends each run exactly once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import structlog

from services.orchestrator.doubt import once_known
from services.orchestrator.errors import LeaseLost
from services.orchestrator.hand import Hand
from services.orchestrator.leases import Accepted, Decided, Ended, Ending, Lease, NewRetry, NewRun
from services.orchestrator.ledger import Ledger
from services.orchestrator.limits import Meter, WorkLimits
from services.orchestrator.model import Approval, Decision, Message, Mode, Owner, Run
from services.orchestrator.publisher import RunPublisher
from services.orchestrator.store import ApprovalStore, RunStore
from services.orchestrator.teller import Teller
from services.orchestrator.waiting import Waiting
from services.runtime.database import DatabaseUnavailable
from services.runtime.idempotency import RequestKey
from services.runtime.ids import Clock
from services.runtime.pages import fitting
from services.runtime.tasks import repeating

log = structlog.get_logger()

Result = TypeVar("Result")

HISTORY_MESSAGES = 50
# Many times what a prompt holds of it, and well below what one call may carry.
HISTORY_BYTES = 1024 * 1024
_SWEEP_LIMIT = 50


class Work(Protocol):
    """How runs of one mode are worked on: services.orchestrator.direct, services.orchestrator.conductor."""

    async def work(self, hand: Hand) -> Ending | None:
        """Work on the run until it can be ended, or is parked (None). Raise LeaseLost."""


@dataclass(eq=False)
class _Live:
    """A run that is worked on, under the lease of this epoch: `decided` and `ledger` are its hand's."""

    epoch: int
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    ledger: Ledger | None = None
    task: asyncio.Task[None] = field(init=False)

    @property
    def parking(self) -> bool:
        """Whether it is being given up by itself, and learns so what became of it."""
        return self.ledger is not None and self.ledger.parking


class Executor:
    """Owns the runs of this process, from their lease to their end.

    `process` is an id of this boot: after a crash the next boot is somebody else, and what this one still writes is
    refused.
    """

    def __init__(
        self,
        runs: RunStore,
        approvals: ApprovalStore,
        works: Mapping[Mode, Work],
        limits: WorkLimits,
        teller: Teller,
        waiting: Waiting,
        clock: Clock,
        process: str,
        approval_seconds: float,
    ) -> None:
        """`approval_seconds` is how long a question waits for its user."""
        self._runs = runs
        self._approvals = approvals
        self._works = works
        self._limits = limits
        self._teller = teller
        self._waiting = waiting
        self._clock = clock
        self._process = process
        self._approval_seconds = approval_seconds
        # Runs that are worked on: renewed, and stopped by cancelling their task.
        self._live: dict[str, _Live] = {}
        # These, and whatever else must not be cut off between a commit and what follows from it.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed_elsewhere = asyncio.Event()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether this process stops: runs that wait here go on elsewhere."""
        return self._draining

    def runs_here(self, run_id: str) -> bool:
        """Whether this process works on the run."""
        return run_id in self._live

    @asynccontextmanager
    async def working(self, lease_seconds: float) -> AsyncIterator[None]:
        """Keep leases and take over what nobody works on while the block runs; what there is already at once."""
        try:
            await self._adopt_orphans()
        except DatabaseUnavailable as error:
            # No reason not to start: they are looked for again.
            log.warning("runs are taken over later", cause=error.cause)
        async with (
            repeating("renew leases", self._renew, lease_seconds / 3, wake=self._changed_elsewhere),
            repeating("take over runs", self._take_over, lease_seconds / 2),
            repeating("expire approvals", self._expire, lease_seconds / 2),
            repeating("look for decisions", self._look, lease_seconds / 2),
        ):
            yield
            await self.drain()

    async def drain(self) -> None:
        """Stop every run where it is and give its lease back, so that the next process goes on at once. Idempotent."""
        if self._draining:
            return
        self._draining = True
        for live in self._live.values():
            live.task.cancel()
        await self._finish()
        await self._teller.stop()
        await self.release()
        self._waiting.wake_all()

    async def release(self) -> None:
        """Give back every lease. Again after the last call was served: one may have been accepted while draining."""
        await self._finish()
        await self._runs.release(self._process)

    async def accept(self, owner: Owner, new: NewRun, key: RequestKey | None) -> Accepted:
        """Store a message and start its run, or whatever `on_busy` says; see RunStore.accept.

        It happens whole, also if the caller goes away meanwhile.
        """
        return await self._whole(
            self._begin(owner, new.id, self._runs.accept(owner, new, key, self._process, self._clock()))
        )

    async def retry(self, owner: Owner, again: NewRetry, key: RequestKey | None) -> Accepted:
        """Store a run that does another again, and start it, or whatever `on_busy` says; see RunStore.retry.

        It happens whole, as `accept` does.
        """
        return await self._whole(
            self._begin(owner, again.id, self._runs.retry(owner, again, key, self._process, self._clock()))
        )

    async def cancel(self, owner: Owner, run_id: str) -> Run:
        """Cancel a run, down to the model's connection, and start the session's next.

        It happens whole, also if the caller goes away meanwhile. Raise RunNotFound, RunFinished.
        """
        return await self._whole(self._cancel(owner, run_id))

    async def decide(self, owner: Owner, approval_id: str, decision: Decision) -> Approval:
        """Decide what a run asked, and go on with what waited for that alone; see ApprovalStore.decide.

        It happens whole, also if the caller goes away meanwhile. Raise ApprovalNotFound, ApprovalDecided,
        InvalidArgument.
        """
        return await self._whole(self._decide(owner, approval_id, decision))

    def heard_changed(self, run_id: str) -> None:
        """Somebody says that a run was changed elsewhere: look soon whether it is still this process's, and decided."""
        if run_id in self._live:
            self._changed_elsewhere.set()
            self._live[run_id].decided.set()
        self._waiting.wake(run_id)

    def stop(self, run_ids: Sequence[str]) -> None:
        """Stop working on runs that are over by somebody else's doing."""
        for run_id in run_ids:
            live = self._live.get(run_id)
            if live is not None:
                live.task.cancel()
            self._waiting.wake(run_id)

    async def _begin(self, owner: Owner, run_id: str, accepting: Coroutine[Any, Any, Accepted]) -> Accepted:
        try:
            accepted = await accepting
        except DatabaseUnavailable as error:
            if not error.in_doubt:
                raise
            found = await once_known(lambda: self._runs.accepted(owner, run_id, self._process))
            if found is None:
                raise
            # Unless it was queued, and what went before has set it free meanwhile.
            accepted = replace(found, lease=None) if self.runs_here(run_id) else found
        self.stop(accepted.stopped)
        for outbox in accepted.outbox:
            self._teller.tell(outbox)
        if accepted.lease is not None:
            self._spawn(accepted.lease)
        return accepted

    async def _cancel(self, owner: Owner, run_id: str) -> Run:
        try:
            run, ended = await self._runs.cancel(owner, run_id, self._process, self._clock())
        except DatabaseUnavailable as error:
            if not error.in_doubt:
                raise
            run, ended = await once_known(lambda: self._cancel_again(owner, run_id))
        if ended is not None:
            self.stop([run_id])
            self._follow(ended)
        return run

    async def _cancel_again(self, owner: Owner, run_id: str) -> tuple[Run, Ended | None]:
        """Cancel what may be cancelled already; then with what followed from that."""
        run, ended = await self._runs.cancel(owner, run_id, self._process, self._clock())
        return run, ended or await self._runs.ended(owner, run_id, self._process)

    async def _decide(self, owner: Owner, approval_id: str, decision: Decision) -> Approval:
        def decide() -> Awaitable[Decided]:
            return self._approvals.decide(owner, approval_id, decision, self._process, self._clock())

        try:
            decided = await decide()
        except DatabaseUnavailable as error:
            if not error.in_doubt:
                raise
            # If it was decided, the same again changes nothing. A run that is this process's by that is taken over when
            # its lease is over: nobody renews it.
            decided = await once_known(decide)
        self._go_on(decided)
        return decided.approval

    async def _expire(self) -> None:
        await self._whole(self._expire_some())

    async def _expire_some(self) -> None:
        for decided in await self._approvals.expire(self._process, self._clock(), _SWEEP_LIMIT):
            log.info("approval expired", approval_id=decided.approval.id, run_id=decided.approval.run_id)
            self._go_on(decided)

    def _go_on(self, decided: Decided) -> None:
        if decided.lease is not None:
            self._spawn(decided.lease)
        elif decided.outbox is not None:
            self._teller.tell(decided.outbox)
            live = self._live.get(decided.approval.run_id)
            if live is not None:
                live.decided.set()

    async def _look(self) -> None:
        """Let every run look for decisions: what was said about one may not have been heard."""
        for live in self._live.values():
            live.decided.set()

    async def _whole(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work to its end: what it commits must not be left without what follows from it."""
        return await asyncio.shield(self._own(work, "whole"))

    async def _finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _own(self, work: Coroutine[Any, Any, Result], name: str) -> "asyncio.Task[Result]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn(self, lease: Lease) -> None:
        if self._draining:
            return  # `release` gives the lease back.
        before = self._live.get(lease.run_id)
        if before is not None and before.epoch == lease.epoch:
            return  # Whoever did not hear the answer to ending a run is told again what was promoted.
        if before is not None:
            # This process was too slow to renew, and has taken the run from itself.
            before.task.cancel()
        live = self._live[lease.run_id] = _Live(lease.epoch)
        live.task = self._own(self._run(lease, live), f"run {lease.run_id}")
        # Not in the task: one that is cancelled before its first step does nothing, not even clean up.
        live.task.add_done_callback(lambda ended: self._leave(lease, ended))

    async def _run(self, lease: Lease, live: _Live) -> None:
        try:
            async with self._teller.speaking(lease) as publisher:
                hand = await self._in_hand(lease, publisher, live)
                try:
                    ending = await self._works[lease.mode].work(hand)
                finally:
                    # What is being committed has to be told, also by whoever is stopped.
                    await hand.ledger.settled()
                # From here on nobody stops it: what the end commits has to be told, and sets the next run free.
                self._leave(lease, asyncio.current_task())
                if ending is None:
                    self._waiting.wake(lease.run_id)
                    return
                ended = await hand.ledger.end(ending)
            self._waiting.wake(lease.run_id)
            if ended.promoted is not None:
                self._spawn(ended.promoted)
        except LeaseLost:
            log.info("run lost to another process or cancelled", run_id=lease.run_id, epoch=lease.epoch)
        except Exception:
            # The lease expires and somebody takes the run over, or fails it after too many times.
            log.exception("run broke off", run_id=lease.run_id)

    def _leave(self, lease: Lease, task: "asyncio.Task[None] | None") -> None:
        live = self._live.get(lease.run_id)
        if live is not None and live.task is task:
            del self._live[lease.run_id]

    async def _in_hand(self, lease: Lease, publisher: RunPublisher, live: _Live) -> Hand:
        ledger = live.ledger = Ledger(self._runs, self._approvals, publisher, lease, self._process, self._clock)
        meter = Meter(self._limits, lease.usage, lease.working_since, self._clock)
        history = _latest(await self._runs.history(lease, HISTORY_MESSAGES))
        request = await self._runs.asked(lease) if lease.mode is Mode.ORCHESTRATED else ""
        return Hand(ledger, publisher, meter, history, self._approval_seconds, request, live.decided)

    def _follow(self, ended: Ended) -> None:
        """Do what follows from a run's end that somebody else than its task has committed."""
        self._teller.tell(ended.outbox)
        self._waiting.wake(ended.outbox.run_id)
        if ended.promoted is not None:
            self._spawn(ended.promoted)

    async def _renew(self) -> None:
        mine = dict(self._live)
        if not mine:
            return
        kept = await self._runs.renew(self._process, mine)
        for run_id, live in mine.items():
            # If it has left meanwhile, it has ended by itself and must finish that.
            if run_id not in kept and self._live.get(run_id) is live and not live.parking:
                live.task.cancel()

    async def _take_over(self) -> None:
        # A process that stood still, or was too busy, must not take its own runs from itself and do them again.
        await self._renew()
        await self._adopt_orphans()

    async def _adopt_orphans(self) -> None:
        refused: set[str] = set()
        while not self._draining:
            found = await self._runs.orphaned(_SWEEP_LIMIT + len(refused))
            if not (orphaned := [each for each in found if each not in refused]):
                return
            for session_id in orphaned:
                if not await self._whole(self._adopt(session_id)):
                    refused.add(session_id)

    async def _adopt(self, session_id: str) -> bool:
        """Take over one session's run; say whether there was one that could be taken."""
        try:
            adopted = await self._runs.adopt(session_id, self._process, self._clock())
        except Exception:
            # A bad one must not keep the others from being taken.
            log.exception("run cannot be taken over", session_id=session_id)
            return False
        if isinstance(adopted, Lease):
            log.info("run taken over", run_id=adopted.run_id, epoch=adopted.epoch)
            self._spawn(adopted)
        elif adopted is not None:
            self._follow(adopted)
        return adopted is not None


def _latest(history: list[Message]) -> list[Message]:
    """The end of a history (oldest first) that a call to the agents service can carry."""
    newest_first = fitting(history[::-1], HISTORY_MESSAGES, lambda message: [message.content], HISTORY_BYTES)
    return list(reversed(newest_first))
