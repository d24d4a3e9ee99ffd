"""What services have written down, read past their doors: from their SQLite files, or from PostgreSQL."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from tests.e2e.polling import eventually

FINISHED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
LEASED = frozenset({"PLANNING", "RUNNING"})
_COSTS = ("prompt_tokens", "completion_tokens", "model_calls")


class Ledger(Protocol):
    """The tables of a living service."""

    async def rows(self, query: str) -> list[Mapping[str, Any]]:
        """What the query selects, with times as they are kept. The tables need no schema."""


@dataclass(frozen=True)
class SqliteLedger:
    file: Path

    async def rows(self, query: str) -> list[Mapping[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=5.0)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]


@dataclass(frozen=True)
class PostgresLedger:
    url: str
    schema: str = "orchestrator"

    async def rows(self, query: str) -> list[Mapping[str, Any]]:
        """As soon as the server answers: a check of one fault may meet the next, which restarts it."""

        async def read() -> tuple[list[Mapping[str, Any]]] | None:
            try:
                return (await self._read(query),)
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
                return None

        [answered] = await eventually(read, within=30, what="an answer of PostgreSQL")
        rows: list[Mapping[str, Any]] = answered
        return rows

    async def _read(self, query: str) -> list[Mapping[str, Any]]:
        connection = await asyncpg.connect(self.url, server_settings={"search_path": self.schema})
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()


@dataclass(frozen=True)
class RunRow:
    """How a run stands."""

    id: str
    session_id: str
    state: str
    owner: str | None
    epoch: int
    attempts: int
    planned: bool
    reason: str | None
    """Why it failed."""
    begun: int
    """How often its tasks were begun."""
    usage: tuple[int, int, int]
    """Prompt tokens, completion tokens, model calls."""

    @property
    def over(self) -> bool:
        return self.state in FINISHED

    @property
    def leased(self) -> bool:
        return self.state in LEASED


@dataclass(frozen=True)
class TaskRow:
    """How a task of a run stands; `finished_at` is Unix time by the clock of who wrote it, just before the commit."""

    run_id: str
    id: str
    state: str
    attempt: int
    output: str | None
    finished_at: float | None
    usage: tuple[int, int, int]
    """As a run's."""


@dataclass(frozen=True)
class EventRow:
    """A committed event; `at` is Unix time by the clock of who wrote it, just before the commit."""

    run_id: str
    n: int
    epoch: int
    type: str
    final: bool
    published: str | None
    at: float


@dataclass(frozen=True)
class ApprovalRow:
    """What a run asked its user."""

    id: str
    run_id: str
    task_id: str | None
    state: str


@dataclass(frozen=True)
class EffectRow:
    """A call of a tool that the agents service has begun; `id` is its approval's. Without success it may go on yet."""

    id: str
    run_id: str
    tool: str
    new_text: str
    """Of an edit what it puts in."""
    success: bool | None


async def runs_of(ledger: Ledger, session_ids: Iterable[str]) -> list[RunRow]:
    """The sessions' runs, in the order in which they were accepted."""
    query = (
        "SELECT id, session_id, state, owner, epoch, attempts, mode, error_reason,"
        " COALESCE((SELECT SUM(attempt) FROM run_tasks WHERE run_id = runs.id), 0) AS begun,"
        f" {', '.join(_COSTS)} FROM runs WHERE session_id IN ({_quoted(session_ids)}) ORDER BY session_id, position"
    )
    return [
        RunRow(
            *(row["id"], row["session_id"], row["state"].upper(), row["owner"], row["epoch"], row["attempts"]),
            planned=row["mode"].upper() == "ORCHESTRATED",
            reason=row["error_reason"],
            begun=row["begun"],
            usage=_usage(row),
        )
        for row in await ledger.rows(query)
    ]


async def tasks_of(ledger: Ledger, run_ids: Iterable[str]) -> dict[str, list[TaskRow]]:
    """The runs' tasks, in the order of their plans."""
    query = (
        f"SELECT run_id, id, state, attempt, output, finished_at, {', '.join(_COSTS)} FROM run_tasks"
        f" WHERE run_id IN ({_quoted(run_ids)}) ORDER BY run_id, ordinal"
    )
    found: dict[str, list[TaskRow]] = {}
    for row in await ledger.rows(query):
        finished_at = None if row["finished_at"] is None else _unix(row["finished_at"])
        task = TaskRow(
            *(row["run_id"], row["id"], row["state"].upper(), row["attempt"], row["output"], finished_at),
            usage=_usage(row),
        )
        found.setdefault(task.run_id, []).append(task)
    return found


async def events_of(ledger: Ledger, run_ids: Iterable[str]) -> dict[str, list[EventRow]]:
    """The runs' events, in order."""
    query = (
        "SELECT run_id, n, epoch, type, final, published, created_at FROM run_events"
        f" WHERE run_id IN ({_quoted(run_ids)}) ORDER BY run_id, n"
    )
    found: dict[str, list[EventRow]] = {}
    for row in await ledger.rows(query):
        event = EventRow(
            *(row["run_id"], row["n"], row["epoch"], row["type"], bool(row["final"]), row["published"]),
            at=_unix(row["created_at"]),
        )
        found.setdefault(event.run_id, []).append(event)
    return found


async def approvals_of(ledger: Ledger, run_ids: Iterable[str]) -> dict[str, list[ApprovalRow]]:
    """What the runs asked, in order."""
    query = f"SELECT id, run_id, task_id, state FROM approvals WHERE run_id IN ({_quoted(run_ids)}) ORDER BY run_id, n"
    found: dict[str, list[ApprovalRow]] = {}
    for row in await ledger.rows(query):
        approval = ApprovalRow(row["id"], row["run_id"], row["task_id"], row["state"].upper())
        found.setdefault(approval.run_id, []).append(approval)
    return found


async def effects_of(agents: Ledger, run_ids: Iterable[str]) -> dict[str, dict[str, EffectRow]]:
    """What the runs did, by the ids of their calls; read from the tables of the agents service."""
    query = f"SELECT run_id, call_id, tool, arguments, success FROM effects WHERE run_id IN ({_quoted(run_ids)})"
    found: dict[str, dict[str, EffectRow]] = {}
    for row in await agents.rows(query):
        put = json.loads(row["arguments"]).get("new_text", "")
        success = None if row["success"] is None else bool(row["success"])
        effect = EffectRow(row["call_id"], row["run_id"], row["tool"], put, success)
        found.setdefault(effect.run_id, {})[effect.id] = effect
    return found


def _quoted(ids: Iterable[str]) -> str:
    # Ids that services made: nothing to escape. An empty list is no SQL.
    return ", ".join(f"'{each}'" for each in ids) or "''"


def _usage(row: Mapping[str, Any]) -> tuple[int, int, int]:
    prompt, completion, calls = (row[name] for name in _COSTS)
    return prompt, completion, calls


def _unix(kept: Any) -> float:
    moment = kept if isinstance(kept, datetime) else datetime.fromisoformat(kept)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
