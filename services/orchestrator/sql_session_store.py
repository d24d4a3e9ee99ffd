"""Sessions and messages in a SQL database."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.errors import ProjectDeleted, ProjectNotFound, SessionNotFound
from services.orchestrator.model import FINISHED, Message, Owner, Page, Role, RunState, Session
from services.orchestrator.sql_notices import tell_changed
from services.orchestrator.tables import (
    approvals,
    chat_sessions,
    idempotency_keys,
    messages,
    own_messages,
    own_projects,
    own_runs,
    own_sessions,
    projects,
    run_events,
    run_tasks,
    runs,
)
from services.runtime.database import Database, lock_rows, prepared
from services.runtime.idempotency import RequestKey
from services.runtime.pages import decode_token, encode_token, fitting


class SqlSessionStore:
    """`SessionStore` on SQLite and PostgreSQL.

    What leaves passes the owner's guard, `deleted_sessions` of all projects excepted: it works for every user, and
    hands out ids alone.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit_project(self, owner: Owner) -> None:
        async with self._database.write() as connection:
            await connection.execute(_inserted_project(owner, deleted=False).on_conflict_do_nothing())
            project = await _find_project(connection, owner)
            if project is not None and project.deleted:
                raise ProjectDeleted(owner.project_id)

    async def delete_project(self, owner: Owner) -> list[str]:
        async with self._database.write() as connection:
            # The tombstone first: whoever creates something in the project waits for this row, and then sees it.
            tombstone = _inserted_project(owner, deleted=True)
            await connection.execute(
                tombstone.on_conflict_do_update(index_elements=list(projects.primary_key), set_={"deleted": True})
            )
            left = (*_sessions(owner), chat_sessions.c.deleted.is_(False))
            await lock_rows(connection, chat_sessions.c.id, *left)
            await connection.execute(sa.update(chat_sessions).where(*left).values(deleted=True))
            return await _cancel_runs(connection, owner, runs.c.project_id == owner.project_id)

    async def create_session(
        self, owner: Owner, session_id: str, title: str | None, key: RequestKey | None, now: datetime
    ) -> Session:
        async with self._database.write() as connection:
            await lock_project(connection, owner)
            if key is not None:
                known = await idempotency_keys.claim(connection, owner.user_id, key, session_id, now)
                if known != session_id:
                    return _session(await _session_row(connection, owner, known))
            created = await connection.execute(
                sa.insert(chat_sessions)
                .values(
                    id=session_id,
                    project_id=owner.project_id,
                    user_id=owner.user_id,
                    title=title,
                    created_at=now,
                    updated_at=now,
                )
                .returning(chat_sessions)
            )
            return _session(created.one())

    async def get_session(self, owner: Owner, session_id: str) -> Session:
        async with self._database.read() as connection:
            return _session(await _session_row(connection, owner, session_id))

    async def list_sessions(self, owner: Owner, page_size: int, page_token: str) -> Page[Session]:
        query = ("sessions", owner)
        after = decode_token(page_token, *query, types=(datetime, str))
        mine = _sessions(owner)
        select = sa.select(chat_sessions).where(*mine, chat_sessions.c.deleted.is_(False))
        if after is not None:
            select = select.where(sa.tuple_(chat_sessions.c.created_at, chat_sessions.c.id) < sa.tuple_(*after))
        async with self._database.read() as connection:
            await require_project(connection, owner)
            whose = (chat_sessions.c.user_id, chat_sessions.c.project_id)
            counted = await connection.execute(
                sa.select(*whose, sa.func.count().label("rows"))
                .where(*mine, chat_sessions.c.deleted.is_(False))
                .group_by(*whose)
            )
            found = await connection.execute(
                select.order_by(chat_sessions.c.created_at.desc(), chat_sessions.c.id.desc()).limit(page_size + 1)
            )
            total = sum(row.rows for row in own_sessions.all(counted, owner.user_id, owner.project_id))
            rows = own_sessions.all(found, owner.user_id, owner.project_id)
        token = ""
        if len(rows) > page_size:
            last = rows[page_size - 1]
            token = encode_token([last.created_at, last.id], *query)
        return Page([_session(row) for row in rows[:page_size]], total, token)

    async def rename_session(self, owner: Owner, session_id: str, title: str | None, now: datetime) -> Session:
        async with self._database.write() as connection:
            renamed = await connection.execute(
                sa.update(chat_sessions)
                .where(*_visible(owner, session_id))
                .values(title=title, updated_at=now)
                .returning(chat_sessions)
            )
            row = own_sessions.first(renamed, owner.user_id, owner.project_id)
            if row is None:
                raise SessionNotFound(session_id)
            return _session(row)

    async def delete_session(self, owner: Owner, session_id: str, now: datetime) -> list[str]:
        async with self._database.write() as connection:
            deleted = await connection.execute(
                sa.update(chat_sessions).where(*_visible(owner, session_id)).values(deleted=True, updated_at=now)
            )
            if not deleted.rowcount:
                raise SessionNotFound(session_id)
            return await _cancel_runs(connection, owner, runs.c.session_id == session_id)

    async def list_messages(self, owner: Owner, session_id: str, page_size: int, page_token: str) -> Page[Message]:
        query = ("messages", owner, session_id)
        before = decode_token(page_token, *query, types=(int,))
        mine = (messages.c.session_id == session_id, messages.c.user_id == owner.user_id)
        select = sa.select(messages).where(*mine)
        if before is not None:
            select = select.where(messages.c.position < before[0])
        async with self._database.read() as connection:
            session = await _session_row(connection, owner, session_id)
            found = await connection.execute(select.order_by(messages.c.position.desc()).limit(page_size + 1))
            rows = own_messages.all(found, owner.user_id)
        page = fitting(rows, page_size, lambda row: [row.content])
        token = encode_token([page[-1].position], *query) if len(rows) > len(page) else ""
        return Page([message_of(row) for row in reversed(page)], session.message_count, token)

    async def deleted_sessions(self, limit: int, project: Owner | None = None) -> dict[Owner, list[str]]:
        where = [chat_sessions.c.deleted.is_(True), *(_sessions(project) if project is not None else ())]
        async with self._database.read() as connection:
            ids = sa.select(chat_sessions.c.id, chat_sessions.c.user_id, chat_sessions.c.project_id)
            rows: Iterable[Any] = await connection.execute(ids.where(*where).limit(limit))
            if project is not None:
                rows = own_sessions.all(rows, project.user_id, project.project_id)
            found: dict[Owner, list[str]] = {}
            for row in rows:
                found.setdefault(Owner(row.user_id, row.project_id), []).append(row.id)
            return found

    async def purge_sessions(self, owner: Owner, session_ids: Sequence[str]) -> None:
        async with self._database.write() as connection:
            these = (*_sessions(owner), chat_sessions.c.id.in_(session_ids), chat_sessions.c.deleted.is_(True))
            await lock_rows(connection, chat_sessions.c.id, *these)
            doomed = sa.select(chat_sessions.c.id).where(*these)
            doomed_runs = sa.select(runs.c.id).where(runs.c.session_id.in_(doomed))
            await connection.execute(sa.delete(run_events).where(run_events.c.run_id.in_(doomed_runs)))
            await connection.execute(sa.delete(approvals).where(approvals.c.run_id.in_(doomed_runs)))
            await connection.execute(sa.delete(run_tasks).where(run_tasks.c.run_id.in_(doomed_runs)))
            await connection.execute(sa.delete(runs).where(runs.c.session_id.in_(doomed)))
            await connection.execute(sa.delete(messages).where(messages.c.session_id.in_(doomed)))
            await connection.execute(sa.delete(chat_sessions).where(*these))


