"""The migration of memories as a command: `codelab memory migrate`."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from services.agents.memory.embedding.choice import embedder_of
from services.agents.memory.migration import Progress, migrate
from services.agents.memory.sql_registry import SqlMemoryRegistry
from services.agents.memory.store import CollectionMissing
from services.agents.memory.store_choice import memory_store_of
from services.runtime.data_folder import DataFolder
from services.runtime.databases import open_database
from services.runtime.errors import StartupError
from services.runtime.settings import Settings


async def migrating(settings: Settings) -> AsyncGenerator[Progress, None]:
    """Embed by the model that is set whatever another one embedded; yield how far that is.

    Where both the memories and the database are on servers, agents may use them meanwhile. Raise StartupError if a
    running service has the data folder, or what `migrate` raises.
    """
    async with AsyncExitStack() as opened:
        if not (settings.qdrant_url and settings.database_url):
            folder = DataFolder(settings.data_dir)
            folder.lock("agents")
            opened.callback(folder.release)
        database = await opened.enter_async_context(open_database("agents", settings))
        store = memory_store_of(settings)
        opened.push_async_callback(store.close)
        embedder = embedder_of(settings)
        opened.push_async_callback(embedder.close)
        try:
            async for progress in migrate(SqlMemoryRegistry(database), store, embedder):
                yield progress
        except CollectionMissing:
            raise StartupError(
                "another migration, to another model, is at work on these memories: let it end, then run this command"
            ) from None
