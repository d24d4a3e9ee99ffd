"""Requests: what they become, and what is wrong with the bad ones: exact status, reason and field."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import structlog
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from gateway import transcoding
from gateway.decode import Decoders
from gateway.faults import Faults
from tests.e2e.polling import eventually
from tests.gateway.garden import Garden

PLANTS = "/garden/b/plants"
PLANT = "/garden/b/plants/p"
JSON = {"content-type": "application/json"}


def deep(levels: int) -> str:
    return '{"name": "fern", "extra": ' + '{"a":' * levels + "1" + "}" * levels + "}"


BAD_BODIES: list[tuple[bytes | str, int, str, str | None]] = [
    # malformed text
    ("{", 400, "MALFORMED_JSON", None),
    ("nope", 400, "MALFORMED_JSON", None),
    ("{'name': 'x'}", 400, "MALFORMED_JSON", None),
    ('{"name": "fern",}', 400, "MALFORMED_JSON", None),
    ('{"name": "fern"} {}', 400, "MALFORMED_JSON", None),
    ('{"name": "a\nb"}', 400, "MALFORMED_JSON", None),
    ('\ufeff{"name": "fern"}', 400, "MALFORMED_JSON", None),
    ('{"height": NaN}', 400, "MALFORMED_JSON", None),
    ('{"height": Infinity}', 400, "MALFORMED_JSON", None),
    ('{"height": -Infinity}', 400, "MALFORMED_JSON", None),
    ('{"height": 01}', 400, "MALFORMED_JSON", None),
    (b'{"name": "\xff"}', 400, "MALFORMED_ENCODING", None),
    (b'{"name": "\xed\xa0\x80"}', 400, "MALFORMED_ENCODING", None),
    ('{"name": "fern"}'.encode("utf-16"), 400, "MALFORMED_ENCODING", None),
    ('{"name": "\\ud800"}', 400, "MALFORMED_ENCODING", None),
    ('{"extra": {"\\udc00": 1}}', 400, "MALFORMED_ENCODING", None),
    (deep(40), 400, "NESTED_TOO_DEEP", None),
    ("[" * 100_000, 400, "NESTED_TOO_DEEP", None),
    ('{"name": "a", "name": "b"}', 400, "DUPLICATE_KEY", "name"),
    ('{"extra": {"k": 1, "k": 2}}', 400, "DUPLICATE_KEY", "extra.k"),
    ('{"parts": [{}, {"name": "a", "name": "b"}]}', 400, "DUPLICATE_KEY", "parts[1].name"),
    ('{"care": {"x": {"y": 1, "y": 2}}, "care": 1}', 400, "DUPLICATE_KEY", "care"),
    ('{"\\ud800": 1, "\\ud800": 2}', 400, "MALFORMED_ENCODING", None),
    ('{"' + "k" * 300 + '": {"a": 1, "a": 2}}', 400, "DUPLICATE_KEY", "k" * 200 + "…"),
    # not an object
    ("[]", 400, "WRONG_TYPE", ""),
    ("null", 400, "WRONG_TYPE", ""),
    ('"fern"', 400, "WRONG_TYPE", ""),
    ("1", 400, "WRONG_TYPE", ""),
    # unknown fields
    ('{"nmae": "fern"}', 400, "UNKNOWN_FIELD", "nmae"),
    ('{"Name": "fern"}', 400, "UNKNOWN_FIELD", "Name"),
    ('{"plantedAt": "x"}', 400, "UNKNOWN_FIELD", "plantedAt"),
    ('{"' + "k" * 300 + '": 1}', 400, "UNKNOWN_FIELD", "k" * 200 + "…"),
    ('{"care": {"liters": 1}}', 400, "UNKNOWN_FIELD", "care.liters"),
    ('{"parts": [{}, {"x": 1}]}', 400, "UNKNOWN_FIELD", "parts[1].x"),
    ('{"": 1}', 400, "UNKNOWN_FIELD", ""),
    # wrong types
    ('{"name": 1}', 400, "WRONG_TYPE", "name"),
    ('{"name": ["fern"]}', 400, "WRONG_TYPE", "name"),
    ('{"note": {}}', 400, "WRONG_TYPE", "note"),
    ('{"dry": "true"}', 400, "WRONG_TYPE", "dry"),
    ('{"dry": 1}', 400, "WRONG_TYPE", "dry"),
    ('{"height": "1"}', 400, "WRONG_TYPE", "height"),
    ('{"height": true}', 400, "WRONG_TYPE", "height"),
    ('{"leaves": "1"}', 400, "WRONG_TYPE", "leaves"),
    ('{"leaves": 1.5}', 400, "WRONG_TYPE", "leaves"),
    ('{"leaves": true}', 400, "WRONG_TYPE", "leaves"),
    ('{"light": 1}', 400, "WRONG_TYPE", "light"),
    ('{"care": []}', 400, "WRONG_TYPE", "care"),
    ('{"care": {"litres": "1"}}', 400, "WRONG_TYPE", "care.litres"),
    ('{"care": {"summer": {"summer": 1}}}', 400, "WRONG_TYPE", "care.summer.summer"),
    ('{"labels": "a"}', 400, "WRONG_TYPE", "labels"),
    ('{"labels": {"0": "a"}}', 400, "WRONG_TYPE", "labels"),
    ('{"labels": ["a", 1]}', 400, "WRONG_TYPE", "labels[1]"),
    ('{"lights": ["shade", 2]}', 400, "WRONG_TYPE", "lights[1]"),
    ('{"parts": {}}', 400, "WRONG_TYPE", "parts"),
    ('{"parts": [1]}', 400, "WRONG_TYPE", "parts[0]"),
    ('{"extra": []}', 400, "WRONG_TYPE", "extra"),
    ('{"extra": "x"}', 400, "WRONG_TYPE", "extra"),
    ('{"counts": []}', 400, "WRONG_TYPE", "counts"),
    ('{"counts": {"may": "1"}}', 400, "WRONG_TYPE", "counts.may"),
    ('{"bloomed_at": 1700000000}', 400, "WRONG_TYPE", "bloomed_at"),
    # values that fail
    ('{"name": null}', 422, "INVALID_ARGUMENT", "name"),
    ('{"light": null}', 422, "INVALID_ARGUMENT", "light"),
    ('{"care": null}', 422, "INVALID_ARGUMENT", "care"),
    ('{"labels": null}', 422, "INVALID_ARGUMENT", "labels"),
    ('{"labels": [null]}', 422, "INVALID_ARGUMENT", "labels[0]"),
    ('{"extra": null}', 422, "INVALID_ARGUMENT", "extra"),
    ('{"counts": {"may": null}}', 422, "INVALID_ARGUMENT", "counts.may"),
    ('{"parts": [null]}', 422, "INVALID_ARGUMENT", "parts[0]"),
    ('{"height": null}', 422, "INVALID_ARGUMENT", "height"),
    ('{"light": "unspecified"}', 422, "INVALID_ARGUMENT", "light"),
    ('{"light": "LIGHT_NEED_SHADE"}', 422, "INVALID_ARGUMENT", "light"),
    ('{"light": "Shade"}', 422, "INVALID_ARGUMENT", "light"),
    ('{"light": ""}', 422, "INVALID_ARGUMENT", "light"),
    ('{"leaves": 2147483648}', 422, "INVALID_ARGUMENT", "leaves"),
    ('{"leaves": 1e30}', 422, "INVALID_ARGUMENT", "leaves"),
    ('{"roots": -1}', 422, "INVALID_ARGUMENT", "roots"),
    ('{"roots": 4294967296}', 422, "INVALID_ARGUMENT", "roots"),
    ('{"leaves": -1e999}', 422, "INVALID_ARGUMENT", "leaves"),
    ('{"leaves": ' + "9" * 5000 + "}", 422, "INVALID_ARGUMENT", "leaves"),
    ('{"roots": -' + "9" * 5000 + "}", 422, "INVALID_ARGUMENT", "roots"),
    ('{"height": 1e999}', 422, "INVALID_ARGUMENT", "height"),
    ('{"height": ' + "9" * 5000 + "}", 422, "INVALID_ARGUMENT", "height"),
    ('{"extra": {"n": -1e999}}', 422, "INVALID_ARGUMENT", "extra.n"),
    ('{"height": 1' + "0" * 400 + "}", 422, "INVALID_ARGUMENT", "height"),
    ('{"extra": {"n": 1' + "0" * 400 + "}}", 422, "INVALID_ARGUMENT", "extra.n"),
    ('{"bloomed_at": "yesterday"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"bloomed_at": "2026-01-31"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"bloomed_at": "2026-01-31T12:00:00"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"bloomed_at": "2026-02-30T12:00:00Z"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"bloomed_at": "2026-01-31T12:00:00+24:00"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"bloomed_at": "0001-01-01T00:00:00+01:00"}', 422, "INVALID_ARGUMENT", "bloomed_at"),
    ('{"seed": "a", "cutting": "b"}', 422, "INVALID_ARGUMENT", "cutting"),
    # of both kinds: the form comes first
    ('{"light": "dark", "nmae": "x"}', 400, "UNKNOWN_FIELD", "nmae"),
]


@pytest.mark.parametrize(("body", "status", "reason", "field"), BAD_BODIES, ids=lambda value: repr(value)[:40])
async def test_bad_body_is_refused(
    client: httpx.AsyncClient, garden: Garden, body: bytes | str, status: int, reason: str, field: str | None
) -> None:
    answer = await client.post(PLANTS, content=body, headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["reason"]) == (status, reason), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["trace_id"] == answer.headers["x-trace-id"]
    if field is None:
        assert problem["errors"] == []
    else:
        assert field in [error["field"] for error in problem["errors"]], problem
    assert garden.requests == []


BAD_QUERIES = [
    ("page_size=x", 400, "WRONG_TYPE", "page_size"),
    ("page_size=", 400, "WRONG_TYPE", "page_size"),
    ("page_size=1.5", 400, "WRONG_TYPE", "page_size"),
    ("page_size=%2B1", 400, "WRONG_TYPE", "page_size"),
    ("page_size=1&page_size=2", 400, "DUPLICATE_KEY", "page_size"),
    ("page_size=99999999999", 422, "INVALID_ARGUMENT", "page_size"),
    ("page_size=999999999999999999999999999", 422, "INVALID_ARGUMENT", "page_size"),
    ("page_size=-" + "9" * 5000, 422, "INVALID_ARGUMENT", "page_size"),
    ("filter.min_height=1e999", 422, "INVALID_ARGUMENT", "filter.min_height"),
    ("pagesize=1", 400, "UNKNOWN_FIELD", "pagesize"),
    ("bed_id=other", 400, "UNKNOWN_FIELD", "bed_id"),
    ("filter=x", 400, "UNKNOWN_FIELD", "filter"),
    ("filter.x=1", 400, "UNKNOWN_FIELD", "filter.x"),
    ("filter.min_height=tall", 400, "WRONG_TYPE", "filter.min_height"),
    ("filter.min_height=NaN", 400, "WRONG_TYPE", "filter.min_height"),
    ("filter.since=now", 422, "INVALID_ARGUMENT", "filter.since"),
    ("light=dark", 422, "INVALID_ARGUMENT", "light"),
    ("light=", 422, "INVALID_ARGUMENT", "light"),
    ("light=shade,full_sun", 422, "INVALID_ARGUMENT", "light"),
    ("dry=1", 400, "WRONG_TYPE", "dry"),
    ("dry=True", 400, "WRONG_TYPE", "dry"),
    ("roots=-1", 422, "INVALID_ARGUMENT", "roots"),
    ("word=%FF", 400, "MALFORMED_ENCODING", ""),
    ("word=a&" * 600, 400, "TOO_MANY_PARAMETERS", ""),
]


@pytest.mark.parametrize(("query", "status", "reason", "field"), BAD_QUERIES, ids=lambda value: repr(value)[:40])
async def test_bad_query_is_refused(
    client: httpx.AsyncClient, garden: Garden, query: str, status: int, reason: str, field: str
) -> None:
    answer = await client.get(f"{PLANTS}?{query}")
    problem = answer.json()
    assert (answer.status_code, problem["reason"]) == (status, reason), problem
    assert [error["field"] for error in problem["errors"]] == [field]
    assert garden.requests == []


async def test_query_fills_every_kind_of_field(client: httpx.AsyncClient, garden: Garden) -> None:
    await client.get(
        f"{PLANTS}/?page_size=-3&light=shade&light=full_sun&dry=false&word=a+b&word=%C3%A9%26&word="
        "&filter.min_height=1.5e1&filter.since=2026-01-31T12:00:00%2B01:00"
    )
    request = garden.requests[-1]
    assert (request.bed_id, request.page_size, list(request.light)) == ("b", -3, [2, 1])
    assert request.HasField("dry")
    assert request.dry is False
    assert list(request.word) == ["a b", "é&", ""]
    assert request.filter.min_height == 15
    assert request.filter.since.ToJsonString() == "2026-01-31T11:00:00Z"


async def test_body_fills_every_kind_of_field(client: httpx.AsyncClient, garden: Garden) -> None:
    body: dict[str, Any] = {
        "name": "fern",
        "note": "",
        "light": "shade",
        "care": {"litres": 2, "times": None, "summer": {}},
        "labels": ["a"],
        "extra": {"a": [1, {"b": None}], "t": True, "s": "x"},
        "bloomed_at": "2026-01-31t12:00:00.1234z",
        "lights": ["shade"],
        "counts": {"may": 3},
        "parts": [{"name": "leaf", "parts": [{}]}],
        "height": 1,
        "dry": True,
        "leaves": 2.0,
        "roots": 4294967295,
        "cutting": "x",
    }
    answer = await client.post(PLANTS, json=body)
    assert answer.status_code == 201, answer.text
    plant = garden.requests[-1].plant
    assert (plant.name, plant.note, plant.HasField("note"), plant.light) == ("fern", "", True, 2)
    assert (plant.care.litres, plant.care.HasField("times"), plant.care.HasField("summer")) == (2, False, True)
    assert plant.bloomed_at.nanos == 123_400_000
    assert dict(plant.counts) == {"may": 3}
    assert len(plant.parts[0].parts) == 1
    assert (plant.leaves, plant.roots, plant.cutting) == (2, 4294967295, "x")
    assert json.loads(json.dumps(dict(plant.extra.items()), default=str))["s"] == "x"


async def test_output_only_fields_are_ignored_whatever_they_hold(client: httpx.AsyncClient, garden: Garden) -> None:
    for value in (None, 1, "x", [], {"a": 1}):
        answer = await client.post(PLANTS, json={"name": "fern", "id": value, "planted_at": value})
        assert answer.status_code == 201
        assert not garden.requests[-1].plant.HasField("planted_at")
        assert garden.requests[-1].plant.id == ""


async def test_deepest_permitted_struct_reaches_the_service(client: httpx.AsyncClient, garden: Garden) -> None:
    answer = await client.post(PLANTS, content=deep(29), headers=JSON)
    assert answer.status_code == 201, answer.text
    assert garden.requests[-1].plant.extra.fields["a"].HasField("struct_value")
    garden.on("GetPlant", garden.of("GetPlantResponse", plant=garden.requests[-1].plant))
    assert (await client.get(PLANT)).json()["extra"] == json.loads(deep(29))["extra"]


async def test_empty_body_counts_as_empty_object(client: httpx.AsyncClient, garden: Garden) -> None:
    for content, headers in ((b"", {}), (b"", JSON), (b" \n", JSON)):
        answer = await client.post(f"{PLANT}:water", content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert garden.requests[-1].plant_id == "p"


async def test_unknown_name_is_answered_with_those_that_are_known(client: httpx.AsyncClient) -> None:
    in_body = await client.post(f"{PLANT}:water", json={"liters": 1})
    assert in_body.json()["detail"] == "liters: is not a field here: known are litres"
    in_query = await client.post(f"{PLANT}:water?litres=1", json={})
    assert in_query.json()["detail"] == "litres: is not a query parameter here: there are none"
    misspelt = await client.put(PLANT, json={"nmae": "fern"})
    assert ": known are name, " in misspelt.json()["detail"]
    # Only the server sets it.
    assert "planted_at" not in misspelt.json()["detail"]


async def test_whole_body_cannot_say_what_the_path_says(client: httpx.AsyncClient, garden: Garden) -> None:
    answer = await client.post(f"{PLANT}:water", json={"litres": 1, "plant_id": "other"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "UNKNOWN_FIELD")
    assert (await client.post(f"{PLANT}:water?litres=1", json={})).status_code == 400
    assert garden.requests == []


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, []),
        ({"name": "moss"}, ["name"]),
        ({"note": None}, ["note"]),
        ({"care": {"litres": 1}}, ["care.litres"]),
        ({"care": {"litres": None, "summer": {"times": 2}}, "dry": False}, ["care.litres", "care.summer.times", "dry"]),
        ({"care": {}}, []),
        ({"extra": {"a": {"b": 1}}, "labels": [], "counts": {"a": 1}}, ["extra", "labels", "counts"]),
        ({"bloomed_at": "2026-01-01T00:00:00Z"}, ["bloomed_at"]),
        ({"id": "x", "planted_at": 3, "name": "moss"}, ["name"]),
        ({"parts": [{"name": "leaf"}]}, ["parts"]),
    ],
    ids=str,
)
async def test_patch_sends_its_keys_as_mask(
    client: httpx.AsyncClient, garden: Garden, body: dict[str, Any], paths: list[str]
) -> None:
    answer = await client.patch(PLANT, json=body)
    assert answer.status_code == 200, answer.text
    assert list(garden.requests[-1].only.paths) == paths
    assert garden.requests[-1].HasField("plant")


async def test_put_sends_mask_of_everything(client: httpx.AsyncClient, garden: Garden) -> None:
    await client.put(PLANT, json={"name": "moss"})
    assert list(garden.requests[-1].only.paths) == ["*"]
    assert (await client.put(f"{PLANT}?only=name", json={})).json()["errors"][0]["field"] == "only"


async def test_idempotency_key_fills_its_field(client: httpx.AsyncClient, garden: Garden) -> None:
    await client.post(PLANTS, json={"name": "fern"}, headers={"idempotency-key": "k"})
    assert garden.requests[-1].once == "k"
    await client.post(f"{PLANTS}?once=k", json={"name": "fern"}, headers={"idempotency-key": "k"})
    assert garden.requests[-1].once == "k"
    await client.post(f"{PLANTS}?once=k", json={"name": "fern"})
    assert garden.requests[-1].once == "k"
    answer = await client.post(f"{PLANTS}?once=other", json={"name": "fern"}, headers={"idempotency-key": "k"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "IDEMPOTENCY_KEY_MISMATCH")
    assert answer.json()["errors"][0]["field"] == "once"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=UTF-8"}, 201),
        ({"content-type": "application/merge-patch+json"}, 201),
        ({"content-type": "application/JSON"}, 201),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "json"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({}, 415),
    ],
    ids=str,
)
async def test_only_json_in_utf8_is_taken(client: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    answer = await client.post(PLANTS, content=b'{"name": "fern"}', headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["reason"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_header_that_comes_twice_is_refused_unless_it_is_a_list(
    client: httpx.AsyncClient, garden: Garden
) -> None:
    for name in ("idempotency-key", "content-type", "last-event-id"):
        twice = [(name, "application/json"), (name, "application/json"), *JSON.items()][: 2 + (name != "content-type")]
        answer = await client.post(PLANTS, content=b"{}", headers=twice)
        assert (answer.status_code, answer.json()["reason"]) == (400, "DUPLICATE_HEADER"), name
    assert garden.requests == []
    listed = [("accept", "text/html"), ("accept", "application/json")]
    assert (await client.get(PLANT, headers=listed)).status_code == 200


async def test_body_over_a_megabyte_is_refused_with_and_without_length(
    client: httpx.AsyncClient, garden: Garden
) -> None:
    body = b'{"name": "' + b"a" * (1024 * 1024) + b'"}'

    async def chunked():
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for content in (body, chunked()):
        answer = await client.post(PLANTS, content=content, headers=JSON)
        assert (answer.status_code, answer.json()["reason"]) == (413, "BODY_TOO_LARGE")
    exact = b'{"name": "' + b"a" * (1024 * 1024 - 12) + b'"}'
    assert (await client.post(PLANTS, content=exact, headers=JSON)).status_code == 201
    assert len(garden.requests) == 1


async def half_a_request(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the beginning of a request was sent."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    token = client.headers["authorization"]
    head = f"POST {PLANTS} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
    writer.write(f'{head}Content-Length: 99\r\n\r\n{{"name": '.encode())
    await writer.drain()
    return reader, writer


async def test_body_that_does_not_arrive_is_given_up(
    client: httpx.AsyncClient, garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "BODY_SECONDS", 0.05)
    reader, writer = await half_a_request(client)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"BODY_TOO_SLOW"' in answer
    assert garden.requests == []


async def test_client_that_goes_away_in_its_body_calls_nobody(client: httpx.AsyncClient, garden: Garden) -> None:
    with structlog.testing.capture_logs() as lines:
        _, writer = await half_a_request(client)
        writer.close()
        # Beside what the gateway says meanwhile of earlier requests.
        ended = await eventually(lambda: [line for line in lines if line.get("status") == 499])
    assert [line["cut"] for line in ended] == ["by the client"]
    assert garden.requests == []


EVENT_INPUTS: list[tuple[dict[str, Any], str | None]] = [
    ({"kind": "grown", "data": {"text": "x"}}, None),
    ({"kind": None, "data": None}, None),
    ({}, None),
    ({"kind": "shrunk", "data": {}}, "kind"),
    ({"kind": 1, "data": {}}, "kind"),
    ({"kind": "grown"}, "data"),
    ({"data": {}}, "kind"),
    ({"kind": "grown", "data": {"size": 1}}, "data.size"),
    ({"grown": {}}, "grown"),
]


@pytest.mark.parametrize(("value", "fault"), EVENT_INPUTS, ids=str)
def test_flattened_oneof_is_read_from_its_two_keys(
    garden_pool: DescriptorPool, value: dict[str, Any], fault: str | None
) -> None:
    event = GetMessageClass(garden_pool.FindMessageTypeByName("acme.garden.v1.Event"))()
    faults = Faults()
    Decoders().fill(event, value, "", faults)
    assert [each.field for each in faults.found] == ([] if fault is None else [fault])
    if fault is None:
        assert event.WhichOneof("what") == value.get("kind")


async def test_chunked_body_is_taken(client: httpx.AsyncClient, garden: Garden) -> None:
    async def chunks():
        for chunk in (b'{"na', b'me": ', b'"fern"}'):
            yield chunk
            await asyncio.sleep(0)

    assert (await client.post(PLANTS, content=chunks(), headers=JSON)).status_code == 201
    assert garden.requests[-1].plant.name == "fern"


async def test_path_variables_reach_the_service_decoded(client: httpx.AsyncClient, garden: Garden) -> None:
    await client.get("/garden/b%2Fc/plants/%C3%A9%3Awater")
    assert (garden.requests[-1].bed_id, garden.requests[-1].plant_id) == ("b/c", "é:water")
    garden.on("ReadShed", garden.of("ReadShedResponse", path="x"))
    await client.get("/shed/shelves/1/2%2F3")
    assert garden.requests[-1].path == "shelves/1/2%2F3"
    await client.get("/drawers/7/things/x")
    assert (garden.requests[-1].number, garden.requests[-1].name) == (7, "things/x")
    asked = len(garden.requests)
    assert (await client.get("/drawers/seven/things/x")).status_code == 404
    assert (await client.get("/garden/%FF/plants")).json()["reason"] == "MALFORMED_ENCODING"
    assert len(garden.requests) == asked
