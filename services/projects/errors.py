"""What can go wrong with projects, in the caller's words."""

from services.runtime.errors import NotFound, Unavailable


class ProjectNotFound(NotFound):
    """Absent, another user's, not yet made or on its way out: all the same."""

    reason = "PROJECT_NOT_FOUND"

    def __init__(self, project_id: str) -> None:
        super().__init__(f"project {project_id} does not exist", project_id=project_id)


class ProjectRolledBack(Unavailable):
    """The project was given up while it was being made: it took longer than a create may."""

    reason = "PROJECT_ROLLED_BACK"

    def __init__(self, project_id: str) -> None:
        super().__init__(
            "the project could not be made in time and was rolled back: create it again",
            retry_after=1.0,
            project_id=project_id,
        )


class PartFailed(Unavailable):
    """A service could not do its part for a project, for a reason that is not the caller's."""

    reason = "SERVICE_FAILED"

    def __init__(self, service: str) -> None:
        super().__init__(f"the {service} service could not do its part: try again", retry_after=1.0, service=service)
