"""The OpenAPI 3.1 document of a set of bindings."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from gateway import own_operations as own
from gateway.comments import Comments
from gateway.contract import Binding, field_at, field_with, is_required
from gateway.examples import Answers, NoExample, parameter_example, request_example
from gateway.refusals import ProblemResponses
from gateway.schemas import INPUT, OUTPUT, PATCH, Schema, Schemas
from gateway.streaming import NDJSON, SSE
from gateway.templates import ANY, REST, Template
from gateway.transcode import hidden_fields, mask_field, query_parameters

_INTRODUCTION = (
    "A personal multi-agent AI platform. Everything under `/my` needs a bearer token. JSON is snake_case; every field"
    " is always present in answers; times are RFC 3339 in UTC with milliseconds. Unknown fields are refused, fields"
    " that only the server sets are ignored. Text must not contain U+0000."
    " A trailing slash is optional everywhere. Errors are RFC 9457"
    " `application/problem+json`.\n\nBefore it is known which operation a request is for, it may be refused with 404"
    " `ROUTE_NOT_FOUND`, 405 `METHOD_NOT_ALLOWED` (with the header Allow), 400 `MALFORMED_REQUEST`, 408"
    " `HEAD_TOO_SLOW`, 414 `TARGET_TOO_LONG` or 431 `HEAD_TOO_LARGE`."
)
_STREAM = (
    " Answered as Server-Sent Events (`event` is the type, `data` the object), or as NDJSON (an object a line) if the"
    " Accept header asks for it. An error after the answer began is the last frame: the SSE event `problem`, or the"
    ' NDJSON line `{"problem": {…}}`.'
)
_LAST_EVENT_ID = "The id of the last event that was seen; it wins over the query. EventSource sends it by itself."
_BEARER = "bearer"
_TICKET = "ticket"
# Of a stream of events, as an example.
_BLOCKS = 3
_TEXT: Schema = {"type": "string"}


def document(
    bindings: Sequence[Binding], descriptors: descriptor_pb2.FileDescriptorSet, version: str
) -> dict[str, Any]:
    """Describe the bindings, with the comments that `descriptors` carry."""
    describe = _Describer(Comments(descriptors))
    for name, schema in own.SCHEMAS.items():
        describe.schemas.add(name, schema)
    paths: dict[str, dict[str, Any]] = dict(own.PATHS)
    identifiers: set[str] = set()
    tags: dict[str, dict[str, str]] = {}
    for binding in bindings:
        service = binding.rpc.method.containing_service
        text = describe.comments.of(service.full_name)
        tags.setdefault(service.full_name, {"name": _tag(service.name), "description": text})
        operation = {"operationId": _identifier(binding, identifiers), **describe.operation(binding)}
        paths.setdefault(_path(binding.template), {})[binding.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "CodeLab Core", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{_BEARER: []}],
        "tags": [*tags.values(), own.TAG],
        "paths": paths,
        "components": {
            "schemas": describe.schemas.components,
            "responses": describe.problems.responses,
            "examples": {**own.EXAMPLES, **describe.examples, **describe.problems.examples},
            "headers": own.HEADERS,
            "securitySchemes": describe.security,
        },
    }


class _Describer:
    """Describes operations one by one, and collects the components that they share."""

    def __init__(self, comments: Comments) -> None:
        self.comments = comments
        self.schemas = Schemas(comments)
        self.problems = ProblemResponses()
        self.examples: dict[str, dict[str, Any]] = {}
        self._answers = Answers()
        self.security: dict[str, Any] = {
            _BEARER: {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A user's token, such as `codelab token` prints.",
            }
        }

    def operation(self, binding: Binding) -> dict[str, Any]:
        method = binding.rpc.method
        text = self.comments.of(method.full_name)
        sentence = self.comments.summary_of(method.full_name) or method.name
        # PUT and PATCH share the RPC, and its comment.
        summary = f"{sentence} as a whole" if binding.method == "PUT" and mask_field(binding) else sentence
        operation: dict[str, Any] = {
            "tags": [_tag(method.containing_service.name)],
            # Viewers show a summary as it stands, and the description as Markdown below it.
            "summary": summary.replace("`", ""),
        }
        if text != f"{sentence}.":
            operation["description"] = text
        secret = next((each.name for each in query_parameters(binding) if each.secret), None)
        if secret is not None:
            self.security[_TICKET] = {
                "type": "apiKey",
                "in": "query",
                "name": secret,
                "description": "A signed ticket, for who cannot send headers.",
            }
            operation["security"] = [{_BEARER: []}, {_TICKET: []}]
        parameters = [*self._path_parameters(binding), *self._query(binding), *self._headers(binding)]
        if parameters:
            operation["parameters"] = parameters
        if binding.body:
            operation["requestBody"] = self._request_body(binding)
        operation["responses"] = {
            str(binding.rpc.success_status): self._success(binding),
            **self.problems.of(binding),
        }
        return operation

    def _path_parameters(self, binding: Binding) -> Iterator[dict[str, Any]]:
        for segment in _path_segments(binding.template):
            if segment.startswith("{"):
                name = segment[1:-1]
                field = field_at(binding.rpc.method.input_type, name)
                parameter = {"name": name, "in": "path", "required": True}
                yield (
                    {**parameter, "schema": _TEXT, "description": ""} if field is None else self._with(parameter, field)
                )

    def _query(self, binding: Binding) -> Iterator[dict[str, Any]]:
        for each in query_parameters(binding):
            yield self._with({"name": each.name, "in": "query", "required": is_required(each.field)}, each.field)

    def _headers(self, binding: Binding) -> Iterator[dict[str, Any]]:
        for name, role in (("Idempotency-Key", "idempotency_key"), ("Last-Event-ID", "cursor")):
            field = field_with(binding.rpc.method.input_type, role)
            if field is not None:
                parameter = self._with({"name": name, "in": "header", "required": False}, field)
                yield {**parameter, "description": _LAST_EVENT_ID} if role == "cursor" else parameter

    def _with(self, parameter: dict[str, Any], field: FieldDescriptor) -> dict[str, Any]:
        """The parameter with what its field says of it."""
        described = {**parameter, "schema": self.schemas.parameter(field, in_path=parameter["in"] == "path")}
        described["description"] = self.comments.of(field.full_name)
        # Viewers send what has an example: a filter must be asked for.
        example = parameter_example(field) if parameter["required"] else None
        return described if example is None else {**described, "example": example}

    def _request_body(self, binding: Binding) -> dict[str, Any]:
        kind = PATCH if binding.method == "PATCH" else INPUT
        field, hidden = binding.request_body, hidden_fields(binding)
        if field is None:
            schema = self.schemas.message(binding.rpc.method.input_type, kind, hidden)
        else:
            schema = self.schemas.field(field, kind)
            schema.pop("description", None)
        name = _referred(schema)
        content: dict[str, Any] = {"schema": schema}
        message = binding.rpc.method.input_type if field is None else field.message_type
        if name and message is not None:
            with suppress(NoExample):
                content["examples"] = self._example(
                    name, request_example(message, hidden if field is None else frozenset())
                )
        required = bool(self.schemas.components.get(name, {}).get("required"))
        return {"required": required, "content": {"application/json": content}}

    def _success(self, binding: Binding) -> dict[str, Any]:
        text = self.comments.of(binding.rpc.method.output_type.full_name) or "Done."
        headers = {"X-Trace-Id": {"$ref": "#/components/headers/X-Trace-Id"}}
        if binding.rpc.success_status == 204:
            return {"description": text, "headers": headers}
        schema = self.schemas.message(binding.shown, OUTPUT)
        name = _referred(schema)
        if binding.rpc.streaming:
            return {
                "description": f"{text}{_STREAM}",
                "headers": headers,
                "content": self._stream(binding, schema, name),
            }
        content = {"schema": schema, "examples": self._example(name, self._answers.of(binding.shown))}
        return {"description": text, "headers": headers, "content": {"application/json": content}}

    def _stream(self, binding: Binding, schema: Schema, name: str) -> dict[str, Any]:
        variants = self._answers.variants_of(binding.shown) or {"": self._answers.of(binding.shown)}
        lines: dict[str, Any] = {}
        for variant, value in variants.items():
            lines |= self._example(f"{name}_{variant}" if variant else name, value)
        event_id = field_with(binding.shown, "event_id")
        blocks = [
            "".join(
                [
                    f"id: {value[event_id.name]}\n" if event_id is not None and value[event_id.name] else "",
                    f"event: {variant}\n" if variant else "",
                    f"data: {json.dumps(value, ensure_ascii=False)}\n\n",
                ]
            )
            for variant, value in list(variants.items())[:_BLOCKS]
        ]
        line = {"anyOf": [schema, {"$ref": "#/components/schemas/StreamProblem"}]}
        return {
            SSE: {
                "schema": {"type": "string", "description": f"Blocks whose `data` is a `{name}`."},
                "examples": self._example(f"{name}Stream", "".join(blocks)),
            },
            NDJSON: {"schema": line, "examples": lines},
        }

    def _example(self, name: str, value: Any) -> dict[str, Any]:
        """The examples of a media type: a reference to the one of this name."""
        self.examples.setdefault(name, {"value": value})
        return {name: {"$ref": f"#/components/examples/{name}"}}


def _referred(schema: Schema) -> str:
    """The name of the component that a schema refers to; empty if it is no reference."""
    reference: str = schema.get("$ref", "")
    return reference.rpartition("/")[2]


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
