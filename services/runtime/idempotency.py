"""Requests that may be repeated: a key of the caller's choice leads to the first result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import UtcDateTime
from services.runtime.errors import RequestIdReused
from services.runtime.ownership import OwnerGuard

KEPT = timedelta(days=7)

# What one request cleans up: more than one request makes, so that nothing piles up.
_MOST_EXPIRED = 100

_OWN = OwnerGuard("idempotency_keys", project=None)


@dataclass(frozen=True)
class RequestKey:
    """A caller's `request_id` in a scope, with a fingerprint of the request's content."""

    scope: str
    request_id: str
    fingerprint: str

    @classmethod
    def of(cls, scope: str, request_id: str | None, *content: Any) -> "RequestKey | None":
        """The key of a request with this JSON-like content; None when the caller chose no request_id."""
        if request_id is None:
            return None
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
        return cls(scope, request_id, hashlib.sha256(text.encode()).hexdigest())


class IdempotencyKeys:
    """The table of keys in a service's database. Use it in the transaction that makes what the key stands for.

    A key outlives what it stands for: whoever repeats a request late must not bring back what was deleted meanwhile.
    """

    def __init__(self, metadata: sa.MetaData) -> None:
        self._table = sa.Table(
            "idempotency_keys",
            metadata,
            sa.Column("user_id", sa.String(36), primary_key=True),
            sa.Column("scope", sa.String(40), primary_key=True),
            sa.Column("request_id", sa.String(128), primary_key=True),
            sa.Column("fingerprint", sa.String(64), nullable=False),
            sa.Column("resource_id", sa.String(36), nullable=False),
            sa.Column("created_at", UtcDateTime, nullable=False, index=True),
        )
        columns = self._table.c
        since = sa.bindparam("since", type_=UtcDateTime)
        self._find = sa.select(columns.user_id, columns.fingerprint, columns.resource_id).where(
            columns.user_id == sa.bindparam("of_user"),
            columns.scope == sa.bindparam("of_scope"),
            columns.request_id == sa.bindparam("of_request"),
            columns.created_at > since,
        )
        # Whosever they are: who went away claims no more. Those that somebody else is deleting are left to them.
        old = sa.select(*self._table.primary_key).where(columns.created_at <= since).limit(_MOST_EXPIRED)
        self._expire = sa.delete(self._table).where(
            sa.tuple_(*self._table.primary_key).in_(old.with_for_update(skip_locked=True))
        )
        # SQLite writes these clauses in the same words.
        insert = postgresql.insert(self._table)
        self._claim = insert.on_conflict_do_update(
            index_elements=list(self._table.primary_key),
            set_={name: insert.excluded[name] for name in ("fingerprint", "resource_id", "created_at")},
            where=columns.created_at <= since,
        ).returning(columns.resource_id)

    async def find(self, connection: AsyncConnection, user_id: str, key: RequestKey, now: datetime) -> str | None:
        """The id that the key stands for, None if it is new or over 7 days old.

        Raise RequestIdReused for other content.
        """
        of_key = {"of_user": user_id, "of_scope": key.scope, "of_request": key.request_id, "since": now - KEPT}
        row = _OWN.first(await connection.execute(self._find, of_key), user_id)
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise RequestIdReused(key.request_id)
        return str(row.resource_id)

    async def claim(
        self, connection: AsyncConnection, user_id: str, key: RequestKey, resource_id: str, now: datetime
    ) -> str:
        """Let the key stand for `resource_id`, unless it stands for something; return the id that it stands for.

        Whoever claims a key that an open transaction has claimed waits for that one's end. Raise RequestIdReused for
        other content.
        """
        await connection.execute(self._expire, {"since": now - KEPT})
        row = {
            "since": now - KEPT,
            "user_id": user_id,
            "scope": key.scope,
            "request_id": key.request_id,
            "fingerprint": key.fingerprint,
            "resource_id": resource_id,
            "created_at": now,
        }
        while True:
            # Claiming before looking: two that look first both find nothing, and no lock keeps them apart.
            if await connection.scalar(self._claim, row) is not None:
                return resource_id
            known = await self.find(connection, user_id, key, now)
            if known is not None:
                return known
            # Forgotten between the two statements.

    async def claimed_at(self, connection: AsyncConnection, user_id: str, key: RequestKey) -> datetime:
        """When the key was claimed that the user has claimed."""
        columns = self._table.c
        this = (columns.user_id == user_id, columns.scope == key.scope, columns.request_id == key.request_id)
        found = await connection.execute(sa.select(columns.user_id, columns.created_at).where(*this))
        row = _OWN.first(found, user_id)
        assert row is not None
        moment: datetime = row.created_at
        return moment

    async def forget(self, connection: AsyncConnection, user_id: str, resource_ids: Sequence[str]) -> None:
        """Let no key of the user stand for these resources any more: they never came to be."""
        table = self._table
        await connection.execute(
            sa.delete(table).where(table.c.user_id == user_id, table.c.resource_id.in_(resource_ids))
        )
