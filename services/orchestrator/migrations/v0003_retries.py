"""Runs may be retried, and count against their user's limits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UNFINISHED = sa.text("state IN ('planning', 'running', 'waiting_approval', 'queued')")


def upgrade() -> None:
    """Add whose message a run answers: so far its own."""
    op.add_column("runs", sa.Column("asked_at", sa.Integer()))
    runs = sa.table("runs", sa.column("position"), sa.column("asked_at"))
    op.execute(sa.update(runs).values(asked_at=runs.c.position))
    # SQLite cannot change a column: there the table is made anew.
    with op.batch_alter_table("runs") as table:
        table.alter_column("asked_at", existing_type=sa.Integer(), nullable=False)
    op.create_index("ux_runs_retry_of", "runs", ["retry_of"], unique=True)
    op.create_index("ix_runs_unfinished", "runs", ["user_id"], sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED)
