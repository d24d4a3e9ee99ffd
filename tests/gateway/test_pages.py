"""Health, documentation, and the OpenAPI document."""

import re
from typing import Any

import httpx
import jsonschema
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import docs
from gateway.contract import bindings_of
from gateway.openapi import document
from gateway.site import shipped_descriptors
from tests.gateway.conftest import Gateway, free_port
from tests.gateway.garden import Garden, pool_for


def described(descriptors: descriptor_pb2.FileDescriptorSet) -> dict[str, Any]:
    pool = pool_for(descriptors)
    names = [f"{file.package}.{service.name}" for file in descriptors.file for service in file.service]
    bindings = [binding for name in names for binding in bindings_of(pool.FindServiceByName(name))]
    return document(bindings, descriptors, "1.2.3")


@pytest.fixture(scope="module")
def garden_document(garden_descriptors: descriptor_pb2.FileDescriptorSet) -> dict[str, Any]:
    return described(garden_descriptors)


@pytest.fixture(scope="module")
def contract_document() -> dict[str, Any]:
    return described(shipped_descriptors())


def test_documents_are_valid_openapi(garden_document: dict[str, Any], contract_document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(garden_document).validate()
    OpenAPIV31SpecValidator(contract_document).validate()


def test_texts_are_the_protos_comments(garden_document: dict[str, Any], contract_document: dict[str, Any]) -> None:
    get = garden_document["paths"]["/garden/{bed_id}/plants/{plant_id}"]["get"]
    assert (get["summary"], get["description"]) == ("Get one plant", "Get one plant. It may be dry.")
    assert get["tags"] == ["Garden"]
    assert get["parameters"][0] == {
        "name": "bed_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "Bed.",
    }
    for document_ in (garden_document, contract_document):
        for path in document_["paths"].values():
            for operation in path.values():
                assert operation["summary"]
                assert "`" not in operation["summary"], "viewers show it as it stands"
                assert operation.get("description") != f"{operation['summary']}.", "said twice"
                assert all(parameter["description"] for parameter in operation.get("parameters", ()))


def test_operation_ids_are_stable_and_unique(
    contract_document: dict[str, Any], garden_document: dict[str, Any]
) -> None:
    plant = garden_document["paths"]["/garden/{bed_id}/plants/{plant_id}"]
    assert plant["patch"]["operationId"] == "GardenService_UpdatePlant"
    assert plant["put"]["operationId"] == "GardenService_UpdatePlant_put"
    for document_ in (contract_document, garden_document):
        identifiers = [each["operationId"] for path in document_["paths"].values() for each in path.values()]
        assert len(set(identifiers)) == len(identifiers)


def test_input_schemas_have_rules_and_no_output_only_fields(garden_document: dict[str, Any]) -> None:
    schemas = garden_document["components"]["schemas"]
    plant, patch, answer = schemas["PlantInput"], schemas["PlantPatch"], schemas["Plant"]
    assert "id" not in plant["properties"]
    assert "planted_at" not in plant["properties"]
    assert plant["additionalProperties"] is False
    assert (plant["required"], patch.get("required")) == (["name"], None)
    assert plant["properties"]["name"] == {
        "type": "string",
        "minLength": 1,
        "maxLength": 20,
        "pattern": "^(?:[a-z ]+)$",
        "description": "What it is called.",
    }
    assert plant["properties"]["labels"]["maxItems"] == 3
    assert plant["properties"]["note"]["type"] == ["string", "null"]
    assert plant["properties"]["light"]["enum"] == ["full_sun", "shade"]
    litres = schemas["CareInput"]["properties"]["litres"]
    assert (litres["minimum"], litres["maximum"], litres["type"]) == (0, 9, ["number", "null"])
    assert set(answer["required"]) == set(answer["properties"])
    # What the server fills is never null in an answer.
    assert schemas["Care"]["properties"]["litres"]["type"] == "number"
    assert schemas["Care"]["properties"]["times"]["type"] == ["integer", "null"]


def test_whole_body_leaves_out_what_the_path_says(garden_document: dict[str, Any]) -> None:
    water = garden_document["paths"]["/garden/{bed_id}/plants/{plant_id}:water"]["post"]
    assert water["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/WaterPlantRequestInput")
    assert list(garden_document["components"]["schemas"]["WaterPlantRequestInput"]["properties"]) == ["litres"]


def test_parameters_include_headers_and_nested_filters(garden_document: dict[str, Any]) -> None:
    create = garden_document["paths"]["/garden/{bed_id}/plants"]["post"]
    assert ("Idempotency-Key", "header") in [(each["name"], each["in"]) for each in create["parameters"]]
    listing = garden_document["paths"]["/garden/{bed_id}/plants"]["get"]
    names = {each["name"]: each["schema"] for each in listing["parameters"]}
    assert names["filter.since"]["format"] == "date-time"
    assert names["light"]["items"]["enum"] == ["full_sun", "shade"]
    assert names["page_size"]["minimum"] == 0


def test_stream_is_described_in_both_forms(garden_document: dict[str, Any]) -> None:
    watch = garden_document["paths"]["/garden/{bed_id}/events"]["get"]
    content = watch["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream", "application/x-ndjson"]
    event = garden_document["components"]["schemas"]["Event"]
    assert event["discriminator"]["propertyName"] == "kind"
    assert list(event["discriminator"]["mapping"]) == ["grown", "rained", "quiet"]
    grown = garden_document["components"]["schemas"]["Event_grown"]
    assert grown["properties"]["kind"] == {"type": "string", "const": "grown"}
    assert grown["properties"]["data"] == {"$ref": "#/components/schemas/Grown"}
    assert watch["security"] == [{"bearer": []}, {"ticket": []}]
    assert ("Last-Event-ID", "header") in [(each["name"], each["in"]) for each in watch["parameters"]]


def test_statuses_and_security(garden_document: dict[str, Any]) -> None:
    paths = garden_document["paths"]
    assert "201" in paths["/garden/{bed_id}/plants"]["post"]["responses"]
    gone = paths["/garden/{bed_id}/plants/{plant_id}"]["delete"]["responses"]
    assert "content" not in gone["204"]
    assert {"400", "401", "404", "409", "422", "503"} <= gone.keys()
    assert garden_document["components"]["securitySchemes"]["bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert garden_document["security"] == [{"bearer": []}]
    assert "/garden/fertilize" not in paths


async def test_answers_match_their_schemas(
    client: httpx.AsyncClient, garden: Garden, garden_document: dict[str, Any]
) -> None:
    plant = {"name": "fern", "light": 1, "care": {"litres": 1}, "parts": [{"name": "x"}], "lights": [2]}
    garden.on("ListPlants", garden.of("ListPlantsResponse", plants=[plant], total=1))
    full = (await client.get("/garden/b/plants")).json()
    full["plants"][0]["planted_at"] = "2026-01-01T00:00:00.000Z"
    full["plants"][0]["care"]["summer"] = dict(full["plants"][0]["care"], summer={})
    full["plants"][0]["care"]["summer"] = None
    schema = {"$ref": "#/components/schemas/ListPlantsResponse", "components": garden_document["components"]}
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(full))
    # A message field that is not optional is promised; the garden's `summer` breaks that promise.
    assert [list(error.absolute_path) for error in errors] == [["plants", 0, "care", "summer"]]
    problem = (await client.get("/nothing")).json()
    jsonschema.validate(problem, garden_document["components"]["schemas"]["Problem"])


async def test_openapi_is_served_with_the_live_routes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json", headers={"authorization": ""})
    assert answer.json()["openapi"] == "3.1.0"
    assert "/garden/{bed_id}/plants" in answer.json()["paths"]
    assert {"/health", "/ready"} <= answer.json()["paths"].keys()


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/", "/redoc/"])
async def test_viewers_load_nothing_from_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"authorization": ""})
    assert answer.status_code == 200
    assert not re.findall(r"https?://|//[a-z]", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for reference in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        asset = await client.get(reference)
        assert asset.status_code == 200, reference
        assert asset.content


async def test_missing_viewer_says_how_to_install_it(
    gateway: Gateway, shared_garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs, "_assets", lambda: None)
    async with gateway(shared_garden.address) as client:
        answer = await client.get("/docs")
        assert answer.status_code == 200
        assert "pip install --no-deps --require-hashes -r requirements-assets.lock" in answer.text


async def test_home_leads_to_the_documentation(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_health_is_always_200(client: httpx.AsyncClient, gateway: Gateway) -> None:
    answer = await client.get("/health/", headers={"authorization": ""})
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.json()["version"]
    async with gateway(f"127.0.0.1:{free_port()}") as alone:
        assert (await alone.get("/health")).status_code == 200


async def test_ready_tells_each_backend(client: httpx.AsyncClient, gateway: Gateway, garden: Garden) -> None:
    answer = await client.get("/ready", headers={"authorization": ""})
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": {garden.address: "ready"}})
    nobody = f"127.0.0.1:{free_port()}"
    async with gateway(garden.address, nobody) as half:
        answer = await half.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["checks"] == {garden.address: "ready", nobody: "unreachable"}
    async with gateway(nobody) as none:
        answer = await none.get("/ready")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    await garden.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    answer = await client.get("/ready")
    await garden.health.set("", health_pb2.HealthCheckResponse.SERVING)
    assert (answer.status_code, answer.json()["checks"]) == (503, {garden.address: "not_serving"})
