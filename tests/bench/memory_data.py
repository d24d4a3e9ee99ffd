"""Memories to measure with: seeded, with vectors and words that are spread as real ones are.

Vectors gather round 200 topics; in each they differ in 24 directions of its own, and a little in every other. Uniform
noise is the worst that a search by a graph can meet, and nothing that an embedding model makes; `--vectors noise` is
there to see it. Words are as frequent as in a language (Zipf).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from services.agents.agent import Owner
from services.agents.memory.model import Collection, Embedding, InteractionType, Memory, MemoryFilter, Vector
from services.agents.memory.words import words_of

Floats = NDArray[np.float32]
Kind = Literal["topics", "noise"]

AT_ONCE = 1_000
FOUND = 10
_TOPICS = 200
_DIRECTIONS = 24
# Two memories of one topic have a cosine of 0.67, as paraphrases and neighbours have in MiniLM.
_SPREAD = 0.65
_BLUR = 0.25
_VOCABULARY = 20_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_APART = timedelta(minutes=1)
_TAGS = ("parser", "tests", "release", "style", "ideas")
_TYPES: tuple[InteractionType, ...] = ("task", "direct_call")

Pair = tuple[Memory, Vector]


def a_collection(number: int, dimension: int) -> Collection:
    """The collection of one of many agents."""
    return Collection(
        Owner(str(UUID(int=1)), str(UUID(int=2))), str(UUID(int=number + 3)), Embedding("bench", dimension)
    )


@dataclass(frozen=True)
class Batch:
    """Memories as a caller has them, vectors as lists, and the vectors once more as a matrix."""

    pairs: list[Pair]
    matrix: Floats


class Corpus:
    """So many memories of one collection, the same ones whenever they are made."""

    def __init__(self, collection: Collection, size: int, seed: int = 1, kind: Kind = "topics") -> None:
        self.collection = collection
        self.size = size
        self._kind = kind
        self._seed = seed
        fixed = np.random.default_rng(seed)
        dimension = collection.embedding.dimension
        self._centres = _rows_of_length_1(fixed.standard_normal((_TOPICS, dimension), dtype=np.float32))
        scale = np.float32(_SPREAD / (_DIRECTIONS * dimension) ** 0.5)
        self._directions = scale * fixed.standard_normal((_TOPICS, _DIRECTIONS, dimension), dtype=np.float32)
        frequency = 1 / (np.arange(_VOCABULARY) + 2.7)
        self._frequency = np.cumsum(frequency / frequency.sum())
        self._vocabulary = [_word(number) for number in range(_VOCABULARY)]

    @property
    def filters(self) -> dict[str, MemoryFilter]:
        """Filters that fit a tenth of the memories, and the one that fits all."""
        return {
            "all": MemoryFilter(),
            "type+tag": MemoryFilter(interaction_types=("task",), tags=("parser",)),
            "time": MemoryFilter(since=_START + (self.size - self.size // 10) * _APART),
        }

    def fitting(self, name: str) -> NDArray[np.bool_]:
        """Which memories a filter fits, by their number."""
        numbers = np.arange(self.size)
        fitting: NDArray[np.bool_] = numbers >= 0
        match name:
            case "type+tag":
                fitting = (numbers % len(_TYPES) == 0) & (numbers % len(_TAGS) == 0)
            case "time":
                fitting = numbers >= self.size - self.size // 10
        return fitting

    def batches(self, at_once: int = AT_ONCE) -> Iterator[Batch]:
        """All memories, oldest first."""
        rng = np.random.default_rng(self._seed + 1)
        for start in range(0, self.size, at_once):
            count = min(at_once, self.size - start)
            matrix = self._vectors(rng, count)
            contents = self._contents(rng, count)
            high = rng.integers(0, 2**63, size=count).tolist()
            memories = [self._memory(start + place, high[place], contents[place]) for place in range(count)]
            yield Batch(list(zip(memories, matrix.tolist(), strict=True)), matrix)

    def queries(self, count: int) -> Floats:
        """Vectors of what is asked: as those of memories are, of none of them."""
        return self._vectors(np.random.default_rng(self._seed + 2), count)

    def questions(self, count: int) -> list[list[str]]:
        """Words of what is asked: six each, frequent ones more often."""
        drawn = self._words(np.random.default_rng(self._seed + 3), 6 * count)
        return [list(dict.fromkeys(drawn[start : start + 6])) for start in range(0, 6 * count, 6)]

    def _memory(self, number: int, high: int, content: str) -> Memory:
        assert words_of(content)
        return Memory(
            # Its number can be read from it, and yet it is spread like any other.
            id=str(UUID(int=(high << 64) | number)),
            owner=self.collection.owner,
            agent_id=self.collection.agent_id,
            content=content,
            interaction_type=_TYPES[number % len(_TYPES)],
            timestamp=_START + number * _APART,
            session_id=str(UUID(int=number // 20)),
            tags=(_TAGS[number % len(_TAGS)],),
        )

    def _vectors(self, rng: np.random.Generator, count: int) -> Floats:
        dimension = self.collection.embedding.dimension
        noise = rng.standard_normal((count, dimension), dtype=np.float32)
        if self._kind == "noise":
            return _rows_of_length_1(noise)
        topics = rng.integers(0, _TOPICS, size=count)
        places = rng.standard_normal((count, _DIRECTIONS), dtype=np.float32)
        own = np.einsum("ck,ckd->cd", places, self._directions[topics])
        return _rows_of_length_1(self._centres[topics] + own + np.float32(_BLUR / dimension**0.5) * noise)

    def _contents(self, rng: np.random.Generator, count: int) -> list[str]:
        lengths = rng.integers(20, 100, size=count)
        words = self._words(rng, int(lengths.sum()))
        ends = np.cumsum(lengths).tolist()
        return [" ".join(words[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def _words(self, rng: np.random.Generator, count: int) -> list[str]:
        places = np.searchsorted(self._frequency, rng.random(count)).tolist()
        return [self._vocabulary[min(place, _VOCABULARY - 1)] for place in places]


def number_of(memory: Memory) -> int:
    """Its place in its corpus."""
    return UUID(memory.id).int & (2**64 - 1)


class Similarities:
    """Cosines of queries with everything that was stored: what a search should have found."""

    def __init__(self, corpus: Corpus, queries: Floats) -> None:
        self._corpus = corpus
        self._queries = queries
        self._filled = 0
        self._cosines = np.zeros((len(queries), corpus.size), dtype=np.float32)

    def add(self, matrix: Floats) -> None:
        """Compare with the vectors of the next batch."""
        end = self._filled + len(matrix)
        self._cosines[:, self._filled : end] = self._queries @ matrix.T
        self._filled = end

    def best(self, filter: str) -> list[set[int]]:
        """The numbers of the ten most similar memories that fit, for each query."""
        fitting = np.flatnonzero(self._corpus.fitting(filter))
        cosines = self._cosines[:, fitting]
        most = min(FOUND, len(fitting))
        places = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        return [set(fitting[row].tolist()) for row in places]


def _rows_of_length_1(matrix: Floats) -> Floats:
    rows: Floats = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return rows


def _word(number: int) -> str:
    # Of syllables, so that words are of a usual length.
    syllables = ("ka", "ro", "mi", "te", "lu", "sho", "ven", "dar", "po", "ni")
    return "".join(syllables[int(digit)] for digit in str(number + 10))
