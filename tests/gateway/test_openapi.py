"""The OpenAPI document: of a contract that nobody has heard of, and of ours."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from google.protobuf import descriptor_pb2
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.contract import bindings_of
from gateway.openapi import document
from gateway.site import shipped_descriptors
from services.runtime.pages import DEFAULT_PAGE_SIZE
from services.runtime.validation import SINGLE_LINE
from tests.gateway.garden import Garden, pool_for

# What clients call operations by. It only grows: who renames one breaks them.
OPERATIONS = {
    "AgentService_CreateAgent": "POST /my/projects/{project_id}/agents",
    "AgentService_DeleteAgent": "DELETE /my/projects/{project_id}/agents/{agent_id}",
    "AgentService_GetAgent": "GET /my/projects/{project_id}/agents/{agent_id}",
    "AgentService_ListAgents": "GET /my/projects/{project_id}/agents",
    "AgentService_UpdateAgent": "PATCH /my/projects/{project_id}/agents/{agent_id}",
    "AgentService_UpdateAgent_put": "PUT /my/projects/{project_id}/agents/{agent_id}",
    "ApprovalService_Approve": "POST /my/projects/{project_id}/approvals/{approval_id}:approve",
    "ApprovalService_GetApproval": "GET /my/projects/{project_id}/approvals/{approval_id}",
    "ApprovalService_ListApprovals": "GET /my/projects/{project_id}/approvals",
    "ApprovalService_Reject": "POST /my/projects/{project_id}/approvals/{approval_id}:reject",
    "EventService_CreateTicket": "POST /my/projects/{project_id}/chat/{session_id}/events:ticket",
    "EventService_Subscribe": "GET /my/projects/{project_id}/chat/{session_id}/events",
    "MemoryService_AddMemory": "POST /my/projects/{project_id}/agents/{agent_id}/memory",
    "MemoryService_DeleteMemories": "DELETE /my/projects/{project_id}/agents/{agent_id}/memory",
    "MemoryService_DeleteMemory": "DELETE /my/projects/{project_id}/agents/{agent_id}/memory/{memory_id}",
    "MemoryService_GetMemory": "GET /my/projects/{project_id}/agents/{agent_id}/memory/{memory_id}",
    "MemoryService_ListMemories": "GET /my/projects/{project_id}/agents/{agent_id}/memory",
    "MemoryService_UpdateMemory": "PATCH /my/projects/{project_id}/agents/{agent_id}/memory/{memory_id}",
    "ProjectService_CreateProject": "POST /my/projects",
    "ProjectService_DeleteProject": "DELETE /my/projects/{project_id}",
    "ProjectService_GetCurrentUser": "GET /my",
    "ProjectService_GetProject": "GET /my/projects/{project_id}",
    "ProjectService_ListProjects": "GET /my/projects",
    "ProjectService_UpdateProject": "PATCH /my/projects/{project_id}",
    "ProjectService_UpdateProject_put": "PUT /my/projects/{project_id}",
    "RunService_CancelRun": "POST /my/projects/{project_id}/runs/{run_id}:cancel",
    "RunService_CreateRun": "POST /my/projects/{project_id}/runs",
    "RunService_GetRun": "GET /my/projects/{project_id}/runs/{run_id}",
    "RunService_ListRunEvents": "GET /my/projects/{project_id}/runs/{run_id}:events",
    "RunService_ListRuns": "GET /my/projects/{project_id}/runs",
    "RunService_RetryRun": "POST /my/projects/{project_id}/runs/{run_id}:retry",
    "RunService_SendMessage": "POST /my/projects/{project_id}/chat/{session_id}/message",
    "RunService_StreamMessage": "POST /my/projects/{project_id}/chat/{session_id}/message:stream",
    "SessionService_CreateSession": "POST /my/projects/{project_id}/chat/sessions",
    "SessionService_DeleteSession": "DELETE /my/projects/{project_id}/chat/sessions/{session_id}",
    "SessionService_GetSession": "GET /my/projects/{project_id}/chat/sessions/{session_id}",
    "SessionService_ListMessages": "GET /my/projects/{project_id}/chat/sessions/{session_id}/messages",
    "SessionService_ListSessions": "GET /my/projects/{project_id}/chat/sessions",
    "SessionService_UpdateSession": "PATCH /my/projects/{project_id}/chat/sessions/{session_id}",
    "ToolService_GetToolPolicy": "GET /my/projects/{project_id}/tool-policy",
    "ToolService_ListTools": "GET /my/projects/{project_id}/tools",
    "ToolService_UpdateToolPolicy": "PUT /my/projects/{project_id}/tool-policy",
    "health": "GET /health",
    "home": "GET /",
    "ready": "GET /ready",
}
Document = dict[str, Any]


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
        "schema": {"type": "string", "minLength": 1},
        "description": "Bed.",
    }
    for document_ in (garden_document, contract_document):
        for path in document_["paths"].values():
            for operation in path.values():
                assert operation["summary"]
                assert "`" not in operation["summary"], "viewers show it as it stands"
                assert operation.get("description") != f"{operation['summary']}.", "said twice"
                assert all(parameter["description"] for parameter in operation.get("parameters", ()))


def test_operations_of_one_rpc_are_told_apart_by_their_summaries(
    contract_document: dict[str, Any], garden_document: dict[str, Any]
) -> None:
    plant = garden_document["paths"]["/garden/{bed_id}/plants/{plant_id}"]
    assert plant["put"]["summary"] == f"{plant['patch']['summary']} as a whole"
    summaries = [each["summary"] for path in contract_document["paths"].values() for each in path.values()]
    assert len(set(summaries)) == len(summaries)


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
        "pattern": f"^{SINGLE_LINE}$",
        "description": "What it is called.",
    }
    assert plant["properties"]["labels"]["maxItems"] == 3
    assert plant["properties"]["note"]["type"] == ["string", "null"]
    assert plant["properties"]["light"]["$ref"].endswith("/LightNeed")
    assert schemas["LightNeed"]["enum"] == ["full_sun", "shade"]
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
    assert names["light"]["items"]["$ref"].endswith("/LightNeed")
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
    always = {"400", "401", "404", "406", "408", "414", "431", "500", "503", "504"}
    assert gone.keys() == {"204"} | always
    created = paths["/garden/{bed_id}/plants"]["post"]["responses"]
    assert created.keys() == {"201", "409", "413", "415", "422"} | always
    assert garden_document["components"]["securitySchemes"]["bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's token, such as `codelab token` prints.",
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
    schema = {"$ref": "#/components/schemas/ListPlantsResponse", "components": garden_document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(full)) == []
    # A message field that is not optional is promised, save inside of itself, where it must end.
    assert full["plants"][0]["care"]["summer"] is None
    full["plants"][0]["care"] = None
    assert [list(error.absolute_path) for error in validator.iter_errors(full)] == [["plants", 0, "care"]]
    problem = (await client.get("/nothing")).json()
    jsonschema.validate(problem, garden_document["components"]["schemas"]["Problem"])


def operations(described: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def resolved(described: Document, value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        section, name = value["$ref"].split("/")[-2:]
        value = described["components"][section][name]
    return value


def contents(described: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where it is, its media type, and what is said of it: every body that may travel."""
    for where, operation in operations(described):
        bodies = {"request": operation["requestBody"]} if "requestBody" in operation else {}
        bodies |= {status: resolved(described, each) for status, each in operation["responses"].items()}
        for what, body in bodies.items():
            for media_type, content in body.get("content", {}).items():
                yield f"{where} {what}", media_type, content


