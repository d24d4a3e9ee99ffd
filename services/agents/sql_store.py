"""The AgentStore on a SQL database."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.agents.agent import Agent, AgentConfig, AgentDraft, Owner
from services.agents.errors import AgentNameTaken, AgentNotFound, ExecutionSuperseded, ProjectDeleted, ProjectNotFound
from services.agents.store import AgentPage, AgentPosition, Claim
from services.runtime.database import Database, Json, UtcDateTime, prepared
from services.runtime.idempotency import IdempotencyKeys, RequestKey
from services.runtime.ownership import OwnerGuard
from services.runtime.pages import fitting

metadata = sa.MetaData()
_keys = IdempotencyKeys(metadata)

_spaces = sa.Table(
    "worker_spaces",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    # Part of the key: who deletes an id that is not theirs leaves a tombstone beside the owner's space, not on it.
    sa.Column("user_id", sa.String(36), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),  # active | deleted
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
_is_active = _spaces.c.state == "active"
# A project has one owner. The index sees the other users' rows, which no query of ours may.
sa.Index(
    "worker_spaces_one_owner", _spaces.c.project_id, unique=True, sqlite_where=_is_active, postgresql_where=_is_active
)

_agents = sa.Table(
    "user_agents",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(36), nullable=False),
    sa.Column("user_id", sa.String(36), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("config", Json, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["project_id", "user_id"], ["worker_spaces.project_id", "worker_spaces.user_id"]),
    sa.UniqueConstraint("project_id", "user_id", "name"),
    sa.Index("user_agents_newest", "project_id", "user_id", "created_at", "id"),
)

_executions = sa.Table(
    "executions",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(36), primary_key=True),
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("task_id", sa.String(64), primary_key=True),
    sa.Column("run_epoch", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False, index=True),
    sa.ForeignKeyConstraint(["project_id", "user_id"], ["worker_spaces.project_id", "worker_spaces.user_id"]),
)

_OWN_SPACES = OwnerGuard("worker_spaces")
_OWN_AGENTS = OwnerGuard("user_agents")
_OWN_CLAIMS = OwnerGuard("executions", user="claim_user_id", project="claim_project_id")


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
                if await _lock_space(connection, owner) is None:
                    raise ProjectNotFound(owner.project_id) from None
            return await self._create_space(owner, agents)

    async def _create_space(self, owner: Owner, agents: Sequence[Agent]) -> tuple[Agent, ...]:
        async with self._database.write() as connection:
            state = await _lock_space(connection, owner)
            if state == "deleted":
                raise ProjectDeleted(owner.project_id)
            if state is None:
                now = max(agent.created_at for agent in agents)
                await connection.execute(sa.insert(_spaces).values(**asdict(owner), state="active", updated_at=now))
                await connection.execute(sa.insert(_agents), [_row(agent) for agent in agents])
            rows = await connection.execute(_newest_first(sa.select(_agents).where(_of(_agents, owner))))
            return tuple(_agent(row) for row in _OWN_AGENTS.all(rows, owner.user_id, owner.project_id))

    async def delete_space(self, owner: Owner, now: datetime) -> None:
        """See AgentStore."""
        try:
            await self._delete_space(owner, now)
        except IntegrityError:
            # Made or deleted by another transaction in between: the row is there now.
            await self._delete_space(owner, now)

    async def _delete_space(self, owner: Owner, now: datetime) -> None:
        async with self._database.write() as connection:
            if await _lock_space(connection, owner) is None:
                await connection.execute(sa.insert(_spaces).values(**asdict(owner), state="deleted", updated_at=now))
                return
            await connection.execute(sa.delete(_agents).where(_of(_agents, owner)))
            await connection.execute(sa.delete(_executions).where(_of(_executions, owner)))
            await connection.execute(
                sa.update(_spaces).where(_of(_spaces, owner)).values(state="deleted", updated_at=now)
            )

    async def create_agent(self, agent: Agent, key: RequestKey | None) -> Agent:
        """See AgentStore."""
        owner = agent.owner
        async with self._database.write() as connection:
            if await _lock_space(connection, owner) != "active":
                raise ProjectNotFound(owner.project_id)
            if key is not None:
                known = await _keys.claim(connection, owner.user_id, key, agent.id, agent.created_at)
                if known != agent.id:
                    return await _get(connection, owner, known)
            await _refuse_taken(connection, owner, agent.name)
            await connection.execute(sa.insert(_agents).values(**_row(agent)))
            return agent

    async def list_agents(self, owner: Owner, size: int, after: AgentPosition | None) -> AgentPage:
        """See AgentStore."""
        page = _newest_first(sa.select(_agents).where(_of(_agents, owner))).limit(size + 1)
        if after is not None:
            created_at, agent_id = after
            page = page.where(
                sa.or_(
                    _agents.c.created_at < created_at,
                    sa.and_(_agents.c.created_at == created_at, _agents.c.id < agent_id),
                )
            )
        async with self._database.read() as connection:
            space = await connection.execute(sa.select(_spaces).where(_of(_spaces, owner)))
            if _state(_OWN_SPACES.first(space, owner.user_id, owner.project_id)) != "active":
                raise ProjectNotFound(owner.project_id)
            counted = await connection.execute(_count(owner))
            total = sum(row.rows for row in _OWN_AGENTS.all(counted, owner.user_id, owner.project_id))
            rows = _OWN_AGENTS.all(await connection.execute(page), owner.user_id, owner.project_id)
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
            row = _OWN_AGENTS.first(found, owner.user_id, owner.project_id)
        if row is None:
            raise AgentNotFound(name)
        return _agent(row)

    async def update_agent(
        self, owner: Owner, agent_id: str, wanted: AgentDraft, paths: frozenset[str], now: datetime
    ) -> Agent:
        """See AgentStore."""
        async with self._database.write() as connection:
            # The lock also keeps two agents from taking one name at the same time.
            await _lock_space(connection, owner)
            agent = await _get(connection, owner, agent_id)
            changed = agent.draft.changed(wanted, paths)
            if changed.name != agent.name:
                await _refuse_taken(connection, owner, changed.name)
            await connection.execute(
                sa.update(_agents)
                .where(_of(_agents, owner), _agents.c.id == agent_id)
                .values(
                    name=changed.name, config=asdict(changed.config), revision=_agents.c.revision + 1, updated_at=now
                )
            )
            return await _get(connection, owner, agent_id)

    async def delete_agent(self, owner: Owner, agent_id: str) -> None:
        """See AgentStore."""
        async with self._database.write() as connection:
            await _lock_space(connection, owner)
            this = sa.and_(_of(_agents, owner), _agents.c.id == agent_id)
            deleted = await connection.execute(sa.delete(_agents).where(this))
            if deleted.rowcount == 0:
                raise AgentNotFound(agent_id)

    async def claim(self, owner: Owner, agent_id: str, claim: Claim, now: datetime) -> Agent:
        """See AgentStore."""
        async with self._database.write() as connection:
            # Locked, so that of two attempts the second sees the first.
            await _lock_space(connection, owner)
            task = (owner.user_id, owner.project_id, claim.run_id, claim.task_id)
            found = await connection.execute(*_claimed(*task, agent_id))
            rows = _OWN_AGENTS.all(found, owner.user_id, owner.project_id)
            if not rows:
                raise AgentNotFound(agent_id)
            claims = [row for row in rows if row.claim_user_id is not None]
            last = _OWN_CLAIMS.first(claims, owner.user_id, owner.project_id)
            rank = {"run_epoch": claim.run_epoch, "attempt": claim.attempt, "updated_at": now}
            if last is None:
                this = {**asdict(owner), "run_id": claim.run_id, "task_id": claim.task_id}
                await connection.execute(_INSERT_CLAIM, {**this, **rank})
            elif (last.run_epoch, last.attempt) < claim.rank:
                await connection.execute(sa.update(_executions).where(_task(*task)).values(**rank))
            else:
                raise ExecutionSuperseded(claim.run_id, claim.task_id)
            return _agent(rows[0])

    async def forget_claims(self, before: datetime) -> None:
        """See AgentStore."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(_executions).where(_executions.c.updated_at < before))


