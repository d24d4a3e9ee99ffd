"""The AgentStore on a SQL database."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.agents.agent import Agent, AgentConfig, AgentDraft, Owner
from services.agents.errors import AgentNameTaken, AgentNotFound, ExecutionSuperseded, ProjectDeleted, ProjectNotFound
from services.agents.store import AgentPage, AgentPosition, Claim
from services.agents.tables import (
    OWN_AGENTS,
    OWN_CLAIMS,
    executions,
    idempotency_keys,
    lock_space,
    memory_collections,
    of,
    of_task,
    space_state,
    tool_policies,
    user_agents,
    worker_spaces,
)
from services.runtime.database import Database, prepared
from services.runtime.idempotency import RequestKey
from services.runtime.pages import fitting


class SqlAgentStore:
    """Worker spaces and agents in a database with the tables of `metadata`. What leaves passes the owner's guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_space(self, owner: Owner, agents: Sequence[Agent]) -> tuple[Agent, ...]:
        """See AgentStore."""
        try:
            return await self._create_space(owner, agents)
        except IntegrityError:
            # The project has a space that this transaction did not see. If it is the user's, it is seen now.
            async with self._database.write() as connection:
                if await lock_space(connection, owner) is None:
                    raise ProjectNotFound(owner.project_id) from None
            return await self._create_space(owner, agents)

    async def _create_space(self, owner: Owner, agents: Sequence[Agent]) -> tuple[Agent, ...]:
        async with self._database.write() as connection:
            state = await lock_space(connection, owner)
            if state == "deleted":
                raise ProjectDeleted(owner.project_id)
            if state is None:
                now = max(agent.created_at for agent in agents)
                await connection.execute(
                    sa.insert(worker_spaces).values(**asdict(owner), state="active", updated_at=now)
                )
                await connection.execute(sa.insert(user_agents), [_row(agent) for agent in agents])
            rows = await connection.execute(_newest_first(sa.select(user_agents).where(of(user_agents, owner))))
            return tuple(_agent(row) for row in OWN_AGENTS.all(rows, owner.user_id, owner.project_id))

    async def delete_space(self, owner: Owner, now: datetime) -> tuple[str, ...]:
        """See AgentStore."""
        try:
            return await self._delete_space(owner, now)
        except IntegrityError:
            # Made or deleted by another transaction in between: the row is there now.
            return await self._delete_space(owner, now)

    async def _delete_space(self, owner: Owner, now: datetime) -> tuple[str, ...]:
        async with self._database.write() as connection:
            if await lock_space(connection, owner) is None:
                await connection.execute(
                    sa.insert(worker_spaces).values(**asdict(owner), state="deleted", updated_at=now)
                )
                return ()
            gone = sa.delete(user_agents).where(of(user_agents, owner)).returning(user_agents)
            agents = OWN_AGENTS.all(await connection.execute(gone), owner.user_id, owner.project_id)
            await connection.execute(sa.delete(executions).where(of(executions, owner)))
            await connection.execute(sa.delete(tool_policies).where(of(tool_policies, owner)))
            await connection.execute(_drop_memories(owner, now))
            await connection.execute(
                sa.update(worker_spaces).where(of(worker_spaces, owner)).values(state="deleted", updated_at=now)
            )
            return tuple(str(agent.id) for agent in agents)

    async def create_agent(self, agent: Agent, key: RequestKey | None) -> Agent:
        """See AgentStore."""
        owner = agent.owner
        async with self._database.write() as connection:
            if await lock_space(connection, owner) != "active":
                raise ProjectNotFound(owner.project_id)
            if key is not None:
                known = await idempotency_keys.claim(connection, owner.user_id, key, agent.id, agent.created_at)
                if known != agent.id:
                    return await _get(connection, owner, known)
            await _refuse_taken(connection, owner, agent.name)
            await connection.execute(sa.insert(user_agents).values(**_row(agent)))
            return agent

    async def list_agents(self, owner: Owner, size: int, after: AgentPosition | None) -> AgentPage:
        """See AgentStore."""
        page = _newest_first(sa.select(user_agents).where(of(user_agents, owner))).limit(size + 1)
        if after is not None:
            created_at, agent_id = after
            page = page.where(
                sa.or_(
                    user_agents.c.created_at < created_at,
                    sa.and_(user_agents.c.created_at == created_at, user_agents.c.id < agent_id),
                )
            )
        async with self._database.read() as connection:
            if await space_state(connection, owner) != "active":
                raise ProjectNotFound(owner.project_id)
            counted = await connection.execute(_count(owner))
            total = sum(row.rows for row in OWN_AGENTS.all(counted, owner.user_id, owner.project_id))
            rows = OWN_AGENTS.all(await connection.execute(page), owner.user_id, owner.project_id)
        agents = [_agent(row) for row in rows]
        shown = fitting(agents, size, lambda agent: [agent.config.system_prompt, *agent.config.tools])
        return AgentPage(tuple(shown), total, more=len(agents) > len(shown))

    async def get_agent(self, owner: Owner, agent_id: str) -> Agent:
        """See AgentStore."""
        async with self._database.read() as connection:
            return await _get(connection, owner, agent_id)

    async def find_agent(self, owner: Owner, name: str) -> Agent:
        """See AgentStore."""
        async with self._database.read() as connection:
            found = await connection.execute(*_named(owner.user_id, owner.project_id, name))
            row = OWN_AGENTS.first(found, owner.user_id, owner.project_id)
        if row is None:
            raise AgentNotFound(name)
        return _agent(row)

    async def update_agent(
        self, owner: Owner, agent_id: str, wanted: AgentDraft, paths: frozenset[str], now: datetime
    ) -> Agent:
        """See AgentStore."""
        async with self._database.write() as connection:
            # The lock also keeps two agents from taking one name at the same time.
            await lock_space(connection, owner)
            agent = await _get(connection, owner, agent_id)
            changed = agent.draft.changed(wanted, paths)
            if changed.name != agent.name:
                await _refuse_taken(connection, owner, changed.name)
            await connection.execute(
                sa.update(user_agents)
                .where(of(user_agents, owner), user_agents.c.id == agent_id)
                .values(
                    name=changed.name,
                    config=asdict(changed.config),
                    revision=user_agents.c.revision + 1,
                    updated_at=now,
                )
            )
            return await _get(connection, owner, agent_id)

    async def delete_agent(self, owner: Owner, agent_id: str, now: datetime) -> None:
        """See AgentStore."""
        async with self._database.write() as connection:
            await lock_space(connection, owner)
            this = sa.and_(of(user_agents, owner), user_agents.c.id == agent_id)
            deleted = await connection.execute(sa.delete(user_agents).where(this))
            if deleted.rowcount == 0:
                raise AgentNotFound(agent_id)
            await connection.execute(_drop_memories(owner, now).where(memory_collections.c.agent_id == agent_id))

    async def claim(self, owner: Owner, agent_id: str, claim: Claim, now: datetime) -> Agent:
        """See AgentStore."""
        async with self._database.write() as connection:
            # Locked, so that of two attempts the second sees the first.
            await lock_space(connection, owner)
            found = await connection.execute(*_claimed(owner.user_id, owner.project_id, *claim.task, agent_id))
            rows = OWN_AGENTS.all(found, owner.user_id, owner.project_id)
            if not rows:
                raise AgentNotFound(agent_id)
            claims = [row for row in rows if row.claim_user_id is not None]
            last = OWN_CLAIMS.first(claims, owner.user_id, owner.project_id)
            rank = {"run_epoch": claim.run_epoch, "attempt": claim.attempt, "updated_at": now}
            if last is None:
                this = {**asdict(owner), "run_id": claim.run_id, "task_id": claim.task_id}
                await connection.execute(_INSERT_CLAIM, {**this, **rank})
            elif (last.run_epoch, last.attempt) < claim.rank:
                await connection.execute(
                    sa.update(executions).where(of_task(executions, owner, *claim.task)).values(**rank)
                )
            else:
                raise ExecutionSuperseded(claim.run_id, claim.task_id)
            return _agent(rows[0])

    async def reclaim(self, owner: Owner, agent_id: str, claim: Claim) -> Agent:
        """See AgentStore."""
        async with self._database.read() as connection:
            task = (owner.user_id, owner.project_id, claim.run_id, claim.task_id)
            found = await connection.execute(*_claimed(*task, agent_id))
            row = OWN_AGENTS.first(found, owner.user_id, owner.project_id)
        if row is None:
            raise AgentNotFound(agent_id)
        if (row.run_epoch, row.attempt) != claim.rank:
            raise ExecutionSuperseded(claim.run_id, claim.task_id)
        return _agent(row)

    async def forget_claims(self, before: datetime) -> None:
        """See AgentStore."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(executions).where(executions.c.updated_at < before))


def _drop_memories(owner: Owner, now: datetime) -> sa.Update:
    """Say that the memories of the owner's agents must go. Who was told so before keeps its time."""
    going = memory_collections.c.dropped_at.is_(None)
    return sa.update(memory_collections).where(of(memory_collections, owner), going).values(dropped_at=now)


