"""The tools that agents of this server can be given."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from services.agents.tools.tool import Tool, ToolSpec

ASK_AGENT = ToolSpec(
    "ask_agent",
    "Ask another agent of the project something that it knows or does better than you, and get its answer. It sees"
    " the question and nothing else of what you are doing: say in it everything that the answer needs.",
    "read",
    {
        "type": "object",
        "properties": {
            "agent": {"type": "string", "minLength": 1, "maxLength": 100, "description": "The agent's name."},
            "question": {
                "type": "string",
                "minLength": 1,
                "maxLength": 50_000,
                "pattern": r"\S",
                "description": "What to ask it, complete in itself.",
            },
        },
        "required": ["agent", "question"],
        "additionalProperties": False,
    },
)
"""What the orchestrator does for an agent that pauses for it: there is no Tool behind it."""


class Toolbox:
    """Tools by name, and what there is to know of each."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        specs = {tool.spec.name: tool.spec for tool in tools} | {ASK_AGENT.name: ASK_AGENT}
        if len(specs) != len(tools) + 1:
            raise ValueError("two tools have the same name")
        self._tools: Mapping[str, Tool] = {tool.spec.name: tool for tool in tools}
        self._specs: Mapping[str, ToolSpec] = dict(sorted(specs.items()))

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What can be called, by name, also what cannot be used on this server."""
        return tuple(self._specs.values())

    def spec(self, name: str) -> ToolSpec | None:
        """What the tool of this name is; None if there is none."""
        return self._specs.get(name)

    def find(self, name: str) -> Tool | None:
        """What runs the tool of this name; None if there is none, or if the orchestrator runs it."""
        return self._tools.get(name)

    def unavailable(self, name: str) -> str | None:
        """Why the tool of this name cannot be used on this server; None if it can."""
        tool = self._tools.get(name)
        return None if tool is None else tool.unavailable

    def unknown(self, names: Sequence[str]) -> list[tuple[int, str]]:
        """Of these names those that no tool has: the place of each, and a sentence that says so."""
        return [(place, self._no_tool(name)) for place, name in enumerate(names) if name not in self._specs]

    def _no_tool(self, name: str) -> str:
        meant = get_close_matches(name, self._specs, n=1)
        near = f", the nearest is {meant[0]}" if meant else ""
        return f"no tool is named {name}{near}: GET …/tools lists them"
