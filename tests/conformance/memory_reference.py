"""What a store of memories answers, worked out from a list: slow, and plain enough to be believed."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from services.agents.memory.model import Collection, Memory, MemoryFilter
from services.agents.memory.words import query_weights, word_weights, words_of
from services.runtime.ids import new_id
from tests.conformance.memory_stores import NOW, a_memory

WORDS = ("apple", "pear", "plum", "the", "build", "fails", "passes", "ERR_4711", "straße", "東京", "v1", "v2")
TAGS = ("red", "green", "blue", "with space", "東")
SESSIONS = ("morning", "evening", "")
TYPES = ("task", "tool", "direct_call")
_MINUTE = timedelta(minutes=1)


def fits(memory: Memory, filter: MemoryFilter) -> bool:
    """Whether the memory is meant."""
    return (
        (not filter.interaction_types or memory.interaction_type in filter.interaction_types)
        and (filter.success is None or memory.success == filter.success)
        and (filter.since is None or memory.timestamp >= filter.since)
        and (filter.until is None or memory.timestamp < filter.until)
        and set(filter.tags) <= set(memory.tags)
        and (filter.session_id is None or memory.session_id == filter.session_id)
        and set(filter.words) <= set(words_of(memory.content))
        and (filter.ids is None or memory.id in filter.ids)
        and (not filter.any_words or not set(filter.any_words).isdisjoint(words_of(memory.content)))
    )


def newest(memories: Iterable[Memory]) -> list[Memory]:
    """The memories in the order of lists."""
    return sorted(sorted(memories, key=lambda each: each.id), key=lambda each: each.timestamp, reverse=True)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def bm25(memories: Sequence[Memory], words: Sequence[str]) -> dict[str, float]:
    """The scores of those memories that have one of the words, by their ids."""
    weights = {each.id: word_weights(each.content) for each in memories}
    with_words = sum(1 for each in weights.values() if each)
    scores: dict[str, float] = {}
    for word in query_weights(words):
        having = [id for id, each in weights.items() if word in each]
        rarity = math.log(1 + (with_words - len(having) + 0.5) / (len(having) + 0.5))
        for id in having:
            scores[id] = scores.get(id, 0) + rarity * weights[id][word]
    return scores


def some_memories(randomly: random.Random, collection: Collection, number: int) -> list[Memory]:
    """Memories that have much in common, so that filters find more than one of them, and less than all."""
    memories = []
    for _ in range(number):
        content = " ".join(randomly.choices(WORDS, range(len(WORDS), 0, -1), k=randomly.randrange(9)))
        memory = a_memory(collection, content, timestamp=NOW + randomly.randrange(number // 4) * _MINUTE)
        memories.append(
            replace(
                memory,
                interaction_type=randomly.choice(TYPES),
                session_id=randomly.choice((*SESSIONS, None)),
                success=randomly.random() < 0.8,
                tags=tuple(randomly.sample(TAGS, randomly.randrange(4))),
            )
        )
    return memories


def some_filter(randomly: random.Random, memories: Sequence[Memory]) -> MemoryFilter:
    """A filter that says one to four things."""
    moments = [each.timestamp for each in randomly.choices(memories, k=2)]
    parts = {
        "interaction_types": tuple(randomly.sample(TYPES, randomly.randrange(1, 3))),
        "success": randomly.random() < 0.5,
        "since": min(moments),
        "until": max(moments),
        "tags": tuple(randomly.sample(TAGS, randomly.randrange(1, 3))),
        "session_id": randomly.choice((*SESSIONS, "none has this")),
        "words": tuple(words_of(" ".join(randomly.sample(WORDS, randomly.randrange(1, 3))))),
        "any_words": tuple(words_of(" ".join(randomly.sample(WORDS, randomly.randrange(1, 4))))),
        "ids": (*(each.id for each in randomly.sample(memories, len(memories) // 3)), new_id()),
    }
    said = randomly.sample(list(parts), randomly.choice((1, 1, 2, 2, 3, 4)))
    return replace(MemoryFilter(), **{name: parts[name] for name in said})