async def lock_project(connection: AsyncConnection, owner: Owner) -> None:
    """Hold the project as it is until the transaction ends. Raise ProjectNotFound if it is absent or deleted."""
    locked = await connection.execute(*_locked_project(owner.user_id, owner.project_id))
    project = own_projects.first(locked, owner.user_id, owner.project_id)
    if project is None or project.deleted:
        raise ProjectNotFound(owner.project_id)


async def require_project(connection: AsyncConnection, owner: Owner) -> None:
    """Raise ProjectNotFound if the project is absent or deleted."""
    project = await _find_project(connection, owner)
    if project is None or project.deleted:
        raise ProjectNotFound(owner.project_id)


async def require_session(connection: AsyncConnection, owner: Owner, session_id: str) -> None:
    """Raise SessionNotFound unless the session is the owner's and not deleted."""
    found = await connection.execute(*_visible_session(owner.user_id, owner.project_id, session_id))
    if own_sessions.first(found, owner.user_id, owner.project_id) is None:
        raise SessionNotFound(session_id)


async def _cancel_runs(connection: AsyncConnection, owner: Owner, which: sa.ColumnElement[bool]) -> list[str]:
    """Cancel unfinished runs of what is being deleted, without events: nobody may see them any more."""
    unfinished = (runs.c.user_id == owner.user_id, which, runs.c.state.not_in(FINISHED))
    await lock_rows(connection, runs.c.id, *unfinished)
    cancelled = await connection.execute(
        sa.update(runs)
        .where(*unfinished)
        .values(state=RunState.CANCELLED, owner=None, epoch=runs.c.epoch + 1)
        .returning(runs.c.id, runs.c.user_id, runs.c.project_id)
    )
    ids = [row.id for row in own_runs.all(cancelled, owner.user_id, owner.project_id)]
    for run_id in ids:
        await tell_changed(connection, run_id)
    return ids


