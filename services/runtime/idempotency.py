"""Requests that may be repeated: a key of the caller's choice leads to the first result."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import UtcDateTime
from services.runtime.errors import RequestIdReused

KEPT = timedelta(days=7)


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
    """The table of keys in a service's database. Use it in the transaction that makes what the key stands for."""

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

    async def find(self, connection: AsyncConnection, user_id: str, key: RequestKey, now: datetime) -> str | None:
        """The id that the key stands for, None if it is new or over 7 days old.

        Raise RequestIdReused for other content.
        """
        table = self._table
        row = (
            await connection.execute(
                sa.select(table.c.fingerprint, table.c.resource_id).where(
                    table.c.user_id == user_id,
                    table.c.scope == key.scope,
                    table.c.request_id == key.request_id,
                    table.c.created_at > now - KEPT,
                )
            )
        ).first()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise RequestIdReused(key.request_id)
        return str(row.resource_id)

    async def record(
        self,
        connection: AsyncConnection,
        user_id: str,
        key: RequestKey,
        resource_id: str,
        now: datetime,
    ) -> None:
        """Let the key stand for `resource_id`. Keys that are too old leave with it."""
        table = self._table
        await connection.execute(sa.delete(table).where(table.c.created_at <= now - KEPT))
        await connection.execute(
            sa.insert(table).values(
                user_id=user_id,
                scope=key.scope,
                request_id=key.request_id,
                fingerprint=key.fingerprint,
                resource_id=resource_id,
                created_at=now,
            )
        )

    async def forget(
        self, connection: AsyncConnection, user_id: str, resource_ids: "Sequence[str] | sa.Select[tuple[str]]"
    ) -> None:
        """Let no key of the user stand for these resources any more: they are gone."""
        table = self._table
        await connection.execute(
            sa.delete(table).where(table.c.user_id == user_id, table.c.resource_id.in_(resource_ids))
        )
