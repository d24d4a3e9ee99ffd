"""The door through which memories leave a store: those of the collection's owner and agent, and nobody else's."""

from collections.abc import Iterable

import structlog

from services.agents.memory.model import Collection, Found, Memory
from services.runtime.ownership import VIOLATIONS, OwnerGuard

log = structlog.get_logger()

_TABLE = "memories"
_GUARD = OwnerGuard(_TABLE, user="owner.user_id", project="owner.project_id")
_OF_ANOTHER_AGENT = VIOLATIONS.labels(_TABLE)


def let_out(collection: Collection, memories: Iterable[Memory]) -> list[Memory]:
    """The memories that are the collection's; what is another owner's or agent's is left out and counted."""
    owner = collection.owner
    return [each for each in _GUARD.all(memories, owner.user_id, owner.project_id) if _is_the_agents(collection, each)]


def let_out_found(collection: Collection, found: Iterable[Found]) -> list[Found]:
    """What was found and is the collection's."""
    return [each for each in found if let_out(collection, [each.memory])]


def _is_the_agents(collection: Collection, memory: Memory) -> bool:
    if memory.agent_id == collection.agent_id:
        return True
    _OF_ANOTHER_AGENT.inc()
    log.error(
        "memory of another agent caught",
        memory_id=memory.id,
        memory_agent_id=memory.agent_id,
        agent_id=collection.agent_id,
    )
    return False