def test_operation_ids_of_the_contract_only_grow(contract_document: Document) -> None:
    assert {operation["operationId"]: where for where, operation in operations(contract_document)} == OPERATIONS


def test_every_tag_has_a_description_and_every_operation_a_tag(contract_document: Document) -> None:
    described = {tag["name"]: tag["description"] for tag in contract_document["tags"]}
    assert all(described.values())
    assert {tag for _, operation in operations(contract_document) for tag in operation["tags"]} == set(described)


@pytest.mark.parametrize("which", ["contract_document", "garden_document"])
def test_examples_are_what_their_schemas_say(which: str, request: pytest.FixtureRequest) -> None:
    described: Document = request.getfixturevalue(which)
    wrong = []
    for where, media_type, content in contents(described):
        schema = {**content["schema"], "components": described["components"]}
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for name, example in content.get("examples", {}).items():
            value = resolved(described, example)["value"]
            wrong += [f"{where} {media_type} {name}: {error.message}" for error in validator.iter_errors(value)]
    for where, operation in operations(described):
        for each in operation.get("parameters", ()):
            if "example" in each and not jsonschema.Draft202012Validator(each["schema"]).is_valid(each["example"]):
                wrong.append(f"{where} {each['name']}")
    assert wrong == []


def test_every_body_of_the_contract_has_an_example(contract_document: Document) -> None:
    without = [where for where, _, content in contents(contract_document) if not content.get("examples")]
    assert without == []


