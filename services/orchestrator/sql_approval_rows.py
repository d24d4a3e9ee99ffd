"""Reading the rows of approvals."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.model import Approval, ApprovalKind, ApprovalScope, ApprovalState, Owner
from services.orchestrator.tables import approvals, own_approvals

APPROVAL_COLUMNS = [column for column in approvals.c if column is not approvals.c.schema]
"""Of an approval; nobody but whoever decides is shown the schema, which may be long."""


def load_approval(row: sa.Row[tuple[object, ...]]) -> Approval:
    """A row of `approvals` as an Approval."""
    return Approval(
        id=row.id,
        run_id=row.run_id,
        task_id=row.task_id,
        kind=ApprovalKind(row.kind),
        state=ApprovalState(row.state),
        payload=row.payload,
        reason=row.reason,
        expires_at=row.expires_at,
        decided_at=row.decided_at,
        created_at=row.created_at,
        changed=row.changed,
        scope=None if row.scope is None else ApprovalScope(row.scope),
    )


async def pending_of(connection: AsyncConnection, owner: Owner, run_ids: Sequence[str]) -> dict[str, list[Approval]]:
    """What these runs wait for, oldest first."""
    pending: dict[str, list[Approval]] = {}
    if run_ids:
        found = await connection.execute(
            sa.select(*APPROVAL_COLUMNS)
            .where(
                approvals.c.run_id.in_(run_ids),
                approvals.c.user_id == owner.user_id,
                approvals.c.state == ApprovalState.PENDING,
            )
            .order_by(approvals.c.n)
        )
        for row in own_approvals.all(found, owner.user_id):
            pending.setdefault(row.run_id, []).append(load_approval(row))
    return pending


def texts_of(approval: Approval) -> list[str | None]:
    """What may be long in an approval."""
    return [json.dumps(approval.payload), json.dumps(approval.changed), approval.reason]
