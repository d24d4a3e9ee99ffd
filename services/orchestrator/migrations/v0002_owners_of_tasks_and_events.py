"""Tasks and events know their user, so that they leave the store past its guard."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the user, who is the run's."""
    runs = sa.table("runs", sa.column("id"), sa.column("user_id"))
    for name in ("run_tasks", "run_events"):
        op.add_column(name, sa.Column("user_id", sa.String(36)))
        owned = sa.table(name, sa.column("run_id"), sa.column("user_id"))
        users = sa.select(runs.c.user_id).where(runs.c.id == owned.c.run_id).scalar_subquery()
        op.execute(sa.update(owned).values(user_id=users))
        # SQLite cannot change a column: there the table is made anew.
        with op.batch_alter_table(name) as table:
            table.alter_column("user_id", existing_type=sa.String(36), nullable=False)
