"""Questions at a keyboard: each is asked until somebody has decided it, and only what was meant for it counts."""

import asyncio
import io
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalKind, ApprovalState
from codelab.orchestrator.v1.run_pb2 import Run, RunState
from codelab.projects.v1.project_pb2 import Project

from codelab_client import ApiError
from services.chat.deciding import Means, Questions
from services.chat.keyboard import Keyboard
from services.chat.screen import Screen
from tests.chat.screens import Terminal
from tests.e2e.polling import eventually

EXPIRED, APPROVED = ApprovalState.APPROVAL_STATE_EXPIRED, ApprovalState.APPROVAL_STATE_APPROVED


@dataclass
class Suite:
    """What was decided; the run is in each of these states in turn."""

    states: list[RunState.ValueType] = field(default_factory=list)
    project: Project = field(default_factory=lambda: Project(id="p"))
    decided: list[tuple[str, str]] = field(default_factory=list)
    refusal: ApiError | None = None

    async def run(self, run_id: str) -> Run:
        state = self.states.pop(0)
        waits = state == RunState.RUN_STATE_WAITING_APPROVAL
        return Run(id=run_id, state=state, approvals=[question("b")] if waits else [])

    async def approve(self, approval: Approval, for_run: bool) -> None:
        self._note(approval, "run" if for_run else "yes")

    async def reject(self, approval: Approval, reason: str) -> None:
        self._note(approval, f"no: {reason}")

    def _note(self, approval: Approval, decision: str) -> None:
        self.decided.append((approval.id, decision))
        if self.refusal is not None:
            raise self.refusal


@dataclass(frozen=True)
class Desk:
    suite: Suite
    questions: Questions
    out: Terminal
    keys: int

    def type(self, text: str) -> None:
        os.write(self.keys, text.encode())

    async def has_typed(self, echo: str) -> None:
        """Wait until the terminal has taken all of it."""
        taken = bytearray()

        def all_of_it() -> bool:
            if select.select([self.keys], [], [], 0)[0]:
                taken.extend(os.read(self.keys, 1024))
            return taken.decode() == echo

        await eventually(all_of_it, what=echo)

    async def sees(self, text: str, times: int = 1) -> None:
        await eventually(lambda: self.out.getvalue().count(text) >= times, what=f"{text!r} in {self.out.getvalue()!r}")

    async def has_decided(self, *decided: tuple[str, str]) -> None:
        await eventually(lambda: self.suite.decided == list(decided), what=f"{decided}, not {self.suite.decided}")


def question(id: str, kind: ApprovalKind.ValueType = ApprovalKind.APPROVAL_KIND_TOOL) -> Approval:
    approval = Approval(id=id, kind=kind)
    if kind == ApprovalKind.APPROVAL_KIND_TOOL:
        approval.payload.update({"tool": "write_file", "risk": "write", "arguments": {"path": f"file {id}"}})
    else:
        approval.payload.update({"plan": {"tasks": []}, "estimated_tokens": 1, "reasons": []})
    return approval


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


@asynccontextmanager
async def asking(suite: Suite | None = None) -> AsyncIterator[Desk]:
    suite, out = suite or Suite(), Terminal()
    ours, its = os.openpty()
    try:
        questions = Questions(suite, Screen(out, io.StringIO()), Means(Keyboard(its), "http://x", "$T"))
        waiting = asyncio.create_task(questions.wait(Run(id="r")))
        try:
            yield Desk(suite, questions, out, ours)
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                waiting.result()
    finally:
        os.close(ours)
        os.close(its)


async def test_questions_are_asked_one_after_the_other() -> None:
    async with asking() as desk:
        desk.questions.required(question("a"))
        desk.questions.required(question("b"))
        await desk.sees("file a")
        assert "file b" not in desk.out.getvalue()
        desk.type("YES\n")
        await desk.sees("file b")
        desk.type("n: not now\n")
        await desk.has_decided(("a", "yes"), ("b", "no: not now"))
        desk.questions.required(question("c"))
        await desk.sees("file c")
        desk.type("run\n")
        await desk.has_decided(("a", "yes"), ("b", "no: not now"), ("c", "run"))


