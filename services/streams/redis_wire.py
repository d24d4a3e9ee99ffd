"""Between the values of the streams service and what the script in Redis takes and tells (see redis_scripts)."""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from services.runtime.event_ids import EventId
from services.streams.store import (
    Interrupted,
    NewEvent,
    Notice,
    SessionClosed,
    SessionKey,
    StoredEvent,
    Text,
    TextDelta,
    TextSnapshot,
)

_REMEMBERED = 4_096
"""So many names and headers, which come again with every piece of an answer."""


@dataclass(frozen=True, slots=True)
class Owned:
    """Whose something is by what is written on it, for the owner's guard."""

    key: SessionKey


@lru_cache(_REMEMBERED)
def name_of(session: SessionKey) -> bytes:
    """What the session's keys end in. No two sessions have the same."""
    return ":".join(map(escaped, (session.session_id, session.project_id, session.user_id))).encode()


@lru_cache(_REMEMBERED)
def owner_of(name: bytes) -> Owned:
    """The session that the name was made of."""
    session_id, project_id, user_id = (_plain(part) for part in name.decode().split(":"))
    return Owned(SessionKey(user_id, project_id, session_id))


def escaped(part: str) -> str:
    """The part of a name, in which a colon stands between parts alone."""
    return part.replace("%", "%25").replace(":", "%3A")


def _plain(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%")


def event_arguments(run_id: str, event: NewEvent) -> tuple[bytes, bytes]:
    """Whether the event is final, and all that is kept of it."""
    return b"1" if event.final else b"", _header(run_id, event.type, event.final) + b"\n" + event.payload


def text_arguments(text: Text) -> tuple[bytes, ...]:
    """The text as operations.text takes it: a snapshot has no offset."""
    return (
        text.message_id.encode(),
        b"%d" % text.generation,
        b"%d" % text.offset if isinstance(text, TextDelta) else b"",
        b"%d" % len(text.text),
        repr(text.timestamp).encode(),
        _header(text.run_id, text.message_id, text.task_id, text.agent_id, text.generation),
        text.text.encode(),
    )


def notice_of(told: bytes) -> Notice:
    """What the script told of a session."""
    match told[:1]:
        case b"C":
            return SessionClosed()
        case b"I":
            return Interrupted()
        case b"E":
            return event_of(told)
        case b"S":
            return snapshot_of(told)
    where, header, body = told.split(b"\n", 2)
    offset, _, timestamp = where[1:].partition(b" ")
    run_id, message_id, task_id, agent_id, generation = _fields(header)
    text, time = body.decode(), float(timestamp)
    return TextDelta(run_id, message_id, task_id, agent_id, generation, int(offset), text, time)


def snapshot_of(told: bytes) -> TextSnapshot:
    """The text so far that the script told of, or kept."""
    where, header, body = told.split(b"\n", 2)
    run_id, message_id, task_id, agent_id, generation = _fields(header)
    return TextSnapshot(run_id, message_id, task_id, agent_id, generation, body.decode(), float(where[1:]))


def event_of(told: bytes) -> StoredEvent:
    """The event that the script told of, or kept."""
    id, header, payload = told.split(b"\n", 2)
    epoch, _, seq = id[1:].decode().partition("-")
    run_id, type, final = _fields(header)
    return StoredEvent(EventId(epoch, int(seq)), run_id, type, final, payload)


@lru_cache(_REMEMBERED)
def _header(*fields: str | int | bool | None) -> bytes:
    return json.dumps(fields).encode()


@lru_cache(_REMEMBERED)
def _fields(header: bytes) -> tuple[Any, ...]:
    return tuple(json.loads(header))
