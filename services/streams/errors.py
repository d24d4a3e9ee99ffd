"""What the streams service refuses, and why."""

from services.runtime.errors import Aborted, NotFound, ResourceExhausted, Unavailable


class SessionNotFound(NotFound):
    """The session is absent, deleted, another user's, or under another project."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} does not exist", session_id=session_id)


class RunSuperseded(Aborted):
    """A later epoch of the run publishes: this owner was replaced."""

    reason = "RUN_SUPERSEDED"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"another process has taken run {run_id} over", run_id=run_id)


class TooManyStreams(ResourceExhausted):
    """As many streams of the user are open here as may be."""

    reason = "TOO_MANY_STREAMS"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} of your event streams are open, and no more may be at once: close some, or filter one instead",
            retry_after=5.0,
            limit=str(limit),
        )


class ShuttingDown(Unavailable):
    """This replica takes no new streams."""

    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("the streams service is shutting down: try again", retry_after=1.0)


class SessionsUnknown(Unavailable):
    """Whether the caller may watch the session cannot be found out."""

    reason = "SESSIONS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "the orchestrator, which knows the sessions, is out of reach at the moment: try again", retry_after=1.0
        )


class EventsUnavailable(Unavailable):
    """What keeps the events is out of reach."""

    reason = "EVENTS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("what keeps the events is out of reach at the moment: try again", retry_after=1.0)
