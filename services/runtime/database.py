"""The database of a service: visible transactions, and what SQLite and PostgreSQL do not share."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import cache
from inspect import signature
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator

from services.runtime.errors import Unavailable

Statement = TypeVar("Statement", bound=sa.Executable)


class DatabaseUnavailable(Unavailable):
    """The database cannot serve now: it is out of reach, restarting, or too busy.

    `in_doubt` says whether the transaction may have happened all the same: the answer to its commit was lost. Whoever
    must know reads again, under a lock that the transaction holds until it is decided. `cause` is for operators, in the
    server's words; callers do not see it.
    """

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self, cause: str, *, in_doubt: bool = False) -> None:
        self.cause = cause
        self.in_doubt = in_doubt
        super().__init__("the database is out of reach or too busy at the moment: try again", retry_after=1.0)


Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
"""A JSON column: text on SQLite, jsonb on PostgreSQL, which keeps neither the order of keys nor U+0000."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on databases with and without time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse what is not aware: it would be read back as another moment."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """SQLite gives back what it got, without its zone."""
        return value if value is None or value.tzinfo is not None else value.replace(tzinfo=UTC)


class epoch_now(sa.sql.functions.FunctionElement[float]):
    """The database's own clock, in seconds since 1970: leases compare no other."""

    type = sa.Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(element: epoch_now, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgresql_now(element: epoch_now, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class turn(sa.sql.functions.FunctionElement[Any]):
    """`SELECT turn('name')` waits for every open transaction that took the turn of this name before, and takes it.

    For what no row stands for that could be locked.
    """

    inherit_cache = True


@compiles(turn, "sqlite")
def _sqlite_turn(element: turn, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    # Who writes is alone already. The name is a parameter, which must appear.
    return f"length({compiler.process(element.clauses, **options)})"


@compiles(turn, "postgresql")
def _postgresql_turn(element: turn, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return f"pg_advisory_xact_lock(hashtextextended({compiler.process(element.clauses, **options)}, 0))"


class notice(sa.sql.functions.FunctionElement[Any]):
    """`SELECT notice('channel', 'text')` tells those who listen to the channel, once the transaction is committed."""

    inherit_cache = True


@compiles(notice, "sqlite")
def _sqlite_notice(element: notice, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    # No other process has this database.
    return f"coalesce({compiler.process(element.clauses, **options)})"


@compiles(notice, "postgresql")
def _postgresql_notice(element: notice, compiler: sa.sql.compiler.SQLCompiler, **options: Any) -> str:
    return f"pg_notify({compiler.process(element.clauses, **options)})"


class Database(Protocol):
    """Transactions on one database. An `urgent` one begins before others that wait to begin.

    Hold none across an RPC or a model call: on SQLite every other writer waits for it.
    """

    def read(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that sees one state of the database and changes nothing."""

    def write(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that commits when the block ends and is rolled back when it raises."""

    def migrate(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction for changes of the schema. Migrations of one database take turns."""

    def listening(self, channel: str, heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """While the block runs, call `heard` with each notice that some process commits to the channel.

        A hint: a notice is lost while the connection is. On SQLite there is no other process, and nothing is heard.
        """

    async def close(self) -> None:
        """Give back every connection."""


async def lock_rows(connection: AsyncConnection, ids: sa.Column[str], *where: sa.ColumnElement[bool]) -> None:
    """Lock the rows until the transaction ends, in the order of their ids.

    Who is to change several rows begins so: two that lock the same rows in different orders wait for each other. No
    more is locked than an UPDATE does: whoever holds a row that refers to one of these, which PostgreSQL then looks for
    when they change theirs for the second time, must not wait for somebody who waits for them.
    """
    await connection.execute(sa.select(ids).where(*where).order_by(ids).with_for_update(key_share=True))


def prepared(build: Callable[..., Statement]) -> Callable[..., tuple[Statement, dict[str, Any]]]:
    """Make a builder of statements build once, with a bound parameter for each of its arguments.

    Called with values, it returns the statement and its parameters: `connection.execute(*of_session(session_id))`. For
    what every message does: building an UPDATE takes four times as long as SQLite takes to execute it.
    """
    names = [f"{name}_" for name in signature(build).parameters]

    @cache
    def statement() -> Statement:
        return build(*(sa.bindparam(name) for name in names))

    def with_values(*values: Any) -> tuple[Statement, dict[str, Any]]:
        return statement(), dict(zip(names, values, strict=True))

    return with_values
