"""Questions of a run to its user: asked at a terminal, left open anywhere else."""

import asyncio
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from codelab.orchestrator.v1.approval_pb2 import Approval, ApprovalState
from codelab.orchestrator.v1.run_pb2 import Run, RunState
from codelab.projects.v1.project_pb2 import Project

from codelab_client import ApiError
from services.chat.keyboard import Keyboard
from services.chat.question import is_plan, lines_of, tool_of
from services.chat.screen import Screen

# Between two looks at a run that is about to wait: it does so as soon as nothing else of it can go on.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_LONGEST_REASON = 2_000
_YES, _NO, _RUN = ("y", "yes"), ("n", "no"), ("r", "run")


@dataclass(frozen=True)
class Means:
    """How the user decides: at a keyboard, if there is one, or by curl, with a gateway and what gets a token."""

    keyboard: Keyboard | None
    url: str
    token: str

    def commands(self, project_id: str, approval: Approval) -> list[str]:
        """What one types to decide it."""
        path = f"{self.url}/my/projects/{project_id}/approvals/{approval.id}"
        head = f'curl -sS -H "Authorization: Bearer {self.token}" -H "Content-Type: application/json"'
        rejecting = shlex.quote('{"reason": "No."}')
        return [f"  {head} {path}:approve -d '{{}}'", f"  {head} {path}:reject -d {rejecting}"]


class Decisions(Protocol):
    """Where decisions go. Each raises ApiError."""

    project: Project

    async def run(self, run_id: str) -> Run:
        """The run as it is now."""

    async def approve(self, approval: Approval, for_run: bool) -> None:
        """Say yes, to every later call of the tool in the run too where `for_run`."""

    async def reject(self, approval: Approval, reason: str) -> None:
        """Say no, and why if there is a reason."""


@dataclass(frozen=True)
class _Said:
    approve: bool
    for_run: bool = False
    reason: str = ""