@pytest.mark.parametrize("typed", ["", "yesterday", "yes please", "noo", "run it", "ja", f"no {'x' * 2_001}"])
async def test_what_is_no_answer_decides_nothing(typed: str) -> None:
    async with asking() as desk:
        desk.questions.required(question("a"))
        await desk.sees("? ")
        desk.type(f"{typed}\n")
        await desk.sees("? ", 2)
        assert desk.suite.decided == []
        desk.type("no\n")
        await desk.has_decided(("a", "no: "))


async def test_plan_is_decided_once_and_not_for_the_run() -> None:
    async with asking() as desk:
        desk.questions.required(question("a", ApprovalKind.APPROVAL_KIND_PLAN))
        await desk.sees("yes, or no and why? ")
        desk.type("run\n")
        await desk.sees("say yes or no")
        desk.type("y\n")
        await desk.has_decided(("a", "yes"))


async def test_what_was_typed_before_a_question_is_no_answer_to_it() -> None:
    async with asking() as desk:
        desk.type("yes\nyes\nye")
        await desk.has_typed("yes\r\nyes\r\nye")
        desk.questions.required(question("a"))
        await desk.sees("? ")
        desk.type("no\n")
        await desk.has_decided(("a", "no: "))


async def test_question_that_nobody_decides_in_time_goes_away_and_says_so() -> None:
    async with asking() as desk:
        asked = question("a")
        desk.questions.required(asked)
        await desk.sees("? ")
        desk.questions.required(question("b"))
        asked.state = EXPIRED
        desk.questions.resolved(asked)
        await desk.sees("nobody decided in time: it counts as rejected")
        await desk.sees("file b")
        desk.type("yes\n")
        await desk.has_decided(("b", "yes"))


async def test_own_decision_is_not_told_like_another_ones() -> None:
    async with asking() as desk:
        asked = question("a")
        desk.questions.required(asked)
        await desk.sees("? ")
        desk.type("yes\n")
        await desk.has_decided(("a", "yes"))
        asked.state = APPROVED
        desk.questions.resolved(asked)
        assert "elsewhere" not in desk.out.getvalue()


async def test_after_missed_events_exactly_what_waits_still_is_asked() -> None:
    async with asking() as desk:
        desk.questions.required(question("a"))
        await desk.sees("file a")
        desk.questions.listed([question("b")])
        await desk.sees("decided meanwhile")
        await desk.sees("file b")
        desk.questions.listed([question("b")])
        desk.type("yes\n")
        await desk.has_decided(("b", "yes"))
        assert desk.out.getvalue().count("file b") == 1


async def test_decision_that_comes_too_late_is_told_and_the_next_question_asked() -> None:
    refusal = ApiError(grpc.StatusCode.FAILED_PRECONDITION, "it expired", reason="APPROVAL_DECIDED")
    async with asking(Suite(refusal=refusal)) as desk:
        desk.questions.required(question("a"))
        await desk.sees("? ")
        desk.type("yes\n")
        await desk.sees("it expired")
        desk.questions.required(question("b"))
        await desk.sees("file b")


async def test_question_stands_below_what_is_shown_meanwhile() -> None:
    async with asking() as desk:
        desk.questions.required(question("a"))
        await desk.sees("? ")
        desk.questions.show_again()
        assert desk.out.getvalue().count("? ") == 1


async def test_off_a_terminal_it_is_over_when_the_run_waits_for_nothing_else() -> None:
    waiting = RunState.RUN_STATE_WAITING_APPROVAL
    suite, out, errors = Suite([RunState.RUN_STATE_RUNNING, waiting]), io.StringIO(), io.StringIO()
    questions = Questions(suite, Screen(out, errors), Means(None, "http://x", "$T"))
    questions.required(question("a"))
    async with asyncio.timeout(30):
        await questions.wait(Run(id="r"))
    # What was asked first is decided by then.
    assert "file a" not in errors.getvalue()
    assert "file b" in errors.getvalue()
    assert "http://x/my/projects/p/approvals/b:approve -d '{}'" in errors.getvalue()
    assert errors.getvalue().endswith("codelab: run r waits for 1 decision, and goes on by itself then\n")
    assert (out.getvalue(), suite.states, suite.decided) == ("", [], [])
