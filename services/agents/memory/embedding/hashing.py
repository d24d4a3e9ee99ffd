"""The degraded mode: vectors of the words of a text. It finds words, not meaning, and needs nothing installed."""

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.agents.memory.model import Vector
from services.agents.memory.words import words_of

MODEL = "hashing"
DIMENSION = 512

# The beginning of a text that counts: about what the bundled model reads, so that no text holds up the event loop.
_MOST_CHARACTERS = 16_384
_MOST_WORDS = 400
_MOST_LETTERS = 40
# Beside a word's 1: what its pieces weigh together, and what two words in a row do.
_PIECES_WEIGHT = 1.0
_PAIR_WEIGHT = 0.25


class HashingEmbedder:
    """Every word, pair of words and piece of a word adds to one of 512 numbers, or takes away from it."""

    model = MODEL

    def warm(self) -> None:
        """See Embedder: there is nothing to load."""

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """See Embedder."""
        vectors: list[Vector] = []
        for text in texts:
            vectors.append(vector_of(text))
            # Others' turn: one text takes a few milliseconds at most, a thousand take seconds.
            await asyncio.sleep(0)
        return vectors

    async def close(self) -> None:
        """See Embedder: there is nothing to let go of."""


def vector_of(text: str) -> list[float]:
    """The vector of one text, of length 1."""
    vector = [0.0] * DIMENSION
    for (feature, weight), count in Counter(_features(text)).items():
        # Not hash(): it is another one in every process.
        number = int.from_bytes(hashlib.blake2b(feature.encode("utf-8", "replace"), digest_size=4).digest())
        sign = 1 if number & 1 else -1
        vector[(number >> 1) % DIMENSION] += sign * weight * (1 + math.log(count))
    norm = math.hypot(*vector)
    if not norm:
        # No words at all, or words that take each other away.
        return [1.0] + [0.0] * (DIMENSION - 1)
    return [each / norm for each in vector]


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = [word[:_MOST_LETTERS] for word in words_of(text[:_MOST_CHARACTERS])[:_MOST_WORDS]]
    for word in words:
        yield word, 1.0
        # Pieces make deploys and deployed similar. The mark at both ends tells them from each other, # from words.
        marked = f"<{word}>"
        weight = _PIECES_WEIGHT / math.sqrt(len(word))
        for start in range(len(word)):
            yield f"#{marked[start : start + 3]}", weight
    for pair in pairwise(words):
        yield " ".join(pair), _PAIR_WEIGHT
