"""The errors the domain raises. One interceptor (services.runtime.status) maps them to gRPC; nothing here knows gRPC.

A service derives its own from these, with the reason that clients rely on:

    class ProjectNotFound(NotFound):
        reason = "PROJECT_NOT_FOUND"

        def __init__(self, project_id: str) -> None:
            super().__init__(f"project {project_id} does not exist", project_id=project_id)
"""


class CodelabError(Exception):
    """Something that went wrong and that its caller may read about.

    `code` names the gRPC status, `reason` is stable and for programs, `detail` is one sentence for people, `metadata`
    holds strings for programs. Never put a driver's text, a secret or another user's data in any of them.
    """

    code: str = "INTERNAL"
    reason: str = "INTERNAL"

    def __init__(self, detail: str, /, *, retry_after: float | None = None, **metadata: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.metadata = metadata
        self.violations: tuple[tuple[str, str], ...] = ()


class InvalidArgument(CodelabError):
    """A value fails validation. `violations` are (field path, what is wrong) pairs, at least one."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_ARGUMENT"

    def __init__(self, *violations: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {detail}" for field, detail in violations))
        self.violations = violations


class MalformedMessage(CodelabError):
    """The bytes of a request are no message of its type."""

    code = "INVALID_ARGUMENT"
    reason = "MALFORMED_MESSAGE"

    def __init__(self) -> None:
        super().__init__(
            "the request is not a valid message: its text must be UTF-8, and messages may be nested at most 100 deep"
        )


class InvalidPageToken(CodelabError):
    """The page token was not made by this list with these filters."""

    code = "OUT_OF_RANGE"
    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__("page_token does not belong to this list with these filters: start again without it")
        self.violations = (("page_token", "does not belong to this list with these filters"),)


class Unauthenticated(CodelabError):
    """The caller did not prove who they are."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class PermissionDenied(CodelabError):
    """The caller is known and may not do this at all. Never used for somebody else's resource: that is NotFound."""

    code = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"


class NotFound(CodelabError):
    """Absent, or another user's: the two look the same."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class AlreadyExists(CodelabError):
    """Something with this name or key exists."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_EXISTS"


class RequestIdReused(AlreadyExists):
    """The same request_id came with other content."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "this request_id was used for a request with other content",
            request_id=request_id,
        )
        self.violations = (("request_id", "was used for a request with other content"),)


class FailedPrecondition(CodelabError):
    """The resource is not in a state that permits this."""

    code = "FAILED_PRECONDITION"
    reason = "FAILED_PRECONDITION"


class Aborted(CodelabError):
    """Somebody else's later action won."""

    code = "ABORTED"
    reason = "ABORTED"


class ResourceExhausted(CodelabError):
    """A limit is reached; give `retry_after` in seconds where it is known."""

    code = "RESOURCE_EXHAUSTED"
    reason = "RESOURCE_EXHAUSTED"


class Unimplemented(CodelabError):
    """This version cannot do it."""

    code = "UNIMPLEMENTED"
    reason = "UNIMPLEMENTED"


class Unavailable(CodelabError):
    """Something needed is out of reach at the moment. `cause`, for operators, is in the log; callers do not see it."""

    code = "UNAVAILABLE"
    reason = "UNAVAILABLE"
    cause = ""


class DeadlineExceeded(CodelabError):
    """It took longer than permitted."""

    code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_EXCEEDED"


class Internal(CodelabError):
    """A failure with a stated reason; what is not foreseen is any other exception."""

    code = "INTERNAL"
    reason = "INTERNAL"


class StartupError(Exception):
    """The process cannot start. Its text is one line that says what to do; no traceback is shown."""
