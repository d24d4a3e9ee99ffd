"""One message and its answer, shown as it is written. Ctrl-C stops the run."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from enum import Enum

from codelab.agents.v1.agent_pb2 import WorkPhase
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.orchestrator.v1.run_pb2 import Failure, Run, RunState

from codelab_client import ApiError
from services.chat.answer import Answer
from services.chat.conversation import Conversation, said
from services.chat.screen import Screen

# How long a cancelled run may take to say so.
_LAST_WORDS_SECONDS = 5.0


class Outcome(Enum):
    """How a run ended, with the exit code of who asked for nothing else."""

    ANSWERED = 0
    FAILED = 1
    CANCELLED = 128 + signal.SIGINT


async def exchange(conversation: Conversation, screen: Screen, text: str) -> Outcome:
    """Send the text and show what comes of it. What fails is shown too, never raised."""
    with _interrupts() as interrupts:
        try:
            run = await conversation.send(text)
            watching = asyncio.create_task(_watched(conversation, screen, run), name="watch the run")
            try:
                return await _until_over(conversation, screen, run, watching, interrupts.first)
            finally:
                watching.cancel()
                await asyncio.wait([watching])
        except ApiError as error:
            screen.failed(said(error))
            return Outcome.FAILED
        except asyncio.CancelledError:
            if not interrupts.impatient:
                raise
            screen.aside("left; the run goes on if it could not be cancelled")
            return Outcome.CANCELLED


async def _until_over(
    conversation: Conversation,
    screen: Screen,
    run: Run,
    watching: "asyncio.Task[Outcome]",
    interrupted: asyncio.Event,
) -> Outcome:
    asking = asyncio.create_task(interrupted.wait(), name="wait for Ctrl-C")
    try:
        await asyncio.wait({watching, asking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()
    if not watching.done():
        await conversation.cancel(run)
        await asyncio.wait({watching}, timeout=_LAST_WORDS_SECONDS)
        if not watching.done():
            screen.aside("cancelled")
            return Outcome.CANCELLED
    return await watching


async def _watched(conversation: Conversation, screen: Screen, run: Run) -> Outcome:
    answer = Answer()
    async with aclosing(conversation.watch(run)) as events:
        async for event in _shown(events, screen, answer):
            match event.WhichOneof("payload"):
                case "agent_completed" if event.final:
                    return _answered(screen, answer, event.agent_completed.output)
                case "orchestration_completed":
                    return _answered(screen, answer, event.orchestration_completed.message.content)
                case "run_failed":
                    return _failed(screen, event.run_failed.error)
                case "run_cancelled":
                    screen.aside("cancelled")
                    return Outcome.CANCELLED
                case "resync_required" | "stream_ended":
                    # Events were missed, perhaps the last one.
                    outcome = await _as_it_is_now(conversation, screen, answer, run)
                    if outcome is not None:
                        return outcome
    screen.failed("the session was deleted, or its events ended before the answer did")
    return Outcome.FAILED


async def _shown(events: AsyncIterator[Event], screen: Screen, answer: Answer) -> AsyncIterator[Event]:
    """Show what happens on the way; hand on what may end it."""
    async for event in events:
        match event.WhichOneof("payload"):
            case "context_retrieved":
                screen.memories(event.context_retrieved.memories, event.context_retrieved.unavailable)
            case "agent_working" if event.agent_working.phase == WorkPhase.WORK_PHASE_QUEUED:
                screen.waits(event.agent_working.position)
            case "message_delta":
                if (more := answer.take(event.message_delta)) is not None:
                    screen.progress(more)
            case "message_snapshot":
                if (more := answer.take(event.message_snapshot)) is not None:
                    screen.progress(more)
            case _:
                yield event


async def _as_it_is_now(conversation: Conversation, screen: Screen, answer: Answer, run: Run) -> Outcome | None:
    now = await conversation.run(run.id)
    match now.state:
        case RunState.RUN_STATE_SUCCEEDED:
            return _answered(screen, answer, await conversation.answer_to(now))
        case RunState.RUN_STATE_FAILED:
            return _failed(screen, now.error)
        case RunState.RUN_STATE_CANCELLED:
            screen.aside("cancelled")
            return Outcome.CANCELLED
        case _:
            return None


def _answered(screen: Screen, answer: Answer, text: str) -> Outcome:
    if (missing := answer.complete(text)) is not None:
        screen.progress(missing)
    screen.answered(text)
    return Outcome.ANSWERED


def _failed(screen: Screen, failure: Failure) -> Outcome:
    screen.failed(f"{failure.detail} ({failure.reason})")
    return Outcome.FAILED


class _Interrupts:
    """Ctrl-C: the first is an event, the second cancels this task, whose user does not want to wait."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.impatient = False
        self._task = asyncio.current_task()

    def note(self) -> None:
        if self.first.is_set() and self._task is not None:
            self.impatient = True
            self._task.cancel()
        self.first.set()


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    interrupts, loop = _Interrupts(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        loop.remove_signal_handler(signal.SIGINT)
