"""What users do with approvals, and agents with tools, over HTTP."""

from collections.abc import Sequence
from typing import Any

import httpx

from tests.e2e.client import Chat, answer
from tests.e2e.events import Event
from tests.fakes.openai_script import Script


def call(tool: str, **arguments: Any) -> Event:
    """A call that the scripted model makes."""
    return {"tool": tool, "arguments": arguments}


def asking(*turns: Sequence[Event], answer: str = "Told: {results}", text: str = "Do it.", **script: Any) -> str:
    """A message at which the model calls this, turn by turn, and then says what it was told."""
    return f"{text} {Script(calls=turns, answer=answer, **script).directive()}"


async def permit(chat: Chat, *rules: Event, **plan_approval: Any) -> Event:
    """Replace the project's policy."""
    policy: Event = {"rules": list(rules)}
    if plan_approval:
        policy["plan_approval"] = plan_approval
    return await answer(chat.http.put(f"{chat.project_path}/tool-policy", json=policy))


async def waiting(chat: Chat, run_id: str, within: float = 30) -> list[Event]:
    """What the run asks, in the order of its calls, once it can do nothing else."""
    run = await chat.run_after(run_id, "waiting_approval", "succeeded", "failed", "cancelled", within=within)
    assert run["state"] == "waiting_approval", run
    approvals: list[Event] = run["approvals"]
    return approvals


def path_of(chat: Chat, approval: Event) -> str:
    return f"{chat.project_path}/approvals/{approval['id']}"


async def approve(chat: Chat, approval: Event, **decision: Any) -> httpx.Response:
    return await chat.http.post(f"{path_of(chat, approval)}:approve", json=decision)


async def reject(chat: Chat, approval: Event, **decision: Any) -> httpx.Response:
    return await chat.http.post(f"{path_of(chat, approval)}:reject", json=decision)


async def ended(chat: Chat, run_id: str) -> str:
    """The answer of a run that succeeds."""
    run = await chat.run_after(run_id)
    assert run["state"] == "succeeded", run
    text: str = (await answer(chat.http.get(f"{chat.session_path}/messages")))["messages"][-1]["content"]
    return text
