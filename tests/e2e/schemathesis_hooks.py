"""What schemathesis is told about our API, and what it checks beyond its own checks. Loaded into its process.

CODELAB_TALLY names a file that gets a line of JSON for every answer; CODELAB_IDS holds the ids of what there is, by the
name of their parameter.
"""

import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

from services.runtime.ids import is_uuid

PROBLEM = "application/problem+json"
SSE, NDJSON = "text/event-stream", "application/x-ndjson"
# No schema can say that two values of a request belong together, or what there is on a server.
BEYOND_SCHEMAS = {
    *("INVALID_PAGE_TOKEN", "IDEMPOTENCY_KEY_MISMATCH", "FILTER_REQUIRED", "TIME_OUT_OF_RANGE"),
    *("UNKNOWN_TOOL", "INVALID_TOOL_POLICY"),
}
_TALLY = Path(os.environ["CODELAB_TALLY"])
_IDS: dict[str, str] = json.loads(os.environ["CODELAB_IDS"])
_TURNS = itertools.count()
_document: dict[str, Any] = {}


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Keep the document as it came; then make its examples those of what there is, and take the streams from it.

    schemathesis takes the schema of a stream for that of a frame: frames are checked below.
    """
    _document.update(json.loads(json.dumps(raw_schema)))
    text = json.dumps(raw_schema)
    for name, example in _examples_of_ids(raw_schema).items():
        text = text.replace(example, _IDS[name])
    raw_schema.update(json.loads(text))
    for path, item in raw_schema["paths"].items():
        for method, operation in item.items():
            for response in operation["responses"].values():
                for media_type in (SSE, NDJSON):
                    response.get("content", {}).get(media_type, {}).pop("schema", None)
            # What is deleted is something to spare; of a list it is what is in there.
            if method == "delete" and path.endswith("}"):
                last = [each for each in operation["parameters"] if each["in"] == "path"][-1]
                last["example"] = _IDS[f"spare_{last['name']}"]


def _examples_of_ids(document: dict[str, Any]) -> dict[str, str]:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    parameters = [each for operation in operations for each in operation.get("parameters", ()) if each["in"] == "path"]
    return {each["name"]: each["example"] for each in parameters}


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Take each form of a stream in turn. Who only watches gets a session whose run is over, else it never ends."""
    if SSE not in case.operation.definition.raw["responses"].get("200", {}).get("content", {}):
        return
    if next(_TURNS) % 2:
        case.headers = {**(case.headers or {}), "Accept": NDJSON}
    if "after" in {**(case.query or {}), **(case.body if isinstance(case.body, dict) else {})}:
        # The header wins, whatever the field holds.
        case.headers = {name: value for name, value in (case.headers or {}).items() if name != "Last-Event-ID"}
    if case.method == "GET":
        case.path_parameters = {
            name: _IDS[name] if is_uuid(str(value)) else value for name, value in case.path_parameters.items()
        }
        if isinstance((case.query or {}).get("run_id", ""), str):
            case.query = {**(case.query or {}), "run_id": _IDS["run_id"]}


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    line = {
        "operation": case.operation.label,
        "status": response.status_code,
        "reason": _reason(response),
        "seconds": response.elapsed,
    }
    with _TALLY.open("a", encoding="utf-8") as tally:
        tally.write(json.dumps(line) + "\n")


@schemathesis.hook
def filter_failure(context: HookContext, failure: Any, case: Case, response: Response) -> bool:
    beyond = _reason(response) in BEYOND_SCHEMAS or _fits_no_question(case, response)
    return not ((isinstance(failure, RejectedPositiveData) and beyond) or _goes_soon(failure))


def _goes_soon(failure: Any) -> bool:
    """What a deleted project held is removed soon after, and may still be met; the project itself may not."""
    if not isinstance(failure, UseAfterFree):
        return False
    deleted, used = (each.partition(" ")[2].rstrip("/") for each in (failure.free, failure.usage))
    return re.fullmatch("/my/projects/[^/]+", deleted) is not None and used.startswith(f"{deleted}/")


def _fits_no_question(case: Case, response: Response) -> bool:
    """What may be changed with an approval, the question's own schema says alone."""
    if not case.operation.path.endswith(":approve") or response.status_code != 422:
        return False
    fields = [each["field"] for each in json.loads(response.content)["errors"]]
    return all(field.startswith(("arguments", "plan")) for field in fields)


@schemathesis.check
def reasons_are_documented(ctx: CheckContext, response: Response, case: Case) -> None:
    """An error's reason is one that its operation names for the status."""
    reason = _reason(response)
    described = _responses(case).get(str(response.status_code))
    if reason is None or described is None:
        return
    named = _resolved(described)["content"][PROBLEM]["examples"]
    assert reason in named, f"{response.status_code} {reason} is not among {sorted(named)}"


@schemathesis.check
def frames_are_what_the_document_says(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every frame of a stream fits its schema; in SSE, `id` and `event` are those of its data."""
    media_type = (response.headers.get("content-type") or [""])[0].partition(";")[0]
    if media_type not in (SSE, NDJSON):
        return
    schema = _responses(case)["200"]["content"][NDJSON]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": _document["components"]})
    text = response.content.decode("utf-8")
    if media_type == NDJSON:
        # What was cut off while we stopped reading is no frame. A line ends with "\n" alone: U+2028 is text.
        for line in text.split("\n")[:-1]:
            validator.validate(json.loads(line))
        return
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "data" in fields:
            frame = json.loads(fields["data"])
            validator.validate(frame)
            assert fields["event"] == frame.get("type", "problem")
            assert fields.get("id") in (frame.get("id"), None)


def _responses(case: Case) -> dict[str, Any]:
    operation = _document["paths"][case.operation.path][case.operation.method.lower()]
    responses: dict[str, Any] = operation["responses"]
    return responses


def _resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        section, name = value["$ref"].split("/")[-2:]
        value = _document["components"][section][name]
    return value


def _reason(response: Response) -> str | None:
    if not (response.headers.get("content-type") or [""])[0].startswith(PROBLEM) or not response.content:
        return None
    reason: str = json.loads(response.content)["reason"]
    return reason
