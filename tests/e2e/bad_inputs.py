"""Rows of the table of bad inputs: what is sent, and the exact status, reason and fields of the answer.

In paths `$P`, `$S`, `$A` and `$R` stand for ids of the caller's project, session, agent and run, `$T` for a page token
of the project's list of agents.
"""

import json
from dataclasses import dataclass
from typing import Any

from tests.e2e.wire import request

PROJECTS = "/my/projects"
PROJECT = "/my/projects/$P"
AGENTS = f"{PROJECT}/agents"
AGENT = f"{AGENTS}/$A"
SESSIONS = f"{PROJECT}/chat/sessions"
SESSION = f"{SESSIONS}/$S"
MESSAGE = f"{PROJECT}/chat/$S/message"
STREAM = f"{MESSAGE}:stream"
EVENTS = f"{PROJECT}/chat/$S/events"
RUNS = f"{PROJECT}/runs"
APPROVALS = f"{PROJECT}/approvals"
POLICY = f"{PROJECT}/tool-policy"
NOWHERE = "00000000-0000-4000-8000-000000000000"
GOOD = b'{"name": "Good"}'


@dataclass(frozen=True)
class Row:
    """One bad input and its answer. Without a status: the connection ends without one."""

    sent: bytes
    status: int
    reason: str
    fields: tuple[str, ...] = ()
    half_close: bool = False

    def __str__(self) -> str:
        return repr(self.sent.replace(b"Host: x\r\nConnection: close\r\nAuthorization: Bearer $TOKEN\r\n", b""))[:160]


def bad(body: Any, status: int, reason: str, *fields: str, at: str = PROJECTS, by: str = "POST") -> Row:
    """A body, as text, as bytes or as what its JSON says."""
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return Row(request(by, at, content), status, reason, fields)


def config(body: Any, status: int, reason: str, *fields: str) -> Row:
    """A config, as the text or the value of its JSON, of an agent that would be good."""
    text = body if isinstance(body, str) else json.dumps(body)
    return bad(f'{{"name": "Eve", "config": {text}}}', status, reason, *fields, at=AGENTS)


def rules(*rules: dict[str, Any], **approval: Any) -> dict[str, Any]:
    """A policy of these rules, each with a decision unless it has one."""
    return {"rules": [{"decision": "ask", **rule} for rule in rules], "plan_approval": approval}


def policy(body: Any, status: int, reason: str, *fields: str) -> Row:
    """A policy of tools."""
    return bad(body, status, reason, *fields, at=POLICY, by="PUT")


def invalid(body: Any, *fields: str, at: str = PROJECTS, by: str = "POST") -> Row:
    """422."""
    return bad(body, 422, "INVALID_ARGUMENT", *fields, at=at, by=by)


def mistyped(body: Any, *fields: str, at: str = PROJECTS, by: str = "POST") -> Row:
    """400 for a wrong JSON type."""
    return bad(body, 400, "WRONG_TYPE", *fields, at=at, by=by)


def get(target: str, status: int, reason: str, *fields: str, headers: tuple[str, ...] = ()) -> Row:
    return Row(request("GET", target, None, *headers), status, reason, fields)


def headed(status: int, reason: str, *fields: str, headers: tuple[str, ...] = (), **more: Any) -> Row:
    """A good body under headers that are not."""
    return Row(request("POST", PROJECTS, more.pop("body", GOOD), *headers, **more), status, reason, fields)


def raw(data: bytes, status: int = 400, reason: str = "MALFORMED_REQUEST") -> Row:
    return Row(data, status, reason)


def nested(levels: int, opening: str = '{"a":', closing: str = "}", inside: str = "1") -> str:
    return opening * levels + inside + closing * levels


def deep(text: str) -> Row:
    return bad(text, 400, "NESTED_TOO_DEEP")


def head(*lines: bytes, start: bytes = b"GET /my HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: x", b"Connection: close", b"Authorization: Bearer $TOKEN", *lines, b"", b""])


def posted(*lines: bytes, body: bytes = GOOD) -> bytes:
    return head(b"Content-Type: application/json", *lines, start=b"POST /my/projects HTTP/1.1") + body
