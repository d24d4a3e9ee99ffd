"""The migration of memories as a command: `codelab memory migrate`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from services.agents.memory.embedding.choice import embedder_of
from services.agents.memory.migration import Progress, migrate
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.memory.store_choice import memory_store_of
from services.runtime.data_folder import DataFolder
from services.runtime.databases import open_database
from services.runtime.settings import Settings


async def migrating(settings: Settings) -> AsyncIterator[Progress]:
    """Embed by the model that is set whatever another one embedded; yield how far that is.

    Memories on a server are migrated while agents use them. Raise StartupError if a running service has the folder of
    the embedded ones, or what `migrate` raises.
    """
    async with AsyncExitStack() as opened:
        if not settings.qdrant_url:
            folder = DataFolder(settings.data_dir)
            folder.lock("agents")
            opened.callback(folder.release)
        database = await opened.enter_async_context(open_database("agents", settings))
        store, embedder = memory_store_of(settings), embedder_of(settings)
        opened.push_async_callback(store.close)
        opened.push_async_callback(embedder.close)
        async for progress in migrate(SqlMemoryRegistry(database), store, embedder):
            yield progress
