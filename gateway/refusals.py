"""How an operation can fail: the statuses it can give, and the reasons behind each.

What follows from a binding's shape is said here; what a service refuses of its own accord its contract declares.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import code_pb2

from gateway.connections import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES
from gateway.contract import Binding, errors_of, field_at, field_with, rules_of
from gateway.negotiation import BODY_SECONDS, MAX_BODY_BYTES
from gateway.problems import MEDIA_TYPE, Problem
from gateway.transcode import query_parameters
from services.runtime.claims import TokenExpired, TokenInvalid, TokenMissing
from services.runtime.status import HTTP_STATUS

_STATUSES = {
    400: "The request has the wrong form: its JSON, encoding, a field's name or type, or a page token.",
    401: "The token is missing, malformed, expired or wrongly signed.",
    403: "The caller may not do this.",
    404: "It does not exist, or belongs to somebody else.",
    406: "The Accept header takes nothing that this route answers with.",
    408: "The request arrived too slowly.",
    409: "It exists already, is busy, or is in a state that does not permit this.",
    413: f"The body is larger than {MAX_BODY_BYTES} bytes.",
    414: f"The path and query are longer than {MAX_TARGET_BYTES} bytes.",
    415: "The body is not JSON.",
    422: "A value fails validation; `errors` names each.",
    429: "A limit is reached; the Retry-After header says when to try again.",
    431: f"The headers are larger than {MAX_HEAD_BYTES} bytes.",
    499: "The call was cancelled.",
    500: "Something went wrong.",
    501: "This version cannot do it.",
    503: "Something that is needed is out of reach; try again.",
    504: "It took too long.",
}
_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to fail. `code` names the gRPC code, `detail` says in a sentence when it happens."""

    status: int
    code: str
    reason: str
    detail: str
    # Of the example: the field at fault, and what is wrong with it.
    fault: tuple[str, str] | None = None


