"""Plans that wait for their user: whether one does, what is asked, and the plan that was approved. Pure: no I/O."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.orchestrator.errors import PLAN_EXPIRED, PLAN_REJECTED
from services.orchestrator.leases import Lease
from services.orchestrator.limits import estimate_tokens
from services.orchestrator.model import (
    Agent,
    Approval,
    ApprovalKind,
    ApprovalState,
    Failure,
    Message,
    Plan,
    PlanOrigin,
    Question,
    Task,
    TaskState,
)
from services.orchestrator.plan_checks import MOST_PROBLEMS, Bad, Good, quoted, read_plan
from services.orchestrator.ports import PlannableAgent, PlanPolicy
from services.orchestrator.timeline import plan_values
from services.runtime.errors import InvalidArgument

HISTORY_TOKENS = 8_000
REQUEST_TOKENS = 16_000
RESULT_TOKENS = 16_000
"""Most tokens that the agents service takes into the prompt of a task: of the session before it, of the message that it
is a part of, and of the results that it builds on, all together."""

_KEYS = ("id", "agent", "title", "instruction", "depends_on")
"""Of a task as people and models write it."""


@dataclass(frozen=True)
class Terms:
    """What a plan is judged by: the project's policy, and the agents that it may give tasks to."""

    policy: PlanPolicy
    agents: tuple[PlannableAgent, ...]


def question(
    plan: Plan,
    terms: Terms,
    request: str,
    history: Sequence[Message],
    *,
    max_tasks: int,
    id: str,
    expires_at: datetime,
) -> Question | None:
    """What to ask the user before the plan runs, None if it needs no approval.

    `request` is the user's message, `history` the session before it; `max_tasks` the most that the user may change it
    to.
    """
    tokens = estimated_tokens(plan, terms.agents, request, history)
    reasons = passed_limits(plan, terms, tokens)
    if terms.policy.mode == "never" or (terms.policy.mode == "when" and not reasons):
        return None
    return Question(
        id=id,
        kind=ApprovalKind.PLAN,
        payload={"plan": plan_values(plan), "estimated_tokens": tokens, "reasons": reasons},
        expires_at=expires_at,
        schema={"agents": [{"id": each.id, "name": each.name} for each in terms.agents], "max_tasks": max_tasks},
    )


def estimated_tokens(plan: Plan, agents: Sequence[PlannableAgent], request: str, history: Sequence[Message]) -> int:
    """About how many tokens the plan's tasks cost, at three bytes a token, if every answer is as long as it may be.

    A task's prompt is counted as far as it is known: the session, the message, its instruction, and the longest results
    that it builds on.
    """
    longest = {agent.id: agent.max_tokens for agent in agents}
    answers = {task.id: longest[task.agent_id] for task in plan.tasks}
    conversation = min(HISTORY_TOKENS, sum(estimate_tokens(message.content) for message in history))
    message = min(REQUEST_TOKENS, estimate_tokens(request))
    total = 0
    for task in plan.tasks:
        results = min(RESULT_TOKENS, sum(answers[id] for id in task.depends_on))
        # The one task of a fallback is the message itself.
        asked = estimate_tokens(task.instruction) + (message if task.instruction != request else 0)
        total += conversation + asked + results + answers[task.id]
    return total


def passed_limits(plan: Plan, terms: Terms, tokens: int) -> list[str]:
    """A sentence for each limit of the policy that the plan passes, which is estimated at so many tokens."""
    policy, sentences = terms.policy, []
    if policy.mode != "when":
        return []
    if policy.max_tasks is not None and len(plan.tasks) > policy.max_tasks:
        sentences.append(f"It has {_tasks(len(plan.tasks))}, and up to {policy.max_tasks:,} need no approval.")
    if policy.max_tokens is not None and tokens > policy.max_tokens:
        sentences.append(f"It is estimated at {tokens:,} tokens, and up to {policy.max_tokens:,} need no approval.")
    risks = {agent.id: agent.risks for agent in terms.agents}
    for risk in dict.fromkeys(policy.risks):
        risky = [task for task in plan.tasks if risk in risks[task.agent_id]]
        if risky:
            named = ", ".join(f"{quoted(task.id)} ({task.agent_name})" for task in risky)
            sentences.append(f"It has tasks whose agents may call tools of the risk {risk}: {named}.")
    return sentences


def asked_about(lease: Lease) -> Approval | None:
    """What the user was asked about the run's plan, decided or not."""
    return next((each for each in reversed(lease.decisions) if each.kind is ApprovalKind.PLAN), None)


def approved_plan(approval: Approval) -> Plan | Failure:
    """The plan that was approved, as it was asked for or changed; or why the run ends without one."""
    match approval.state:
        case ApprovalState.APPROVED:
            asked = plan_of(approval.payload["plan"])
            if approval.changed is None:
                return asked
            changed = plan_of(approval.changed)
            return replace(changed, problems=asked.problems, planning_seconds=asked.planning_seconds)
        case ApprovalState.EXPIRED:
            return Failure(PLAN_EXPIRED, "you did not approve the plan in time: retry the run to have it planned anew")
        case _:
            why = f": {approval.reason}" if approval.reason else ""
            return Failure(PLAN_REJECTED, f"you rejected the plan{why}")


def plan_of(plan: Mapping[str, Any]) -> Plan:
    """The plan of an approval's payload, or what it was `changed` to: none of its tasks has begun."""
    return Plan(
        tasks=tuple(
            Task(
                id=task["id"],
                agent_id=task["agent_id"],
                agent_name=task["agent_name"],
                title=task["title"],
                instruction=task["instruction"],
                state=TaskState.PENDING,
                attempt=0,
                depends_on=tuple(task["depends_on"]),
            )
            for task in plan["tasks"]
        ),
        origin=PlanOrigin(plan["origin"]),
        problems=tuple(Failure(**problem) for problem in plan["problems"]),
        planning_seconds=plan["planning_seconds"],
    )


def checked_plan(schema: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a user changes a plan to, `{"tasks": [{"id", "agent", …}]}`, as the payload has plans.

    `schema` is the question's. Raise InvalidArgument, with places such as `plan.tasks[1].agent`.
    """
    agents = [Agent(each["id"], each["name"]) for each in schema["agents"]]
    wrong = list(_unknown_keys(plan))
    match read_plan(json.dumps(plan, ensure_ascii=False), agents, schema["max_tasks"]):
        case Bad(problems, places):
            found = zip(places, problems, strict=True)
            wrong += [(f"plan.{place}" if place else "plan", problem.detail) for place, problem in found]
        case Good(tasks) if not wrong:
            return plan_values(Plan(tasks, PlanOrigin.USER))
    raise InvalidArgument(*wrong[:MOST_PROBLEMS])


def _unknown_keys(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a model may add is left out; but people mean something by it, such as another order of the tasks."""
    for key in sorted(plan.keys() - {"tasks"}):
        yield "plan", f'the plan has the key {quoted(key)}: it has "tasks" and nothing else'
    tasks = plan.get("tasks")
    for index, task in enumerate(tasks if isinstance(tasks, list) else ()):
        for key in sorted(task.keys() - set(_KEYS)) if isinstance(task, dict) else ():
            yield f"plan.tasks[{index}]", f"task {index + 1} has the key {quoted(key)}: it has {', '.join(_KEYS)} only"


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number:,} tasks"
