"""Reading what runs ask their users from a SQL database."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import ApprovalNotFound
from services.orchestrator.model import Approval, ApprovalState, Owner, Page
from services.orchestrator.sql_approval_rows import APPROVAL_COLUMNS, load_approval, texts_of
from services.orchestrator.sql_session_store import require_project
from services.orchestrator.tables import approvals, chat_sessions, runs
from services.runtime.database import Database
from services.runtime.ownership import OwnerGuard
from services.runtime.pages import decode_token, encode_token, fitting

_own_questions = OwnerGuard("approvals")
"""Past this one go approvals that were asked for by their project: their run's is selected beside them."""


class SqlApprovalQueries:
    """The half of `ApprovalStore` that changes nothing. What leaves passes the owner's guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_approval(self, owner: Owner, approval_id: str, now: datetime) -> Approval:
        """See ApprovalStore."""
        async with self._database.read() as connection:
            question, _ = await find_question(connection, owner, approval_id)
        return shown(question, now)

    async def list_approvals(
        self,
        owner: Owner,
        states: Collection[ApprovalState],
        run_id: str | None,
        page_size: int,
        page_token: str,
        now: datetime,
    ) -> Page[Approval]:
        """See ApprovalStore."""
        query = ("approvals", owner, sorted(set(states)), run_id)
        after = decode_token(page_token, *query, types=(datetime, int, str))
        where = [*_mine(owner), _state_at(now).in_(states)]
        if run_id is not None:
            where.append(approvals.c.run_id == run_id)
        # What was asked at once has one time: there, the later question is the newer.
        order = (approvals.c.created_at, approvals.c.n, approvals.c.id)
        select: sa.Select[Any] = sa.select(*APPROVAL_COLUMNS, runs.c.project_id).select_from(_OF_RUNS).where(*where)
        if after is not None:
            select = select.where(sa.tuple_(*order) < sa.tuple_(*after))
        whose = (approvals.c.user_id, runs.c.project_id)
        count = sa.select(*whose, sa.func.count().label("rows")).select_from(_OF_RUNS).where(*where).group_by(*whose)
        async with self._database.read() as connection:
            await require_project(connection, owner)
            counted = await connection.execute(count)
            found = await connection.execute(select.order_by(*(column.desc() for column in order)).limit(page_size + 1))
            total = sum(row.rows for row in _own_questions.all(counted, owner.user_id, owner.project_id))
            rows = _own_questions.all(found, owner.user_id, owner.project_id)
        loaded = fitting([shown(load_approval(row), now) for row in rows[:page_size]], page_size, texts_of)
        last = rows[len(loaded) - 1] if len(rows) > len(loaded) else None
        token = "" if last is None else encode_token([last.created_at, last.n, last.id], *query)
        return Page(list(loaded), total, token)


_OF_RUNS = approvals.join(runs, runs.c.id == approvals.c.run_id).join(
    chat_sessions, chat_sessions.c.id == runs.c.session_id
)


async def find_question(connection: AsyncConnection, owner: Owner, approval_id: str) -> tuple[Approval, dict[str, Any]]:
    """An approval, and the schema of its question. Raise ApprovalNotFound, also where its session is deleted."""
    found = await connection.execute(
        sa.select(approvals, runs.c.project_id)
        .select_from(_OF_RUNS)
        .where(approvals.c.id == approval_id, *_mine(owner))
    )
    row = _own_questions.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise ApprovalNotFound(approval_id)
    return load_approval(row), row.schema


def _mine(owner: Owner) -> tuple[sa.ColumnElement[bool], ...]:
    """The owner's, unless its session is deleted."""
    return (
        approvals.c.user_id == owner.user_id,
        runs.c.user_id == owner.user_id,
        runs.c.project_id == owner.project_id,
        chat_sessions.c.deleted.is_(False),
    )


def shown(approval: Approval, now: datetime) -> Approval:
    """The approval as it is at this time, whether or not anybody has written down that its time is over."""
    over = approval.state is ApprovalState.PENDING and approval.expires_at <= now
    return replace(approval, state=ApprovalState.EXPIRED) if over else approval


def _state_at(now: datetime) -> sa.ColumnElement[Any]:
    over = sa.and_(approvals.c.state == ApprovalState.PENDING, approvals.c.expires_at <= now)
    return sa.case((over, ApprovalState.EXPIRED), else_=approvals.c.state)
