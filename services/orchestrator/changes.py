"""What a user changes with an approval, held against what may be changed."""

from typing import Any

from services.orchestrator.model import Approval, ApprovalKind, ApprovalScope, ApprovalState, Decision
from services.orchestrator.plan_approval import checked_plan
from services.runtime.errors import InvalidArgument
from services.runtime.json_schema import violations


def changed_by(decision: Decision, asked: Approval, schema: dict[str, Any]) -> dict[str, Any] | None:
    """What it is changed to, None if it happens as it was asked or not at all.

    Raise InvalidArgument if it does not fit the question, or the schema that came with it.
    """
    if asked.kind is ApprovalKind.PLAN:
        if decision.arguments is not None:
            raise InvalidArgument(("arguments", "is for a tool: this asks about a plan, change its `plan`"))
        return None if decision.plan is None else checked_plan(schema, decision.plan)
    if decision.plan is not None:
        raise InvalidArgument(("plan", "is for a plan: this asks about a tool, change its `arguments`"))
    if decision.arguments is None or same_json(decision.arguments, asked.payload.get("arguments")):
        return None
    if wrong := violations(schema, decision.arguments):
        raise InvalidArgument(*((f"arguments.{path}" if path else "arguments", what) for path, what in wrong))
    return decision.arguments


def state_of(decision: Decision) -> ApprovalState:
    """What becomes of a question that is decided so."""
    return ApprovalState.APPROVED if decision.approve else ApprovalState.REJECTED


def scope_of(decision: Decision, kind: ApprovalKind) -> ApprovalScope | None:
    """How far it goes. A plan is approved once."""
    if not decision.approve:
        return None
    return decision.scope if kind is ApprovalKind.TOOL else ApprovalScope.ONCE


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python, true is 1."""
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case dict(), dict():
            return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
        case list(), list():
            return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