class Questions:
    """What is asked, oldest first, each until somebody has decided it."""

    def __init__(self, decisions: Decisions, screen: Screen, means: Means) -> None:
        self._decisions = decisions
        self._screen = screen
        self._means = means
        self._open: dict[str, Approval] = {}
        self._some = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked: Approval | None = None
        self._mine: set[str] = set()

    def required(self, approval: Approval) -> None:
        """Another one waits."""
        self._open.setdefault(approval.id, approval)
        self._some.set()

    def resolved(self, approval: Approval) -> None:
        """It was decided: here, elsewhere, or by nobody in time."""
        if approval.id in self._mine or self._open.pop(approval.id, None) is None:
            return
        if self._asked is not None and self._asked.id == approval.id:
            self._gone.set()
        if said := _elsewhere(approval):
            self._screen.aside(said)

    def listed(self, approvals: Iterable[Approval]) -> None:
        """These wait, and no others: events were missed."""
        waiting = {each.id: each for each in approvals if each.id not in self._mine}
        if self._asked is not None and self._asked.id in self._open and self._asked.id not in waiting:
            self._screen.aside("that was decided meanwhile")
            self._gone.set()
        self._open = waiting
        if waiting:
            self._some.set()

    def show_again(self) -> None:
        """Ask on a new line, if something was shown since."""
        if self._asked is not None and not self._gone.is_set():
            self._screen.prompt(prompt(self._asked))

    async def wait(self, run: Run) -> None:
        """Ask whatever comes; return when the user does not decide it here, and the run waits for nothing else.

        What is open then was shown, with what one types to decide it. Raise ApiError.
        """
        if self._means.keyboard is None:
            await self._some.wait()
            await self._until_parked(run)
            self._show_all()
        else:
            with suppress(EOFError):
                while True:
                    await self._some.wait()
                    await self._ask_all(self._means.keyboard)
                    self._some.clear()
        self._say_how()
        count = "1 decision" if len(self._open) == 1 else f"{len(self._open)} decisions"
        self._screen.failed(f"run {run.id} waits for {count}, and goes on by itself then")

    async def ask_those(self) -> None:
        """Ask what is open, and nothing that comes; of what is left open say how it is decided. Raise ApiError."""
        if self._means.keyboard is None:
            self._show_all()
        else:
            with suppress(EOFError):
                await self._ask_all(self._means.keyboard)
        self._say_how()

    def _show_all(self) -> None:
        for approval in self._open.values():
            self._screen.beside(lines_of(approval, self._screen.style))

    def _say_how(self) -> None:
        for approval in self._open.values():
            self._screen.beside(self._means.commands(self._decisions.project.id, approval))

    async def _until_parked(self, run: Run) -> None:
        pause = _PAUSE_SECONDS
        while True:
            now = await self._decisions.run(run.id)
            if now.state == RunState.RUN_STATE_WAITING_APPROVAL and now.approvals:
                self.listed(now.approvals)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _ask_all(self, keyboard: Keyboard) -> None:
        """Until none is open. Raise EOFError when the user leaves one open."""
        while self._open:
            approval = next(iter(self._open.values()))
            self._asked = approval
            self._gone.clear()
            try:
                # What was typed before it was seen was not meant for it.
                keyboard.forget()
                self._screen.beside(lines_of(approval, self._screen.style))
                while (said := await self._answer(keyboard, approval)) is None and not self._gone.is_set():
                    pass
            finally:
                self._asked = None
            if said is not None:
                await self._decide(approval, said)

    async def _answer(self, keyboard: Keyboard, approval: Approval) -> _Said | None:
        """What the user says; None if that is no answer, or the question is gone. Raise EOFError on Ctrl-D."""
        self._screen.prompt(prompt(approval))
        typing = asyncio.create_task(keyboard.line(), name="an answer")
        going = asyncio.create_task(self._gone.wait(), name="nobody needs it")
        try:
            await asyncio.wait((typing, going), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (typing, going):
                each.cancel()
            await asyncio.wait((typing, going))
        if self._gone.is_set():
            return None
        line = typing.result()
        if line is None:
            raise EOFError
        self._screen.entered()
        said = _understood(line, approval)
        if isinstance(said, str):
            self._screen.aside(said)
            return None
        return said

    async def _decide(self, approval: Approval, said: _Said) -> None:
        self._mine.add(approval.id)
        self._open.pop(approval.id, None)
        try:
            if said.approve:
                await self._decisions.approve(approval, said.for_run)
            else:
                await self._decisions.reject(approval, said.reason)
        except ApiError as error:
            if error.reason != "APPROVAL_DECIDED":
                raise
            self._screen.aside(error.detail)


def prompt(approval: Approval) -> str:
    """What one is asked below the lines that show it."""
    warnings = approval.payload.fields["warnings"].list_value.values if "warnings" in approval.payload.fields else ()
    heed = f"({len(warnings)} warning{'s' * (len(warnings) > 1)} above) " if warnings else ""
    if is_plan(approval):
        return "  yes, or no and why? "
    return f"  {heed}yes, no and why, or run (yes to every {tool_of(approval)} of this run)? "


def _understood(line: str, approval: Approval) -> _Said | str:
    """What was said, or a sentence on what could be."""
    word, _, rest = line.strip().partition(" ")
    word, rest = word.casefold().rstrip(",;:.-"), rest.strip()
    if word in _NO:
        if len(rest) > _LONGEST_REASON:
            return f"a reason has {_LONGEST_REASON:,} characters at most"
        return _Said(False, reason=rest)
    if word in _YES and not rest:
        return _Said(True)
    if word in _RUN and not rest and not is_plan(approval):
        return _Said(True, for_run=True)
    return "say yes or no, or leave it open with Ctrl-D; Ctrl-C stops the run"


def _elsewhere(approval: Approval) -> str:
    match approval.state:
        case ApprovalState.APPROVAL_STATE_APPROVED:
            return "approved elsewhere"
        case ApprovalState.APPROVAL_STATE_REJECTED:
            return "rejected elsewhere"
        case ApprovalState.APPROVAL_STATE_EXPIRED:
            return "nobody decided in time: it counts as rejected"
    return ""
