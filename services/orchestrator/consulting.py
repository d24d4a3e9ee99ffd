"""What one agent asks another while it works on a task. Nobody holds anything for the one that waits."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from services.orchestrator.hand import Hand, listen, pause_before, worth_another
from services.orchestrator.model import Agent, Task, TaskState, Usage, title_of
from services.orchestrator.ports import (
    Agents,
    Answer,
    Assignment,
    Completed,
    Consultation,
    Happening,
    Progress,
    ToolEvent,
)
from services.runtime.errors import CodelabError

_RESOLVE_SECONDS = 5.0
LONGEST_ANSWER = 12_000
"""Code points of what the asking agent is told: as much as of any tool."""


async def consult(
    agents: Agents, hand: Hand, task: Task, consultations: Sequence[Consultation]
) -> tuple[list[Answer], Usage]:
    """Ask other agents, all at once; return what they say, in order, and what that cost.

    They work like on a task, but with the tools alone that need no approval. A failure is an answer, too. Raise
    LeaseLost, LimitReached.
    """
    if not consultations:
        return [], Usage()
    asking = [asyncio.create_task(_ask(agents, hand, task, each), name=f"ask {each.call_id}") for each in consultations]
    try:
        told = await asyncio.gather(*asking)
    finally:
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)
    return [answer for answer, _ in told], sum((spent for _, spent in told), Usage())


async def _ask(agents: Agents, hand: Hand, task: Task, consultation: Consultation) -> tuple[Answer, Usage]:
    lease, spent = hand.ledger.lease, Usage()
    try:
        agent = await agents.resolve(lease.user_id, lease.project_id, consultation.agent, _RESOLVE_SECONDS)
    except CodelabError as error:
        return _failed(consultation, error.detail), spent
    tries = 1
    while True:
        spending = hand.meter.attempt(consultation.call_id, tries)
        assignment = Assignment(lease, _task_of(consultation, agent, tries), history=(), unattended=True)
        try:
            happenings = _of_task(agents.execute(assignment), task)
            outcome = await listen(happenings, hand, None, spending)
            spent += spending.spent()
            if isinstance(outcome, Completed):
                return Answer(consultation.call_id, "done", _cut(outcome.output)), spent
            return _failed(consultation, f"{agent.name} waits for something that it cannot be given here"), spent
        except CodelabError as error:
            spent += spending.spent()
            if not worth_another(error, tries, hand):
                return _failed(consultation, error.detail), spent
        await asyncio.sleep(pause_before(tries))
        tries += 1


async def _of_task(happenings: AsyncGenerator[Happening, None], task: Task) -> AsyncGenerator[Happening, None]:
    """What happens, as a part of the task: watchers know no other."""
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Progress | ToolEvent) and "task_id" in happening.payload:
                yield replace(happening, payload={**happening.payload, "task_id": task.id})
            else:
                yield happening


def _task_of(consultation: Consultation, agent: Agent, attempt: int) -> Task:
    return Task(
        id=consultation.call_id,
        agent_id=agent.id,
        agent_name=agent.name,
        title=title_of(consultation.question),
        instruction=consultation.question,
        state=TaskState.RUNNING,
        attempt=attempt,
    )


def _failed(consultation: Consultation, detail: str) -> Answer:
    return Answer(consultation.call_id, "done", f"No answer of {consultation.agent[:100]}: {detail}", success=False)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}… [cut: {len(text):,} characters]"
