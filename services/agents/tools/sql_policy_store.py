"""The ToolPolicyStore on a SQL database."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.agents.agent import Owner
from services.agents.errors import AgentNotFound, ProjectNotFound
from services.agents.tables import (
    OWN_AGENTS,
    OWN_POLICIES,
    lock_space,
    of,
    space_state,
    tool_policies,
    user_agents,
)
from services.agents.tools.policy import PlanApproval, ToolPolicy, ToolRule
from services.runtime.database import Database, prepared


class SqlToolPolicyStore:
    """Policies in a database with the tables of `metadata`. What leaves passes the owner's guard.

    A policy's row goes with its project's worker space, in the transaction that deletes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_policy(self, owner: Owner) -> ToolPolicy:
        """See ToolPolicyStore."""
        async with self._database.read() as connection:
            found = await connection.execute(*_of_project(owner.user_id, owner.project_id))
            row = OWN_POLICIES.first(found, owner.user_id, owner.project_id)
            if row is None:
                if await space_state(connection, owner) != "active":
                    raise ProjectNotFound(owner.project_id)
                return ToolPolicy()
            policy = _policy(row)
            there = await _agents(connection, owner, _agents_of(policy))
        return replace(policy, rules=tuple(rule for rule in policy.rules if rule.agent_id in (None, *there)))

    async def set_policy(self, owner: Owner, policy: ToolPolicy, now: datetime) -> ToolPolicy:
        """See ToolPolicyStore."""
        async with self._database.write() as connection:
            # Of two that come at once, and of one that meets a deletion, the second sees the first.
            if await lock_space(connection, owner) != "active":
                raise ProjectNotFound(owner.project_id)
            named = _agents_of(policy)
            there = await _agents(connection, owner, named)
            for agent_id in named:
                if agent_id not in there:
                    raise AgentNotFound(agent_id)
            values = {"policy": _values(policy), "updated_at": now}
            changed = await connection.execute(sa.update(tool_policies).where(of(tool_policies, owner)).values(values))
            if changed.rowcount == 0:
                await connection.execute(sa.insert(tool_policies).values(**asdict(owner), **values))
        return replace(policy, updated_at=now)


@prepared
def _of_project(user_id: Any, project_id: Any) -> sa.Select[Any]:
    return sa.select(tool_policies).where(of(tool_policies, Owner(user_id, project_id)))


def _agents_of(policy: ToolPolicy) -> list[str]:
    """The agents that rules are for, in the order of the rules."""
    return list(dict.fromkeys(rule.agent_id for rule in policy.rules if rule.agent_id is not None))


async def _agents(connection: AsyncConnection, owner: Owner, ids: Iterable[str]) -> set[str]:
    """Which of these the project has."""
    named = list(ids)
    if not named:
        return set()
    whose = (user_agents.c.id, user_agents.c.user_id, user_agents.c.project_id)
    found = await connection.execute(sa.select(*whose).where(of(user_agents, owner), user_agents.c.id.in_(named)))
    return {str(row.id) for row in OWN_AGENTS.all(found, owner.user_id, owner.project_id)}


def _values(policy: ToolPolicy) -> dict[str, Any]:
    return {
        "rules": [asdict(rule) for rule in policy.rules],
        "plan_approval": asdict(policy.plan_approval),
    }


def _policy(row: sa.Row[Any]) -> ToolPolicy:
    values: Mapping[str, Any] = row.policy
    approval = values["plan_approval"]
    return ToolPolicy(
        tuple(ToolRule(**rule) for rule in values["rules"]),
        PlanApproval(**{**approval, "risks": tuple(approval["risks"])}),
        row.updated_at,
    )
