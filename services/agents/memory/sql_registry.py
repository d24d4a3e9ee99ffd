"""The MemoryRegistry in the agents service's database."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.agents.agent import Owner
from services.agents.errors import AgentNotFound
from services.agents.memory.model import Collection, Embedding
from services.agents.memory.registry import Addition
from services.agents.tables import (
    OWN_AGENTS,
    OWN_COLLECTIONS,
    idempotency_keys,
    lock_space,
    memory_collections,
    of,
    user_agents,
)
from services.runtime.database import Database, prepared
from services.runtime.idempotency import RequestKey


class SqlMemoryRegistry:
    """Collections in the table of that name. What leaves passes the owner's guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: Owner, agent_id: str) -> Collection | None:
        """See MemoryRegistry."""
        async with self._database.read() as connection:
            return await _find(connection, owner, agent_id)

    async def register(self, owner: Owner, agent_id: str, embedding: Embedding) -> Collection:
        """See MemoryRegistry."""
        async with self._database.write() as connection:
            # Whoever deletes the agent locks the same row: either this is seen then, or there is no agent here.
            await lock_space(connection, owner)
            if (there := await _find(connection, owner, agent_id)) is not None:
                return there
            made = {"embedding_model": embedding.model, "dimension": embedding.dimension}
            await connection.execute(_INSERT, {**asdict(owner), "agent_id": agent_id, **made})
            return Collection(owner, agent_id, embedding)

    async def begin_addition(self, owner: Owner, key: RequestKey, memory_id: str, now: datetime) -> Addition:
        """See MemoryRegistry."""
        async with self._database.write() as connection:
            known = await idempotency_keys.claim(connection, owner.user_id, key, memory_id, now)
            begun_at = await idempotency_keys.claimed_at(connection, owner.user_id, key)
            ended = await idempotency_keys.find(connection, owner.user_id, _end_of(key), now)
            return Addition(known, begun_at, ended is not None)

    async def end_addition(self, owner: Owner, key: RequestKey, addition: Addition, now: datetime) -> None:
        """See MemoryRegistry."""
        async with self._database.write() as connection:
            await idempotency_keys.claim(connection, owner.user_id, _end_of(key), addition.memory_id, now)

    async def dropped(self, owner: Owner | None = None) -> Sequence[Collection]:
        """See MemoryRegistry."""
        query = sa.select(memory_collections).where(memory_collections.c.dropped_at.is_not(None))
        if owner is not None:
            query = query.where(of(memory_collections, owner))
        async with self._database.read() as connection:
            collections = [_collection(row) for row in await connection.execute(query)]
        return collections if owner is None else OWN_COLLECTIONS.all(collections, owner.user_id, owner.project_id)

    async def forget_dropped(self, before: datetime) -> None:
        """See MemoryRegistry."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(memory_collections).where(memory_collections.c.dropped_at < before))

    async def of_everybody(self) -> Sequence[Collection]:
        """See MemoryRegistry."""
        columns = memory_collections.c
        kept = sa.select(memory_collections).where(columns.dropped_at.is_(None)).order_by(columns.agent_id)
        async with self._database.read() as connection:
            return [_collection(row) for row in await connection.execute(kept)]

    async def embeddings(self) -> Mapping[Embedding, int]:
        """See MemoryRegistry."""
        columns = memory_collections.c
        embedding = (columns.embedding_model, columns.dimension)
        counted = sa.select(*embedding, sa.func.count()).where(columns.dropped_at.is_(None)).group_by(*embedding)
        async with self._database.read() as connection:
            return {Embedding(model, length): number for model, length, number in await connection.execute(counted)}

    async def migrated(self, collection: Collection, to: Embedding) -> None:
        """See MemoryRegistry."""
        columns = memory_collections.c
        this = sa.and_(of(memory_collections, collection.owner), columns.agent_id == collection.agent_id)
        async with self._database.write() as connection:
            await connection.execute(
                sa.update(memory_collections)
                .where(this, columns.dropped_at.is_(None))
                .values(embedding_model=to.model, dimension=to.dimension)
            )


def _end_of(key: RequestKey) -> RequestKey:
    """The key that stands beside this one once what it stands for is done."""
    return replace(key, scope=f"{key.scope}.ended")


_INSERT = sa.insert(memory_collections)


async def _find(connection: AsyncConnection, owner: Owner, agent_id: str) -> Collection | None:
    found = await connection.execute(*_of_agent(owner.user_id, owner.project_id, agent_id))
    rows = OWN_AGENTS.all(found, owner.user_id, owner.project_id)
    if not rows:
        raise AgentNotFound(agent_id)
    collections = [_collection(row, "collection_") for row in rows if row.collection_user_id is not None]
    return OWN_COLLECTIONS.first(collections, owner.user_id, owner.project_id)


@prepared
def _of_agent(user_id: Any, project_id: Any, agent_id: Any) -> sa.Select[Any]:
    """The agent, and its collection where it has one."""
    owner = Owner(user_id, project_id)
    same_agent = memory_collections.c.agent_id == user_agents.c.id
    return (
        sa.select(
            user_agents.c.id,
            user_agents.c.user_id,
            user_agents.c.project_id,
            *(column.label(f"collection_{column.name}") for column in memory_collections.c),
        )
        .select_from(user_agents.outerjoin(memory_collections, sa.and_(same_agent, of(memory_collections, owner))))
        .where(of(user_agents, owner), user_agents.c.id == agent_id)
    )


def _collection(row: sa.Row[Any], prefix: str = "") -> Collection:
    values = {column.name: getattr(row, f"{prefix}{column.name}") for column in memory_collections.c}
    owner = Owner(values["user_id"], values["project_id"])
    return Collection(owner, values["agent_id"], Embedding(values["embedding_model"], values["dimension"]))
