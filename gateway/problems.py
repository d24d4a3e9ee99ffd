"""Errors as RFC 9457 problem+json, whether a service raised them or the gateway did."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

import grpc
import orjson
import structlog
from google.rpc import error_details_pb2, status_pb2

from codelab_client.errors import ApiError
from gateway.faults import Fault, shortened
from services.runtime.claims import TokenMissing
from services.runtime.errors import CodelabError
from services.runtime.status import HTTP_STATUS

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

# Only a service that took the call can have made these, so that their text is meant for the caller. Texts of all other
# codes may be the transport's ("connection refused") and are shown only if the service signed them with an ErrorInfo.
_SPOKEN_BY_SERVICES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
_UNREACHABLE = "the service behind this route is not reachable, try again"
_OWN_WORDS = {
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", "the service behind this route did not answer in time"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("RESOURCE_EXHAUSTED", "a limit of the service behind this route is reached"),
    grpc.StatusCode.UNIMPLEMENTED: ("UNIMPLEMENTED", "the service behind this route does not offer this"),
}


@dataclass(eq=False)
class Problem(Exception):
    """An error answer. `code` names a gRPC code, `reason` is stable, for programs; `detail` a sentence for people."""

    status: int
    code: str
    reason: str
    detail: str
    errors: tuple[tuple[str, str], ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self, trace_id: str) -> dict[str, object]:
        """The members of the problem object."""
        return {
            "type": "about:blank",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "reason": self.reason,
            "errors": [{"field": name, "detail": detail} for name, detail in self.errors],
            "trace_id": trace_id,
            "metadata": self.metadata,
        }

    def json(self, trace_id: str) -> bytes:
        """The problem object as text."""
        return orjson.dumps(self.body(trace_id))

    def response_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of an answer that is this problem, without its length."""
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), *self.headers]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(max(1, math.ceil(self.retry_after))).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", _challenge(self.reason, self.detail)))
        return headers


def from_faults(faults: list[Fault]) -> Problem:
    """400 if anything has the wrong form, else 422."""
    malformed = next((fault for fault in faults if fault.malformed), None)
    detail = "; ".join(f"{fault.field}: {fault.detail}" if fault.field else fault.detail for fault in faults[:5])
    return Problem(
        status=422 if malformed is None else 400,
        code="INVALID_ARGUMENT",
        reason="INVALID_ARGUMENT" if malformed is None else malformed.reason,
        detail=detail,
        errors=tuple((fault.field, fault.detail) for fault in faults),
    )


def from_domain(error: CodelabError) -> Problem:
    """An error that code of services.runtime raised inside the gateway."""
    return Problem(
        status=HTTP_STATUS[grpc.StatusCode[error.code]],
        code=error.code,
        reason=error.reason,
        detail=error.detail,
        errors=error.violations,
        metadata=error.metadata,
        retry_after=error.retry_after,
    )


def from_rpc(error: grpc.aio.AioRpcError, rpc: str, body_field: str) -> Problem:
    """What a failed call to `rpc` means to an HTTP caller whose JSON is the request's `body_field` (or all of it)."""
    answer = ApiError.of(error)
    status = HTTP_STATUS.get(answer.code, 500)
    errors = [(_as_seen(name, body_field), detail) for name, detail in answer.violations]
    errors += _quota_violations(error)
    reason, detail, retry_after = answer.reason, answer.detail, answer.retry_after
    if reason is None and answer.code in _SPOKEN_BY_SERVICES:
        reason = answer.code.name
    elif reason is None:
        log.warning("backend failed", rpc=rpc, code=answer.code.name, detail=answer.detail)
        # Where the gateway itself cancels a call there is nobody to tell: who hears of it has lost the backend.
        if answer.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return replace(unreachable(), retry_after=retry_after or 1.0)
        reason, detail = _OWN_WORDS.get(answer.code, ("INTERNAL", "internal error"))
    elif errors and body_field:
        detail = "; ".join(f"{name}: {text}" for name, text in errors)
    return Problem(status, answer.code.name, reason, detail, tuple(errors), answer.metadata, retry_after)


