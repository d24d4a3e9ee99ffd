"""Agents that act, and a user who decides: over HTTP, from a message to the file that changed."""

import pytest

from tests.e2e.approving import approve, asking, call, ended, path_of, permit, reject, waiting
from tests.e2e.client import Api, Chat, answer, problem
from tests.e2e.events import Event
from tests.e2e.polling import eventually

SCRIPT = "total=$((1 + 1)\necho $total\n"
MENDED = "total=$((1 + 1))"
TEST = 'test "$(sh sum.sh)" = 2 && echo the sum is right'


@pytest.fixture
async def chat(ann: Api) -> Chat:
    return await ann.new_chat()


@pytest.fixture
async def broken(chat: Chat) -> Chat:
    """A project in which a script fails."""
    await permit(chat, {"tool": "write_file", "decision": "auto"})
    written = asking([call("write_file", path="sum.sh", content=SCRIPT)])
    await answer(chat.send(written))
    await permit(chat)
    return chat


def mending() -> str:
    return asking(
        [call("list_directory"), call("read_file", path="sum.sh")],
        [call("edit_file", path="sum.sh", old_text=SCRIPT.split("\n")[0], new_text=MENDED)],
        [call("run_command", command=TEST)],
        text="sum.sh fails: mend it.",
        answer="Mended. {results}",
    )


async def read(chat: Chat, path: str) -> str:
    """What is in a file, as an agent sees it."""
    run = await chat.start(asking([call("read_file", path=path)]))
    return await ended(chat, run["id"])


async def test_failing_script_is_mended_when_its_owner_agrees(broken: Chat) -> None:
    chat = broken
    run = await chat.start(mending())
    [edit] = await waiting(chat, run["id"])
    assert (edit["kind"], edit["state"], edit["task_id"]) == ("tool", "pending", "answer")
    assert (edit["payload"]["tool"], edit["payload"]["risk"]) == ("edit_file", "write")
    assert edit["payload"]["agent_name"] == "CodeAssistant"
    assert edit["payload"]["arguments"]["new_text"] == MENDED
    assert edit["payload"]["warnings"] == []
    listed = await answer(chat.http.get(f"{chat.project_path}/approvals"))
    assert (listed["approvals"], listed["total"]) == ([edit], 1)
    # Nobody waits in vain for an answer that needs a decision first.
    problem(await chat.send(mending(), request_id="again", on_busy="reject"), 409, "SESSION_BUSY")

    decided = await answer(approve(chat, edit))
    assert (decided["state"], decided["scope"], decided["changed"]) == ("approved", "once", None)
    assert decided["decided_at"] is not None
    [test] = await eventually(lambda: _asks(chat, run["id"], "run_command"), what="the second question")
    assert test["payload"]["arguments"] == {"command": TEST}
    await answer(approve(chat, test))
    text = await ended(chat, run["id"])
    assert text.startswith("Mended. ")
    assert "the sum is right" in text
    assert "exit status 0" in text
    assert MENDED in await read(chat, "sum.sh")

    told = [event["type"] for event in await chat.timeline(run["id"])]
    # Both look at the same time.
    assert sorted(told[2:6]) == ["tool_completed"] * 2 + ["tool_started"] * 2
    asked = ["approval_required", "approval_resolved", "agent_started", "tool_started", "tool_completed"]
    assert told[:2] + told[6:] == ["message_received", "agent_started", *asked, *asked, "agent_completed"]
    calls = [event["payload"]["call_id"] for event in await chat.timeline(run["id"]) if event["type"] == "tool_started"]
    assert [edit["id"], test["id"]] == calls[2:]


async def _asks(chat: Chat, run_id: str, tool: str) -> list[Event]:
    approvals: list[Event] = (await chat.run(run_id))["approvals"]
    return approvals if [each["payload"]["tool"] for each in approvals] == [tool] else []


async def test_rejected_call_does_not_happen_and_the_model_hears_why(broken: Chat) -> None:
    chat = broken
    run = await chat.start(asking([call("edit_file", path="sum.sh", old_text="total", new_text="x")]))
    [edit] = await waiting(chat, run["id"])
    decided = await answer(reject(chat, edit, reason="Not on a Friday."))
    assert (decided["state"], decided["reason"], decided["scope"]) == ("rejected", "Not on a Friday.", None)
    assert "The user rejected this call: Not on a Friday." in await ended(chat, run["id"])
    assert SCRIPT.split("\n")[0] in await read(chat, "sum.sh")


async def test_three_calls_of_one_turn_are_decided_in_either_order(broken: Chat) -> None:
    chat = broken
    turn = [
        call("write_file", path="a", content="A"),
        call("list_directory"),
        call("write_file", path="b", content="B"),
    ]
    run = await chat.start(asking(turn))
    first, second = await waiting(chat, run["id"])
    assert [each["payload"]["arguments"]["path"] for each in (first, second)] == ["a", "b"]
    await answer(approve(chat, second))
    assert [each["id"] for each in (await chat.run(run["id"]))["approvals"]] == [first["id"]]
    await answer(reject(chat, first))
    text = await ended(chat, run["id"])
    places = [text.index(each) for each in ("The user rejected this call", "sum.sh", "b")]
    assert places[0] < places[1]
    assert "B" in await read(chat, "b")
    assert "Error" in await read(chat, "a")


