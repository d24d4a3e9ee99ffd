"""The agents service's tables, and how a project is locked."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from services.agents.agent import Owner
from services.runtime.database import Json, UtcDateTime, prepared
from services.runtime.idempotency import IdempotencyKeys
from services.runtime.ownership import OwnerGuard

metadata = sa.MetaData()
idempotency_keys = IdempotencyKeys(metadata)

worker_spaces = sa.Table(
    "worker_spaces",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    # Part of the key: who deletes an id that is not theirs leaves a tombstone beside the owner's space, not on it.
    sa.Column("user_id", sa.String(36), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False),  # active | deleted
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
_is_active = worker_spaces.c.state == "active"
# A project has one owner. The index sees the other users' rows, which no query of ours may.
sa.Index(
    "worker_spaces_one_owner",
    worker_spaces.c.project_id,
    unique=True,
    sqlite_where=_is_active,
    postgresql_where=_is_active,
)

user_agents = sa.Table(
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

executions = sa.Table(
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

# The journal of tool calls with side effects. It goes with its task's claim, whoever removes that: an effect that began
# while they were being removed would otherwise be left behind.
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(36), primary_key=True),
    sa.Column("run_id", sa.String(36), primary_key=True),
    sa.Column("task_id", sa.String(64), primary_key=True),
    sa.Column("call_id", sa.String(100), primary_key=True),
    sa.Column("tool", sa.String(100), nullable=False),
    # JSON as text: PostgreSQL's own type takes no U+0000, and models say anything.
    sa.Column("arguments", sa.Text, nullable=False),
    # The attempt that began it.
    sa.Column("run_epoch", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("success", sa.Boolean),
    sa.Column("output", sa.Text),
    sa.ForeignKeyConstraint(
        ["project_id", "user_id", "run_id", "task_id"],
        ["executions.project_id", "executions.user_id", "executions.run_id", "executions.task_id"],
        ondelete="CASCADE",
    ),
)

# One row for each agent that has memories in the store, or had until its deletion: then the row says that they must go,
# and stays until they are surely gone, also those that came late.
memory_collections = sa.Table(
    "memory_collections",
    metadata,
    sa.Column("agent_id", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(36), nullable=False),
    sa.Column("user_id", sa.String(36), nullable=False),
    sa.Column("embedding_model", sa.String(200), nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("dropped_at", UtcDateTime, index=True),
    sa.ForeignKeyConstraint(["project_id", "user_id"], ["worker_spaces.project_id", "worker_spaces.user_id"]),
    sa.Index("memory_collections_owner", "project_id", "user_id"),
)

# What the agents of a project may do without asking: one row for each project whose owner has said so.
tool_policies = sa.Table(
    "tool_policies",
    metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(36), primary_key=True),
    sa.Column("policy", Json, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.ForeignKeyConstraint(["project_id", "user_id"], ["worker_spaces.project_id", "worker_spaces.user_id"]),
)

OWN_SPACES = OwnerGuard("worker_spaces")
OWN_AGENTS = OwnerGuard("user_agents")
OWN_CLAIMS = OwnerGuard("executions", user="claim_user_id", project="claim_project_id")
OWN_EFFECTS = OwnerGuard("effects")
OWN_POLICIES = OwnerGuard("tool_policies")
OWN_COLLECTIONS = OwnerGuard("memory_collections", user="owner.user_id", project="owner.project_id")


def of(table: sa.Table, owner: Owner) -> sa.ColumnElement[bool]:
    """What is the owner's."""
    return sa.and_(table.c.user_id == owner.user_id, table.c.project_id == owner.project_id)


def of_task(table: sa.Table, owner: Owner, run_id: Any, task_id: Any) -> sa.ColumnElement[bool]:
    """What is of one task of the owner's."""
    return sa.and_(of(table, owner), table.c.run_id == run_id, table.c.task_id == task_id)


@prepared
def _locked_space(user_id: Any, project_id: Any) -> ReturningUpdate[Any]:
    space = of(worker_spaces, Owner(user_id, project_id))
    return sa.update(worker_spaces).where(space).values(state=worker_spaces.c.state).returning(worker_spaces)


@prepared
def _space(user_id: Any, project_id: Any) -> sa.Select[Any]:
    return sa.select(worker_spaces).where(of(worker_spaces, Owner(user_id, project_id)))


async def space_state(connection: AsyncConnection, owner: Owner) -> str | None:
    """The state of the project's worker space, as this transaction sees it; None if there is none."""
    found = await connection.execute(*_space(owner.user_id, owner.project_id))
    space = OWN_SPACES.first(found, owner.user_id, owner.project_id)
    return None if space is None else str(space.state)


async def lock_space(connection: AsyncConnection, owner: Owner) -> str | None:
    """Keep every other writer out of the project until this transaction ends; return the state of its worker space."""
    # An UPDATE locks on every database; FOR UPDATE would be ignored by SQLite.
    locked = await connection.execute(*_locked_space(owner.user_id, owner.project_id))
    space = OWN_SPACES.first(locked, owner.user_id, owner.project_id)
    return None if space is None else str(space.state)
