"""Memory filters in the words of the embedded engine, and the indexes that they run by."""

from collections.abc import Iterable
from uuid import UUID

import qdrant_edge as edge

from services.agents.memory.model import MemoryFilter
from services.agents.memory.payload import AT, KEYWORDS, micros

WORDS = "words"
"""The words of the content, as a text."""
SUCCESS = "_success"
"""Mirrors `success` as a keyword: the engine finds nothing by a boolean. Not for the world outside."""


def success_mark(success: bool) -> str:
    """What stands under SUCCESS."""
    return "true" if success else "false"


def words_text(words: Iterable[str]) -> str:
    """What stands under WORDS. A list takes the engine 4 µs a word to read, a text none."""
    return f" {' '.join(words)} "


def engine_filter(filter: MemoryFilter) -> edge.Filter | None:
    """The filter as the engine takes it; None fits all."""
    must: list[edge.FieldCondition | edge.HasIdCondition | edge.Filter] = []
    if filter.interaction_types:
        types: list[str] = [*filter.interaction_types]
        must.append(edge.FieldCondition("interaction_type", match=edge.MatchAny(types)))
    if filter.success is not None:
        must.append(_equal(SUCCESS, success_mark(filter.success)))
    if filter.session_id is not None:
        must.append(_equal("session_id", filter.session_id))
    must += [_equal("tags", tag) for tag in filter.tags]
    must += [_has_word(word) for word in filter.words]
    if filter.any_words:
        must.append(edge.Filter(should=[_has_word(word) for word in filter.any_words]))
    if filter.since is not None or filter.until is not None:
        # Microseconds fit a float without loss until the year 2255.
        since = None if filter.since is None else float(micros(filter.since))
        until = None if filter.until is None else float(micros(filter.until))
        must.append(edge.FieldCondition(AT, range=edge.RangeFloat(gte=since, lt=until)))
    if filter.ids is not None:
        must.append(edge.HasIdCondition({*point_ids(filter.ids)}))
    return edge.Filter(must=list(must)) if must else None


def point_ids(ids: Iterable[str]) -> list[str]:
    """Those of the ids that a memory can have: UUIDs, as they are usually written."""
    return [id for id in ids if is_point_id(id)]


def is_point_id(id: str) -> bool:
    """Whether it is a UUID in its usual form. The engine takes others for the same one."""
    try:
        return str(UUID(id)) == id
    except ValueError:
        return False


def index_operations() -> dict[str, edge.UpdateOperation]:
    """What makes the index of each key. They are made once a collection has grown: open ones cost 3 MB a shard."""
    keyword = edge.KeywordIndexParams(memory=edge.Memory.Cold)
    # `range` is what ordered lists run by.
    number = edge.IntegerIndexParams(lookup=False, range=True, memory=edge.Memory.Cold)
    # Links in the graph for each frequent word would double what its building costs; a search finds the same without.
    text = edge.TextIndexParams(
        tokenizer=edge.TokenizerType.Whitespace, lowercase=False, enable_hnsw=False, memory=edge.Memory.Cold
    )
    make = edge.UpdateOperation.create_field_index
    operations = {key: make(key, keyword) for key in (*KEYWORDS, SUCCESS) if key != WORDS}
    return {**operations, WORDS: make(WORDS, text), AT: make(AT, number)}


def _has_word(word: str) -> edge.FieldCondition:
    # Without an index the engine looks for a part of the text, by one for a word of it: this is both.
    return edge.FieldCondition(WORDS, match=edge.MatchText(words_text([word])))


def _equal(key: str, value: str) -> edge.FieldCondition:
    return edge.FieldCondition(key, match=edge.MatchValue(value))
