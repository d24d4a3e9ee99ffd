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
# How a user message begins that tells the results of tools to an endpoint that takes none.
RESULTS = "# What your tools gave\n"


def kind_of(body: dict[str, Any]) -> Kind:
    """What the request is for."""
    if "input" in body:
        return "embedding"
    system = system_text(body)
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


def system_text(body: dict[str, Any]) -> str:
    """The system prompt; empty without one."""
    return _last_said(body, "system")


def after_asking(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages after the one that asks: the turns in which tools were called, with their results."""
    messages = body.get("messages") or []
    asking = (n for n in range(len(messages) - 1, -1, -1) if _says(messages[n], "user"))
    return list(messages[next(asking, -1) + 1 :])


def is_text_of_results(message: dict[str, Any]) -> bool:
    """Whether it tells what tools gave, and asks nothing."""
    return message.get("role") == "user" and _content(message).startswith(RESULTS)


def _says(message: dict[str, Any], role: str) -> bool:
    return message.get("role") == role and not is_text_of_results(message)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def _last_said(body: dict[str, Any], role: str) -> str:
    messages = body.get("messages") or []
    return next((_content(message) for message in reversed(messages) if _says(message, role)), "")
