"""Messages and tools as a chat completion is asked with."""

import json
import re
from collections.abc import Iterable
from typing import Any

from services.agents.models import Message, WantedCall
from services.agents.quoting import beginning
from services.agents.tools.tool import ToolSpec

_LONGEST_UNREADABLE = 500


def wire_message(message: Message) -> dict[str, Any]:
    """One message, with its calls, or as the result of one."""
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if not message.calls:
        return {"role": message.role, "content": message.content}
    # Empty text is refused by some, and makes some models write their next calls as text; a message without any is too.
    content = message.content if message.content.strip() else None
    return {"role": message.role, "content": content, "tool_calls": [_wire_call(call) for call in message.calls]}


def wire_tools(tools: Iterable[ToolSpec]) -> list[dict[str, Any]]:
    """What the model may call."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]


def _wire_call(call: WantedCall) -> dict[str, Any]:
    # What a model made up is refused when it is told again, though the endpoint itself let it through: names that are
    # none, and arguments that are no JSON object.
    name = re.sub(r"[^A-Za-z0-9_-]", "_", call.tool)[:64] or "unknown"
    arguments = call.arguments if _is_object(call.arguments) else _unreadable(call.arguments)
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


def _unreadable(arguments: str) -> str:
    return json.dumps({"unreadable": beginning(arguments, _LONGEST_UNREADABLE)}, ensure_ascii=False)
