"""Users decide what runs ask them, and tasks go on where they were paused."""

import sqlalchemy as sa
from alembic import op

from services.runtime.database import Json

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add what decisions change and are held against, and where paused tasks go on."""
    op.add_column("run_tasks", sa.Column("paused", sa.Text()))
    op.add_column("approvals", sa.Column("schema", Json))
    op.add_column("approvals", sa.Column("changed", Json))
    op.add_column("approvals", sa.Column("scope", sa.String(10)))
    op.execute(sa.update(sa.table("approvals", sa.column("schema", Json))).values(schema={}))
    # SQLite cannot change a column: there the table is made anew.
    with op.batch_alter_table("approvals") as table:
        table.alter_column("schema", existing_type=Json, nullable=False)
    op.create_index("ix_approvals_owner", "approvals", ["user_id", "created_at"])
