"""What the projects service remembers: users, their projects, and how far each project's life has come."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypedDict

from services.runtime.idempotency import RequestKey

CREATE_MAY_TAKE = timedelta(seconds=60)
"""How long a create has, from its last attempt on. What is not active by then is rolled back."""
_LONGEST_BACKOFF_SECONDS = 60


def backoff(attempts: int) -> timedelta:
    """How long after its `attempts`-th attempt a removal is tried again: 1, 2, 4 … 60 seconds."""
    return timedelta(seconds=min(2 ** min(attempts - 1, 10), _LONGEST_BACKOFF_SECONDS))


class State(StrEnum):
    """Where a project is in its life. Only an ACTIVE one is visible."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    DELETING = "deleting"


@dataclass(frozen=True)
class User:
    """Somebody whose token was valid. `email` is what their token claimed, never an identity."""

    id: str
    email: str | None
    created_at: datetime


@dataclass(frozen=True)
class Project:
    """A user's project. Times are aware, in UTC."""

    id: str
    user_id: str
    name: str
    workspace_path: str | None
    state: State
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Removal:
    """A project whose parts are to be removed, for the `attempts`-th time; `rolled_back` if it never was active."""

    project_id: str
    user_id: str
    attempts: int
    rolled_back: bool


@dataclass(frozen=True)
class Position:
    """A place in the list of projects: that of the project with this time and id."""

    created_at: datetime
    project_id: str


@dataclass(frozen=True)
class Page:
    """Some projects in their order, how many there are in all, and whether more follow."""

    projects: tuple[Project, ...]
    total: int
    has_more: bool


class Changes(TypedDict, total=False):
    """New values of a project's fields; a field that is absent stays as it is."""

    name: str
    workspace_path: str | None


class ProjectStore(Protocol):
    """The state of users and projects. Every method is one transaction; ids are UUIDs in lower case.

    Who is not the owner of a project meets ProjectNotFound, exactly as if it did not exist. `claim_removals` alone
    looks across users: it hands out ids, and nothing that a user wrote.
    """

    async def admit_user(self, user_id: str, email: str | None, now: datetime) -> User:
        """Return the user, making their row if it is the first time.

        A claimed `email` replaces the one before; None keeps it. An email that another user has is stored as None:
        it is a claim, and no two rows share one. Admitting a user twice at once makes one row.
        """

    async def begin_project(
        self,
        user_id: str,
        project_id: str,
        name: str,
        workspace_path: str | None,
        key: RequestKey | None,
        now: datetime,
    ) -> Project:
        """Return a new PROVISIONING project `project_id`, or the project that `key` stands for already.

        The key is recorded in the same transaction. A project that is returned again in PROVISIONING has
        CREATE_MAY_TAKE anew. Raise RequestIdReused if the key came with other content, ProjectNotFound if what it
        stands for was deleted since. The user must have been admitted.
        """

    async def activate_project(self, user_id: str, project_id: str, now: datetime) -> Project:
        """Make a PROVISIONING project ACTIVE and return it; an ACTIVE one is returned as it is.

        Raise ProjectRolledBack if it is neither: it was given up in the meantime.
        """

    async def abandon_project(self, user_id: str, project_id: str, now: datetime) -> None:
        """Give up a project that is still PROVISIONING: its removal is due at once. Any other is left alone."""

    async def get_project(self, user_id: str, project_id: str) -> Project:
        """Return an ACTIVE project. Raise ProjectNotFound."""

    async def list_projects(self, user_id: str, after: Position | None, limit: int) -> Page:
        """Return the user's ACTIVE projects that follow `after`, newest first, those of one moment by id."""

    async def update_project(self, user_id: str, project_id: str, changes: Changes, now: datetime) -> Project:
        """Change an ACTIVE project and return it; without changes nothing is written. Raise ProjectNotFound."""

    async def delete_project(self, user_id: str, project_id: str, now: datetime) -> None:
        """Make an ACTIVE project DELETING: gone for its user, its removal due at once. Raise ProjectNotFound.

        The key that made it stays until its time is over, so that a late retry of the create makes no second project.
        """

    async def claim_removals(self, now: datetime, limit: int, underway: Collection[str]) -> list[Removal]:
        """Return up to `limit` removals that are due, longest due first, leaving out the ids `underway`.

        Due are DELETING projects, and PROVISIONING ones whose CREATE_MAY_TAKE is over: these become DELETING here, and
        their keys are forgotten, so that their request_id may make another. What is returned is due again after
        `backoff(attempts)`, unless it is forgotten before.
        """

    async def forget_project(self, user_id: str, project_id: str) -> None:
        """Remove the row of a DELETING project; any other is left alone, and none is missed."""