_ALWAYS = (
    Refusal(400, "INVALID_ARGUMENT", "MALFORMED_REQUEST", "This is no HTTP/1.1 request as its standard has it."),
    Refusal(400, "INVALID_ARGUMENT", "MALFORMED_ENCODING", "Something that must be UTF-8 is not."),
    Refusal(
        400,
        "INVALID_ARGUMENT",
        "UNKNOWN_FIELD",
        "A key or parameter does not exist.",
        ("colour", "is not a field here: known are name, title"),
    ),
    Refusal(400, "INVALID_ARGUMENT", "DUPLICATE_KEY", "Something is given twice.", ("name", "is given more than once")),
    Refusal(400, "INVALID_ARGUMENT", "DUPLICATE_HEADER", "A header that is no list is sent more than once."),
    Refusal(400, "INVALID_ARGUMENT", "TOO_MANY_PARAMETERS", "The query is too long."),
    Refusal(401, "UNAUTHENTICATED", TokenMissing.reason, "No bearer token was sent."),
    Refusal(401, "UNAUTHENTICATED", TokenInvalid.reason, "The token proves nothing; another one is needed."),
    Refusal(401, "UNAUTHENTICATED", TokenExpired.reason, "The token was good once; get a new one."),
    Refusal(406, "INVALID_ARGUMENT", "NOT_ACCEPTABLE", "The Accept header takes nothing that this route answers with."),
    Refusal(408, "DEADLINE_EXCEEDED", "HEAD_TOO_SLOW", f"The headers did not arrive within {HEAD_SECONDS:g} seconds."),
    Refusal(414, "OUT_OF_RANGE", "TARGET_TOO_LONG", f"The path and query are longer than {MAX_TARGET_BYTES} bytes."),
    Refusal(431, "OUT_OF_RANGE", "HEAD_TOO_LARGE", f"The headers are larger than {MAX_HEAD_BYTES} bytes."),
    Refusal(500, "INTERNAL", "INTERNAL", "What nobody foresaw; the trace id finds it in logs."),
    Refusal(503, "UNAVAILABLE", "BACKEND_UNAVAILABLE", "The service behind this route is out of reach."),
    Refusal(503, "UNAVAILABLE", "KEYS_UNAVAILABLE", "The keys of the token's issuer are out of reach."),
    Refusal(503, "UNAVAILABLE", "DATABASE_UNAVAILABLE", "The database is out of reach or too busy."),
    Refusal(503, "UNAVAILABLE", "UNAVAILABLE", "A service or store that it needs is out of reach."),
    Refusal(504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "The service behind this route did not answer in time."),
)
_WITH_BODY = (
    Refusal(400, "INVALID_ARGUMENT", "MALFORMED_JSON", "The body is not JSON."),
    Refusal(400, "INVALID_ARGUMENT", "NESTED_TOO_DEEP", "The JSON is nested too deep."),
    Refusal(408, "DEADLINE_EXCEEDED", "BODY_TOO_SLOW", f"The body did not arrive within {BODY_SECONDS:g} seconds."),
    Refusal(413, "OUT_OF_RANGE", "BODY_TOO_LARGE", f"The body is larger than {MAX_BODY_BYTES} bytes."),
    Refusal(415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", "The body is not JSON in UTF-8, or is compressed."),
)
_WITH_VALUES = (
    Refusal(400, "INVALID_ARGUMENT", "WRONG_TYPE", "A value has another type.", ("name", "must be a string")),
    Refusal(422, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "A value is refused.", ("name", "is required")),
)
_WITH_KEY = (
    Refusal(
        400,
        "INVALID_ARGUMENT",
        "IDEMPOTENCY_KEY_MISMATCH",
        "The header Idempotency-Key and the field differ.",
        ("request_id", "differs from the header Idempotency-Key"),
    ),
    Refusal(
        409,
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
        "The same request id came with other content.",
        ("request_id", "was used for a request with other content"),
    ),
)

_GROUPS = {"": _ALWAYS, "Values": _WITH_VALUES, "Body": _WITH_BODY, "Key": _WITH_KEY}


def refusals_of(binding: Binding) -> list[Refusal]:
    """Every way in which a call of the binding can fail, by status."""
    return sorted(_refusals(binding), key=lambda refusal: refusal.status)


def _refusals(binding: Binding) -> Iterator[Refusal]:
    request = binding.rpc.method.input_type
    yield from _ALWAYS
    if binding.body:
        yield from _WITH_BODY
    if binding.body or next(query_parameters(binding), None) is not None or field_with(request, "cursor") is not None:
        yield from _WITH_VALUES
    if field_with(request, "idempotency_key") is not None:
        yield from _WITH_KEY
    kinds = dict.fromkeys(_resources(binding))
    if binding.template.variables and not kinds:
        yield Refusal(404, "NOT_FOUND", "NOT_FOUND", "There is nothing at this path.")
    for kind in kinds:
        yield Refusal(404, "NOT_FOUND", f"{kind.upper()}_NOT_FOUND", f"No {kind} of the caller's has this id.")
    for error in errors_of(binding.rpc.method):
        code = code_pb2.Code.Name(error.code)
        yield Refusal(HTTP_STATUS[grpc.StatusCode[code]], code, error.reason, error.detail)


def _resources(binding: Binding) -> Iterator[str]:
    """The kinds of resource that must exist: those the path names, and those the body does."""
    request = binding.rpc.method.input_type
    fields: list[FieldDescriptor | None] = [
        field_at(request, variable.field_path) for variable in binding.template.variables
    ]
    if binding.body == "*":
        fields += request.fields
    for field in fields:
        if field is not None and (kind := rules_of(field).resource):
            yield kind


class ProblemResponses:
    """Collects the responses and examples that operations share, as components."""

    def __init__(self) -> None:
        self.responses: dict[str, dict[str, Any]] = {}
        self.examples: dict[str, dict[str, Any]] = {}
        self._named: dict[tuple[Refusal, ...], str] = {}

    def of(self, binding: Binding) -> dict[str, dict[str, Any]]:
        """The responses of all failures of a binding by status."""
        by_status: dict[int, list[Refusal]] = {}
        for refusal in refusals_of(binding):
            by_status.setdefault(refusal.status, []).append(refusal)
        return {str(status): self._shared(status, tuple(found)) for status, found in by_status.items()}

    def _shared(self, status: int, refusals: tuple[Refusal, ...]) -> dict[str, Any]:
        """A reference to the response: what fails alike is described once."""
        name = self._named.get(refusals)
        if name is None:
            name = _name(status, refusals)
            # Two sets of reasons may differ in what they say only.
            while name in self.responses:
                name = f"{name}_"
            self._named[refusals] = name
            self.responses[name] = self._response(status, refusals)
        return {"$ref": f"#/components/responses/{name}"}

    def _response(self, status: int, refusals: tuple[Refusal, ...]) -> dict[str, Any]:
        reasons = "\n".join(f"- `{refusal.reason}`: {refusal.detail}" for refusal in refusals)
        content = {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": {refusal.reason: self._example(refusal) for refusal in refusals},
        }
        headers = {"X-Trace-Id": {"$ref": "#/components/headers/X-Trace-Id"}}
        if status in (429, 503):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        if status == 401:
            headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
        return {
            "description": f"{_STATUSES[status]}\n\n{reasons}",
            "headers": headers,
            "content": {MEDIA_TYPE: content},
        }

    def _example(self, refusal: Refusal) -> dict[str, Any]:
        problem = Problem(
            refusal.status,
            refusal.code,
            refusal.reason,
            refusal.detail if refusal.fault is None else ": ".join(refusal.fault),
            () if refusal.fault is None else (refusal.fault,),
        )
        name, example = refusal.reason, {"summary": refusal.reason, "value": problem.body(_TRACE_ID)}
        while self.examples.setdefault(name, example) != example:
            name = f"{name}_"
        return {"$ref": f"#/components/examples/{name}"}


def _name(status: int, refusals: tuple[Refusal, ...]) -> str:
    """By status, what the binding takes, and the reasons of its own: the same for as long as these are the same."""
    groups = [label for label, group in _GROUPS.items() if any(refusal in group for refusal in refusals)]
    own = [refusal.reason for refusal in refusals if not any(refusal in group for group in _GROUPS.values())]
    if len(groups) == 1 and not own:
        groups = []
    return "_".join([f"Problem{status}{''.join(groups)}", *own])
