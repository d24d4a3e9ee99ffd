"""What a request to the fake model is for, and what it asks, as the platform's prompts say it."""

import json
from typing import Any, Literal

Kind = Literal["task", "planning", "combining", "embedding"]

# How the platform's prompts begin: also an endpoint that takes no response_format gets these.
PLANNING = "# Plan the work of a team of agents\n"
COMBINING = "# Bring the work of a team of agents together\n"
SCHEMA = "plan"
# What stands above a task's instruction where its prompt has context. Context is JSON, a line each: it cannot have it.
_INSTRUCTION = "\n\n# Your task\n\n"


def kind_of(body: dict[str, Any]) -> Kind:
    """What the request is for."""
    if "input" in body:
        return "embedding"
    system = _last_said(body, "system")
    if system.startswith(COMBINING):
        return "combining"
    response_format = body.get("response_format") or {}
    named = (response_format.get("json_schema") or {}).get("name")
    return "planning" if named == SCHEMA or system.startswith(PLANNING) else "task"


def planning_of(body: dict[str, Any]) -> dict[str, Any]:
    """What a planning call, or one that combines results, says: its only user message is a JSON object."""
    said = json.loads(_last_said(body, "user"))
    if not isinstance(said, dict) or not isinstance(said.get("request"), str):
        raise ValueError("the user message is no JSON object with a request")
    return said


def asked_text(body: dict[str, Any]) -> str:
    """What is asked, without what is only its context.

    A task's instruction; the user's message of a planning call and of one that combines results; all the texts whose
    vectors are asked for, a line each.
    """
    match kind_of(body):
        case "embedding":
            texts = body["input"]
            return texts if isinstance(texts, str) else "\n".join(map(str, texts))
        case "planning" | "combining":
            return str(planning_of(body)["request"])
    said = _last_said(body, "user")
    _, heading, instruction = said.partition(_INSTRUCTION)
    return instruction if heading and said.startswith("# ") else said


def _last_said(body: dict[str, Any], role: str) -> str:
    for message in reversed(body.get("messages") or []):
        if message.get("role") == role:
            content = message.get("content")
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""
