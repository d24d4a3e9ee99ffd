"""An embedder that is told beforehand what it will be asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import structlog

from services.agents.errors import EmbeddingRefused, EmbeddingUnavailable
from services.agents.memory.embedding.embedder import Embedder
from services.agents.memory.model import Vector

log = structlog.get_logger()

_MOST_KEPT = 1_000
"""Vectors of texts that nobody has asked for yet: what was expected of plans that were rejected is never asked for."""


class ExpectingEmbedder:
    """Another embedder, which embeds what is expected while its caller is still busy with something else.

    A planned task is embedded while those before it run, and begins so much earlier. Whoever asks for a text whose turn
    has not come embeds it themselves: nobody waits behind what is only expected, but for the one text at work.
    """

    def __init__(self, embedder: Embedder, most_kept: int = _MOST_KEPT) -> None:
        """`embedder` is this one's own: it is closed with it."""
        self._embedder = embedder
        self._most_kept = most_kept
        self._making: OrderedDict[str, asyncio.Task[list[Vector]]] = OrderedDict()
        self._wanted: set[str] = set()
        self._preparing: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> str:
        """See Embedder."""
        return self._embedder.model

    def warm(self) -> None:
        """See Embedder."""
        self._embedder.warm()

    def expect(self, texts: Sequence[str]) -> None:
        """Begin to embed texts that will be asked for once each, one after the other."""
        fresh = [text for text in texts if text not in self._making and text not in self._wanted]
        self._wanted.update(fresh)
        preparing = asyncio.create_task(self._prepare(fresh), name="embed what is expected")
        self._preparing.add(preparing)
        preparing.add_done_callback(self._preparing.discard)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See Embedder."""
        vectors: dict[str, Vector] = {}
        for text in texts:
            self._wanted.discard(text)
            if (making := self._making.pop(text, None)) is not None:
                # What is made cannot be asked for twice: whoever stops waiting leaves it to be forgotten.
                [vectors[text]] = await asyncio.shield(making)
        missing = [text for text in texts if text not in vectors]
        if missing:
            vectors.update(zip(missing, await self._embedder.embed(missing), strict=True))
        return [vectors[text] for text in texts]

    async def close(self) -> None:
        """See Embedder."""
        working = [*self._preparing, *self._making.values()]
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await self._embedder.close()

    async def _prepare(self, texts: Sequence[str]) -> None:
        for text in texts:
            if text not in self._wanted:
                continue
            self._wanted.discard(text)
            making = self._making[text] = asyncio.create_task(self._embedder.embed([text]), name="embed")
            while len(self._making) > self._most_kept:
                self._making.popitem(last=False)
            await asyncio.wait([making])
            if making.cancelled() or (error := making.exception()) is None:
                continue
            # Whoever needs it asks again, and hears why not.
            self._making.pop(text, None)
            self._wanted.difference_update(texts)
            foreseen = isinstance(error, (EmbeddingUnavailable, EmbeddingRefused))
            log.info("not embedded beforehand", exc_info=None if foreseen else error)
            return
