"""Runs may be planned, and time in which they wait for their user does not count."""

import sqlalchemy as sa
from alembic import op

from services.runtime.database import Json

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add where a run's plan comes from, and how long it was parked: so far, no time that anybody knows of."""
    op.add_column("runs", sa.Column("plan_origin", sa.String(20)))
    op.add_column("runs", sa.Column("plan_problems", Json))
    op.add_column("runs", sa.Column("planning_seconds", sa.Double()))
    op.add_column("runs", sa.Column("parked_at", sa.Double()))
    op.add_column("runs", sa.Column("parked_seconds", sa.Double()))
    runs = sa.table("runs", sa.column("plan_problems", Json), sa.column("parked_seconds"))
    op.execute(sa.update(runs).values(plan_problems=[], parked_seconds=0.0))
    # SQLite cannot change a column: there the table is made anew.
    with op.batch_alter_table("runs") as table:
        table.alter_column("plan_problems", existing_type=Json, nullable=False)
        table.alter_column("parked_seconds", existing_type=sa.Double(), nullable=False)
    # It was the attempt's number under another name.
    op.drop_column("run_tasks", "generation")
