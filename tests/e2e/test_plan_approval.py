"""Plans that wait for their user: over HTTP, with a policy that says which."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.client import AGENT, Api, Chat, answer, problem, signed_in
from tests.e2e.conftest import settings
from tests.e2e.events import Event
from tests.e2e.plans import Errand, Step, giving, states, usage_of
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.one_layout

EDITED = {"id": "c", "agent": AGENT, "title": "Instead", "instruction": "Do c.", "depends_on": []}


def pair() -> Errand:
    return Errand([Step("a", script=giving("Alpha.")), Step("b", ["a"], giving("Beta."))])


async def a_chat(api: Api, **approval: Any) -> Chat:
    """A session in a project whose plans wait like this."""
    chat = await api.new_chat()
    await set_approval(chat, **approval)
    return chat


async def set_approval(chat: Chat, **approval: Any) -> None:
    body = {"rules": [], "plan_approval": approval}
    await answer(chat.http.put(f"{chat.project_path}/tool-policy", json=body))


async def begin(chat: Chat, errand: Errand) -> str:
    run_id: str = (await chat.start(errand.content, target_agent=None))["id"]
    return run_id


async def asked(chat: Chat, run_id: str) -> Event:
    """What a run asks that waits."""
    run = await chat.run_after(run_id, "waiting_approval")
    [approval] = run["approvals"]
    found: Event = approval
    return found


async def decide(chat: Chat, approval: Event, how: str, **fields: Any) -> httpx.Response:
    return await chat.http.post(f"{chat.project_path}/approvals/{approval['id']}:{how}", json=fields)


async def test_plan_waits_for_its_user_even_while_nothing_runs_and_then_runs_as_it_was_asked(
    ann: Api, suite: Suite, model: FakeModel
) -> None:
    chat, errand, key = await a_chat(ann, mode="always"), pair(), str(uuid.uuid4())
    refused = problem(await chat.send(errand.content, target_agent=None, request_id=key), 409, "RUN_NEEDS_APPROVAL")
    run_id = refused["metadata"]["run_id"]
    approval = await asked(chat, run_id)
    assert (approval["kind"], approval["state"], approval["task_id"]) == ("plan", "pending", None)
    plan = approval["payload"]["plan"]
    assert [(task["id"], task["agent_name"], task["depends_on"]) for task in plan["tasks"]] == [
        ("a", AGENT, []),
        ("b", AGENT, ["a"]),
    ]
    assert approval["payload"]["reasons"] == []
    # Each may answer with 4,096 tokens, and the second is told what the first said.
    assert approval["payload"]["estimated_tokens"] > 3 * 4_096
    assert (await chat.run(run_id))["plan"]["tasks"] == []

    await suite.kill()
    await suite.start()
    assert await asked(chat, run_id) == approval
    approved = await answer(decide(chat, approval, "approve"))
    assert (approved["state"], approved["changed"], approved["scope"]) == ("approved", None, "once")
    reply = await answer(chat.send(errand.content, target_agent=None, request_id=key))
    assert reply["content"] == "Beta."
    run = await chat.run(run_id)
    assert (run["state"], run["approvals"], states(run)) == ("succeeded", [], {"a": "succeeded", "b": "succeeded"})
    assert (run["plan"]["origin"], run["plan"]["planning_seconds"]) == ("model", plan["planning_seconds"])
    tasks = [exchange for id in "ab" for exchange in errand.asked(model, id)]
    assert run["usage"] == usage_of([*errand.planned(model), *tasks])
    assert (len(errand.planned(model)), len(tasks)) == (1, 2)
    timeline = await chat.timeline(run_id)
    assert [event["type"] for event in timeline][:5] == [
        "message_received",
        "approval_required",
        "approval_resolved",
        "plan_created",
        "task_started",
    ]
    assert [event["payload"]["approval"] for event in timeline[1:3]] == [approval, approved]


async def test_plan_runs_as_its_user_has_changed_it_and_a_bad_change_changes_nothing(
    ann: Api, model: FakeModel
) -> None:
    chat, errand = await a_chat(ann, mode="always"), pair()
    run_id = await begin(chat, errand)
    approval = await asked(chat, run_id)
    bad = {"tasks": [{**EDITED, "agent": "Stranger"}, {**EDITED, "id": 1, "depends_on": ["d"], "when": "now"}]}
    refusal = problem(await decide(chat, approval, "approve", plan=bad), 422, "INVALID_ARGUMENT")
    assert [each["field"] for each in refusal["errors"]] == ["plan.tasks[1]", "plan.tasks[0].agent"]
    problem(await decide(chat, approval, "approve", plan={"tasks": []}), 422, "INVALID_ARGUMENT")
    assert await asked(chat, run_id) == approval
    plan = {"tasks": [{**EDITED, "id": "d", "depends_on": ["c"]}, EDITED]}
    approved = await answer(decide(chat, approval, "approve", plan=plan))
    assert [task["id"] for task in approved["changed"]["tasks"]] == ["c", "d"]
    assert approved["payload"] == approval["payload"]
    run = await chat.run_after(run_id, "succeeded")
    assert (run["plan"]["origin"], states(run)) == ("user", {"c": "succeeded", "d": "succeeded"})
    assert [errand.asked(model, id) for id in "ab"] == [[], []]
    # The same again changes nothing, another plan is another decision.
    assert await answer(decide(chat, approval, "approve", plan=plan)) == approved
    problem(await decide(chat, approval, "approve"), 409, "APPROVAL_DECIDED")


async def test_plan_that_is_rejected_fails_its_run_and_the_next_is_made_anew(ann: Api, model: FakeModel) -> None:
    chat, errand = await a_chat(ann, mode="always"), pair()
    run_id = await begin(chat, errand)
    rejected = await answer(decide(chat, await asked(chat, run_id), "reject", reason="Not on a Friday."))
    assert (rejected["state"], rejected["reason"]) == ("rejected", "Not on a Friday.")
    run = await chat.run_after(run_id, "failed")
    assert run["error"] == {"reason": "PLAN_REJECTED", "detail": "you rejected the plan: Not on a Friday."}
    assert (run["message_id"], run["plan"]["tasks"]) == (None, [])
    again = await answer(chat.retry(run_id), 201)
    approval = await asked(chat, again["id"])
    assert len(errand.planned(model)) == 2
    await answer(chat.cancel(again["id"]))
    problem(await decide(chat, approval, "approve"), 409, "APPROVAL_DECIDED")
    assert [errand.asked(model, id) for id in "ab"] == [[], []]


async def test_plan_waits_when_it_passes_one_of_the_limits(ann: Api, model: FakeModel) -> None:
    chat = await a_chat(ann, mode="never", max_tasks=0)
    config = {"tools": ["remember"], "max_tokens": 100}
    body = {"name": "Keeper", "config": config}
    await answer(chat.http.post(f"{chat.project_path}/agents", json=body), 201)

    async def reasons(**approval: Any) -> list[str]:
        """Why a plan of one task for this agent waits; none if it does not."""
        await set_approval(chat, **approval)
        run_id = await begin(chat, Errand([Step("a", script=giving("Alpha."), agent="Keeper")]))
        run = await chat.run_after(run_id, "waiting_approval", "succeeded")
        if run["state"] == "succeeded":
            return []
        await answer(chat.cancel(run_id))
        [approval] = [run["approvals"][0]["payload"]["reasons"]]
        given: list[str] = approval
        return given

    assert await reasons(mode="never", max_tasks=0) == []
    assert await reasons(mode="when", max_tasks=1, max_tokens=1_000_000, risks=["read", "execute", "external"]) == []
    assert await reasons(mode="when", max_tasks=0) == ["It has 1 task, and up to 0 need no approval."]
    [tokens] = await reasons(mode="when", max_tokens=100)
    assert tokens.endswith(" tokens, and up to 100 need no approval.")
    risk = 'It has tasks whose agents may call tools of the risk write: "a" (Keeper).'
    assert await reasons(mode="when", max_tasks=1, risks=["write"]) == [risk]


async def test_plan_that_nobody_looks_at_fails_its_run(folder: Path, model: FakeModel) -> None:
    given = {**settings(Layout.ONE, model), "CODELAB_APPROVAL_SECONDS": "0.5"}
    async with (
        running(Layout.ONE, folder, **given) as suite,
        signed_in(suite.url, await suite.token(str(uuid.uuid4()))) as api,
    ):
        chat, errand, key = await a_chat(api, mode="always"), pair(), str(uuid.uuid4())
        sent = {"target_agent": None, "request_id": key}
        run_id = problem(await chat.send(errand.content, **sent), 409, "RUN_NEEDS_APPROVAL")["metadata"]["run_id"]
        run = await chat.run_after(run_id, "failed")
        assert (run["error"]["reason"], run["approvals"]) == ("PLAN_EXPIRED", [])
        failed = problem(await chat.send(errand.content, **sent), 500, "RUN_FAILED")
        assert failed["metadata"]["run_reason"] == "PLAN_EXPIRED"
        listed = await answer(chat.http.get(f"{chat.project_path}/approvals", params={"state": "expired"}))
        [expired] = listed["approvals"]
        problem(await decide(chat, expired, "approve"), 409, "APPROVAL_DECIDED")
        assert [errand.asked(model, id) for id in "ab"] == [[], []]
