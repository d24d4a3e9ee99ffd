"""What the fake Qdrant answers with: qdrant-client's local mode, asked and answering in the shapes of the REST API."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient
from qdrant_client.http.models import models as rest
from qdrant_client.local import payload_value_extractor

# A filter asks every point for the same few keys, and each would be parsed anew: a third of the fake's time.
payload_value_extractor.parse_json_path = cache(payload_value_extractor.parse_json_path)

_OF_ANY_NAME = ("get_collections", "create_collection", "delete_collection", "collection_exists")
_RANGED = ("integer", "float", "datetime")
_COMPLETED = {"operation_id": 0, "status": "completed"}
_OPERATIONS: TypeAdapter[list[rest.UpdateOperation]] = TypeAdapter(list[rest.UpdateOperation])


class Refused(Exception):
    """A server says no: HTTP's status, and its text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Collections:
    """Collections with their points. Not for several threads at once."""

    def __init__(self) -> None:
        self._local = QdrantClient(":memory:")
        self._made: dict[str, rest.CreateCollection] = {}
        self._indexes: dict[str, dict[str, Any]] = {}

    def do(self, operation: str, path: Mapping[str, str], body: Any) -> Any:
        """The result of an operation, named as the description does. Raise Refused as a server would."""
        act: Callable[[Mapping[str, str], Any], Any] | None = getattr(self, f"_{operation}", None)
        if act is None:
            raise NotImplementedError(f"this fake has no {operation}: write it")
        name = path.get("collection_name", "")
        if operation not in _OF_ANY_NAME and name not in self._made:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        try:
            with warnings.catch_warnings():
                # Of a filter without an index, and the like: it is what a fake is for.
                warnings.simplefilter("ignore")
                return act(path, body)
        except KeyError as missing:
            raise Refused(404, f"Not found: No point with id {missing} found") from missing
        except ValueError as wrong:
            raise Refused(400, f"Wrong input: {wrong}") from wrong

    def _get_collections(self, _: Mapping[str, str], __: Any) -> Any:
        return {"collections": [{"name": name} for name in self._made]}

    def _collection_exists(self, path: Mapping[str, str], _: Any) -> Any:
        return {"exists": path["collection_name"] in self._made}

    def _create_collection(self, path: Mapping[str, str], body: Any) -> Any:
        name = path["collection_name"]
        if name in self._made:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        made = rest.CreateCollection.model_validate(body)
        self._local.create_collection(name, made.vectors, made.sparse_vectors)
        self._made[name] = made
        self._indexes[name] = {}
        return True

    def _delete_collection(self, path: Mapping[str, str], _: Any) -> Any:
        name = path["collection_name"]
        self._made.pop(name, None)
        self._indexes.pop(name, None)
        return self._local.delete_collection(name)

    def _get_collection(self, path: Mapping[str, str], _: Any) -> Any:
        name = path["collection_name"]
        info = _plain(self._local.get_collection(name))
        optimizers = self._made[name].optimizers_config
        if optimizers is not None:
            info["config"]["optimizer_config"].update(_plain(optimizers))
        for field, schema in self._indexes[name].items():
            kind, params = (schema, None) if isinstance(schema, str) else (schema["type"], schema)
            described = {"data_type": kind, "points": info["points_count"]}
            info["payload_schema"][field] = described if params is None else {**described, "params": params}
        return info

    def _update_collection(self, path: Mapping[str, str], body: Any) -> Any:
        change = rest.UpdateCollection.model_validate(body)
        return self._local.update_collection(path["collection_name"], vectors_config=change.vectors)

    def _create_field_index(self, path: Mapping[str, str], body: Any) -> Any:
        self._indexes[path["collection_name"]][body["field_name"]] = body["field_schema"]
        return _COMPLETED

    def _delete_field_index(self, path: Mapping[str, str], _: Any) -> Any:
        self._indexes[path["collection_name"]].pop(path["field_name"], None)
        return _COMPLETED

    def _create_vector_name(self, path: Mapping[str, str], body: Any) -> Any:
        kind = rest.DenseVectorNameConfig if "dense" in body else rest.SparseVectorNameConfig
        self._local.create_vector_name(path["collection_name"], path["vector_name"], kind.model_validate(body))
        return _COMPLETED

    def _delete_vector_name(self, path: Mapping[str, str], _: Any) -> Any:
        self._local.delete_vector_name(path["collection_name"], path["vector_name"])
        return _COMPLETED

    def _upsert_points(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.PointsList.model_validate(body)
        self._local.upsert(
            path["collection_name"], asked.points, update_filter=asked.update_filter, update_mode=asked.update_mode
        )
        return _COMPLETED

    def _delete_points(self, path: Mapping[str, str], body: Any) -> Any:
        selector = rest.FilterSelector if "filter" in body else rest.PointIdsList
        self._local.delete(path["collection_name"], selector.model_validate(body))
        return _COMPLETED

    def _update_vectors(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.UpdateVectors.model_validate(body)
        self._local.update_vectors(path["collection_name"], asked.points, update_filter=asked.update_filter)
        return _COMPLETED

    def _set_payload(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.SetPayload.model_validate(body)
        selector: Any = asked.points if asked.filter is None else asked.filter
        self._local.set_payload(path["collection_name"], asked.payload, selector)
        return _COMPLETED

    def _batch_update(self, path: Mapping[str, str], body: Any) -> Any:
        operations = _OPERATIONS.validate_python(body["operations"])
        self._local.batch_update_points(path["collection_name"], operations)
        return [_COMPLETED for _ in operations]

    def _scroll_points(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.ScrollRequest.model_validate(body)
        self._check_order(path["collection_name"], asked)
        points, offset = self._local.scroll(
            path["collection_name"],
            scroll_filter=asked.filter,
            limit=asked.limit or 10,
            order_by=asked.order_by,
            offset=asked.offset,
            with_payload=True if asked.with_payload is None else asked.with_payload,
            with_vectors=asked.with_vector or False,
        )
        return {"points": [_plain(point) for point in points], "next_page_offset": offset}

    def _check_order(self, name: str, asked: rest.ScrollRequest) -> None:
        if asked.order_by is None:
            return
        key = asked.order_by if isinstance(asked.order_by, str) else asked.order_by.key
        schema = self._indexes[name].get(key)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind not in _RANGED or (isinstance(schema, dict) and schema.get("range") is False):
            raise ValueError(f"No range index for `order_by` key: `{key}`. Please create one to use `order_by`.")

    def _count_points(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.CountRequest.model_validate(body)
        return _plain(self._local.count(path["collection_name"], asked.filter, exact=asked.exact is not False))

    def _get_points(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.PointRequest.model_validate(body)
        with_payload = True if asked.with_payload is None else asked.with_payload
        points = self._local.retrieve(path["collection_name"], asked.ids, with_payload, asked.with_vector or False)
        return [_plain(point) for point in points]

    def _query_points(self, path: Mapping[str, str], body: Any) -> Any:
        asked = rest.QueryRequest.model_validate(body)
        found = self._local.query_points(
            path["collection_name"],
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            offset=asked.offset,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )
        # A server's scores are 32 bits wide, as is the threshold, and written with no more digits than those need.
        least = -np.inf if asked.score_threshold is None else np.float32(asked.score_threshold)
        scored = ((point, np.float32(point.score)) for point in found.points)
        return {"points": [{**_plain(point), "score": float(str(score))} for point, score in scored if score > least]}


def _plain(value: BaseModel) -> dict[str, Any]:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)
