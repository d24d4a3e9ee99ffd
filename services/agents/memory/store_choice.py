"""Where a service keeps memories. Only its wiring asks."""

from services.agents.memory.store import MemoryStore
from services.runtime.settings import Settings

FOLDER = "memory"
"""The embedded engine's folder, in the data folder."""


def memory_store_of(settings: Settings) -> MemoryStore:
    """The store that QDRANT_URL names, or the embedded one. Nothing connects or starts yet; `close` it when done."""
    # Imported where it is chosen: neither costs those who use the other.
    if settings.qdrant_url:
        from services.agents.memory.qdrant.store import QdrantMemoryStore

        return QdrantMemoryStore(settings.qdrant_url, settings.qdrant_api_key)
    from services.agents.memory.edge.store import EdgeMemoryStore

    return EdgeMemoryStore(settings.data_dir / FOLDER)
