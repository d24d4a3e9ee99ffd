"""One open shard of the embedded engine: the memories of one agent, and everything that is done with them.

Every write is here as one operation that may be repeated, so that those recorded during an optimisation can be made
again on the copy. A point leaves as its id and payload.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import qdrant_edge as edge

from services.agents.memory.edge import filters as edge_filters
from services.agents.memory.edge.protocol import EdgeLimits, unpacked
from services.agents.memory.model import EVERYTHING, Memory, MemoryFilter
from services.agents.memory.payload import AT, payload_changes, payload_of
from services.agents.memory.words import query_weights, word_weights

WORDS = "words"
"""The name of the sparse vector that full text is searched by."""
WRITES = frozenset({"put", "change", "delete", "begin_migration", "put_vectors", "end_migration"})
"""The operations that change a shard."""
OPTIMIZED = "optimized"
"""The file of a shard's folder that says how many points it had when it was optimised."""

Row = tuple[str, dict[str, Any]]
"""The id and payload of a point."""
Scored = tuple[str, dict[str, Any], float]

_UPDATE = edge.UpdateOperation
_COLD = edge.Memory.Cold
_INSIDE = (WORDS, edge_filters.SUCCESS)
"""Keys of a payload that nobody outside reads."""
# Candidates that a search by the graph looks at: of 50,000 vectors it finds 99 in 100 of the nearest ten then, in less
# than half the time of a search that compares all. Left to itself the engine took longer than that one.
_CANDIDATES = 256


class EmbeddingMissing(Exception):
    """The shard has no vectors of this name."""


class Shard:
    """The shard in a folder, opened."""

    def __init__(self, folder: Path, limits: EdgeLimits) -> None:
        self.folder = folder
        self._limits = limits
        self._engine = edge.EdgeShard.load(str(folder))
        # The engine tells the names of its vectors nowhere else.
        config = json.loads((folder / "edge_config.json").read_bytes())
        self._vectors: dict[str, int] = {name: params["size"] for name, params in config["vectors"].items()}
        self._unflushed = 0
        info = self._engine.info()
        self._indexed = set(info.payload_schema)
        marker = folder / OPTIMIZED
        self.optimized_points = int(marker.read_text()) if marker.exists() else 0
        """How many points it had when it was optimised."""
        self.points: int = info.points_count
        self._index_if_grown()

    @staticmethod
    def make(folder: Path, vector: str, dimension: int) -> None:
        """Make an empty shard in a folder that is not there yet."""
        edge.EdgeShard.create(str(folder), _config(vector, dimension)).close()

    def flush(self) -> None:
        """Bring to the files what a killed process would have to replay."""
        self._engine.flush()
        self._unflushed = 0

    def close(self) -> None:
        """Flush and let go."""
        try:
            self._engine.flush()
        finally:
            # Else nobody could open it again.
            self._engine.close()

    def abandon(self) -> None:
        """Let go of what nobody needs any more."""
        self._engine.close()

    # Writing

    def put(self, vector: str, memories: Sequence[tuple[Memory, bytes]]) -> None:
        """Store the memories with their packed vectors of this name. Raise EmbeddingMissing."""
        self._check(vector)
        points = [_point(each.id, {vector: unpacked(packed)}, _stored(payload_of(each))) for each, packed in memories]
        self._write(_UPDATE.upsert_points(points), len(points))

    def change(self, vector: str, memory: Memory, fields: frozenset[str], packed: bytes | None) -> None:
        """Give a memory that is there the values of these fields, and the packed vector of this name.

        Raise EmbeddingMissing.
        """
        self._check(vector)
        changes = _stored(payload_changes(memory, fields))
        found = self._engine.retrieve([memory.id], with_payload=True, with_vector=True)
        if not found:
            return
        if packed is None and "content" not in fields:
            self._write(_UPDATE.set_payload([memory.id], changes))
            return
        # In one operation: whoever is killed leaves all of it or nothing. Vectors of another embedding do not stay:
        # they stand for another text now, and a migration makes them anew.
        vectors = _dense(found[0]) if packed is None else {vector: unpacked(packed)}
        point = _point(memory.id, vectors, {**(found[0].payload or {}), **changes})
        self._write(_UPDATE.upsert_points([point]))

    def delete(self, filter: MemoryFilter) -> int:
        """Remove the memories that fit; return how many they were."""
        number = self.count(filter)
        if number:
            fitting = edge_filters.engine_filter(filter) or edge.Filter()
            self._write(_UPDATE.delete_points_by_filter(fitting), number)
        return number

    def begin_migration(self, vector: str, dimension: int) -> None:
        """Let the points have vectors of this name."""
        if vector not in self._vectors:
            self._write(_UPDATE.create_dense_vector(vector, dimension, edge.Distance.Cosine))
            self._vectors[vector] = dimension

    def put_vectors(self, vector: str, vectors: dict[str, bytes]) -> None:
        """Give those points that are there packed vectors of this name. Raise EmbeddingMissing."""
        self._check(vector)
        there = {str(each.id) for each in self._retrieve(vectors, with_payload=False)}
        points = [edge.PointVectors(id, {vector: unpacked(packed)}) for id, packed in vectors.items() if id in there]
        if points:
            self._write(_UPDATE.update_vectors(points), len(points))

    def end_migration(self, vector: str) -> None:
        """Remove the vectors of every other name; unless there are some of this one, do nothing."""
        others = self._vectors.keys() - {vector}
        if vector not in self._vectors or not others:
            return
        for other in others:
            self._write(_UPDATE.delete_vector_name(other))
            del self._vectors[other]
        # What was made during the migration is kept in memory until it is said otherwise.
        self.close()
        self._engine = edge.EdgeShard.load(str(self.folder), _config(vector, self._vectors[vector]))

    # Reading

    def get(self, ids: Sequence[str]) -> list[Row]:
        """Those of the points that are there."""
        return [_row(each) for each in self._retrieve(ids)]

    def nearest(
        self, vector: str, packed: bytes, limit: int, filter: MemoryFilter, offset: int, min_score: float | None
    ) -> list[Scored]:
        """Points by the cosine of their vector of this name; none if there are no such vectors."""
        if vector not in self._vectors:
            return []
        query = edge.Query.Nearest(unpacked(packed), using=vector)
        return self._query(query, limit, filter, offset, min_score)

    def matching(self, words: Sequence[str], limit: int, filter: MemoryFilter, offset: int) -> list[Scored]:
        """Points by BM25."""
        query = edge.Query.Nearest(_sparse(query_weights(words)), using=WORDS)
        return self._query(query, limit, filter, offset, None)

    def by_time(self, filter: MemoryFilter, limit: int) -> list[Row]:
        """Points that fit, newest first, those of one time in any order."""
        fitting = edge_filters.engine_filter(filter)
        if AT in self._indexed:
            order = edge.OrderBy(AT, edge.Direction.Desc)
            return self._scroll(
                edge.ScrollRequest(limit=limit, filter=fitting, with_payload=_outside(), order_by=order)
            )
        every = edge.ScrollRequest(limit=max(1, self.points), filter=fitting, with_payload=[AT])
        newest = sorted(self._scroll(every), key=lambda row: row[1][AT], reverse=True)[:limit]
        return self.get([id for id, _ in newest])

    def by_id(self, filter: MemoryFilter, after: str | None, limit: int) -> list[Row]:
        """Points that fit, in the order of their ids, without those up to this one."""
        request = edge.ScrollRequest(
            # The engine begins with the point itself.
            offset=after,
            limit=limit + 1,
            filter=edge_filters.engine_filter(filter),
            with_payload=_outside(),
        )
        return [row for row in self._scroll(request) if row[0] != after][:limit]

    def count(self, filter: MemoryFilter = EVERYTHING) -> int:
        """How many points fit."""
        fitting = edge_filters.engine_filter(filter)
        # It knows how many points it has, and yet would count them one by one.
        return self.points if fitting is None else self._engine.count(edge.CountRequest(exact=True, filter=fitting))

    def lacking(self, vector: str, limit: int) -> list[Row]:
        """Points that have no vector of this name."""
        without = edge.Filter(must_not=[edge.HasVectorCondition(vector)])
        return self._scroll(edge.ScrollRequest(limit=limit, filter=without, with_payload=_outside()))

    def _query(
        self, query: edge.Query, limit: int, filter: MemoryFilter, offset: int, min_score: float | None
    ) -> list[Scored]:
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=query,
            filter=edge_filters.engine_filter(filter),
            score_threshold=min_score,
            with_payload=_outside(),
            params=edge.SearchParams(hnsw_ef=max(_CANDIDATES, 2 * (limit + offset))),
        )
        return [(*_row(each), each.score) for each in self._engine.query(request)]

    def _scroll(self, request: edge.ScrollRequest) -> list[Row]:
        records, _ = self._engine.scroll(request)
        return [_row(each) for each in records]

    def _retrieve(self, ids: Iterable[str], with_payload: bool = True) -> list[edge.Record]:
        wanted = edge_filters.point_ids(ids)
        return self._engine.retrieve([*wanted], with_payload=_outside() if with_payload else False, with_vector=False)

    def _check(self, vector: str) -> None:
        if vector not in self._vectors:
            raise EmbeddingMissing

    def _write(self, operation: edge.UpdateOperation, weight: int = 1) -> None:
        self._engine.update(operation)
        self.points = self._engine.info().points_count
        self._index_if_grown()
        self._unflushed += weight
        if self._unflushed >= self._limits.flush_every:
            self.flush()

    def _index_if_grown(self) -> None:
        if self.points < self._limits.index_from:
            return
        for key, operation in edge_filters.index_operations().items():
            if key not in self._indexed:
                self._engine.update(operation)
                self._indexed.add(key)


