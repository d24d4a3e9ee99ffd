"""Planned messages for the load: each lingers in one part of its run, so that a fault meets it there."""

import random
from typing import Literal

from tests.e2e.faults.acting import Action
from tests.e2e.plans import Errand, Step, giving
from tests.fakes.openai_script import Script

Part = Literal["planning", "working", "combining"]
PARTS: tuple[Part, ...] = ("planning", "working", "combining")
# Two of these have little else to do: CodeAssistant answers what is sent to it by name.
AGENTS = ("DataAnalyst", "DocumentWriter", "CodeAssistant", "DataAnalyst")
ACTS = "b"
"""Which of the tasks acts, where one does: in both shapes another is done beside it."""
DIAMOND = {"a": "", "b": "a", "c": "a", "d": "bc"}
FORK = {"a": "", "b": "a", "c": "a", "d": "b"}
"""Has two ends, of which one answer is made."""


def lingering(part: Part, marker: str, chance: random.Random, action: Action | None = None) -> Errand:
    """A message of four tasks whose run takes its time in this part, and is quick in the others; `action` is one's."""
    shape = FORK if part == "combining" else chance.choice([DIAMOND, FORK])
    steps = [
        Step(
            *(id, tuple(after)),
            script=action.script
            if action is not None and id == ACTS
            else _task(part, f"𝄞 {marker} {id} é 中 and more. " * 4, chance),
            agent=AGENTS[place],
        )
        for place, (id, after) in enumerate(shape.items())
    ]
    combining = giving(f"𝄞 All of {marker}: é 中 and more. " * 4, chunks=8)
    if part == "combining":
        combining = giving(combining.answer, chunks=20, token_seconds=chance.choice([0.04, 0.06]))
    planning = Script(first_token_seconds=chance.uniform(0.6, 1.2) if part == "planning" else 0.02)
    return Errand(steps, combining, planning, marker)


def answer_of(errand: Errand) -> str:
    """What its run answers: what its one end gives, or what is made of several."""
    ends = ends_of(errand)
    if len(ends) == 1:
        return ends[0].script.answer
    assert errand.combining is not None
    return errand.combining.answer


def ends_of(errand: Errand) -> list[Step]:
    """The tasks that nothing builds on."""
    built_on = {id for step in errand.steps for id in step.depends_on}
    return [step for step in errand.steps if step.id not in built_on]


def texts_of(errand: Errand) -> list[str]:
    """All that its run may write."""
    return [answer_of(errand), *(step.script.answer for step in errand.steps)]


def _task(part: Part, answer: str, chance: random.Random) -> Script:
    if part != "working":
        return giving(answer, chunks=2)
    return giving(answer, chunks=chance.randint(4, 10), token_seconds=chance.choice([0.03, 0.05]))
