"""Trying something at the agents service until an attempt gets somewhere."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid5

import structlog

from services.orchestrator import graph
from services.orchestrator.ledger import Ledger
from services.orchestrator.limits import Meter, Spending
from services.orchestrator.model import Failure, Message, Task, Usage
from services.orchestrator.ports import (
    Agents,
    AgentsUnreachable,
    Assignment,
    Completed,
    Delta,
    Happening,
    ModelCalled,
    Paused,
    Result,
)
from services.orchestrator.publisher import RunPublisher, TextOf
from services.runtime.errors import CodelabError

log = structlog.get_logger()

# At an agents service that is out of reach: about 15 s in all, enough for a restart.
ATTEMPTS = 6
_BACKOFF_SECONDS = 0.5
# In code points: many times what a prompt holds of it, and so little that a dozen fit into one call.
LONGEST_RESULT = 200_000


@dataclass(frozen=True)
class Hand:
    """A run in hand: what it is asked, where it is written, who watches, and what it may still spend."""

    ledger: Ledger
    publisher: RunPublisher
    meter: Meter
    history: Sequence[Message]
    """The session before the run, oldest first."""
    approval_seconds: float
    """How long a question waits for the user."""
    request: str = ""
    """The user's message; empty in a direct run, whose task is that."""
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever something may have been decided that the run asked. A hint: the store knows what."""

    @property
    def uncounted(self) -> Usage:
        """What the run has cost that is not committed."""
        return self.meter.usage - self.ledger.lease.usage

    def text_of(self, task: Task) -> TextOf:
        """The text that the task writes: the answer, if nothing else has a part in that."""
        lease = self.ledger.lease
        is_answer = [end.id for end in graph.ends(lease.plan.tasks)] == [task.id]
        message_id = lease.answer_id if is_answer else str(uuid5(UUID(lease.run_id), task.id))
        return TextOf(message_id, task.id, task.agent_id)


@dataclass(frozen=True)
class Tried:
    """What became of a task, as it was in its last attempt, and what that cost that is not committed."""

    task: Task
    outcome: Completed | Paused | Failure
    spent: Usage


async def try_task(agents: Agents, hand: Hand, task: Task, results: Sequence[Result] = ()) -> Tried:
    """Try a task, whose present attempt is committed already, until one gets somewhere or too many did not.

    Raise LeaseLost, LimitReached.
    """
    tries = 1
    while True:
        text = hand.text_of(task)
        hand.publisher.begin_text(text, task.attempt)
        spending = hand.meter.attempt(task.id, task.attempt)
        # The one task of a fallback is the message itself.
        request = hand.request if hand.request != task.instruction else None
        assignment = Assignment(hand.ledger.lease, task, hand.history, tuple(results), request or None)
        try:
            outcome = await listen(agents.execute(assignment), hand, text, spending)
            return Tried(task, outcome, spending.spent())
        except CodelabError as error:
            if not worth_another(error, tries, hand):
                return Tried(task, Failure(error.reason, error.detail), spending.spent())
        await asyncio.sleep(pause_before(tries))
        task = graph.begun(replace(task, usage=task.usage + spending.spent()), hand.ledger.now())
        await hand.ledger.advance([task], spending.spent())
        tries += 1


def result_of(task: Task) -> Result:
    """What a finished task hands on."""
    output = task.output or ""
    if len(output) > LONGEST_RESULT:
        output = f"{output[:LONGEST_RESULT]}… (cut: {LONGEST_RESULT:,} of {len(output):,} characters)"
    return Result(task.id, task.title, output)


async def listen(
    happenings: AsyncGenerator[Happening, None], hand: Hand, text: TextOf, spending: Spending
) -> Completed | Paused:
    """Tell watchers what happens, count what it costs, and return the end. Raise CodelabError."""
    try:
        async with aclosing(happenings):
            async for happening in happenings:
                match happening:
                    case Delta():
                        spending.wrote(happening.text)
                        hand.publisher.text(text, happening.text)
                    case ModelCalled():
                        spending.called(happening.prompt_tokens)
                    case Completed():
                        spending.ended(happening.usage)
                        return happening
                    case Paused():
                        return happening
                    case _:
                        hand.publisher.progress(happening)
    finally:
        spending.over()
    raise AgentsUnreachable("the agents service ended the task without a result")


def worth_another(error: CodelabError, tries: int, hand: Hand) -> bool:
    """Whether what failed so often may go better in another attempt; said in the log."""
    if not isinstance(error, AgentsUnreachable) or tries == ATTEMPTS:
        return False
    log.warning("attempt failed, trying again", run_id=hand.ledger.lease.run_id, tries=tries, reason=error.reason)
    return True


def pause_before(tries: int) -> float:
    """Seconds to wait after so many tries."""
    return _BACKOFF_SECONDS * 2.0 ** (tries - 1)
