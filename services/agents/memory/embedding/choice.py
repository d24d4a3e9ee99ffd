"""Which embedding model a service uses. Only its wiring asks."""

from services.agents.memory.embedding import hashing, minilm
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.embedding.hashing import HashingEmbedder
from services.agents.memory.embedding.minilm import MiniLmEmbedder
from services.agents.memory.embedding.openai_embedder import OpenAIEmbedder
from services.runtime.errors import StartupError
from services.runtime.settings import Settings


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that EMBEDDING_MODEL names; `close` it when done. Raise StartupError if it cannot be had."""
    match settings.embedding_model:
        case minilm.MODEL:
            return MiniLmEmbedder.installed()
        case hashing.MODEL:
            return HashingEmbedder()
    if not settings.openai_base_url and not settings.openai_api_key:
        raise StartupError(
            "EMBEDDING_MODEL: names a model of an endpoint: set OPENAI_BASE_URL or OPENAI_API_KEY, or the model to"
            " minilm (bundled) or hashing (finds words, not meaning)"
        )
    return OpenAIEmbedder.of(settings)
