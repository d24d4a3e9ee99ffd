"""Errors of the services, decoded from `google.rpc.Status`."""

from dataclasses import dataclass, field

import grpc
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "codelab"
_STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(eq=False)
class ApiError(Exception):
    """What a service answered instead of a result.

    `reason` is the stable name for programs (`PROJECT_NOT_FOUND`); None when the answer is not the service's own but
    the transport's, such as an unreachable server. `violations` are (field, what is wrong) pairs; `retry_after` is in
    seconds.
    """

    code: grpc.StatusCode
    detail: str
    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.detail}"

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "ApiError":
        """Decode what a call raised."""
        status = _rich_status(error)
        reason: str | None = None
        metadata: dict[str, str] = {}
        violations: tuple[tuple[str, str], ...] = ()
        retry_after: float | None = None
        for detail in status.details if status else ():
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                violations = tuple((each.field, each.description) for each in bad.field_violations)
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        return cls(
            error.code(),
            error.details() or "",
            reason,
            metadata,
            violations,
            retry_after,
        )


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None
