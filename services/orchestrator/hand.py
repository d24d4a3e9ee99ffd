"""A run in hand: what whoever works on it holds, and how it listens to the agents service meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import structlog

from services.orchestrator import graph
from services.orchestrator.ledger import Ledger
from services.orchestrator.limits import Meter, Spending
from services.orchestrator.model import Message, Task, Usage
from services.orchestrator.ports import (
    AgentsUnreachable,
    Completed,
    Delta,
    Happening,
    ModelCalled,
    Paused,
    ToolEvent,
)
from services.orchestrator.publisher import RunPublisher, TextOf
from services.runtime.errors import CodelabError

log = structlog.get_logger()

# At an agents service that is out of reach: about 15 s in all, enough for a restart.
ATTEMPTS = 6
_BACKOFF_SECONDS = 0.5


@dataclass(frozen=True)
class Hand:
    """A run in hand: what it is asked, where it is written, who watches, and what it may still spend."""

    ledger: Ledger
    publisher: RunPublisher
    meter: Meter
    history: Sequence[Message]
    """The session before the run, oldest first."""
    approval_seconds: float
    """How long a question waits for its user."""
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

    @property
    def approvals_expire_at(self) -> datetime:
        """When what is asked now expires."""
        return self.ledger.now() + timedelta(seconds=self.approval_seconds)


async def listen(
    happenings: AsyncGenerator[Happening, None], hand: Hand, text: TextOf | None, spending: Spending
) -> Completed | Paused:
    """Tell watchers what happens, keep what tools do, count what it costs, and return the end.

    Without a text nobody watches what is said. Raise CodelabError, LeaseLost.
    """
    try:
        async with aclosing(happenings):
            async for happening in happenings:
                match happening:
                    case Delta():
                        spending.wrote(happening.text)
                        if text is not None:
                            hand.publisher.text(text, happening.text)
                    case ModelCalled():
                        spending.called(happening.prompt_tokens)
                    case Completed():
                        spending.ended(happening.usage)
                        return happening
                    case Paused():
                        spending.ended(happening.usage)
                        return happening
                    case ToolEvent():
                        await hand.ledger.note(happening.type, happening.payload)
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