_INSERT_CLAIM = sa.insert(executions)


@prepared
def _claimed(user_id: Any, project_id: Any, run_id: Any, task_id: Any, agent_id: Any) -> sa.Select[Any]:
    """The agent, and the claim of the task where there is one."""
    owner = Owner(user_id, project_id)
    return (
        sa.select(
            user_agents,
            executions.c.user_id.label("claim_user_id"),
            executions.c.project_id.label("claim_project_id"),
            executions.c.run_epoch,
            executions.c.attempt,
        )
        .select_from(user_agents.outerjoin(executions, of_task(executions, owner, run_id, task_id)))
        .where(of(user_agents, owner), user_agents.c.id == agent_id)
    )


@prepared
def _named(user_id: Any, project_id: Any, name: Any) -> sa.Select[Any]:
    return sa.select(user_agents).where(of(user_agents, Owner(user_id, project_id)), user_agents.c.name == name)


def _count(owner: Owner) -> sa.Select[Any]:
    whose = (user_agents.c.user_id, user_agents.c.project_id)
    return sa.select(*whose, sa.func.count().label("rows")).where(of(user_agents, owner)).group_by(*whose)


def _newest_first(agents: sa.Select[Any]) -> sa.Select[Any]:
    return agents.order_by(user_agents.c.created_at.desc(), user_agents.c.id.desc())


async def _get(connection: AsyncConnection, owner: Owner, agent_id: str) -> Agent:
    found = await connection.execute(sa.select(user_agents).where(of(user_agents, owner), user_agents.c.id == agent_id))
    row = OWN_AGENTS.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise AgentNotFound(agent_id)
    return _agent(row)


async def _refuse_taken(connection: AsyncConnection, owner: Owner, name: str) -> None:
    taken = await connection.execute(*_named(owner.user_id, owner.project_id, name))
    if OWN_AGENTS.first(taken, owner.user_id, owner.project_id) is not None:
        raise AgentNameTaken(name)


def _row(agent: Agent) -> dict[str, Any]:
    return {
        **asdict(agent.owner),
        "id": agent.id,
        "name": agent.name,
        "status": agent.status,
        "config": asdict(agent.config),
        "revision": agent.revision,
        "created_at": agent.created_at,
        "updated_at": agent.updated_at,
    }


def _agent(row: sa.Row[Any]) -> Agent:
    return Agent(
        id=row.id,
        owner=Owner(row.user_id, row.project_id),
        name=row.name,
        config=AgentConfig.of(row.config),
        status=row.status,
        revision=row.revision,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