def _of(table: sa.Table, owner: Owner) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.user_id == owner.user_id, table.c.project_id == owner.project_id)


def _task(user_id: Any, project_id: Any, run_id: Any, task_id: Any) -> sa.ColumnElement[bool]:
    claims = _executions.c
    return sa.and_(_of(_executions, Owner(user_id, project_id)), claims.run_id == run_id, claims.task_id == task_id)


_INSERT_CLAIM = sa.insert(_executions)


@prepared
def _claimed(user_id: Any, project_id: Any, run_id: Any, task_id: Any, agent_id: Any) -> sa.Select[Any]:
    """The agent, and the claim of the task where there is one."""
    return (
        sa.select(
            _agents,
            _executions.c.user_id.label("claim_user_id"),
            _executions.c.project_id.label("claim_project_id"),
            _executions.c.run_epoch,
            _executions.c.attempt,
        )
        .select_from(_agents.outerjoin(_executions, _task(user_id, project_id, run_id, task_id)))
        .where(_of(_agents, Owner(user_id, project_id)), _agents.c.id == agent_id)
    )


@prepared
def _named(user_id: Any, project_id: Any, name: Any) -> sa.Select[Any]:
    return sa.select(_agents).where(_of(_agents, Owner(user_id, project_id)), _agents.c.name == name)


@prepared
def _locked_space(user_id: Any, project_id: Any) -> ReturningUpdate[Any]:
    space = _of(_spaces, Owner(user_id, project_id))
    return sa.update(_spaces).where(space).values(state=_spaces.c.state).returning(_spaces)


def _count(owner: Owner) -> sa.Select[Any]:
    whose = (_agents.c.user_id, _agents.c.project_id)
    return sa.select(*whose, sa.func.count().label("rows")).where(_of(_agents, owner)).group_by(*whose)


def _newest_first(agents: sa.Select[Any]) -> sa.Select[Any]:
    return agents.order_by(_agents.c.created_at.desc(), _agents.c.id.desc())


async def _lock_space(connection: AsyncConnection, owner: Owner) -> str | None:
    """Keep every other writer out of the project until this transaction ends; return the state of its worker space."""
    # An UPDATE locks on every database; FOR UPDATE would be ignored by SQLite.
    locked = await connection.execute(*_locked_space(owner.user_id, owner.project_id))
    return _state(_OWN_SPACES.first(locked, owner.user_id, owner.project_id))


def _state(space: sa.Row[Any] | None) -> str | None:
    return None if space is None else str(space.state)


async def _get(connection: AsyncConnection, owner: Owner, agent_id: str) -> Agent:
    found = await connection.execute(sa.select(_agents).where(_of(_agents, owner), _agents.c.id == agent_id))
    row = _OWN_AGENTS.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise AgentNotFound(agent_id)
    return _agent(row)


async def _refuse_taken(connection: AsyncConnection, owner: Owner, name: str) -> None:
    taken = await connection.execute(*_named(owner.user_id, owner.project_id, name))
    if _OWN_AGENTS.first(taken, owner.user_id, owner.project_id) is not None:
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