async def test_what_is_approved_with_other_arguments_runs_with_those(chat: Chat) -> None:
    run = await chat.start(asking([call("write_file", path="a", content="A")]))
    [write] = await waiting(chat, run["id"])
    for arguments, field in (({"path": "b"}, "arguments"), ({"path": "b", "content": 1}, "arguments.content")):
        refusal = problem(await approve(chat, write, arguments=arguments), 422, "INVALID_ARGUMENT")
        assert refusal["errors"][0]["field"] == field
    assert [each["state"] for each in await waiting(chat, run["id"])] == ["pending"]
    wanted = {"path": "b", "content": "B"}
    decided = await answer(approve(chat, write, arguments=wanted))
    assert decided["changed"] == wanted
    assert decided["payload"]["arguments"] == {"path": "a", "content": "A"}
    assert "The user changed the arguments" in await ended(chat, run["id"])
    assert "B" in await read(chat, "b")


async def test_what_is_approved_for_the_run_is_asked_again_in_the_next_one_only(chat: Chat) -> None:
    writes = [[call("write_file", path="a", content=str(number))] for number in range(3)]
    run = await chat.start(asking(*writes))
    [write] = await waiting(chat, run["id"])
    assert (await answer(approve(chat, write, scope="run")))["scope"] == "run"
    await ended(chat, run["id"])
    assert "2" in await read(chat, "a")
    again = await chat.start(asking(*writes))
    assert len(await waiting(chat, again["id"])) == 1
    assert (await chat.cancel(again["id"])).status_code == 200


async def test_decision_stands(chat: Chat, bob: Api) -> None:
    run = await chat.start(
        asking([call("write_file", path="a", content="A"), call("write_file", path="b", content="B")])
    )
    first, second = await waiting(chat, run["id"])
    stranger = Chat(bob.http, chat.project_id, chat.session_id)
    for path in (path_of(chat, first), f"{path_of(stranger, first)}"):
        await answer(chat.http.get(path))
    for verb in ("approve", "reject"):
        path = f"{path_of(stranger, first)}:{verb}"
        problem(await bob.http.post(path, json={}), 404, "APPROVAL_NOT_FOUND")
    problem(await bob.http.get(path_of(stranger, first)), 404, "APPROVAL_NOT_FOUND")

    decided = await answer(approve(chat, first))
    assert await answer(approve(chat, first)) == decided
    refusal = problem(await reject(chat, first), 409, "APPROVAL_DECIDED")
    assert refusal["metadata"]["state"] == "approved"
    problem(await approve(chat, first, arguments={"path": "b", "content": "B"}), 409, "APPROVAL_DECIDED")
    # The run ends, and takes its questions with it.
    await answer(chat.cancel(run["id"]))
    assert (await answer(chat.http.get(path_of(chat, second))))["state"] == "cancelled"
    refusal = problem(await approve(chat, second), 409, "APPROVAL_DECIDED")
    assert refusal["metadata"]["state"] == "cancelled"


async def test_send_says_that_a_decision_is_needed_and_its_answer_can_be_had_afterwards(chat: Chat) -> None:
    message = asking([call("write_file", path="a", content="A")])
    refusal = problem(await chat.send(message, request_id="once"), 409, "RUN_NEEDS_APPROVAL")
    [write] = await waiting(chat, refusal["metadata"]["run_id"])
    await answer(approve(chat, write))
    said = await answer(chat.send(message, request_id="once"))
    assert said["content"].startswith("Told: ")


async def test_policy_decides_what_runs_what_asks_and_what_is_denied(chat: Chat) -> None:
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
    mine = next(each["id"] for each in agents if each["name"] == "CodeAssistant")
    await permit(
        chat,
        {"risk": "write", "decision": "auto"},
        {"tool": "edit_file", "decision": "ask"},
        {"tool": "list_directory", "agent_id": mine, "decision": "deny"},
    )
    turns = [
        [call("write_file", path="a", content="A"), call("list_directory")],
        [call("edit_file", path="a", old_text="A", new_text="B")],
    ]
    run = await chat.start(asking(*turns, before="Hm."))
    [edit] = await waiting(chat, run["id"])
    assert edit["payload"]["tool"] == "edit_file"
    # Who changes the policy means the very next call.
    await permit(chat, {"tool": "edit_file", "decision": "deny"})
    await answer(approve(chat, edit))
    assert "does not permit edit_file" in await ended(chat, run["id"])
    assert "A" in await read(chat, "a")


async def test_agent_asks_another_one(chat: Chat) -> None:
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
    paths = {each["name"]: f"{chat.project_path}/agents/{each['id']}" for each in agents}
    await answer(chat.http.patch(paths["CodeAssistant"], json={"config": {"tools": ["ask_agent"]}}))
    # Its own tools that need no approval it may use; what does is not even offered.
    question = asking([call("list_directory"), call("write_file", path="a", content="A")], answer="I saw: {results}")
    run = await chat.start(asking([call("ask_agent", agent="DocumentWriter", question=question)]))
    text = await ended(chat, run["id"])
    assert text.startswith("Told: I saw: ")
    assert "nobody can be asked here" in text
    run = await chat.run(run["id"])
    assert (run["usage"]["model_calls"], run["plan"]["tasks"][0]["usage"]["model_calls"]) == (4, 4)
    told = [event["payload"] for event in await chat.timeline(run["id"]) if event["type"] == "tool_completed"]
    assert [(each["tool"], each["task_id"]) for each in told] == [("list_directory", "answer"), ("ask_agent", "answer")]


async def test_agent_that_is_not_there_is_an_answer_too(chat: Chat) -> None:
    agents = (await answer(chat.http.get(f"{chat.project_path}/agents")))["agents"]
    path = next(f"{chat.project_path}/agents/{each['id']}" for each in agents if each["name"] == "CodeAssistant")
    await answer(chat.http.patch(path, json={"config": {"tools": ["ask_agent"]}}))
    run = await chat.start(asking([call("ask_agent", agent="Nobody", question="Why?")]))
    assert "No answer of Nobody: agent Nobody does not exist" in await ended(chat, run["id"])
