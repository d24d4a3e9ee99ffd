"""Trying a task at the agents service until an attempt gets somewhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.orchestrator import graph
from services.orchestrator.consulting import consult
from services.orchestrator.hand import Hand, listen, pause_before, worth_another
from services.orchestrator.model import Failure, Question, Task, Usage
from services.orchestrator.pauses import Pause, questions_of, resumed
from services.orchestrator.ports import Agents, Assignment, Completed, Paused, Result
from services.orchestrator.timeline import interrupted
from services.runtime.errors import CodelabError

# In code points: many times what a prompt holds of it, and so little that a dozen fit into one call.
LONGEST_RESULT = 200_000


@dataclass(frozen=True)
class Asked:
    """The task waits for its user's answers to these questions, and goes on from there."""

    questions: tuple[Question, ...]
    pause: str


@dataclass(frozen=True)
class Tried:
    """What became of a task, as it was in its last attempt, and what that cost that is not committed."""

    task: Task
    outcome: Completed | Asked | Failure
    spent: Usage


async def try_task(agents: Agents, hand: Hand, task: Task, results: Sequence[Result] = ()) -> Tried:
    """Try a task, whose present attempt is committed already, until one gets somewhere or too many did not.

    It goes on where it was paused. What it asks other agents is answered here, in a pause of its own. Raise LeaseLost,
    LimitReached.
    """
    tries = 1
    while True:
        lease, text = hand.ledger.lease, hand.text_of(task)
        hand.publisher.begin_text(text, task.attempt)
        spending = hand.meter.attempt(task.id, task.attempt)
        pause = resumed(lease, task)
        if task.attempt > 1:
            await _close_calls(hand, task, pause)
        assignment = Assignment(
            lease,
            task,
            hand.history,
            tuple(results),
            # The one task of a fallback is the message itself.
            (hand.request if hand.request != task.instruction else None) or None,
            pause.state,
            pause.done,
            lease.approved_tools,
        )
        try:
            outcome = await listen(agents.execute(assignment), hand, text, spending)
        except CodelabError as error:
            if not worth_another(error, tries, hand):
                return Tried(task, Failure(error.reason, error.detail), spending.spent())
            await asyncio.sleep(pause_before(tries))
            tries += 1
            task = await _begin_again(hand, task, spending.spent())
            continue
        if isinstance(outcome, Completed):
            return Tried(task, outcome, spending.spent())
        tries, (kept, spent) = 1, await _pause(agents, hand, task, outcome)
        spent += spending.spent()
        if outcome.wanted:
            return Tried(task, Asked(tuple(questions_of(task, outcome, hand.approvals_expire_at)), kept), spent)
        task = await _begin_again(hand, task, spent, kept)


def result_of(task: Task) -> Result:
    """What a finished task hands on."""
    return Result(task.id, task.title, cut(task.output or "", LONGEST_RESULT))


def cut(text: str, most: int) -> str:
    """The text, or so many characters of it and a word that there are more."""
    return text if len(text) <= most else f"{text[:most]}… (cut: {most:,} of {len(text):,} characters)"


async def _close_calls(hand: Hand, task: Task, pause: Pause) -> None:
    """Tell the end of the calls that broke off with an earlier attempt: this one makes its own.

    But for those that it goes on with, whose end is still to come.
    """
    going_on = {answer.call_id for answer in pause.done}
    for call in await hand.ledger.open_calls(task):
        if call.id not in going_on:
            await hand.ledger.note(*interrupted(call, task))


async def _pause(agents: Agents, hand: Hand, task: Task, paused: Paused) -> tuple[str, Usage]:
    """Where the task goes on, with what other agents say to what it asked them; and what that cost."""
    told, spent = await consult(agents, hand, task, paused.consultations)
    return Pause(paused.state, tuple(told)).dump(), spent


async def _begin_again(hand: Hand, task: Task, spent: Usage, kept: str | None = None) -> Task:
    task = graph.begun(replace(task, usage=task.usage + spent), hand.ledger.now())
    await hand.ledger.advance([task], spent, {} if kept is None else {task.id: kept})
    return task
