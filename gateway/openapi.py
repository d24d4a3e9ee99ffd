"""The OpenAPI 3.1 document of a set of bindings."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2

from gateway.comments import Comments
from gateway.contract import Binding, field_at, field_with, is_required
from gateway.negotiation import MAX_BODY_BYTES
from gateway.problems import MEDIA_TYPE as PROBLEM
from gateway.schemas import INPUT, OUTPUT, PATCH, Schema, Schemas
from gateway.streaming import NDJSON, SSE
from gateway.templates import ANY, REST, Template
from gateway.transcode import hidden_fields, query_parameters

_INTRODUCTION = (
    "A personal multi-agent AI platform. Everything under `/my` needs a bearer token. JSON is snake_case; every field"
    " is always present in answers; times are RFC 3339 in UTC with milliseconds. Unknown fields are refused, fields"
    " that only the server sets are ignored. A trailing slash is optional everywhere. Errors are RFC 9457"
    " `application/problem+json`."
)
_STREAM = (
    " Answered as Server-Sent Events, or as NDJSON (one JSON object a line) if the Accept header asks for it. An error"
    ' after the answer began is the last frame: the SSE event `problem`, or the NDJSON line `{"problem": {…}}`.'
)
_LAST_EVENT_ID = "The id of the last event that was seen; it wins over the query. EventSource sends it by itself."
_ERRORS = {
    "400": "The request has the wrong form: its JSON, encoding, a field's name or type, or a page token.",
    "401": "The token is missing, malformed, expired or wrongly signed.",
    "403": "The caller may not do this.",
    "404": "It does not exist, or belongs to somebody else.",
    "406": "The Accept header takes nothing that this route answers with.",
    "408": "The body arrived too slowly.",
    "409": "It exists already, is busy, or is in a state that does not permit this.",
    "413": f"The body is larger than {MAX_BODY_BYTES} bytes.",
    "415": "The body is not JSON.",
    "422": "A value fails validation; `errors` names each.",
    "429": "A limit is reached; the Retry-After header says when to try again.",
    "499": "The call was cancelled.",
    "500": "Something went wrong.",
    "501": "This version cannot do it.",
    "503": "Something that is needed is out of reach; try again.",
    "504": "It took too long.",
}
_ONLY_WITH_BODY = ("408", "413", "415")
_BEARER = "bearer"
_TICKET = "ticket"


def document(
    bindings: Sequence[Binding], descriptors: descriptor_pb2.FileDescriptorSet, version: str
) -> dict[str, Any]:
    """Describe the bindings, with the comments that `descriptors` carry."""
    comments = Comments(descriptors)
    schemas = Schemas(comments)
    schemas.components["Problem"] = _problem_schema()
    paths: dict[str, dict[str, Any]] = _own_paths()
    identifiers: set[str] = set()
    security: dict[str, Any] = {_BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    tags: dict[str, dict[str, str]] = {}
    for binding in bindings:
        service = binding.rpc.method.containing_service
        tags.setdefault(service.full_name, {"name": _tag(service.name), "description": comments.of(service.full_name)})
        operation = _operation(binding, comments, schemas, security)
        operation["operationId"] = _identifier(binding, identifiers)
        paths.setdefault(_path(binding.template), {})[binding.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "CodeLab Core", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{_BEARER: []}],
        "tags": [*tags.values(), {"name": "Gateway", "description": "The gateway itself."}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {f"Problem{status}": _problem_response(text) for status, text in _ERRORS.items()},
            "securitySchemes": security,
        },
    }


def _operation(binding: Binding, comments: Comments, schemas: Schemas, security: dict[str, Any]) -> dict[str, Any]:
    method = binding.rpc.method
    text = comments.of(method.full_name)
    summary = comments.summary_of(method.full_name) or method.name
    parameters = _path_parameters(binding, comments) + _header_parameters(binding, schemas, comments)
    operation: dict[str, Any] = {
        "tags": [_tag(method.containing_service.name)],
        # Viewers show a summary as it stands, and the description as Markdown below it.
        "summary": summary.replace("`", ""),
    }
    if text != f"{summary}.":
        operation["description"] = text
    for parameter in query_parameters(binding):
        parameters.append(
            {
                "name": parameter.name,
                "in": "query",
                "required": is_required(parameter.field),
                "schema": schemas.parameter(parameter.field),
                "description": comments.of(parameter.field.full_name),
            }
        )
        if parameter.secret:
            security[_TICKET] = {"type": "apiKey", "in": "query", "name": parameter.name}
            operation["security"] = [{_BEARER: []}, {_TICKET: []}]
    if parameters:
        operation["parameters"] = parameters
    body = _request_body(binding, schemas)
    if body is not None:
        operation["requestBody"] = body
    operation["responses"] = _responses(binding, schemas, comments)
    return operation


def _path(template: Template) -> str:
    """The template as OpenAPI writes it: every segment that is not literal has a name."""
    return "/" + "/".join(_path_segments(template)) + (f":{template.verb}" if template.verb else "")


def _path_segments(template: Template) -> list[str]:
    named: dict[int, str] = {}
    covered: set[int] = set()
    for variable in template.variables:
        end = variable.end if variable.end is not None else len(template.segments)
        named[variable.start] = f"{{{variable.field_path}}}"
        covered.update(range(variable.start, end))
    return [
        named.get(index) or (f"{{segment{index}}}" if segment in (ANY, REST) else segment)
        for index, segment in enumerate(template.segments)
        if index in named or index not in covered
    ]


def _path_parameters(binding: Binding, comments: Comments) -> list[dict[str, Any]]:
    parameters = []
    for segment in _path_segments(binding.template):
        if not segment.startswith("{"):
            continue
        name = segment[1:-1]
        field = field_at(binding.rpc.method.input_type, name)
        text = comments.of(field.full_name) if field is not None else ""
        parameters.append(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": text}
        )
    return parameters


def _header_parameters(binding: Binding, schemas: Schemas, comments: Comments) -> list[dict[str, Any]]:
    request = binding.rpc.method.input_type
    parameters = []
    for name, role in (("Idempotency-Key", "idempotency_key"), ("Last-Event-ID", "cursor")):
        field = field_with(request, role)
        if field is not None:
            text = _LAST_EVENT_ID if role == "cursor" else comments.of(field.full_name)
            schema = schemas.parameter(field)
            parameters.append({"name": name, "in": "header", "required": False, "schema": schema, "description": text})
    return parameters


def _request_body(binding: Binding, schemas: Schemas) -> dict[str, Any] | None:
    if not binding.body:
        return None
    kind = PATCH if binding.method == "PATCH" else INPUT
    field = binding.request_body
    if field is None:
        schema = schemas.message(binding.rpc.method.input_type, kind, hidden_fields(binding))
    else:
        schema = schemas.field(field, kind)
        schema.pop("description", None)
    name = schema.get("$ref", "").rpartition("/")[2]
    required = bool(schemas.components.get(name, {}).get("required"))
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _responses(binding: Binding, schemas: Schemas, comments: Comments) -> dict[str, Any]:
    rpc = binding.rpc
    text = comments.of(rpc.method.output_type.full_name) or "Done."
    success: dict[str, Any] = {"description": text}
    if rpc.success_status != 204:
        schema = schemas.message(binding.shown, OUTPUT)
        if rpc.streaming:
            success["description"] = f"{text}{_STREAM}"
            success["content"] = {SSE: {"schema": {"type": "string"}}, NDJSON: {"schema": schema}}
        else:
            success["content"] = {"application/json": {"schema": schema}}
    success["headers"] = {"X-Trace-Id": {"description": "Names the request in logs.", "schema": {"type": "string"}}}
    errors = {
        status: {"$ref": f"#/components/responses/Problem{status}"}
        for status in _ERRORS
        if binding.body or status not in _ONLY_WITH_BODY
    }
    return {str(rpc.success_status): success, **errors}


def _problem_response(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _problem_schema() -> Schema:
    text = {"type": "string"}
    fault = {"type": "object", "properties": {"field": text, "detail": text}, "required": ["field", "detail"]}
    properties: dict[str, Schema] = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": text,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "The gRPC code."},
        "reason": {"type": "string", "description": "A stable name for programs."},
        "errors": {"type": "array", "items": fault, "description": "What is wrong with which field."},
        "trace_id": {"type": "string", "description": "Names the request in logs."},
        "metadata": {"type": "object", "additionalProperties": text},
    }
    return {
        "type": "object",
        "description": "An error, as RFC 9457 has it.",
        "properties": properties,
        "required": list(properties),
    }


def _own_paths() -> dict[str, dict[str, Any]]:
    def page(name: str, summary: str, schema: Schema, statuses: dict[str, str]) -> dict[str, Any]:
        content = {"application/json": {"schema": schema}}
        return {
            "get": {
                "tags": ["Gateway"],
                "summary": summary,
                "operationId": name,
                "security": [],
                "responses": {status: {"description": text, "content": content} for status, text in statuses.items()},
            }
        }

    def described(**properties: Schema) -> Schema:
        return {"type": "object", "properties": properties, "required": list(properties)}

    text: Schema = {"type": "string"}
    health = described(status={"type": "string", "const": "ok"}, version=text)
    ready = described(
        status={"type": "string", "enum": ["ready", "degraded", "unavailable"]},
        checks={"type": "object", "additionalProperties": text},
    )
    return {
        "/health": page("health", "Say that the gateway lives", health, {"200": "It lives."}),
        "/ready": page(
            "ready",
            "Say whether the services behind the gateway can serve",
            ready,
            {"200": "All or some of them can.", "503": "None of them can."},
        ),
    }


def _identifier(binding: Binding, taken: set[str]) -> str:
    """`Service_Method`; an additional binding has its HTTP method as suffix, and a number if that is not enough."""
    method = binding.rpc.method
    name = f"{method.containing_service.name}_{method.name}"
    if not binding.primary:
        name = f"{name}_{binding.method.lower()}"
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def _tag(service: str) -> str:
    return service.removesuffix("Service") or service
