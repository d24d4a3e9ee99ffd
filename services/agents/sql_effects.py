"""The EffectJournal on a SQL database."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.agents.agent import Owner
from services.agents.effects import Effect, Outcome, ToolCall
from services.agents.errors import AgentNotFound, EffectNotFound, ExecutionSuperseded
from services.agents.store import Claim
from services.agents.tables import OWN_AGENTS, OWN_EFFECTS, effects, executions, of, of_task, user_agents
from services.runtime.database import Database


class SqlEffectJournal:
    """Effects in a database with the tables of `metadata`. What leaves passes the owner's guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, owner: Owner, agent_id: str, claim: Claim, call: ToolCall, now: datetime) -> Effect | None:
        """See EffectJournal."""
        async with self._database.write() as connection:
            # Waits for whoever claims the task, or makes a later attempt wait until this effect can be seen.
            mine = _attempt(executions, owner, claim)
            fenced = await connection.execute(sa.update(executions).where(mine).values(updated_at=now))
            await _require_agent(connection, owner, agent_id)
            if fenced.rowcount == 0:
                raise ExecutionSuperseded(*claim.task)
            earlier = await _find(connection, owner, claim, call.id)
            if earlier is None:
                await connection.execute(sa.insert(effects).values(**_row(owner, claim, call, now)))
            return earlier

    async def finish(self, owner: Owner, claim: Claim, call_id: str, outcome: Outcome, now: datetime) -> Effect:
        """See EffectJournal."""
        async with self._database.write() as connection:
            await connection.execute(
                sa.update(effects)
                .where(_attempt(effects, owner, claim), effects.c.call_id == call_id, effects.c.finished_at.is_(None))
                .values(finished_at=now, success=outcome.success, output=_storable(outcome.output))
            )
            effect = await _find(connection, owner, claim, call_id)
            if effect is None or effect.begun_by != claim:
                raise EffectNotFound(call_id)
            return effect

    async def list_effects(self, owner: Owner, run_id: str, task_id: str) -> tuple[Effect, ...]:
        """See EffectJournal."""
        query = sa.select(effects).where(of_task(effects, owner, run_id, task_id))
        # Attempts follow each other whatever their processes' clocks say.
        order = (effects.c.run_epoch, effects.c.attempt, effects.c.started_at, effects.c.call_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(*order))
            return tuple(_effect(row) for row in OWN_EFFECTS.all(rows, owner.user_id, owner.project_id))


def _attempt(table: sa.Table, owner: Owner, claim: Claim) -> sa.ColumnElement[bool]:
    """What of the task is exactly this attempt's."""
    rank = (table.c.run_epoch == claim.run_epoch, table.c.attempt == claim.attempt)
    return sa.and_(of_task(table, owner, *claim.task), *rank)


async def _require_agent(connection: AsyncConnection, owner: Owner, agent_id: str) -> None:
    found = await connection.execute(sa.select(user_agents).where(of(user_agents, owner), user_agents.c.id == agent_id))
    if OWN_AGENTS.first(found, owner.user_id, owner.project_id) is None:
        raise AgentNotFound(agent_id)


async def _find(connection: AsyncConnection, owner: Owner, claim: Claim, call_id: str) -> Effect | None:
    this = sa.select(effects).where(of_task(effects, owner, *claim.task), effects.c.call_id == call_id)
    row = OWN_EFFECTS.first(await connection.execute(this), owner.user_id, owner.project_id)
    return None if row is None else _effect(row)


def _row(owner: Owner, claim: Claim, call: ToolCall, now: datetime) -> dict[str, Any]:
    return {
        **asdict(owner),
        **asdict(claim),
        "call_id": call.id,
        "tool": call.tool,
        "arguments": _storable(json.dumps(dict(call.arguments), ensure_ascii=False)),
        "started_at": now,
    }


def _storable(text: str) -> str:
    """The text without what databases, or models, refuse: tools and models say anything."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _effect(row: sa.Row[Any]) -> Effect:
    return Effect(
        ToolCall(row.call_id, row.tool, json.loads(row.arguments)),
        Claim(row.run_id, row.task_id, row.run_epoch, row.attempt),
        row.started_at,
        None if row.finished_at is None else Outcome(row.success, row.output),
        row.finished_at,
    )
