"""Qdrant's own OpenAPI description, as a judge: what it does not describe is neither asked nor answered.

It is stricter than a server in one thing: a key that an object does not have in the description is wrong. A server
passes over it, and whoever misspelt it would never know.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parents[2]
_DOCUMENT = "urn:qdrant"
_FORMATS = FormatChecker(["uuid", "date-time"])
_INTEGERS = {"int64": (-(2**63), 2**63), "uint": (0, 2**64), "uint32": (0, 2**32), "uint64": (0, 2**64)}


def _fits(low: int, high: int) -> Any:
    return lambda value: not isinstance(value, int) or low <= value < high


for _name, (_low, _high) in _INTEGERS.items():
    _FORMATS.checks(_name)(_fits(_low, _high))


def path() -> Path:
    """Where the description is: QDRANT_OPENAPI, or beside the checkout. It may not be there."""
    return Path(os.environ.get("QDRANT_OPENAPI") or ROOT.parent / "shared" / "qdrant" / "openapi-1.19.json")


@dataclass(frozen=True)
class Operation:
    """A method on a path. What is wrong is returned as one sentence, None if nothing is."""

    name: str
    path_values: Mapping[str, str]
    _pointer: str
    _described: Mapping[str, Any]
    _registry: Registry[Any]

    def wrong_request(self, query: Mapping[str, str], content_type: str, body: bytes) -> str | None:
        """What the description has against the request."""
        return self._wrong_query(query) or self._wrong_body(content_type, body)

    def wrong_answer(self, status: int, body: Any) -> str | None:
        """What the description has against the answer."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self._described["responses"]:
                return self._against(f"/responses/{key}/content/application~1json/schema", body)
        return f"status {status} is not described"

    def _wrong_query(self, query: Mapping[str, str]) -> str | None:
        described = {
            each["name"]: number
            for number, each in enumerate(self._described.get("parameters", []))
            if each["in"] == "query"
        }
        for name, value in query.items():
            if name not in described:
                return f"there is no query parameter {name}"
            if wrong := self._against(f"/parameters/{described[name]}/schema", _typed(value)):
                return f"query parameter {name}: {wrong}"
        return None

    def _wrong_body(self, content_type: str, body: bytes) -> str | None:
        if "requestBody" not in self._described:
            return "there is no body to send" if body else None
        if content_type.partition(";")[0] != "application/json":
            return "the body is not declared to be JSON"
        try:
            value = json.loads(body, parse_constant=_refuse_constant)
        except ValueError:
            return "the body is no JSON"
        return self._against("/requestBody/content/application~1json/schema", value)

    def _against(self, pointer: str, value: Any) -> str | None:
        schema = {"$ref": f"{_DOCUMENT}#{self._pointer}{pointer}"}
        validator = Draft202012Validator(schema, registry=self._registry, format_checker=_FORMATS)
        error = best_match(validator.iter_errors(value))
        return None if error is None else f"{error.json_path}: {error.message[:500]}"


class Description:
    """The operations of a description."""

    def __init__(self, file: Path) -> None:
        document = json.loads(file.read_text(encoding="utf-8"))
        document["components"]["schemas"] = _strict(document["components"]["schemas"])
        document["paths"] = _strict(document["paths"])
        self._paths = {template: _pattern(template) for template in document["paths"]}
        self._document = document
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self._registry = Registry().with_resource(_DOCUMENT, resource)

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation that a request means; None if the description has none."""
        for template, pattern in self._paths.items():
            if (found := pattern.fullmatch(path)) and method.lower() in self._document["paths"][template]:
                pointer = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{method.lower()}"
                described = self._document["paths"][template][method.lower()]
                # A fragment is part of a URI: braces of the template are escaped there.
                pointer = pointer.replace("{", "%7B").replace("}", "%7D")
                return Operation(described["operationId"], found.groupdict(), pointer, described, self._registry)
        return None


@cache
def described() -> Description:
    """Qdrant's description; a test that needs it is skipped where it is not at hand."""
    if not path().exists():
        pytest.skip("Qdrant's OpenAPI description is not beside the checkout: say where it is by QDRANT_OPENAPI")
    return Description(path())


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


def _strict(node: Any) -> Any:
    """The schemas as JSON Schema: OpenAPI 3.0 says in its own way that a value may be null."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _strict(value) for key, value in node.items() if key not in ("example", "examples", "nullable")}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    if node.get("nullable") is not True:
        return schema
    if set(schema) <= {"description", "default"}:
        # Alone it stands for the null of an `anyOf`; read by the letter it would permit anything.
        return {"type": "null"}
    return {"anyOf": [schema, {"type": "null"}]}


def _typed(value: str) -> Any:
    return json.loads(value) if re.fullmatch(r"true|false|-?\d+", value) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