def unreachable() -> Problem:
    """The route is known and nobody who serves it has been reached yet."""
    return Problem(503, "UNAVAILABLE", "BACKEND_UNAVAILABLE", _UNREACHABLE, retry_after=1.0)


def malformed(reason: str, detail: str, name: str = "") -> Problem:
    """400, for what stands at the path `name` if one is given."""
    if not name:
        return Problem(400, "INVALID_ARGUMENT", reason, detail)
    return from_faults([Fault(shortened(name), detail, reason, malformed=True)])


def no_route() -> Problem:
    """404 for a path that no route has."""
    return Problem(404, "NOT_FOUND", "ROUTE_NOT_FOUND", "there is nothing at this path: see /openapi.json")


def no_resource() -> Problem:
    """404 for a path whose segments cannot be what their variables stand for."""
    return Problem(404, "NOT_FOUND", "NOT_FOUND", "there is nothing at this path")


def wrong_method(allowed: Iterable[str]) -> Problem:
    """405."""
    listed = ", ".join(allowed)
    detail = f"this path takes {listed}"
    return Problem(405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", detail, headers=((b"allow", listed.encode()),))


def not_acceptable(offered: Iterable[str]) -> Problem:
    """406."""
    return Problem(406, "INVALID_ARGUMENT", "NOT_ACCEPTABLE", f"this route answers {' or '.join(offered)}")


def body_too_large(limit: int) -> Problem:
    """413. The connection ends with it, so that the rest of the body need not be read."""
    detail = f"the body is larger than {limit} bytes"
    return Problem(413, "OUT_OF_RANGE", "BODY_TOO_LARGE", detail, headers=((b"connection", b"close"),))


def unsupported_media_type(detail: str) -> Problem:
    """415."""
    return Problem(415, "INVALID_ARGUMENT", "UNSUPPORTED_MEDIA_TYPE", detail)


def body_too_slow(seconds: float) -> Problem:
    """408."""
    detail = f"the body did not arrive within {seconds:g} seconds"
    return Problem(408, "DEADLINE_EXCEEDED", "BODY_TOO_SLOW", detail, headers=((b"connection", b"close"),))


def malformed_request() -> Problem:
    """400, for what is no HTTP/1.1 request."""
    return malformed("MALFORMED_REQUEST", "this is no HTTP/1.1 request as its standard has it")


def target_too_long(limit: int) -> Problem:
    """414."""
    return Problem(414, "OUT_OF_RANGE", "TARGET_TOO_LONG", f"the path and query are longer than {limit} bytes")


def head_too_large(limit: int) -> Problem:
    """431."""
    return Problem(431, "OUT_OF_RANGE", "HEAD_TOO_LARGE", f"the headers are larger than {limit} bytes")


def head_too_slow(seconds: float) -> Problem:
    """408."""
    return Problem(408, "DEADLINE_EXCEEDED", "HEAD_TOO_SLOW", f"the headers did not arrive within {seconds:g} seconds")


def internal() -> Problem:
    """500, for what nobody foresaw."""
    return Problem(500, "INTERNAL", "INTERNAL", "internal error")


def stopping() -> Problem:
    """The last frame of a stream that the gateway ends because it stops itself."""
    return Problem(503, "UNAVAILABLE", "GATEWAY_STOPPING", "the gateway stops: connect again", retry_after=1.0)


def _challenge(reason: str, detail: str) -> bytes:
    """`WWW-Authenticate` as RFC 6750 has it: who sent no token is told of no error."""
    if reason == TokenMissing.reason:
        return b'Bearer realm="codelab"'
    described = re.sub(r"[^ !#-\[\]-~]", "'", detail)
    return f'Bearer realm="codelab", error="invalid_token", error_description="{described}"'.encode()


def _title(status: int) -> str:
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


def _as_seen(name: str, body_field: str) -> str:
    """A violation's path as the caller wrote it: their JSON is what the body field holds."""
    return name.removeprefix(f"{body_field}.") if body_field not in ("", "*") else name


def _quota_violations(error: grpc.aio.AioRpcError) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for packed in status_pb2.Status.FromString(value).details:
                quota = error_details_pb2.QuotaFailure()
                if packed.Unpack(quota):
                    found += [(each.subject, each.description) for each in quota.violations]
    return found
