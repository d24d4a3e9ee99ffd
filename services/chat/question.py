"""What waits for the user's decision, as it is read before it is made: all of it, and nothing that passes for something
else."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from textwrap import wrap
from typing import Any

from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalKind
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from services.terminal import Style, columns, visible, wrapped

# The order in which they are understood; others follow by name.
_ORDER = ("agent", "path", "command", "old_text", "new_text")
_TELLING = ("command", "pattern", "query", "agent", "path", "content")
_NARROWEST = 20


def lines_of(approval: Approval, style: Style) -> list[str]:
    """The lines that show it, none wider than the terminal. What is quoted stands behind a bar, line for line."""
    payload = plain(approval.payload)
    shown = _plan_lines(payload, style) if is_plan(approval) else _tool_lines(payload, style)
    until = approval.expires_at.ToDatetime(UTC).astimezone().strftime("%H:%M:%S")
    return [*shown, style.dim(f"  Until {until}; then it counts as rejected.")]


def is_plan(approval: Approval) -> bool:
    """Whether a plan waits, rather than a call."""
    return approval.kind == ApprovalKind.APPROVAL_KIND_PLAN


def tool_of(approval: Approval) -> str:
    """Name of the tool that would be called."""
    return visible(str(plain(approval.payload).get("tool", "")))


def telling(arguments: Mapping[str, Any]) -> str:
    """The argument by which one call of a tool is told from another; empty if it has none."""
    named = [*_TELLING, *sorted(arguments)]
    return next((_text(arguments[name]) for name in named if name in arguments), "")


def plain(struct: Struct) -> dict[str, Any]:
    """What is in it, with whole numbers as such."""
    value: dict[str, Any] = _whole(MessageToDict(struct))
    return value


def _tool_lines(payload: Mapping[str, Any], style: Style) -> Iterator[str]:
    yield f"  {style.bold(visible(str(payload.get('agent_name', 'An agent'))))} asks for your approval."
    yield from _warnings(payload.get("warnings", ()), style)
    tool, risk = (visible(str(payload.get(name, "unknown"))) for name in ("tool", "risk"))
    yield f"  {style.bold(tool)}, a tool of the risk {risk}"
    arguments = payload.get("arguments", {})
    places = {name: place for place, name in enumerate(_ORDER)}
    for name in sorted(arguments, key=lambda each: (places.get(each, len(places)), each)):
        yield f"    {visible(name)}"
        yield from _quoted(_text(arguments[name]), style)


def _plan_lines(payload: Mapping[str, Any], style: Style) -> Iterator[str]:
    tasks = payload.get("plan", {}).get("tasks", ())
    count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    plan, tokens = style.bold(f"plan of {count}"), payload["estimated_tokens"]
    yield f"  A {plan} asks for your approval; its estimate is {tokens:,} tokens."
    yield from _warnings(payload.get("reasons", ()), style)
    for task in tasks:
        after = f", after {', '.join(task['depends_on'])}" if task.get("depends_on") else ""
        yield f"    {visible(task['id'])}: {style.bold(visible(task['agent_name']))}{visible(after)}"
        yield from _quoted(task["title"], style)
        if task["instruction"] != task["title"]:
            yield from _quoted(task["instruction"], style)


def _warnings(sentences: Sequence[str], style: Style) -> Iterator[str]:
    for sentence in sentences:
        for place, line in enumerate(wrap(visible(sentence), max(_NARROWEST, columns() - 4))):
            yield style.doubtful(f"  {' ' if place else '!'} {line}")


def _quoted(text: str, style: Style) -> Iterator[str]:
    """Every line behind a bar, and what the terminal would put into its first column behind another one."""
    if not text:
        yield style.dim("      (empty)")
    for line in visible(text).split("\n") if text else ():
        for place, piece in enumerate(wrapped(line, max(_NARROWEST, columns() - 8))):
            yield f"      {style.dim('┆' if place else '│')} {piece}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _whole(value: Any) -> Any:
    match value:
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value