def test_every_id_in_a_path_is_a_uuid_and_has_an_example(contract_document: Document) -> None:
    for where, operation in operations(contract_document):
        for each in operation.get("parameters", ()):
            if each["in"] == "path":
                assert each["schema"]["format"] == "uuid", where
                assert each["example"], where


def test_failures_are_those_of_the_operation(contract_document: Document) -> None:
    reasons = {
        operation["operationId"]: {
            status: set(resolved(contract_document, response)["content"]["application/problem+json"]["examples"])
            for status, response in operation["responses"].items()
            if status >= "400" and status != "503" and "$ref" in response
        }
        for _, operation in operations(contract_document)
    }
    whoami, send = reasons["ProjectService_GetCurrentUser"], reasons["RunService_SendMessage"]
    assert whoami.keys() == {"400", "401", "406", "408", "414", "431", "500", "504"}
    assert send["404"] == {"PROJECT_NOT_FOUND", "SESSION_NOT_FOUND", "AGENT_NOT_FOUND", "RUN_NOT_FOUND"}
    assert send["409"] == {"REQUEST_ID_REUSED", "SESSION_BUSY", "RUN_CANCELLED", "RUN_NEEDS_APPROVAL", "NO_AGENTS"}
    assert send["504"] == {"DEADLINE_EXCEEDED", "MODEL_TIMEOUT", "RUN_NOT_FINISHED"}
    assert reasons["ProjectService_DeleteProject"]["404"] == {"PROJECT_NOT_FOUND"}
    assert "INVALID_PAGE_TOKEN" in reasons["RunService_ListRuns"]["400"]
    assert "INVALID_PAGE_TOKEN" not in reasons["RunService_GetRun"]["400"]


def test_events_are_told_apart_by_type(contract_document: Document) -> None:
    event = contract_document["components"]["schemas"]["Event"]
    assert event["discriminator"]["propertyName"] == "type"
    names = {reference.rpartition("/")[2] for reference in event["discriminator"]["mapping"].values()}
    assert {each["$ref"].rpartition("/")[2] for each in event["oneOf"]} == names
    examples = contract_document["components"]["examples"]
    for kind, name in event["discriminator"]["mapping"].items():
        assert examples[name.rpartition("/")[2]]["value"]["type"] == kind
    assert examples["Event_run_failed"]["value"]["final"] is True
    assert examples["Event_message_delta"]["value"]["id"] is None
    assert examples["EventStream"]["value"].startswith("id: 7c9e6679-14\nevent: message_received\ndata: {")


def test_what_the_server_writes_is_read_only_and_typed(contract_document: Document) -> None:
    project = contract_document["components"]["schemas"]["Project"]["properties"]
    assert project["id"] == {
        "type": "string",
        "format": "uuid",
        "readOnly": True,
        "description": "UUID of the project.",
    }
    assert project["created_at"]["format"] == "date-time"
    assert "readOnly" not in project["name"]


def test_query_parameters_say_what_counts_without_them(contract_document: Document) -> None:
    listing = contract_document["paths"]["/my/projects"]["get"]["parameters"]
    assert {each["name"]: each["schema"].get("default") for each in listing} == {
        "page_size": DEFAULT_PAGE_SIZE,
        "page_token": None,
    }


def test_filters_take_what_they_take(contract_document: Document) -> None:
    events = contract_document["paths"]["/my/projects/{project_id}/chat/{session_id}/events"]["get"]
    schemas = {each["name"]: each["schema"] for each in events["parameters"]}
    components = contract_document["components"]["schemas"]
    # A name of its own: generated clients call the type by it.
    assert schemas["type"]["items"] == {"$ref": "#/components/schemas/EventType"}
    assert components["EventType"]["enum"] == list(components["Event"]["discriminator"]["mapping"])
    # What is no id finds nothing, and is not refused.
    assert "format" not in schemas["run_id"]
    assert schemas["session_id"]["format"] == "uuid"


def test_patterns_mean_in_json_schema_what_they_mean_to_the_services(contract_document: Document) -> None:
    name = contract_document["components"]["schemas"]["ProjectInput"]["properties"]["name"]
    validator = jsonschema.Draft202012Validator(name)
    # A rule is for the whole text, and a pattern of JSON Schema for any part of it.
    assert all(validator.is_valid(text) for text in ("Search engine", "é", "𝄞"))
    assert not any(validator.is_valid(text) for text in ("   ", " a", "two\nlines", "\x1b[1mSearch"))
