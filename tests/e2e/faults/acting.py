"""Messages at which an agent changes a file, if its user agrees, and what must hold of that after every fault."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.approving import call
from tests.e2e.faults.ledger import ApprovalRow, EffectRow, EventRow, RunRow
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import Exchange

END = "end"
"""What is in the file before it is changed; it stays the last line."""


@dataclass(frozen=True)
class Action:
    """The agent writes a file, puts lines into it, side by side if there are several, and reads it.

    A line that is put in twice is there twice: unlike a write, an edit that is repeated shows.
    """

    marker: str
    lines: tuple[str, ...]

    @property
    def script(self) -> Script:
        edits = [call("edit_file", path=self.marker, old_text=END, new_text=f"{each}\n{END}") for each in self.lines]
        write, read = call("write_file", path=self.marker, content=END), call("read_file", path=self.marker)
        return Script(answer=f"𝄞 Did {self.marker}. ", calls=[[write], edits, [read]], chunks=2, token_seconds=0.03)


def acting(marker: str, chance: random.Random) -> Action:
    return Action(marker, tuple(f"{number} {marker}" for number in range(chance.choice([1, 2]))))


def asked_once(
    script: Script, attempts: int, succeeded: bool, asked: Sequence[Exchange], spares_runs: bool
) -> list[str]:
    """The model was asked for each turn of a task at most once an attempt, and for every turn if it came to its end."""
    turns = Counter(sum("tool_calls" in message for message in exchange.body["messages"]) for exchange in asked)
    every = dict.fromkeys(range(1 + len(script.calls)), 1)
    wrong = any(count > attempts for count in turns.values())
    if succeeded:
        wrong |= turns.keys() != every.keys() or (spares_runs and turns != every)
    return [f"asked the model {dict(turns)} times, by turn"] if wrong else []


def done_as_decided(
    action: Action,
    run: RunRow,
    events: Sequence[EventRow],
    approvals: Sequence[ApprovalRow],
    effects: Mapping[str, EffectRow],
    text: str | None,
) -> list[str]:
    """What was approved happened at most once, and once if the journal says so; nothing else did.

    `effects` are the run's, by the id of their call, which is that of its approval; `text` is what is in the file.
    """
    wrong = [f"is over and still waits for {each}" for each in approvals if each.state == "PENDING"]
    asked, resolved = (sum(each.type == f"approval_{what}" for each in events) for what in ("required", "resolved"))
    decided = sum(each.state in ("APPROVED", "REJECTED", "EXPIRED") for each in approvals)
    if asked != len(approvals) or not decided <= resolved <= asked:
        wrong.append(f"told of {asked} questions and {resolved} answers, and there are {approvals}")
    lines = [] if text is None else text.split("\n")
    if text is not None and not (lines[-1:] == [END] and set(lines) <= {END, *action.lines}):
        wrong.append(f"left other words in its file: {text!r}")
    approved = {each.id for each in approvals if each.state == "APPROVED"}
    wrong += [f"made a call that was not approved: {each}" for id, each in effects.items() if id not in approved]
    if run.state == "SUCCEEDED":
        if len(approvals) < 1 + len(action.lines):
            wrong.append("asked too little")
        wrong += [f"left out what was approved: {each}" for each in approved - effects.keys()]
    written = [each for each in effects.values() if each.tool == "write_file"]
    if text is None and any(each.success for each in written):
        wrong.append(f"has no file after {written}")
    if text is not None and not written:
        wrong.append("has a file that nobody wrote")
    for line in action.lines:
        # Whoever began a task again may have asked again: each question is one call.
        mine = [each for each in effects.values() if each.tool == "edit_file" and f"{line}\n" in each.new_text]
        least, most = sum(each.success is True for each in mine), sum(each.success is not False for each in mine)
        if not least <= lines.count(line) <= most:
            wrong.append(f"has {line!r} {lines.count(line)} times in its file after {mine}")
    return [f"{action.marker} {each}: {run}, {approvals}" for each in wrong]


def file_of(folder: Path, project_id: str, action: Action) -> str | None:
    """What is in the file of the action, in the folder of all workspaces; None if there is none."""
    found = list(folder.glob(f"*/{project_id}/{action.marker}"))
    return found[0].read_text() if found else None
