"""A tool, by contract: what the model is told of it, what it can do to the world, and how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from services.agents.agent import Agent

Risk = Literal["read", "write", "execute", "external"]
RISKS: tuple[Risk, ...] = ("read", "write", "execute", "external")

MOST_OUTPUT = 12_000
"""Code points of what one call gives: a prompt holds that of a few dozen calls."""
MOST_ARGUMENTS = 100_000
"""Code points of the JSON of one call's arguments."""


@dataclass(frozen=True)
class ToolSpec:
    """What there is to know of a tool without running it.

    `parameters` is the JSON schema of its arguments, an object that permits no other properties.
    """

    name: str
    description: str
    risk: Risk
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """Who calls: an agent, at a task of a run."""

    agent: Agent
    session_id: str
    run_id: str
    task_id: str


@dataclass(frozen=True)
class Output:
    """What a call gave, for the model to read; at most MOST_OUTPUT code points, `truncated` if there was more."""

    text: str
    success: bool = True
    truncated: bool = False


class ToolFailed(Exception):
    """The call did not do what it should: a sentence or two that tell the model what to do about it.

    It names nothing of the server: no path outside of the workspace, no error of a library.
    """


class Tool(Protocol):
    """Something that an agent can call."""

    @property
    def spec(self) -> ToolSpec:
        """What it is."""

    @property
    def unavailable(self) -> str | None:
        """Why it cannot be used on this server, a sentence; None if it can. Known from the start on."""

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        """Do it, within time limits of its own; the arguments fit the schema.

        Cancelling the caller ends it, with everything that it has started. Raise ToolFailed; Unavailable where the
        model could do nothing about it, and the same call may go well in another attempt at the task.
        """


def storable(text: str) -> str:
    """The text without what no database keeps, NUL and halves of surrogate pairs: models and files say anything."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def bounded(text: str, success: bool = True, most: int = MOST_OUTPUT) -> Output:
    """The text as an Output: of a long one its beginning and its end, with a note between them that says what is left
    out. What no database keeps is replaced."""
    text = storable(text)
    if len(text) <= most:
        return Output(text, success)
    first, last = text[: most * 3 // 4], text[-(most // 4) :]
    left_out = len(text) - len(first) - len(last)
    return Output(f"{first}\n… [{left_out:,} of {len(text):,} characters are left out here] …\n{last}", success, True)
