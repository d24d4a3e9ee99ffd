"""Which agents have memories."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table of collections."""
    op.create_table(
        "memory_collections",
        sa.Column("agent_id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("embedding_model", sa.String(200), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["project_id", "user_id"],
            ["worker_spaces.project_id", "worker_spaces.user_id"],
        ),
        sa.PrimaryKeyConstraint("agent_id"),
    )
    op.create_index("ix_memory_collections_dropped_at", "memory_collections", ["dropped_at"])
    op.create_index("memory_collections_owner", "memory_collections", ["project_id", "user_id"])
