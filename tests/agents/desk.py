"""A project's files, as an agent's tools and somebody at the server's disk see them."""

import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.tools.file_tools import file_tools
from services.agents.tools.tool import MOST_OUTPUT, Caller, Output, Tool, ToolFailed
from services.agents.workspaces.workspaces import Workspaces

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEN_MIB = 10 << 20


def new_owner() -> Owner:
    return Owner(str(uuid.uuid4()), str(uuid.uuid4()))


@dataclass
class Desk:
    """A project with its folder, and the tools of an agent of it."""

    workspaces: Workspaces
    owner: Owner
    folder: Path
    tools: dict[str, Tool] = field(init=False)

    def __post_init__(self) -> None:
        self.tools = {tool.spec.name: tool for tool in file_tools(self.workspaces)}

    @classmethod
    async def of(
        cls, root: Path, owner: Owner | None = None, most_bytes: int = TEN_MIB, seconds: float = 30.0
    ) -> "Desk":
        workspaces, owner = Workspaces(root, most_bytes, seconds=seconds), owner or new_owner()
        return cls(workspaces, owner, await workspaces.folder(owner))

    async def call(self, tool: str, **arguments: Any) -> Output:
        """The tool's output. Raise ToolFailed."""
        agent = Agent("a", self.owner, "Helper", AgentConfig(), "ready", 1, NOW, NOW)
        output = await self.tools[tool].run(Caller(agent, "s", "r", "t"), arguments)
        assert len(output.text) <= MOST_OUTPUT
        return output

    async def text(self, tool: str, **arguments: Any) -> str:
        """The output of a call that fits the schema, and succeeds."""
        jsonschema.validate(arguments, dict(self.tools[tool].spec.parameters))
        return (await self.call(tool, **arguments)).text

    async def failure(self, tool: str, **arguments: Any) -> str:
        """What the tool says of a call that fits the schema, and fails."""
        jsonschema.validate(arguments, dict(self.tools[tool].spec.parameters))
        return await self.outcome(tool, True, **arguments)

    async def outcome(self, tool: str, fails: bool, **arguments: Any) -> str:
        """What the model is told of a call that fails, or does not."""
        if not fails:
            return (await self.call(tool, **arguments)).text
        with pytest.raises(ToolFailed) as failed:
            await self.call(tool, **arguments)
        return str(failed.value)

    def put(self, path: str, content: str | bytes = "") -> Path:
        """Let somebody else than a tool write a file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file


def tree(folder: Path, without: Path | None = None) -> dict[str, tuple[int, int, bytes]]:
    """Everything below the folder but what is in one of them: mode, time of change, and content or what a link says.

    Without the times of that one, and of the one that it is in, where files are made that go into it when complete.
    """
    seen: dict[str, tuple[int, int, bytes]] = {}
    for at, folders, files in os.walk(folder):
        if Path(at) == without:
            folders.clear()
            continue
        for name in [*folders, *files]:
            path = Path(at, name)
            status = path.lstat()
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            # A folder in which something is made and removed again shows it by its time.
            timeless = without is not None and path in (without, without.parent)
            seen[str(path)] = (status.st_mode, 0 if timeless else status.st_mtime_ns, content)
    return seen
