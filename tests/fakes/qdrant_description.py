"""Qdrant's own OpenAPI description, as a judge: what it does not describe is neither asked nor answered.

It is stricter than a server in one thing: a key that an object does not have in the description is wrong. A server
passes over it, and whoever misspelt it would never know.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, Registry

ROOT = Path(__file__).resolve().parents[2]
_DOCUMENT = "urn:qdrant"
_LARGEST = {"int64": 2**63 - 1, "uint": 2**64 - 1, "uint32": 2**32 - 1, "uint64": 2**64 - 1}


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
    _registry: Registry
    _validators: dict[str, Draft202012Validator]

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
        error = next(self._validator(pointer).iter_errors(value), None)
        return None if error is None else f"{_json_path(error.instance_path)}: {error.message[:500]}"

    def _validator(self, pointer: str) -> Draft202012Validator:
        if pointer not in self._validators:
            schema = {"$ref": f"{_DOCUMENT}#{self._pointer}{pointer}"}
            self._validators[pointer] = Draft202012Validator(schema, registry=self._registry, validate_formats=True)
        return self._validators[pointer]


class Description:
    """The operations of a description."""

    def __init__(self, file: Path) -> None:
        document = json.loads(file.read_text(encoding="utf-8"))
        document["components"]["schemas"] = _strict(document["components"]["schemas"])
        document["paths"] = _strict(document["paths"])
        self._paths = {template: _pattern(template) for template in document["paths"]}
        self._document = document
        self._registry = Registry([(_DOCUMENT, document)])
        # Made at first use; those of an operation by the part of it that they are for.
        self._validators: dict[str, dict[str, Draft202012Validator]] = defaultdict(dict)

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation that a request means; None if the description has none."""
        for template, pattern in self._paths.items():
            if (found := pattern.fullmatch(path)) and method.lower() in self._document["paths"][template]:
                pointer = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{method.lower()}"
                described = self._document["paths"][template][method.lower()]
                # A fragment is part of a URI: braces of the template are escaped there.
                pointer = pointer.replace("{", "%7B").replace("}", "%7D")
                name = described["operationId"]
                return Operation(name, found.groupdict(), pointer, described, self._registry, self._validators[name])
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
    if schema.get("type") == "integer" and schema.get("format") in _LARGEST:
        # To JSON Schema such a format is a remark.
        schema.setdefault("maximum", _LARGEST[schema["format"]])
    if node.get("nullable") is not True:
        return schema
    if set(schema) <= {"description", "default"}:
        # Alone it stands for the null of an `anyOf`; read by the letter it would permit anything.
        return {"type": "null"}
    return {"anyOf": [schema, {"type": "null"}]}


def _json_path(parts: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _typed(value: str) -> Any:
    return json.loads(value) if re.fullmatch(r"true|false|-?\d+", value) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
