"""What is said to Qdrant: how a collection is made, which points are meant, and what a point is.

qdrant_client takes a second to import: these are called once it is there, by a request that is being made.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.agents.memory.model import Collection, Embedding, Memory, MemoryFilter, Vector
from services.agents.memory.payload import AT, KEYWORDS, micros, payload_of
from services.agents.memory.words import query_weights, word_weights

if TYPE_CHECKING:
    from qdrant_client import models

    Index = models.PayloadSchemaType | models.IntegerIndexParams | models.TextIndexParams

WORDS = "words"
"""The sparse vector that full text is searched by."""


def optimizers() -> "models.OptimizersConfigDiff":
    """How a collection is kept in order."""
    from qdrant_client import models

    # With many small collections every segment counts: each is files, memory, and a thread's work.
    return models.OptimizersConfigDiff(default_segment_number=2)


def indexes() -> "dict[str, Index]":
    """The payload indexes of a collection, in the order of their making. Lists need the last one: if it is there, all
    of them are."""
    from qdrant_client import models

    return {
        # Nothing here filters by it. The specification promises full text to those who look at Qdrant directly; our own
        # word filter goes by `words`, which are the same on every store.
        "content": models.TextIndexParams(
            type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True
        ),
        **dict.fromkeys(("agent_id", *KEYWORDS), models.PayloadSchemaType.KEYWORD),
        "success": models.PayloadSchemaType.BOOL,
        # For ranges and orders, not for lookups: nobody asks for equality.
        AT: models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True),
    }


def dense(embedding: Embedding) -> "models.VectorParams":
    """How vectors of the embedding are kept."""
    from qdrant_client import models

    # On disk: of many collections few are in use at a time, and the page cache keeps those in memory by itself.
    return models.VectorParams(size=embedding.dimension, distance=models.Distance.COSINE, on_disk=True)


def dense_later(embedding: Embedding) -> "models.DenseVectorNameConfig":
    """The same for a collection that is there already. Where they are kept, `on_disk` says afterwards."""
    from qdrant_client import models

    return models.DenseVectorNameConfig(
        dense=models.DenseVectorConfig(size=embedding.dimension, distance=models.Distance.COSINE)
    )


def on_disk() -> "models.VectorParamsDiff":
    """That vectors are kept on disk from now on."""
    from qdrant_client import models

    return models.VectorParamsDiff(on_disk=True)


def sparse() -> "models.SparseVectorParams":
    """How words are kept: the server weighs them by their rarity in the collection."""
    from qdrant_client import models

    return models.SparseVectorParams(modifier=models.Modifier.IDF)


def point_of(collection: Collection, memory: Memory, vector: Vector) -> "models.PointStruct":
    """The memory as a point."""
    from qdrant_client import models

    vectors = _dense(collection, vector) | _words(memory)
    return models.PointStruct(id=memory.id, vector=vectors, payload=payload_of(memory))


def vector_of(embedding: Embedding, memory_id: str, vector: Vector) -> "models.PointVectors":
    """A vector of another embedding for a memory."""
    from qdrant_client import models

    return models.PointVectors(id=memory_id, vector={embedding.vector_name: numbers(vector, embedding)})


def vector_steps(
    collection: Collection, memory: Memory, fields: frozenset[str], vector: Vector | None, others: set[str]
) -> "list[models.UpdateOperation]":
    """That the memory has this vector, if any, and then none of the others; and the words of its content, if that is
    among the changed fields."""
    from qdrant_client import models

    this = _this(collection, memory)
    vectors = {} if vector is None else _dense(collection, vector)
    if "content" in fields:
        vectors |= _words(memory)
    gone = set() if vector is None else set(others)
    if "content" in fields and WORDS not in vectors:
        gone.add(WORDS)
    steps: list[models.UpdateOperation] = []
    if vectors:
        update = models.UpdateVectors(points=[models.PointVectors(id=memory.id, vector=vectors)], update_filter=this)
        steps.append(models.UpdateVectorsOperation(update_vectors=update))
    if gone:
        steps.append(
            models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(vector=sorted(gone), filter=this))
        )
    return steps


def payload_step(collection: Collection, memory: Memory, values: dict[str, Any]) -> "models.UpdateOperation":
    """That the memory's payload has these values besides what it has."""
    from qdrant_client import models

    # By a filter: an id that is not there would be an error.
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=values, filter=_this(collection, memory)))


def numbers(vector: Vector, embedding: Embedding) -> list[float]:
    """The vector as JSON has it. Raise ValueError if the embedding makes none of its length."""
    if len(vector) != embedding.dimension:
        raise ValueError(f"{embedding.vector_name} does not make vectors of {len(vector)} numbers")
    return [float(each) for each in vector]


def words_query(words: Iterable[str]) -> "models.SparseVector":
    """What a search for any of the words asks for."""
    return _sparse_vector(query_weights(words))


def meant(collection: Collection, wanted: MemoryFilter, lacking: Embedding | None = None) -> "models.Filter":
    """Which points are meant: never any but the agent's own. With `lacking`, those without a vector of it."""
    from qdrant_client import models

    must: list[models.Condition] = [_equals("agent_id", collection.agent_id)]
    if wanted.interaction_types:
        kinds = models.MatchAny(any=list(wanted.interaction_types))
        must.append(models.FieldCondition(key="interaction_type", match=kinds))
    if wanted.success is not None:
        must.append(_equals("success", wanted.success))
    if wanted.since is not None or wanted.until is not None:
        since = None if wanted.since is None else micros(wanted.since)
        until = None if wanted.until is None else micros(wanted.until)
        # They are doubles on their way: whole microseconds are exact in those until the year 2255.
        must.append(models.FieldCondition(key=AT, range=models.Range(gte=since, lt=until)))
    if wanted.session_id is not None:
        must.append(_equals("session_id", wanted.session_id))
    must.extend(_equals("tags", tag) for tag in wanted.tags)
    must.extend(_equals("words", word) for word in wanted.words)
    if wanted.any_words:
        must.append(models.FieldCondition(key="words", match=models.MatchAny(any=list(wanted.any_words))))
    if wanted.ids is not None:
        # For any other the server refuses the whole request.
        must.append(models.HasIdCondition(has_id=[*filter(_is_uuid, wanted.ids)]))
    if lacking is None:
        return models.Filter(must=must)
    return models.Filter(must=must, must_not=[models.HasVectorCondition(has_vector=lacking.vector_name)])


def newest() -> "models.OrderBy":
    """Latest time first; points of one time come in no order."""
    from qdrant_client import models

    return models.OrderBy(key=AT, direction=models.Direction.DESC)


def _is_uuid(text: str) -> bool:
    try:
        # The server takes other spellings too, for the same point. To us they are other ids, of no memory.
        return str(UUID(text)) == text
    except ValueError:
        return False


def _dense(collection: Collection, vector: Vector) -> "dict[str, models.Vector]":
    return {collection.embedding.vector_name: numbers(vector, collection.embedding)}


def _words(memory: Memory) -> "dict[str, models.Vector]":
    weights = word_weights(memory.content)
    # Without words it is no text that a word could be rare in.
    return {WORDS: _sparse_vector(weights)} if weights else {}


def _this(collection: Collection, memory: Memory) -> "models.Filter":
    return meant(collection, MemoryFilter(ids=(memory.id,)))


def _equals(key: str, value: str | bool) -> "models.FieldCondition":
    from qdrant_client import models

    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _sparse_vector(weights: Mapping[int, float]) -> "models.SparseVector":
    from qdrant_client import models

    return models.SparseVector(indices=list(weights), values=list(weights.values()))
