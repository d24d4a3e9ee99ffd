"""Executing one task of a run on an agent: place → config → memory → work, and everything that can end it early."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from services.agents.agent import Agent, AgentStatus, Owner
from services.agents.bus import AgentBus, Limits, Place
from services.agents.cache import AgentCache
from services.agents.effects import Effect, EffectJournal
from services.agents.errors import AgentNotFound, ExecutionSuperseded, SlotLost
from services.agents.events import Completed, ContextRetrieved, ExecutionEvent, Paused, StatusChanged, Working
from services.agents.happenings import Happenings
from services.agents.models import Model
from services.agents.recollection import Interaction, Recollections
from services.agents.store import AgentStore
from services.agents.task import Task
from services.agents.working import Worker
from services.runtime.errors import CodelabError, FailedPrecondition
from services.runtime.ids import Clock

CLAIMS_KEPT = timedelta(days=7)


class _Execution:
    """A task that is being executed, by a task of the event loop that somebody else may have to stop."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.happenings = Happenings()
        self.stopped_by: CodelabError | None = None
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self, work: Coroutine[Any, Any, None], ended: Callable[[], None]) -> None:
        """Do the work; call `ended` when nothing of it is left, however it ends."""

        def end(worker: asyncio.Task[None]) -> None:
            if not worker.cancelled():
                worker.exception()  # Seen: whoever went away does not ask for it.
            ended()
            self.happenings.end()

        self._worker = asyncio.create_task(work, name="execution")
        self._worker.add_done_callback(end)

    def stop(self, error: CodelabError | None = None) -> None:
        """End it, unless it is over; its caller gets `error`."""
        # Once: a second cancellation would interrupt what the first one's cleanup waits for.
        if self._worker is not None and not self._stopping:
            self._stopping = True
            if self._worker.cancel():
                self.stopped_by = error

    async def over(self) -> None:
        """Wait until it holds nothing any more."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    def check(self) -> None:
        """Raise what it failed by, if it failed."""
        if self.stopped_by is not None:
            raise self.stopped_by
        if self._worker is not None:
            self._worker.result()


class Executions:
    """The tasks that this process executes."""

    def __init__(
        self,
        store: AgentStore,
        effects: EffectJournal,
        cache: AgentCache,
        bus: AgentBus,
        recollections: Recollections,
        model: Model,
        worker: Worker,
        clock: Clock,
    ) -> None:
        self._store = store
        self._effects = effects
        self._cache = cache
        self._bus = bus
        self._recollections = recollections
        self._model = model
        self._worker = worker
        self._clock = clock
        self._running: set[_Execution] = set()

    async def execute(self, task: Task) -> AsyncGenerator[ExecutionEvent, None]:
        """Execute the task and yield what happens, Completed or Paused last. Closing the iterator stops it at once.

        Raise AgentNotFound, also when the agent or its project is deleted meanwhile, ExecutionSuperseded when a later
        attempt has the task, AgentQueueFull, AgentQueueUnavailable, SlotLost, Unavailable if the database or something
        else that a tool needs is out of reach, or what the model raises.
        """
        execution = _Execution(task)
        # Registered before it claims the task: a later attempt, or a deletion, finds it here or wins in the store.
        self._running.add(execution)
        execution.start(self._run(execution), ended=lambda: self._running.discard(execution))
        try:
            async for event in execution.happenings:
                yield event
            execution.check()
        finally:
            execution.stop()
            await execution.over()

    async def forget_old(self) -> None:
        """Forget which attempts had the tasks of long ago: one that comes as late as that is lost, not late."""
        await self._store.forget_claims(self._clock() - CLAIMS_KEPT)

    def stop_agent(self, owner: Owner, agent_id: str) -> None:
        """Stop what the deleted agent does."""
        self._stop(lambda task: task.owner == owner and task.agent_id == agent_id)

    def stop_project(self, owner: Owner) -> None:
        """Stop what the agents of the deleted project do."""
        self._stop(lambda task: task.owner == owner)

    def _stop(self, concerned: Callable[[Task], bool]) -> None:
        for execution in self._running:
            if concerned(execution.task):
                execution.stop(AgentNotFound(execution.task.agent_id))

    async def _run(self, execution: _Execution) -> None:
        task, emit = execution.task, execution.happenings.add
        agent = await self._store.claim(task.owner, task.agent_id, task.claim, self._clock())
        await self._end_earlier_attempts(task)
        async with self._bus.enter(agent.id, Limits.of(agent.config)) as place:
            place.when_lost(lambda: execution.stop(SlotLost(agent.id)))
            waited = await _wait(place, emit)
            if place.first:
                emit(StatusChanged("busy"))
            left: AgentStatus = "ready"
            try:
                if waited:
                    # A task keeps the config that it starts with, and this one starts only now. If the run was taken
                    # over meanwhile, another replica, which does not find this attempt, may even have done it.
                    agent = await self._store.reclaim(task.owner, task.agent_id, task.claim)
                ended = await self._work(agent, task, emit)
            except FailedPrecondition:
                # Trying again is no use until somebody changes the agent's config, or the platform's.
                left = "error"
                raise
            finally:
                idle = await place.leave()
                await self._cache.set_status(agent, left)
                if idle:
                    emit(StatusChanged(left))
        emit(ended)

    async def _end_earlier_attempts(self, task: Task) -> None:
        earlier = [
            execution
            for execution in self._running
            if execution.task.owner == task.owner
            and execution.task.claim.task == task.claim.task
            and execution.task.claim.rank < task.claim.rank
        ]
        for execution in earlier:
            execution.stop(ExecutionSuperseded(*task.claim.task))
        for execution in earlier:
            await execution.over()

    async def _work(self, agent: Agent, task: Task, emit: Callable[[ExecutionEvent], None]) -> Completed | Paused:
        """Recall, answer, remember: who hears that the task is done can count on its being remembered."""
        interaction = Interaction(
            agent, task.session_id, task.claim, task.interaction_type, task.instruction, task.history
        )
        recollection = await self._recollections.recall(interaction)
        emit(ContextRetrieved(recollection.found, recollection.unavailable))
        # As late as can be: an attempt that was superseded may yet say how its last call ended.
        effects = await self._done_before(task)
        throttle = partial(self._bus.throttle, agent.id)
        ended = await self._worker.work(agent, task, recollection, effects, emit, throttle)
        if isinstance(ended, Completed):
            answer = "" if self._model.canned else ended.output
            await self._recollections.remember(interaction, recollection, answer)
        return ended

    async def _done_before(self, task: Task) -> tuple[Effect, ...]:
        """What earlier attempts at the task did. The claim is made: they can begin nothing more."""
        return () if task.claim.first else await self._effects.list_effects(task.owner, *task.claim.task)


async def _wait(place: Place, emit: Callable[[ExecutionEvent], None]) -> bool:
    """Wait for the task's turn; return whether it had to."""
    waited = False
    async for position in place.ahead():
        waited = True
        emit(Working("queued", position))
    return waited
