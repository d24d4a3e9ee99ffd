"""Finding memories: by meaning, by words, by both; and what an agent recalls for a task."""

from collections.abc import Iterable, Sequence

from services.agents.agent import MemoryConfig
from services.agents.memory.model import Collection, Found, MemoryFilter, Vector
from services.agents.memory.store import MemoryStore
from services.agents.memory.words import identifiers_of

# The usual constant of reciprocal rank fusion: how little it matters by how much the first is ahead.
_RANK_SCALE = 60


def fused(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """One ranking of several by reciprocal rank fusion: 1 for what is first in all of them, towards 0."""
    best = len(rankings) / (_RANK_SCALE + 1)
    scores: dict[str, float] = {}
    memories = {}
    for ranking in rankings:
        for rank, found in enumerate(ranking, 1):
            memories[found.memory.id] = found.memory
            scores[found.memory.id] = scores.get(found.memory.id, 0.0) + 1 / (_RANK_SCALE + rank) / best
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Found(memories[memory_id], score) for memory_id, score in ordered]


async def by_both(
    store: MemoryStore, collection: Collection, vector: Vector, words: Sequence[str], most: int, filter: MemoryFilter
) -> list[Found]:
    """The `most` best by meaning and by words, fused."""
    return fused(
        [
            await store.nearest(collection, vector, most, filter),
            await store.matching(collection, words, most, filter) if words else [],
        ]
    )[:most]


async def recalled(
    store: MemoryStore,
    collection: Collection,
    config: MemoryConfig,
    request: str,
    vector: Vector,
    known: frozenset[str],
    source: str,
) -> list[Found]:
    """What helps with a request whose embedding is `vector`: at most `top_k`, each with its similarity.

    Embeddings blur names, numbers and paths: where the request has any, memories with the same ones are ahead. Left out
    are what the task itself left (`source`), what stands for a text in `known`, which the prompt has anyway, and what
    says no more than the request.
    """

    def new(found: Iterable[Found]) -> list[Found]:
        more = (each for each in found if each.memory.embedded_text not in known and each.memory.content != request)
        return [each for each in more if each.memory.source != source]

    # As many more as may be left out.
    most = config.top_k + len(known) + 2
    similar = await store.nearest(collection, vector, most, min_score=config.min_score)
    if not (identifiers := identifiers_of(request)):
        return new(similar)[: config.top_k]
    naming = await store.matching(collection, identifiers, most)
    scores = {each.memory.id: each.score for each in similar}
    if blurred := tuple(each.memory.id for each in naming if each.memory.id not in scores):
        only = MemoryFilter(ids=blurred)
        measured = await store.nearest(collection, vector, len(blurred), only, min_score=config.min_score)
        scores |= {each.memory.id: each.score for each in measured}
    ranked = fused([similar, [each for each in naming if each.memory.id in scores]])
    return [Found(each.memory, scores[each.memory.id]) for each in new(ranked)[: config.top_k]]
