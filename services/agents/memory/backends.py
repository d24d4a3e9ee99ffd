"""Where memories are kept, by the settings."""

from services.agents.memory.embedder import Embedder
from services.agents.memory.store import MemoryStore
from services.runtime.settings import Settings

FOLDER = "memory"
"""The embedded engine's folder, in the data folder."""


def memory_store_of(settings: Settings) -> MemoryStore:
    """The store that the settings name. Nothing connects yet; close it after use."""
    # Imported where it is chosen: neither costs those who use the other.
    if settings.qdrant_url:
        from services.agents.memory.qdrant_store import QdrantMemoryStore

        return QdrantMemoryStore(settings.qdrant_url, settings.qdrant_api_key)
    from services.agents.memory.edge_store import EdgeMemoryStore

    return EdgeMemoryStore(settings.data_dir / FOLDER)


def embedder_of(settings: Settings) -> Embedder:
    from services.agents.memory.hashing import HashingEmbedder
    from services.agents.memory.minilm import MiniLmEmbedder

    return HashingEmbedder() if settings.embedding_model == "hashing" else MiniLmEmbedder.installed()
