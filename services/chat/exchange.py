"""One message and its answer, shown as it is written, with what agents do for it and ask. Ctrl-C stops the run."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from enum import Enum

from codelab.agents.v1.agent_pb2 import WorkPhase
from codelab.orchestrator.v1.event_pb2 import Event, MessageDelta, MessageSnapshot, ToolCompleted, ToolStarted
from codelab.orchestrator.v1.run_pb2 import Failure, Run, RunState

from codelab_client import ApiError
from services.chat.answer import Answer
from services.chat.conversation import Conversation, said
from services.chat.deciding import Means, Questions
from services.chat.question import plain, telling
from services.chat.screen import Screen

# How long a cancelled run may take to say so.
_LAST_WORDS_SECONDS = 5.0


class Outcome(Enum):
    """How a run ended, or that it waits, with the exit code of who asked for nothing else."""

    ANSWERED = 0
    FAILED = 1
    WAITING = 3
    CANCELLED = 128 + signal.SIGINT


async def exchange(conversation: Conversation, screen: Screen, means: Means, text: str) -> Outcome:
    """Send the text and show what comes of it. What fails is shown too, never raised."""
    with _interrupts() as interrupts:
        try:
            run = await conversation.send(text)
            watch = _Watch(conversation, screen, Questions(conversation, screen, means), run)
            return await _until_over(watch, interrupts.first)
        except ApiError as error:
            screen.failed(said(error))
            return Outcome.FAILED
        except asyncio.CancelledError:
            if not interrupts.impatient:
                raise
            screen.aside("left; the run goes on if it could not be cancelled")
            return Outcome.CANCELLED


async def _until_over(watch: "_Watch", interrupted: asyncio.Event) -> Outcome:
    watching = asyncio.create_task(watch.outcome(), name="watch the run")
    deciding = asyncio.create_task(watch.questions.wait(watch.run), name="ask the user")
    interrupting = asyncio.create_task(interrupted.wait(), name="wait for Ctrl-C")
    tasks = (watching, deciding, interrupting)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if interrupting.done() and not watching.done():
            deciding.cancel()
            await watch.conversation.cancel(watch.run)
            await asyncio.wait((watching,), timeout=_LAST_WORDS_SECONDS)
            if not watching.done():
                watch.screen.aside("cancelled")
                return Outcome.CANCELLED
        if watching.done():
            return await watching
        await deciding
        return Outcome.WAITING
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)


class _Watch:
    """A run that is watched: what was shown of its answer, and its calls that have begun."""

    def __init__(self, conversation: Conversation, screen: Screen, questions: Questions, run: Run) -> None:
        self.conversation = conversation
        self.screen = screen
        self.questions = questions
        self.run = run
        self._answer = Answer()
        self._calls: dict[str, str] = {}
        self._told_why = False

    async def outcome(self) -> Outcome:
        """Show the run's events to its end. Raise ApiError."""
        async with aclosing(self.conversation.watch(self.run, self._waits)) as events:
            async for event in self._shown(events):
                match event.WhichOneof("payload"):
                    case "agent_completed" if event.final:
                        return self._answered(event.agent_completed.output)
                    case "orchestration_completed":
                        return self._answered(event.orchestration_completed.message.content)
                    case "run_failed":
                        return self._failed(event.run_failed.error)
                    case "run_cancelled":
                        self.screen.aside("cancelled")
                        return Outcome.CANCELLED
                    case "resync_required" | "stream_ended":
                        # Events were missed, perhaps the last one.
                        outcome = await self._as_it_is_now()
                        if outcome is not None:
                            return outcome
        self.screen.failed("the session was deleted, or its events ended before the answer did")
        return Outcome.FAILED

    async def _shown(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """Show what happens on the way; hand on what may end it."""
        async for event in events:
            self._told_why = False
            if not self._shows(event):
                yield event
            self.questions.show_again()

    def _waits(self, refusal: ApiError, seconds: float) -> None:
        """Say, once until there is something to see again, what only the user can do about seeing nothing."""
        if refusal.reason == "TOO_MANY_STREAMS" and not self._told_why:
            self._told_why = True
            limit = refusal.metadata.get("limit", "too many")
            self.screen.beside(
                [
                    f"nothing can be seen of the answer yet: {limit} of your event streams are open, and no more may"
                    " be. Close another chat, or a page that watches one; this goes on by itself then."
                ]
            )

    def _shows(self, event: Event) -> bool:
        """Show it, if it is something on the way."""
        match event.WhichOneof("payload"):
            case "context_retrieved":
                self.screen.memories(event.context_retrieved.memories, event.context_retrieved.unavailable)
            case "agent_working" if event.agent_working.phase == WorkPhase.WORK_PHASE_QUEUED:
                self.screen.waits(event.agent_working.position)
            case "message_delta":
                self._take(event.message_delta)
            case "message_snapshot":
                self._take(event.message_snapshot)
            case "tool_started":
                self._begins(event.tool_started)
            case "tool_completed":
                self._ends(event.tool_completed)
            case "approval_required":
                self.questions.required(event.approval_required.approval)
            case "approval_resolved":
                self.questions.resolved(event.approval_resolved.approval)
            case _:
                return False
        return True

    def _take(self, event: MessageDelta | MessageSnapshot) -> None:
        if (more := self._answer.take(event)) is not None:
            self.screen.progress(more)

    def _begins(self, event: ToolStarted) -> None:
        self._calls[event.call_id] = telling(plain(event.arguments))
        self.screen.tool("⚙", event.tool, self._calls[event.call_id])

    def _ends(self, event: ToolCompleted) -> None:
        what = self._calls.pop(event.call_id, "")
        if event.success:
            self.screen.tool("✓", event.tool, what)
        else:
            # Commands tell in their last line how they ended; other tools fail in one sentence.
            self.screen.tool("✗", event.tool, event.output.rstrip().rpartition("\n")[2])

    async def _as_it_is_now(self) -> Outcome | None:
        now = await self.conversation.run(self.run.id)
        match now.state:
            case RunState.RUN_STATE_SUCCEEDED:
                return self._answered(await self.conversation.answer_to(now))
            case RunState.RUN_STATE_FAILED:
                return self._failed(now.error)
            case RunState.RUN_STATE_CANCELLED:
                self.screen.aside("cancelled")
                return Outcome.CANCELLED
        self.questions.listed(now.approvals)
        return None

    def _answered(self, text: str) -> Outcome:
        if (missing := self._answer.complete(text)) is not None:
            self.screen.progress(missing)
        self.screen.answered(text)
        return Outcome.ANSWERED

    def _failed(self, failure: Failure) -> Outcome:
        self.screen.failed(f"{failure.detail} ({failure.reason})")
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
