"""The fake Qdrant refuses what Qdrant's description does not have, and what a server refuses beyond it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.qdrant_description import Description
from tests.fakes.qdrant_server import SECRET_TEXT, Answer, Drop, FakeQdrant

pytestmark = pytest.mark.server_backed

ID = "550e8400-e29b-41d4-a716-446655440000"
ABSENT = "550e8400-e29b-41d4-a716-446655440001"
CREATE = {"vectors": {"v": {"size": 2, "distance": "Cosine"}}, "sparse_vectors": {"w": {"modifier": "idf"}}}
POINT = {"id": ID, "vector": {"v": [3, 4], "w": {"indices": [7], "values": [1.0]}}, "payload": {"at": 1, "tag": "x"}}


@pytest.fixture
def qdrant(qdrant_description: Description) -> Iterator[FakeQdrant]:
    with FakeQdrant(qdrant_description) as running:
        yield running


@pytest.fixture
def client(qdrant: FakeQdrant) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=qdrant.url) as opened:
        assert opened.put("/collections/c", json=CREATE).json()["result"] is True
        assert opened.put("/collections/c/points", json={"points": [POINT]}).status_code == 200
        yield opened


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/collections/c", CREATE),
        ("GET", "/collection/c", None),
        ("POST", "/collections/c/points/search", {"vector": [1, 2], "limit": 3}),
        ("GET", "/collections/c?verbose=true", None),
        ("PUT", "/collections/c/points?wait=yes", {"points": [POINT]}),
        ("PUT", "/collections/c/points?ordering=strict", {"points": [POINT]}),
        ("PUT", "/collections/d", {"vectors": {"v": {"size": 2, "distance": "cosine"}}}),
        ("PUT", "/collections/d", {"vectors": {"v": {"size": 0, "distance": "Cosine"}}}),
        ("PUT", "/collections/d", {"vectors": {"v": {"distance": "Cosine"}}}),
        ("PUT", "/collections/d", {**CREATE, "optimizer_config": {"default_segment_number": 2}}),
        ("PUT", "/collections/d", {**CREATE, "optimizers_config": {"default_segments": 2}}),
        ("PUT", "/collections/d", {**CREATE, "optimizers_config": {"default_segment_number": "2"}}),
        ("PUT", "/collections/c/index", {"field_name": "at", "field_schema": "int"}),
        ("PUT", "/collections/c/index", {"field_schema": "integer"}),
        ("PUT", "/collections/c/vectors/x", {"dense": {"size": 2}}),
        ("PUT", "/collections/c/vectors/x", {"size": 2, "distance": "Cosine"}),
        ("PUT", "/collections/c/points", {"points": [{**POINT, "id": "no-uuid"}]}),
        ("PUT", "/collections/c/points", {"points": [{**POINT, "id": -1}]}),
        ("PUT", "/collections/c/points", {"points": [{"id": ID, "payload": {}}]}),
        ("PUT", "/collections/c/points", {"points": [{**POINT, "vector": {"v": ["3", "4"]}}]}),
        ("PUT", "/collections/c/points", {"points": [{**POINT, "vector": {"w": {"indices": [2**32], "values": [1]}}}]}),
        ("PUT", "/collections/c/points/vectors", {"points": []}),
        ("POST", "/collections/c/points/scroll", {"limit": 0}),
        ("POST", "/collections/c/points/scroll", {"limit": 1, "order_by": {"key": "at", "direction": "down"}}),
        ("POST", "/collections/c/points/scroll", {"filter": {"and": []}}),
        ("POST", "/collections/c/points/scroll", {"filter": {"must": [{"key": "tag", "match": {"equals": "x"}}]}}),
        ("POST", "/collections/c/points/scroll", {"filter": {"must": [{"match": {"value": "x"}}]}}),
        ("POST", "/collections/c/points/scroll", {"filter": {"must": [{"key": "at", "range": {"gte": "soon"}}]}}),
        ("POST", "/collections/c/points/count", {"exact": None}),
        ("POST", "/collections/c/points/query", {"query": [1, 2], "using": "v", "limit": 3, "score": 0.5}),
        ("POST", "/collections/c/points/delete", {"ids": [ID]}),
        ("POST", "/collections/c/points/batch", {"operations": [{"set_payload": {"points": [ID]}}]}),
        ("DELETE", "/collections/c", {"force": True}),
    ],
)
def test_request_that_is_not_described_is_refused_and_remembered(
    qdrant: FakeQdrant, client: httpx.Client, method: str, target: str, body: Any
) -> None:
    refused = client.request(method, target, json=body) if body is not None else client.request(method, target)
    assert refused.status_code == 400
    with pytest.raises(AssertionError, match=f"{method} /collection"):
        qdrant.assert_nothing_wrong()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b'{"limit": 1}'),
        ("application/json", b"{limit: 1}"),
        ("application/json", b""),
        ("application/json", b'{"score_threshold": NaN}'),
    ],
)
def test_body_that_is_no_json_is_refused_and_remembered(
    qdrant: FakeQdrant, client: httpx.Client, content_type: str, body: bytes
) -> None:
    target = "/collections/c/points/query"
    assert client.post(target, content=body, headers={"content-type": content_type}).status_code == 400
    assert len(qdrant.violations) == 1


@pytest.mark.parametrize(
    ("status", "method", "target", "body"),
    [
        (409, "PUT", "/collections/c", CREATE),
        (404, "GET", "/collections/absent", None),
        (404, "PUT", "/collections/absent/points", {"points": [POINT]}),
        (404, "POST", "/collections/absent/points/count", {}),
        (404, "PUT", "/collections/c/points/vectors", {"points": [{"id": ABSENT, "vector": {"v": [1, 2]}}]}),
        (404, "POST", "/collections/c/points/payload", {"payload": {}, "points": [ABSENT]}),
        (400, "PUT", "/collections/c/points", {"points": [{**POINT, "vector": {"v": [1, 2, 3]}}]}),
        (400, "PUT", "/collections/c/points", {"points": [{**POINT, "vector": {"unknown": [1, 2]}}]}),
        (400, "POST", "/collections/c/points/query", {"query": [1, 2, 3], "using": "v"}),
        (400, "POST", "/collections/c/points/query", {"query": [1, 2], "using": "unknown"}),
        (400, "POST", "/collections/c/points/scroll", {"order_by": {"key": "at"}}),
        (400, "PUT", "/collections/c/vectors/v", {"dense": {"size": 3, "distance": "Cosine"}}),
    ],
)
def test_what_a_server_refuses_is_refused_in_its_shape(
    qdrant: FakeQdrant, client: httpx.Client, status: int, method: str, target: str, body: Any
) -> None:
    refused = client.request(method, target, json=body) if body is not None else client.request(method, target)
    assert refused.status_code == status
    assert SECRET_TEXT in refused.json()["status"]["error"]
    # It was said as it should be said.
    qdrant.assert_nothing_wrong()


@pytest.mark.parametrize("index", ["keyword", {"type": "integer", "lookup": True, "range": False}])
def test_order_needs_an_index_that_knows_ranges(client: httpx.Client, index: Any) -> None:
    ordered = {"order_by": {"key": "at"}}
    assert client.put("/collections/c/index", json={"field_name": "at", "field_schema": index}).status_code == 200
    assert client.post("/collections/c/points/scroll", json=ordered).status_code == 400
    ranged = {"type": "integer", "lookup": False, "range": True}
    assert client.put("/collections/c/index", json={"field_name": "at", "field_schema": ranged}).status_code == 200
    assert client.post("/collections/c/points/scroll", json=ordered).json()["result"]["points"][0]["order_value"] == 1


def test_its_own_answer_is_held_against_the_description(
    qdrant: FakeQdrant, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant._collections, "_count_points", lambda path, body: {"number": 1})
    assert client.post("/collections/c/points/count", json={}).status_code == 500
    with pytest.raises(AssertionError, match="the answer 200 to POST /collections/c/points/count"):
        qdrant.assert_nothing_wrong()


def test_threshold_leaves_out_what_is_equal_to_it(client: httpx.Client) -> None:
    query = {"query": [3, 4], "using": "v"}
    [found] = client.post("/collections/c/points/query", json=query).json()["result"]["points"]
    equal = client.post("/collections/c/points/query", json={**query, "score_threshold": found["score"]})
    assert equal.json()["result"]["points"] == []


def test_indexes_and_settings_are_told_again(client: httpx.Client) -> None:
    client.put("/collections/d", json={**CREATE, "optimizers_config": {"default_segment_number": 2}})
    client.put("/collections/d/index", json={"field_name": "tag", "field_schema": "keyword"})
    info = client.get("/collections/d").json()["result"]
    assert info["payload_schema"] == {"tag": {"data_type": "keyword", "points": 0}}
    assert info["config"]["optimizer_config"]["default_segment_number"] == 2


def test_wrong_key_is_refused(qdrant_description: Description) -> None:
    with FakeQdrant(qdrant_description, api_key="right") as qdrant:
        statuses = [
            httpx.get(f"{qdrant.url}/collections/c/exists", headers=headers).status_code
            for headers in ({}, {"api-key": "wrong"}, {"api-key": "right"})
        ]
    assert statuses == [401, 401, 200]


def test_faults_come_in_their_order_and_to_whom_they_are_meant_for(qdrant: FakeQdrant, client: httpx.Client) -> None:
    qdrant.fail(Answer(503), Answer(429, {"retry-after": "2"}))
    qdrant.fail(Drop(), operation="delete_collection")
    assert [client.get("/collections/c").status_code for _ in range(3)] == [503, 429, 200]
    with pytest.raises(httpx.TransportError):
        client.delete("/collections/c")
    assert client.get("/collections/c").status_code == 404, "what was dropped was the answer"


def test_stopped_server_refuses_and_keeps_what_it_has(qdrant: FakeQdrant, client: httpx.Client) -> None:
    qdrant.stop()
    with pytest.raises(httpx.ConnectError):
        client.get("/collections/c")
    qdrant.start()
    assert client.get("/collections/c").json()["result"]["points_count"] == 1
