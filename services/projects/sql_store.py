"""ProjectStore in SQL."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.projects.errors import ProjectNotFound, ProjectRolledBack
from services.projects.store import (
    CREATE_MAY_TAKE,
    Changes,
    Page,
    Position,
    Project,
    Removal,
    State,
    User,
    backoff,
)
from services.runtime.database import Database, UtcDateTime
from services.runtime.idempotency import IdempotencyKeys, RequestKey
from services.runtime.ownership import OwnerGuard

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("email", sa.String(320), unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

projects = sa.Table(
    "user_projects",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("user_id", sa.String(36), sa.ForeignKey(users.c.id), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("workspace_path", sa.String(1000)),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    # When the reconciler has to look at it; null while nothing is to be done.
    sa.Column("due_at", UtcDateTime, index=True),
    sa.Column("removal_attempts", sa.Integer, nullable=False, default=0),
    sa.Index("user_projects_in_order", "user_id", "state", "created_at", "id"),
)

keys = IdempotencyKeys(metadata)

_PROJECT = [projects.c[name] for name in Project.__dataclass_fields__]
_OWN_USER = OwnerGuard("users", user="id", project=None)
_OWN_PROJECTS = OwnerGuard("user_projects", project=None)


class SqlProjectStore:
    """ProjectStore on a database whose tables exist (`metadata`).

    What leaves passes the owner's guard, `claim_removals` excepted: it works for every user, and hands out ids alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit_user(self, user_id: str, email: str | None, now: datetime) -> User:
        """See ProjectStore."""
        async with self._database.read() as connection:
            known = await _user(connection, user_id)
        if known is not None and email in (None, known.email):
            return known
        async with self._database.write() as connection:
            if known is None:
                # SQLite writes ON CONFLICT in the same words. Somebody's first calls often come together.
                row = {"id": user_id, "email": None, "created_at": now}
                await connection.execute(postgresql.insert(users).values(row).on_conflict_do_nothing())
            if email is not None:
                update = sa.update(users).where(users.c.id == user_id)
                if not await _unless_taken(connection, update.values(email=email)):
                    await connection.execute(update.values(email=None))
            admitted = await _user(connection, user_id)
        if admitted is None:
            raise LookupError(f"user {user_id} vanished while being admitted")
        return admitted

    async def begin_project(
        self,
        user_id: str,
        project_id: str,
        name: str,
        workspace_path: str | None,
        key: RequestKey | None,
        now: datetime,
    ) -> Project:
        """See ProjectStore."""
        async with self._database.write() as connection:
            if key is not None:
                known = await keys.claim(connection, user_id, key, project_id, now)
                if known != project_id:
                    return await _begin_again(connection, user_id, known, now)
            project = Project(project_id, user_id, name, workspace_path, State.PROVISIONING, now, now)
            await connection.execute(sa.insert(projects).values(**vars(project), due_at=now + CREATE_MAY_TAKE))
            return project

    async def activate_project(self, user_id: str, project_id: str, now: datetime) -> Project:
        """See ProjectStore."""
        async with self._database.write() as connection:
            change = _change(user_id, project_id, State.PROVISIONING)
            await connection.execute(change.values(state=State.ACTIVE, due_at=None))
            project = await _find(connection, user_id, project_id)
        if project is None or project.state is not State.ACTIVE:
            raise ProjectRolledBack(project_id)
        return project

    async def abandon_project(self, user_id: str, project_id: str, now: datetime) -> None:
        """See ProjectStore."""
        async with self._database.write() as connection:
            change = _change(user_id, project_id, State.PROVISIONING)
            await connection.execute(change.values(due_at=now))

    async def get_project(self, user_id: str, project_id: str) -> Project:
        """See ProjectStore."""
        async with self._database.read() as connection:
            return _visible(await _find(connection, user_id, project_id), project_id)

    async def list_projects(self, user_id: str, after: Position | None, limit: int) -> Page:
        """See ProjectStore."""
        mine = sa.and_(projects.c.user_id == user_id, projects.c.state == State.ACTIVE)
        query = sa.select(*_PROJECT).where(mine).order_by(projects.c.created_at.desc(), projects.c.id.desc())
        if after is not None:
            same_moment = sa.and_(projects.c.created_at == after.created_at, projects.c.id < after.project_id)
            query = query.where(sa.or_(projects.c.created_at < after.created_at, same_moment))
        async with self._database.read() as connection:
            rows = _OWN_PROJECTS.all(await connection.execute(query.limit(limit + 1)), user_id)
            count = (
                sa.select(projects.c.user_id, sa.func.count().label("rows")).where(mine).group_by(projects.c.user_id)
            )
            total = sum(row.rows for row in _OWN_PROJECTS.all(await connection.execute(count), user_id))
        return Page(tuple(_project(row) for row in rows[:limit]), total, len(rows) > limit)

    async def update_project(self, user_id: str, project_id: str, changes: Changes, now: datetime) -> Project:
        """See ProjectStore."""
        if not changes:
            return await self.get_project(user_id, project_id)
        async with self._database.write() as connection:
            change = _change(user_id, project_id, State.ACTIVE)
            await connection.execute(change.values(**changes, updated_at=now))
            return _visible(await _find(connection, user_id, project_id), project_id)

    async def delete_project(self, user_id: str, project_id: str, now: datetime) -> None:
        """See ProjectStore."""
        async with self._database.write() as connection:
            change = _change(user_id, project_id, State.ACTIVE)
            changed = await connection.execute(change.values(state=State.DELETING, due_at=now, updated_at=now))
            if changed.rowcount == 0:
                raise ProjectNotFound(project_id)

    async def claim_removals(self, now: datetime, limit: int, underway: Collection[str]) -> list[Removal]:
        """See ProjectStore."""
        due = (
            sa.select(projects.c.id, projects.c.user_id, projects.c.state, projects.c.removal_attempts)
            .where(projects.c.due_at <= now, projects.c.id.not_in(list(underway)))
            .order_by(projects.c.due_at, projects.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            # Nearly always nothing is due, and then no writer needs to wait.
            if (await connection.execute(due)).first() is None:
                return []
        async with self._database.write() as connection:
            rows = (await connection.execute(due.with_for_update(skip_locked=True))).all()
            return [await _claim(connection, *row, now) for row in rows]

    async def forget_project(self, user_id: str, project_id: str) -> None:
        """See ProjectStore."""
        async with self._database.write() as connection:
            await connection.execute(
                sa.delete(projects).where(
                    projects.c.user_id == user_id, projects.c.id == project_id, projects.c.state == State.DELETING
                )
            )


async def _unless_taken(connection: AsyncConnection, statement: sa.Update) -> bool:
    """Execute, and say whether it was possible: not if another row has the unique value."""
    try:
        async with connection.begin_nested():
            await connection.execute(statement)
    except IntegrityError:
        return False
    return True


async def _user(connection: AsyncConnection, user_id: str) -> User | None:
    row = _OWN_USER.first(await connection.execute(sa.select(users).where(users.c.id == user_id)), user_id)
    return None if row is None else User(**row._mapping)


async def _begin_again(connection: AsyncConnection, user_id: str, project_id: str, now: datetime) -> Project:
    change = _change(user_id, project_id, State.PROVISIONING)
    await connection.execute(change.values(due_at=now + CREATE_MAY_TAKE))
    project = await _find(connection, user_id, project_id)
    if project is None or project.state is State.DELETING:
        raise ProjectNotFound(project_id)
    return project


async def _claim(
    connection: AsyncConnection, project_id: str, user_id: str, state: str, attempts: int, now: datetime
) -> Removal:
    rolled_back = state == State.PROVISIONING
    if rolled_back:
        await keys.forget(connection, user_id, [project_id])
    attempts += 1
    change = _change(user_id, project_id, State(state))
    await connection.execute(
        change.values(state=State.DELETING, removal_attempts=attempts, due_at=now + backoff(attempts))
    )
    return Removal(project_id, user_id, attempts, rolled_back)


def _change(user_id: str, project_id: str, state: State) -> sa.Update:
    return sa.update(projects).where(
        projects.c.user_id == user_id, projects.c.id == project_id, projects.c.state == state
    )


async def _find(connection: AsyncConnection, user_id: str, project_id: str) -> Project | None:
    query = sa.select(*_PROJECT).where(projects.c.user_id == user_id, projects.c.id == project_id)
    row = _OWN_PROJECTS.first(await connection.execute(query), user_id)
    return None if row is None else _project(row)


def _visible(project: Project | None, project_id: str) -> Project:
    if project is None or project.state is not State.ACTIVE:
        raise ProjectNotFound(project_id)
    return project


def _project(row: sa.Row[Any]) -> Project:
    return Project(**{**row._mapping, "state": State(row.state)})