async def _find_project(connection: AsyncConnection, owner: Owner) -> sa.Row[Any] | None:
    found = await connection.execute(sa.select(projects).where(*_project(owner)))
    return own_projects.first(found, owner.user_id, owner.project_id)


async def _session_row(connection: AsyncConnection, owner: Owner, session_id: str) -> sa.Row[tuple[object, ...]]:
    found = await connection.execute(sa.select(chat_sessions).where(*_visible(owner, session_id)))
    row = own_sessions.first(found, owner.user_id, owner.project_id)
    if row is None:
        raise SessionNotFound(session_id)
    return row


@prepared
def _locked_project(user_id: Any, project_id: Any) -> sa.Select[Any]:
    return sa.select(projects).where(*_project(Owner(user_id, project_id))).with_for_update(read=True)


@prepared
def _visible_session(user_id: Any, project_id: Any, session_id: Any) -> sa.Select[Any]:
    whose = (chat_sessions.c.user_id, chat_sessions.c.project_id)
    return sa.select(chat_sessions.c.id, *whose).where(*_visible(Owner(user_id, project_id), session_id))


def _inserted_project(owner: Owner, *, deleted: bool) -> postgresql.Insert:
    # SQLite writes ON CONFLICT in the same words.
    return postgresql.insert(projects).values(user_id=owner.user_id, project_id=owner.project_id, deleted=deleted)


def _project(owner: Owner) -> tuple[sa.ColumnElement[bool], ...]:
    return projects.c.user_id == owner.user_id, projects.c.project_id == owner.project_id


def _sessions(owner: Owner) -> tuple[sa.ColumnElement[bool], ...]:
    return chat_sessions.c.user_id == owner.user_id, chat_sessions.c.project_id == owner.project_id


def _visible(owner: Owner, session_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_sessions(owner), chat_sessions.c.id == session_id, chat_sessions.c.deleted.is_(False))


def _session(row: sa.Row[tuple[object, ...]]) -> Session:
    return Session(
        id=row.id,
        project_id=row.project_id,
        title=row.title,
        message_count=row.message_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_event_id=row.last_event_id,
    )


def message_of(row: sa.Row[tuple[object, ...]]) -> Message:
    """A row of `messages` as a Message."""
    return Message(
        id=row.id,
        session_id=row.session_id,
        run_id=row.run_id,
        role=Role(row.role),
        content=row.content,
        agent_id=row.agent_id,
        timestamp=row.timestamp,
        metadata=row.metadata,
    )
