"""`codelab chat` with agents that act: what it shows of that, and how its user decides, or cannot."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.approving import approve, asking, call, permit, waiting
from tests.e2e.chatting import at_terminal, chat
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.events import Event
from tests.e2e.plans import Step
from tests.e2e.suite import Layout, Suite
from tests.e2e.terminal import PROMPT
from tests.fakes.openai_script import plan_directive
from tests.fakes.openai_server import FakeModel

pytestmark = pytest.mark.parametrize("suite", [Layout.ONE], indirect=True, ids=str, scope="session")

QUESTION = "run (yes to every write_file of this run)? "
HIDDEN = "echo one\n\x1b[2Jecho\u200b two"


@pytest_asyncio.fixture(scope="session")
async def token(suite: Suite) -> str:
    return await suite.token(str(uuid.uuid4()))


@pytest_asyncio.fixture
async def lab(suite: Suite, token: str) -> AsyncIterator[Chat]:
    async with signed_in(suite.url, token) as api:
        yield await api.new_chat()


def write(content: str = "A", path: str = "a") -> Event:
    return call("write_file", path=path, content=content)


async def runs(lab: Chat) -> list[Event]:
    """Newest first."""
    listed: list[Event] = (await answer(lab.http.get(f"{lab.project_path}/runs")))["runs"]
    return listed


async def decided(lab: Chat) -> list[tuple[str, str | None]]:
    """State and reason of what was asked, in order."""
    states = ["pending", "approved", "rejected", "expired", "cancelled"]
    listed = await answer(lab.http.get(f"{lab.project_path}/approvals", params={"state": states}))
    return [(each["state"], each["reason"]) for each in reversed(listed["approvals"])]


async def test_call_is_shown_whole_with_what_hides_in_it_and_happens_when_one_says_yes(
    suite: Suite, token: str, lab: Chat
) -> None:
    message = asking([call("list_directory"), write(HIDDEN, "run.sh")])
    async with at_terminal(suite, "--project", lab.project_id, message, CODELAB_TOKEN=token) as screen:
        shown = await screen.until(QUESTION)
        assert "  ✓ list_directory\n" in shown
        warning, tool, path, first, second = (
            shown.index(each)
            for each in (
                "! `content` contains U+001B (a control character)",
                "write_file, a tool of the risk write",
                "│ run.sh\n",
                "│ echo one\n",
                "│ ⟦U+001B⟧[2Jecho⟦U+200B⟧ two\n",
            )
        )
        assert warning < tool < path < first < second
        assert shown.endswith(f"(2 warnings above) yes, no and why, or {QUESTION}")
        screen.type("\r")
        await screen.until("say yes or no")
        assert await decided(lab) == [("pending", None)]
        screen.type("yes\r")
        shown = await screen.until("Told: ")
        assert "  ⚙ write_file run.sh\n  ✓ write_file run.sh\n" in shown
        assert await screen.ended() == 0
    assert await decided(lab) == [("approved", None)]


async def test_no_is_told_with_its_reason_and_what_was_typed_before_the_question_is_no_answer(
    suite: Suite, token: str, lab: Chat, model: FakeModel
) -> None:
    gate = str(uuid.uuid4())
    message = asking([write()], before="I shall write.", chunks=2, after_chunks=1, gate=gate)
    async with at_terminal(suite, "--project", lab.project_id, message, CODELAB_TOKEN=token) as screen:
        await screen.until("I shall")
        screen.type("yes\r")
        await screen.until("yes\n")
        model.open_gate(gate)
        await screen.until(QUESTION)
        screen.type("no, not on a Friday\r")
        await screen.until("The user rejected this call: not on a Friday")
        assert await screen.ended() == 0
    assert await decided(lab) == [("rejected", "not on a Friday")]


async def test_yes_for_the_run_is_not_asked_again_in_it(suite: Suite, token: str, lab: Chat) -> None:
    message = asking([write("A")], [write("B")], [call("read_file", path="nowhere")])
    async with at_terminal(suite, "--project", lab.project_id, message, CODELAB_TOKEN=token) as screen:
        await screen.until(QUESTION)
        screen.type("run\r")
        await screen.until("Told: ")
        assert await screen.ended() == 0
        assert screen.seen.count("asks for your approval") == 1
        assert screen.seen.count("✓ write_file a\n") == 2
        assert "  ⚙ read_file nowhere\n  ✗ read_file `nowhere` does not exist" in screen.seen


async def test_decision_made_elsewhere_takes_the_question_away_and_the_next_is_asked(
    suite: Suite, token: str, lab: Chat
) -> None:
    message = asking([write("A", "a"), write("B", "b")])
    async with at_terminal(suite, "--project", lab.project_id, message, CODELAB_TOKEN=token) as screen:
        await screen.until(QUESTION)
        [run] = await runs(lab)
        first, _ = await waiting(lab, run["id"])
        screen.type("ye")
        await answer(approve(lab, first))
        await screen.until("approved elsewhere")
        assert "│ b\n" in await screen.until(QUESTION)
        screen.type("no\r")
        await screen.until("Told: ")
        assert await screen.ended() == 0
    assert await decided(lab) == [("approved", None), ("rejected", None)]


async def test_ctrl_c_while_asked_stops_the_run_with_its_question(suite: Suite, token: str, lab: Chat) -> None:
    async with at_terminal(suite, "--project", lab.project_id, CODELAB_TOKEN=token) as screen:
        await screen.until(PROMPT)
        screen.type(f"{asking([write()])}\r")
        await screen.until(QUESTION)
        screen.type("\x03")
        assert "cancelled" in await screen.until(PROMPT)
        screen.type("\x04")
        assert await screen.ended() == 0
    [run] = await runs(lab)
    assert run["state"] == "cancelled"
    assert await decided(lab) == [("cancelled", None)]


async def test_question_left_open_is_said_to_be_with_what_decides_it(suite: Suite, token: str, lab: Chat) -> None:
    async with at_terminal(suite, "--project", lab.project_id, asking([write()]), CODELAB_TOKEN=token) as screen:
        await screen.until(QUESTION)
        screen.type("\x04")
        assert ":approve" in await screen.until("waits for 1 decision")
        assert await screen.ended() == 3
    assert await decided(lab) == [("pending", None)]


async def test_what_was_left_open_and_plans_are_decided_when_one_asks_for_it(
    suite: Suite, token: str, lab: Chat
) -> None:
    await permit(lab, mode="always")
    left = await lab.start(asking([write()]))
    await waiting(lab, left["id"])
    steps = [Step("look"), Step("tell", ["look"], says="Tell of it.")]
    plan = plan_directive({"tasks": [step.values("") for step in steps]})
    elsewhere = await Api(lab.http).new_chat(lab.project_id)
    planned = await elsewhere.start(f"Look and tell. {plan}", target_agent=None)
    await waiting(elsewhere, planned["id"])
    async with at_terminal(suite, "--project", lab.project_id, CODELAB_TOKEN=token) as screen:
        await screen.until(PROMPT)
        screen.type("/decide\r")
        await screen.until(QUESTION)
        screen.type("yes\r")
        shown = await screen.until("yes, or no and why? ")
        assert "A plan of 2 tasks asks for your approval" in shown
        assert "    tell: CodeAssistant, after look\n      │ Part tell\n      │ Tell of it." in shown
        screen.type("\x04")
        assert ":approve" in await screen.until(PROMPT)
        assert await decided(lab) == [("approved", None), ("pending", None)]
        screen.type("/decide\r")
        await screen.until("yes, or no and why? ")
        screen.type("y\r")
        await screen.until(PROMPT)
        assert "nothing waits for you" in await screen.enter("/decide")
        screen.type("\x04")
        assert await screen.ended() == 0
    for chat_of_it, run in ((lab, left), (elsewhere, planned)):
        assert (await chat_of_it.run_after(run["id"]))["state"] == "succeeded"


async def test_where_nobody_can_be_asked_nothing_is_approved_and_what_is_printed_decides(
    suite: Suite, token: str, lab: Chat
) -> None:
    await permit(lab, {"tool": "edit_file", "decision": "auto"})
    message = asking([write("A"), call("edit_file", path="b", old_text="x", new_text="y"), write("B")])
    left = await chat(suite, "--project", lab.project_id, message, stdin="yes\nyes\n", CODELAB_TOKEN=token)
    assert (left.code, left.stdout) == (3, ""), left.output
    assert left.stderr.count("asks for your approval") == 2
    assert "      │ A\n" in left.stderr
    usage = await chat(suite, "--help")
    assert "exits with 3" in " ".join(usage.stdout.split())
    [run] = await runs(lab)
    assert f"codelab: run {run['id']} waits for 2 decisions" in left.stderr
    assert run["state"] == "waiting_approval"
    yes, _, _, no = re.findall(r"^  (curl .*)$", left.stderr, re.MULTILINE)
    for line in (yes, no):
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", line), env={**suite.environment, "CODELAB_TOKEN": token}, stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0].startswith(b'{"id":'), line
    assert (await lab.run_after(run["id"]))["state"] == "succeeded"
    assert await decided(lab) == [("approved", None), ("rejected", "No.")]


async def test_off_a_terminal_nothing_is_shown_of_tools_but_the_answer(suite: Suite, token: str, lab: Chat) -> None:
    await permit(lab, {"risk": "write", "decision": "auto"})
    result = await chat(suite, "--project", lab.project_id, asking([write()], answer="Done."), CODELAB_TOKEN=token)
    assert (result.code, result.stdout, result.stderr) == (0, "Done.\n", "")
