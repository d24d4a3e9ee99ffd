"""Telling whichever process works on a run that somebody else has changed it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import notice, prepared

CHANGED = "codelab_runs_changed"
"""The channel of those who work on runs: ids of runs that are over by somebody's decision, or were told one."""


@prepared
def _changed(run_id: Any) -> sa.Select[Any]:
    return sa.select(notice(CHANGED, run_id))


async def tell_changed(connection: AsyncConnection, run_id: str) -> None:
    """Let it be heard with the commit. Who does not hear it notices when it renews its lease, or looks by itself."""
    await connection.execute(*_changed(run_id))
