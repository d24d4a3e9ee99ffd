"""What can be done with users and projects."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from services.projects.store import Changes, Position, Project, ProjectStore, State, User
from services.runtime.idempotency import RequestKey
from services.runtime.ids import Clock, NewId
from services.runtime.pages import decode_token, encode_token, page_size

log = structlog.get_logger()

CREATE_SECONDS = 20.0
"""How long a create may take, if its caller waits that long. Well below `store.CREATE_MAY_TAKE`."""
# The rest is for the answer: a caller who sees their own deadline pass does not learn which service was slow.
_SHARE_OF_PARTS = 0.9
_KNOWN_USERS = 10_000
_LONGEST_EMAIL = 320


class ProjectPart(Protocol):
    """What another service keeps of every project. Calls raise CodelabError, its text naming the service."""

    @property
    def service(self) -> str:
        """The service's name."""

    async def make(self, user_id: str, project_id: str, timeout: float) -> None:
        """Make the part within `timeout` seconds; once it is there, nothing happens.

        Raise ProjectRolledBack if it was removed before: it never comes back.
        """

    async def remove(self, user_id: str, project_id: str, timeout: float) -> None:
        """Remove the part within `timeout` seconds, for good, also if it was never made."""


class UserService:
    """Who is calling. Their row is made by their first call."""

    def __init__(self, store: ProjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # The email last claimed by each user that surely has a row: nearly every call asks, and hardly any is news.
        self._known: OrderedDict[str, str | None] = OrderedDict()

    async def admit(self, user_id: str, email: str | None) -> None:
        """Make sure that the user has a row, with the email that they claim if they claim one."""
        if user_id in self._known and email in (None, self._known[user_id]):
            return
        await self.current(user_id, email)

    async def current(self, user_id: str, email: str | None) -> User:
        """Return the user, admitting them."""
        user = await self._store.admit_user(user_id, _storable(email), self._clock())
        self._known[user_id] = email
        if len(self._known) > _KNOWN_USERS:
            self._known.popitem(last=False)
        return user


class ProjectService:
    """The life of projects. `parts` are made in their order and removed in it.

    `removal_due` is called when a removal waits for the reconciler.
    """

    def __init__(
        self,
        store: ProjectStore,
        parts: Sequence[ProjectPart],
        clock: Clock,
        new_id: NewId,
        removal_due: Callable[[], object],
    ) -> None:
        self._store = store
        self._parts = parts
        self._clock = clock
        self._new_id = new_id
        self._removal_due = removal_due

    async def create(
        self,
        user_id: str,
        name: str,
        workspace_path: str | None,
        request_id: str | None,
        timeout: float,
    ) -> Project:
        """Return a new project with all of its parts, or the one that `request_id` made.

        When a part cannot be made within `timeout` seconds its error is raised and no project is left: one without a
        request_id is given up at once, one with it after 60 s unless the request_id returns, which then goes on with
        the same project. Raise RequestIdReused, or ProjectNotFound if what the request_id made was deleted since.
        """
        key = RequestKey.of("CreateProject", request_id, name, workspace_path)
        project = await self._store.begin_project(user_id, self._new_id(), name, workspace_path, key, self._clock())
        if project.state is State.ACTIVE:
            return project
        active: Project | None = None
        try:
            await self._make_parts(project, timeout)
            active = await self._store.activate_project(user_id, project.id, self._clock())
        finally:
            # Also when the caller has gone. If this fails too, the reconciler finds the project when its time is over.
            if active is None and key is None:
                await self._store.abandon_project(user_id, project.id, self._clock())
                self._removal_due()
        log.info("project created", project_id=active.id, user_id=user_id)
        return active

    async def get(self, user_id: str, project_id: str) -> Project:
        """Return a project. Raise ProjectNotFound."""
        return await self._store.get_project(user_id, project_id)

    async def list(self, user_id: str, size: int, token: str) -> tuple[Sequence[Project], int, str]:
        """Return a page of the user's projects, newest first, their number in all pages, and the next page's token.

        Raise InvalidPageToken for a token that is not of this user's list.
        """
        query = ("projects", user_id)
        position = decode_token(token, *query, types=(datetime, str))
        after = Position(*position) if position is not None else None
        page = await self._store.list_projects(user_id, after, page_size(size))
        if not page.has_more:
            return page.projects, page.total, ""
        last = page.projects[-1]
        return page.projects, page.total, encode_token([last.created_at, last.id], *query)

    async def update(self, user_id: str, project_id: str, changes: Changes) -> Project:
        """Change a project and return it. Raise ProjectNotFound."""
        return await self._store.update_project(user_id, project_id, changes, self._clock())

    async def delete(self, user_id: str, project_id: str) -> None:
        """Delete a project: it is gone for its user at once, its parts soon after. Raise ProjectNotFound."""
        await self._store.delete_project(user_id, project_id, self._clock())
        self._removal_due()
        log.info("project deleted", project_id=project_id, user_id=user_id)

    async def _make_parts(self, project: Project, timeout: float) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + timeout * _SHARE_OF_PARTS
        for part in self._parts:
            await part.make(project.user_id, project.id, max(0.0, deadline - now()))


def _storable(email: str | None) -> str | None:
    # Whatever a token claims as an email, it must not fail the call.
    return email if email is not None and len(email) <= _LONGEST_EMAIL and email.isprintable() else None