def _config(vector: str, dimension: int) -> edge.EdgeConfig:
    # Everything stays in the files until it is read, and a search runs in the one thread that asks: 300 open shards
    # would cost 100 MB each otherwise.
    return edge.EdgeConfig(
        vectors={vector: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine, memory=_COLD)},
        sparse_vectors={WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=_COLD)},
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000, memory=_COLD),
        # From 1 MB of vectors on a graph is built, when it is said to.
        optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1_000),
        max_search_threads=1,
        payload_memory=_COLD,
        id_tracker_memory=_COLD,
    )


def _point(id: str, dense: dict[str, list[float]], payload: dict[str, Any]) -> edge.Point:
    return edge.Point(id, {**dense, WORDS: _sparse(word_weights(payload["content"]))}, payload)


def _dense(record: edge.Record) -> dict[str, list[float]]:
    vectors = cast(dict[str, Any], record.vector)
    return {name: vector for name, vector in vectors.items() if name != WORDS}


def _sparse(weights: dict[int, float]) -> edge.SparseVector:
    return edge.SparseVector(list(weights), list(weights.values()))


def _stored(payload: dict[str, Any]) -> dict[str, Any]:
    stored = payload.copy()
    if "success" in payload:
        stored[edge_filters.SUCCESS] = edge_filters.success_mark(payload["success"])
    if "words" in payload:
        stored[edge_filters.WORDS] = edge_filters.words_text(payload["words"])
    return stored


def _outside() -> Any:
    return edge.PayloadSelector.Exclude(list(_INSIDE))


def _row(point: edge.Record | edge.ScoredPoint) -> Row:
    return str(point.id), point.payload or {}
