"""The one mapping between the domain's errors, gRPC statuses and HTTP statuses."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from codelab_client.errors import DOMAIN, ApiError
from services.runtime import errors
from services.runtime.errors import CodelabError, DeadlineExceeded, Unavailable, Unimplemented
from services.runtime.interceptors import Call, Context, Interceptor

log = structlog.get_logger()

HTTP_STATUS: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 422,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.DATA_LOSS: 500,
}
"""HTTP status of each gRPC code.

OUT_OF_RANGE is a malformed page token, INVALID_ARGUMENT a value that fails validation.
"""


# Clients refuse an answer whose metadata is larger than 8 KiB, and see neither code nor reason. The detail travels
# twice: up to three times its size as the status message, and with the rest in base64.
_MOST_DETAIL_BYTES = 1000
_MOST_VALUE_BYTES = 200
_MOST_VIOLATIONS_BYTES = 1200


def to_status(error: CodelabError) -> status_pb2.Status:
    """The `google.rpc.Status` of an error: one ErrorInfo, and BadRequest and RetryInfo where they say something.

    What is too long for a call's metadata is cut: texts end in `…`, violations after those that fit.
    """
    metadata = {name: _cut(value, _MOST_VALUE_BYTES) for name, value in error.metadata.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=_cut(error.detail, _MOST_DETAIL_BYTES))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _bad_request(violations: Iterable[tuple[str, str]]) -> error_details_pb2.BadRequest:
    answer = error_details_pb2.BadRequest()
    for field, detail in violations:
        answer.field_violations.add(field=_cut(field, _MOST_VALUE_BYTES), description=_cut(detail, _MOST_VALUE_BYTES))
        if answer.ByteSize() > _MOST_VIOLATIONS_BYTES:
            break
    return answer


def _cut(text: str, most_bytes: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= most_bytes else encoded[:most_bytes].decode(errors="ignore") + "…"


def from_rpc_error(error: grpc.aio.AioRpcError, callee: str) -> CodelabError:
    """What a failed call to the service `callee` means to its caller, as an error that can be raised on.

    The callee's own errors keep code, reason and detail, and are of the kind that their code says. The transport's
    become Unavailable or DeadlineExceeded with a
    sentence of ours: nobody is shown a socket's text.
    """
    answer = ApiError.of(error)
    if answer.reason is not None:
        kind = _KINDS.get(answer.code.name, CodelabError)
        passed_on = kind.__new__(kind)
        # The kinds' own initialisers make the text from its parts; here it is made already.
        CodelabError.__init__(passed_on, answer.detail, retry_after=answer.retry_after, **answer.metadata)
        passed_on.code = answer.code.name
        passed_on.reason = answer.reason
        passed_on.violations = answer.violations
        return passed_on
    if answer.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"the {callee} service did not answer in time: try again")
    # INTERNAL without a reason is the transport's too: it says so of a peer that died in the middle of a call.
    if answer.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL):
        return Unavailable(
            f"the {callee} service is out of reach at the moment: try again",
            retry_after=1.0,
        )
    log.error("unexpected answer", callee=callee, code=answer.code.name, detail=answer.detail)
    return CodelabError("internal error")


_KINDS: dict[str, type[CodelabError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgument,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.Aborted,
        errors.ResourceExhausted,
        errors.Unimplemented,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Internal,
    )
}


class ErrorInterceptor(Interceptor):
    """Answers the domain's errors as their status; logs what is not foreseen and answers `internal error`."""

    @asynccontextmanager
    async def around(self, call: Call, context: Context) -> AsyncIterator[None]:
        """Map what the handler raises."""
        try:
            yield
        except CodelabError as error:
            if isinstance(error, Unavailable) and error.cause:
                log.warning("call failed", method=call.method, reason=error.reason, cause=error.cause)
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except grpc.aio.AioRpcError as error:
            await _abort(context, from_rpc_error(error, "next"))
        except Exception as error:
            if isinstance(error, NotImplementedError) and context.code() == grpc.StatusCode.UNIMPLEMENTED:
                # Generated servicers say so for methods that ours do not override.
                await _abort(context, Unimplemented("this method is not served here"))
            log.exception("unforeseen error", method=call.method)
            await _abort(context, CodelabError("internal error"))


async def _abort(context: Context, error: CodelabError) -> None:
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, tuple(status.trailing_metadata))
