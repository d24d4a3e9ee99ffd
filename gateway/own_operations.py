"""What the gateway itself puts in the OpenAPI document: its operations, its errors, its headers."""

from typing import Any

from gateway.schemas import Schema

TAG = {"name": "Gateway", "description": "The gateway itself. These operations need no token."}

_TEXT: Schema = {"type": "string"}


def _object(description: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
    }


SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        "An error, as RFC 9457 has it.",
        type={"type": "string", "format": "uri-reference"},
        title=_TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail={"type": "string", "description": "A sentence for people."},
        code={"type": "string", "description": "The gRPC code."},
        reason={"type": "string", "description": "A stable name for programs."},
        errors={
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldProblem"},
            "description": "What is wrong with which field.",
        },
        trace_id={"type": "string", "description": "Names the request in logs."},
        metadata={"type": "object", "additionalProperties": _TEXT, "description": "More for programs, such as ids."},
    ),
    "FieldProblem": _object("What is wrong with one field.", field=_TEXT, detail=_TEXT),
    "StreamProblem": _object(
        "The last line of a stream that an error ends.", problem={"$ref": "#/components/schemas/Problem"}
    ),
    "Home": _object(
        "What is here, and where to read about it. Paths are relative to this one.",
        name=_TEXT,
        version=_TEXT,
        docs={"type": "string", "format": "uri-reference", "description": "Where people read what can be asked."},
        reference={"type": "string", "format": "uri-reference", "description": "The same on one long page."},
        openapi={"type": "string", "format": "uri-reference", "description": "Where programs read it."},
        health={"type": "string", "format": "uri-reference", "description": "Whether the gateway lives."},
        ready={"type": "string", "format": "uri-reference", "description": "Whether the services can serve."},
    ),
    "Health": _object("The gateway lives.", status={"type": "string", "const": "ok"}, version=_TEXT),
    "Readiness": _object(
        "Whether what lies behind the gateway can serve.",
        status={"type": "string", "enum": ["ready", "degraded", "unavailable"]},
        checks={
            "type": "object",
            "additionalProperties": _TEXT,
            "description": "The state of each backend by address.",
        },
    ),
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "Home": {
        "value": {
            "name": "CodeLab Core",
            "version": "1.0.0",
            "docs": "/docs",
            "reference": "/redoc",
            "openapi": "/openapi.json",
            "health": "/health",
            "ready": "/ready",
        }
    },
    "Health": {"value": {"status": "ok", "version": "1.0.0"}},
    "Ready": {"value": {"status": "ready", "checks": {"projects:50051": "ready"}}},
    "Unavailable": {"value": {"status": "unavailable", "checks": {"projects:50051": "unreachable"}}},
}
HEADERS: dict[str, dict[str, Any]] = {
    "Location": {
        "description": "Where to look instead.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "X-Trace-Id": {
        "description": "Names the request in logs.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again, if that is known.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to prove who one is, and what is wrong with the token, as RFC 6750 has it.",
        "schema": {"type": "string", "pattern": "^Bearer "},
    },
}


def _response(description: str, schema: str, example: str) -> dict[str, Any]:
    content = {
        "schema": {"$ref": f"#/components/schemas/{schema}"},
        "examples": {example: {"$ref": f"#/components/examples/{example}"}},
    }
    return {
        "description": description,
        "headers": {"X-Trace-Id": {"$ref": "#/components/headers/X-Trace-Id"}},
        "content": {"application/json": content},
    }


def _page(name: str, summary: str, **responses: dict[str, Any]) -> dict[str, Any]:
    by_status = {status.removeprefix("status_"): response for status, response in responses.items()}
    return {
        "get": {
            "operationId": name,
            "tags": [TAG["name"]],
            "summary": summary,
            "security": [],
            "responses": by_status,
        }
    }


_TO_THE_DOCUMENTATION = {
    "description": "Read it in the documentation: the answer where HTML is preferred, as browsers do.",
    "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in ("Location", "X-Trace-Id")},
}

PATHS: dict[str, dict[str, Any]] = {
    "/": _page(
        "home",
        "Say what is here, and where it is described",
        status_200=_response("What is here.", "Home", "Home"),
        status_307=_TO_THE_DOCUMENTATION,
    ),
    "/health": _page("health", "Say that the gateway lives", status_200=_response("It lives.", "Health", "Health")),
    "/ready": _page(
        "ready",
        "Say whether the services behind the gateway can serve",
        status_200=_response("All or some of them can.", "Readiness", "Ready"),
        status_503=_response("None of them can.", "Readiness", "Unavailable"),
    ),
}
