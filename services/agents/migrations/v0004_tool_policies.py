"""What the agents of a project may do without asking."""

import sqlalchemy as sa
from alembic import op

from services.runtime.database import Json

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the policies of projects."""
    op.create_table(
        "tool_policies",
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("policy", Json, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id", "user_id"], ["worker_spaces.project_id", "worker_spaces.user_id"]),
        sa.PrimaryKeyConstraint("project_id", "user_id"),
    )
