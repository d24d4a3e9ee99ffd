"""A suite with two of agents, orchestrator and streams each, on servers of its own."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests import postgres, redis_server
from tests.e2e.conftest import settings
from tests.e2e.suite import SECOND, Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import described
from tests.fakes.qdrant_server import FakeQdrant
from tests.redis_server import RedisServer

QUICK = {
    "CODELAB_LEASE_SECONDS": "1",
    "CODELAB_DRAIN_SECONDS": "2",
    # Streams end and connections close before anybody would leave who stays.
    "CODELAB_CONNECTION_SECONDS": "4",
}
STREAMS = ("streams", f"streams{SECOND}")


@contextlib.asynccontextmanager
async def replicas(folder: Path, model: FakeModel) -> AsyncIterator[tuple[Suite, RedisServer]]:
    """The suite and its Redis, while the block runs."""
    programs = postgres.programs()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    with postgres.running(programs) as server, FakeQdrant(described()) as qdrant, redis_server.running() as redis:
        url = await server.create_database("torture")
        chosen = {**settings(Layout.FIVE, model), **QUICK, "DATABASE_URL": url}
        chosen |= {"QDRANT_URL": qdrant.url, "REDIS_URL": redis.url}
        migrated = await run_codelab("migrate", environment=clean_environment(**chosen), folder=folder)
        assert migrated.code == 0, migrated.output
        async with running(Layout.REPLICAS, folder, **chosen) as suite:
            yield suite, redis
