"""The errors of sessions and runs."""

from services.runtime.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    NotFound,
    ResourceExhausted,
    Unavailable,
)


class ProjectNotFound(NotFound):
    """The project is absent, deleted or another user's."""

    reason = "PROJECT_NOT_FOUND"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"project {project_id} does not exist", project_id=project_id)


class ProjectDeleted(FailedPrecondition):
    """The project was deleted here and never comes back."""

    reason = "PROJECT_DELETED"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"project {project_id} was deleted", project_id=project_id)


class SessionNotFound(NotFound):
    """The session is absent, deleted, of another project or another user's."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} does not exist", session_id=session_id)


class RunNotFound(NotFound):
    """The run is absent, of another project or another user's."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} does not exist", run_id=run_id)


class SessionBusy(FailedPrecondition):
    """The session has an active run and the message asked not to wait."""

    reason = "SESSION_BUSY"

    def __init__(self, session_id: str, run_id: str) -> None:
        super().__init__(f"session {session_id} is busy with run {run_id}", session_id=session_id, run_id=run_id)


class RunFinished(FailedPrecondition):
    """The run ended before this could be done to it."""

    reason = "RUN_FINISHED"

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(f"run {run_id} is already finished: it {state}", run_id=run_id, state=state)


class RunNotRetryable(FailedPrecondition):
    """The run neither failed nor was cancelled."""

    reason = "RUN_NOT_RETRYABLE"

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(
            f"run {run_id} is {state}: only one that failed or was cancelled can be retried", run_id=run_id, state=state
        )


class RunRetried(FailedPrecondition):
    """The run was retried already."""

    reason = "RUN_RETRIED"

    def __init__(self, run_id: str, retried_by: str) -> None:
        super().__init__(
            f"run {run_id} was retried by run {retried_by}: if that one failed too, retry it instead",
            run_id=run_id,
            retried_by=retried_by,
        )


class TooManyRuns(ResourceExhausted):
    """As many runs of the user are active as may be."""

    reason = "TOO_MANY_RUNS"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} of your runs are active, and no more may be at once: try again when one has ended, decide what"
            " waits for your approval, or cancel one",
            retry_after=2.0,
            limit=str(limit),
        )


class TooManyQueuedRuns(ResourceExhausted):
    """As many runs of the user are queued as may be."""

    reason = "TOO_MANY_QUEUED_RUNS"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} of your messages wait for their turn, and no more may: try again when one has begun",
            retry_after=5.0,
            limit=str(limit),
        )


class ApprovalNotFound(NotFound):
    """The approval is absent, of another project or another user's."""

    reason = "APPROVAL_NOT_FOUND"

    def __init__(self, approval_id: str) -> None:
        super().__init__(f"approval {approval_id} does not exist", approval_id=approval_id)


class ApprovalDecided(FailedPrecondition):
    """It was decided otherwise before, or nobody decided in time."""

    reason = "APPROVAL_DECIDED"

    def __init__(self, approval_id: str, state: str) -> None:
        super().__init__(f"approval {approval_id} is already {state}", approval_id=approval_id, state=state)


class RunCancelled(Aborted):
    """The run was cancelled while its caller waited."""

    reason = "RUN_CANCELLED"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} was cancelled", run_id=run_id)


class RunNeedsApproval(FailedPrecondition):
    """The run waits for a decision of its user."""

    reason = "RUN_NEEDS_APPROVAL"

    def __init__(self, run_id: str, project_id: str, approval_id: str | None) -> None:
        """`approval_id` is the first that it waits for; None if that was decided meanwhile."""
        super().__init__(
            f"run {run_id} waits for a decision of yours, and goes on with it: see what it asks with"
            f" GET /my/projects/{project_id}/approvals?run_id={run_id}, and approve or reject it",
            run_id=run_id,
        )
        if approval_id is not None:
            self.metadata["approval_id"] = approval_id


class RunFailed(Internal):
    """The run failed; the metadata `run_reason` says why."""

    reason = "RUN_FAILED"

    def __init__(self, run_id: str, run_reason: str, detail: str) -> None:
        super().__init__(detail, run_id=run_id, run_reason=run_reason)


class ModelUnavailable(Unavailable):
    """The run failed because the model could not be had."""

    reason = "MODEL_UNAVAILABLE"


class ModelTimeout(DeadlineExceeded):
    """The run failed because the model kept silent for too long."""

    reason = "MODEL_TIMEOUT"


class RunNotFinished(DeadlineExceeded):
    """The run goes on, its caller's time is up."""

    reason = "RUN_NOT_FINISHED"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id} is not finished yet and goes on: send again with the same request_id, or watch its events",
            run_id=run_id,
        )


class RunInterrupted(Unavailable):
    """This process stops; the run goes on in the next one."""

    reason = "RUN_INTERRUPTED"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"the service restarts and run {run_id} goes on after it: send again with the same request_id",
            retry_after=1.0,
            run_id=run_id,
        )


class NoAgents(FailedPrecondition):
    """A message to be planned, in a project without agents."""

    reason = "NO_AGENTS"

    def __init__(self, run_id: str) -> None:
        super().__init__("the project has no agents: create one, then retry the run", run_id=run_id)


# What a run fails by whose plan its user does not want, or did not look at in time.
PLAN_REJECTED = "PLAN_REJECTED"
PLAN_EXPIRED = "PLAN_EXPIRED"

# What stops a run that spends too much.
RUN_MODEL_CALL_LIMIT = "RUN_MODEL_CALL_LIMIT"
RUN_TOKEN_LIMIT = "RUN_TOKEN_LIMIT"
RUN_TIME_LIMIT = "RUN_TIME_LIMIT"


class LeaseLost(Exception):
    """Another process owns the run now, or it was cancelled: whatever was to be written was not, stop working."""
