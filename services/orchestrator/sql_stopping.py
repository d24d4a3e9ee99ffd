"""Telling whichever process works on a run that somebody else has ended it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.runtime.database import notice, prepared

STOPPED = "codelab_runs_stopped"
"""The channel of those who work on runs: ids of runs that are over by somebody's decision."""


@prepared
def _stopped(run_id: Any) -> sa.Select[Any]:
    return sa.select(notice(STOPPED, run_id))


async def tell_stopped(connection: AsyncConnection, run_id: str) -> None:
    """Let it be heard with the commit. Who does not hear it notices when it renews its lease."""
    await connection.execute(*_stopped(run_id))
