"""A database that forgets whose rows it was asked for, to see what the stores do about it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import sqlalchemy as sa
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import operators, visitors

from services.runtime.database import Database


def owner_columns(table: sa.Table) -> set[str]:
    """The columns that say whose a row of the table is; none if it is nobody's."""
    if table.name == "users":
        return {"id"}
    return {"user_id", "project_id"} & set(table.c.keys())


def forget_owners(statement: Any) -> Any:
    """The statement without its conditions on owners, wherever they stand, if it returns rows."""
    if not (statement.is_select or getattr(statement, "_returning", ())):
        return statement
    return visitors.replacement_traverse(statement, {}, _without_condition)


def _without_condition(element: Any, **_: Any) -> Any:
    if isinstance(element, sa.BinaryExpression) and element.operator is operators.eq and _is_owner(element.left):
        # The condition stays in its place, so that the statement takes the same parameters.
        return sa.or_(element, sa.literal_column("1 = 1")).self_group()
    return None


def _is_owner(column: Any) -> bool:
    return isinstance(column, sa.Column) and column.name in owner_columns(column.table)


def caught(table: str | None = None) -> float:
    """How many rows of others the guards caught so far, of one table or of all."""
    return sum(number for of_table, number in guards().items() if table in (None, of_table))


def guards() -> dict[str, float]:
    """The tables that have a guard, and how many rows of others it caught so far."""
    return {
        sample.labels["table"]: sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "user_isolation_violations_total"
    }


class ForgetfulDatabase:
    """Another database, asked without the conditions on owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        async with self._database.read(urgent=urgent) as connection:
            yield cast(AsyncConnection, _Connection(connection))

    @asynccontextmanager
    async def write(self, *, urgent: bool = False) -> AsyncIterator[AsyncConnection]:
        async with self._database.write(urgent=urgent) as connection:
            yield cast(AsyncConnection, _Connection(connection))

    def migrate(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.migrate()

    def listening(self, channel: str, heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        return self._database.listening(channel, heard)

    async def close(self) -> None:
        await self._database.close()


class _Connection:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return await self._connection.execute(forget_owners(statement), parameters)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        return await self._connection.scalar(forget_owners(statement), parameters)

    async def scalars(self, statement: Any, parameters: Any = None) -> Any:
        return await self._connection.scalars(forget_owners(statement), parameters)
