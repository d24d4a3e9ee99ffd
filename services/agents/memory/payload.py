"""A memory as a point's payload, the same in every store."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.agents.agent import Owner
from services.agents.memory.model import Memory
from services.agents.memory.words import words_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

KEYWORDS = ("interaction_type", "session_id", "tags", "words")
"""Keys that filters compare for equality; of a list, with each element. `success` is the one that is a boolean."""
AT = "at"
"""The key that lists are ordered by and times are filtered by."""


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def payload_of(memory: Memory) -> dict[str, Any]:
    """The payload of the memory's point."""
    return {
        "agent_id": memory.agent_id,
        "user_id": memory.owner.user_id,
        "project_id": memory.owner.project_id,
        "session_id": memory.session_id,
        "content": memory.content,
        "words": sorted(set(words_of(memory.content))),
        "interaction_type": memory.interaction_type,
        "timestamp": memory.timestamp.astimezone(UTC).isoformat(),
        AT: micros(memory.timestamp),
        "success": memory.success,
        "tags": list(memory.tags),
        "metadata": memory.metadata,
        "asked": memory.asked,
        "source": memory.source,
    }


# What is written besides a field of this name.
_WITH = {"content": ("words",), "timestamp": (AT,)}


def payload_changes(memory: Memory, fields: Iterable[str]) -> dict[str, Any]:
    """The part of the payload that these fields of the memory decide."""
    payload = payload_of(memory)
    return {key: payload[key] for name in fields for key in (name, *_WITH.get(name, ()))}


def memory_of(point_id: str, payload: Mapping[str, Any]) -> Memory:
    """The memory that a point holds."""
    return Memory(
        id=point_id,
        owner=Owner(payload["user_id"], payload["project_id"]),
        agent_id=payload["agent_id"],
        content=payload["content"],
        interaction_type=payload["interaction_type"],
        timestamp=_EPOCH + payload[AT] * _MICROSECOND,
        session_id=payload.get("session_id"),
        success=payload["success"],
        tags=tuple(payload.get("tags") or ()),
        metadata=payload.get("metadata") or {},
        asked=payload.get("asked"),
        source=payload.get("source"),
    )
