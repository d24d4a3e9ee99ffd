"""Making vectors of texts, by contract."""

from collections.abc import Sequence
from typing import Protocol

from services.agents.memory.model import Vector


class Embedder(Protocol):
    """An embedding model."""

    @property
    def model(self) -> str:
        """Its name: vectors of equal names can be compared."""

    def warm(self) -> None:
        """Begin to load what is slow to load, so that the first text does not wait for it."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return a vector for each text, in their order, all of one length and none of them all zero.

        A text may be longer than the model reads; then its beginning counts. It does not hold up the event loop. Raise
        EmbeddingUnavailable if trying again later may help, EmbeddingRefused if somebody must change a setting first.
        """

    async def close(self) -> None:
        """Let go of everything."""
