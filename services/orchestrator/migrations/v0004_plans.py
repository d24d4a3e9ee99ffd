"""Runs may be planned, and time in which nobody works on one does not count."""

import sqlalchemy as sa
from alembic import op

from services.runtime.database import Json

revision = "0004"
down_revision = "0003"

# Moments as seconds since 1970.
_STARTED = {
    "sqlite": "(julianday(started_at) - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from started_at)::double precision",
}


def upgrade() -> None:
    """Add where a run's plan comes from, and how long nobody worked on it: of those at work, all the time so far."""
    op.add_column("runs", sa.Column("plan_origin", sa.String(20)))
    op.add_column("runs", sa.Column("plan_problems", Json))
    op.add_column("runs", sa.Column("planning_seconds", sa.Double()))
    op.add_column("runs", sa.Column("idle_since", sa.Double()))
    op.add_column("runs", sa.Column("idle_seconds", sa.Double()))
    runs = sa.table("runs", sa.column("plan_problems", Json), *map(sa.column, ("idle_since", "idle_seconds", "state")))
    op.execute(sa.update(runs).values(plan_problems=[], idle_seconds=0.0))
    started: sa.ColumnClause[float] = sa.literal_column(_STARTED[op.get_bind().dialect.name])
    at_work = runs.c.state.in_(("running", "waiting_approval"))
    op.execute(sa.update(runs).where(at_work).values(idle_since=started))
    # SQLite cannot change a column: there the table is made anew.
    with op.batch_alter_table("runs") as table:
        table.alter_column("plan_problems", existing_type=Json, nullable=False)
        table.alter_column("idle_seconds", existing_type=sa.Double(), nullable=False)
    # It was the attempt's number under another name.
    op.drop_column("run_tasks", "generation")
