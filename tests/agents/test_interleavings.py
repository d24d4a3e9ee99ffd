"""Attempts at one task that meet each other: (8) and (9) of tests/orchestrator/test_interleavings.py, which lists all.

Where two transactions meet, tests/conformance/test_effect_journal.py and test_agent_store.py show who wins.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from services.agents.agent import Owner
from services.agents.effects import Effect, EffectJournal, Outcome, ToolCall
from services.agents.errors import EffectNotFound, ExecutionSuperseded
from services.agents.sql_effects import SqlEffectJournal
from services.agents.store import Claim
from services.agents.tables import executions
from services.runtime.database import Database
from services.runtime.ids import utc_now
from services.runtime.sqlite import SqliteDatabase
from tests.agents.calls import Agents, Execution, User, events_of, new_uuid, refused
from tests.e2e.polling import eventually
from tests.fakes.openai_script import DEFAULT_ANSWER, Script
from tests.fakes.openai_server import FakeModel

CALL = ToolCall("call-1", "send_email", {"to": "bob"})
GATE = "until the test has seen enough"


@dataclass
class Task:
    """A task of Ann's agent, and the journal as its tools would write it."""

    agents: Agents
    user: User
    agent_id: str
    database: Database
    first: Claim

    @property
    def journal(self) -> EffectJournal:
        return SqlEffectJournal(self.database)

    @property
    def owner(self) -> Owner:
        return Owner(self.user.id, self.user.project_id)

    def execute(self, claim: Claim, **script: Any) -> Execution:
        place = {"run_id": claim.run_id, "task_id": claim.task_id}
        return self.agents.execute(
            self.user,
            self.agent_id,
            f"Attempt {claim.rank}. {Script(**script).directive()}",
            run_epoch=claim.run_epoch,
            attempt=claim.attempt,
            **place,
        )

    async def begin(self, claim: Claim, call: ToolCall = CALL) -> Effect | None:
        return await self.journal.begin(self.owner, self.agent_id, claim, call, utc_now())

    async def rows(self) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(sa.select(executions)))


@pytest.fixture
async def task(answering: Agents, tmp_path: Path) -> AsyncIterator[Task]:
    user = answering.user()
    [agent, *_] = await answering.create_space(user)
    database = SqliteDatabase(tmp_path / "agents.db")
    yield Task(answering, user, agent.id, database, Claim(new_uuid(), "answer", 1, 1))
    await database.close()


async def told(model: FakeModel, claim: Claim) -> str:
    """All that the model was told when this attempt asked it, once it has."""
    text = f"Attempt {claim.rank}."
    await eventually(lambda: model.exchanges(text))
    [exchange] = model.exchanges(text)
    return "\n".join(message["content"] for message in exchange.body["messages"])


async def test_side_effect_recorded_but_unfinished_is_told_as_unknown_and_does_not_begin_again(
    task: Task, model: FakeModel
) -> None:
    first, takeover, third = task.first, replace(task.first, run_epoch=2, attempt=2), replace(task.first, run_epoch=3)
    hanging = task.execute(first, fault="hang")
    assert "outcome" not in await told(model, first)
    assert await task.begin(first) is None
    # The process with the first attempt falls silent here: its call may have been made or not.
    assert (await events_of(task.execute(takeover)))[-1].completed.output == DEFAULT_ANSWER
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(hanging)
    said = await told(model, takeover)
    assert said.count("outcome unknown") == said.count("send_email") == 1
    assert said.count("do not repeat it unless you can make sure that it did not happen") == 1
    [recorded] = await task.journal.list_effects(task.owner, *first.task)
    assert await task.begin(takeover) == recorded
    assert await task.journal.list_effects(task.owner, *first.task) == (recorded,)
    # It wakes up. What it did is known from now on, and nothing new begins.
    await task.journal.finish(task.owner, first, CALL.id, Outcome(True, "sent to bob"), utc_now())
    with pytest.raises(ExecutionSuperseded):
        await task.begin(first, replace(CALL, id="call-2"))
    await events_of(task.execute(third))
    said = await told(model, third)
    assert "outcome unknown" not in said
    assert said.count("sent to bob") == said.count("send_email") == 1


async def test_late_execute_of_an_older_epoch_is_refused_and_disturbs_nothing(task: Task, model: FakeModel) -> None:
    first, takeover = task.first, replace(task.first, run_epoch=2, attempt=2)
    running = task.execute(takeover, gate=GATE)
    await told(model, takeover)
    before = await task.rows()
    with refused(grpc.StatusCode.ABORTED, "EXECUTION_SUPERSEDED"):
        await events_of(task.execute(first))
    with pytest.raises(ExecutionSuperseded):
        await task.begin(first)
    with pytest.raises(EffectNotFound):
        await task.journal.finish(task.owner, first, CALL.id, Outcome(True, "sent"), utc_now())
    assert await task.rows() == before
    assert await task.begin(takeover) is None
    model.open_gate(GATE)
    assert (await events_of(running))[-1].completed.output == DEFAULT_ANSWER
    assert len(model.exchanges()) == 1
