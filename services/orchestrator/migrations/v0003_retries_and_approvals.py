"""Runs may be retried, count against their user's limits, and wait for decisions."""

import sqlalchemy as sa
from alembic import op

from services.runtime.database import Json

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
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("task_id", sa.String(100)),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ux_approvals_run", "approvals", ["run_id", "n"], unique=True)
    op.create_index(
        "ix_approvals_pending",
        "approvals",
        ["expires_at"],
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
