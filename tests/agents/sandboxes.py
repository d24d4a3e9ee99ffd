"""A machine worth breaking out to: secrets, sockets and processes around a sandbox, which nothing in it may reach."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.agents.agent import Agent, AgentConfig, Owner
from services.agents.sandbox.bubblewrap import LOWER_PRIORITY, Bubblewrap
from services.agents.sandbox.choice import user_of_commands
from services.agents.sandbox.processes import children
from services.agents.sandbox.sandbox import Limits
from services.agents.tools.files import ReadFile
from services.agents.tools.run_command import RunCommand
from services.agents.tools.tool import Caller, Output, Tool
from services.agents.workspaces.workspaces import Workspaces

SECRET = "kept-from-commands-8d1f"
SMALL = Limits(
    seconds=20.0,
    memory_bytes=128 * 1024**2,
    folder_bytes=8 * 1024**2,
    processes=32,
    open_files=64,
    output_bytes=1024**2,
)
OWNER = Owner("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
ROADS = ("as_root", "as_user") if os.geteuid() == 0 else ("as_user",)
"""Who the server is: both are tried where both can be."""
_PREFIX = "codelab-test-"
_SERVER_USER = 1_900_000_001


@dataclass
class Places:
    """The folders of projects, as the tool asks for them: here one."""

    of_project: Path

    async def folder(self, owner: Owner) -> Path:
        return self.of_project

    async def used_bytes(self, owner: Owner) -> int:
        total = 0
        for folder, _, names in os.walk(self.of_project):
            for name in names:
                with suppress(FileNotFoundError):
                    total += (Path(folder) / name).lstat().st_blocks * 512
        return total


@dataclass
class Machine:
    """What is around: `folder` is the project's, everything else is not its commands' business."""

    folder: Path
    data: Path
    other: Path
    victim: asyncio.subprocess.Process
    port: int
    socket: Path
    abstract: str
    tool: RunCommand
    read_file: Tool
    listeners: list[socket.socket] = field(default_factory=list)

    async def run(self, command: str, timeout_seconds: float | None = None) -> Output:
        """What the tool gives an agent."""
        given: dict[str, Any] = {"command": command}
        if timeout_seconds is not None:
            given["timeout_seconds"] = timeout_seconds
        return await self.tool.run(caller(), given)

    def filled_in(self, command: str) -> str:
        """The command with the places of this machine."""
        places = {
            "<data>": self.data,
            "<other>": self.other,
            "<victim>": self.victim.pid,
            "<server>": os.getpid(),
            "<port>": self.port,
            "<socket>": self.socket,
            "<abstract>": self.abstract,
        }
        for name, place in places.items():
            command = command.replace(name, str(place))
        return command

    def assert_untouched(self) -> None:
        """Nothing of the sandbox is left, and nothing around it was changed or even asked."""
        assert processes_on(self.folder) == []
        assert self.victim.returncode is None
        assert (self.data / "jwt.key").read_text() == SECRET
        assert sorted(each.name for each in self.data.iterdir()) == ["control.sock", "jwt.key"]
        assert (self.other / "notes").read_text() == SECRET
        for listener in self.listeners:
            try:
                listener.accept()
            except BlockingIOError:
                continue
            raise AssertionError(f"somebody connected to {listener.getsockname()}")


def caller() -> Caller:
    """An agent at a task."""
    now = datetime.now(UTC)
    agent = Agent("agent", OWNER, "Coder", AgentConfig(), "ready", 1, now, now)
    return Caller(agent, "session", "run", "task")


def sandbox(road: str, limits: Limits = SMALL, hidden: tuple[Path, ...] = ()) -> Bubblewrap:
    """A sandbox as a server of this kind makes it."""
    if road == "as_root":
        return Bubblewrap(limits, user_of_commands(), hidden)
    change = () if os.geteuid() != 0 else (*_as(_SERVER_USER), *LOWER_PRIORITY)
    return Bubblewrap(limits, None, hidden, before=change or LOWER_PRIORITY)


def owner_of_folders(road: str) -> int:
    """Whose workspaces are."""
    if road == "as_root":
        return user_of_commands() or 0
    return _SERVER_USER if os.geteuid() == 0 else os.geteuid()


def folder_for(road: str, within: Path) -> Path:
    """A workspace, to which the server that runs like this can come."""
    folder = within / "workspace"
    folder.mkdir(mode=0o700)
    os.chown(folder, owner_of_folders(road), -1)
    return folder


async def workspaces_for(road: str, within: Path) -> Workspaces:
    """The folders of projects of a server like this, with one of OWNER's."""
    root = within / "workspaces"
    made = Workspaces(root, SMALL.folder_bytes, given_to=owner_of_folders(road))
    await made.folder(OWNER)
    if road == "as_user" and os.geteuid() == 0:
        # Root stands in for the server's user, to whom they would belong.
        for each in (root, root / OWNER.user_id):
            os.chown(each, _SERVER_USER, -1)
    return made


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that every user may pass through: pytest's own are closed to all but one."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@asynccontextmanager
async def machine(road: str) -> AsyncIterator[Machine]:
    """Everything that a command could be after."""
    server = _SERVER_USER if road == "as_user" and os.geteuid() == 0 else os.geteuid()
    async with AsyncExitStack() as closing:
        base = closing.enter_context(temporary_folder())
        data, other = base / "data", base / "other"
        for folder, name in ((data, "jwt.key"), (other, "notes")):
            folder.mkdir(mode=0o700)
            (folder / name).write_text(SECRET)
            for each in (folder, folder / name):
                os.chown(each, server, -1)
        workspaces = await workspaces_for(road, base)
        change = _as(server) if server != os.geteuid() else ()
        victim = await asyncio.create_subprocess_exec(
            *change, "sleep", "1000", env={**os.environ, "CODELAB_TEST_SECRET": SECRET}
        )
        closing.push_async_callback(victim.wait)
        closing.callback(victim.kill)
        tcp = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = closing.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(data / "control.sock"))
        (data / "control.sock").chmod(0o777)
        abstract = closing.enter_context(socket.socket(socket.AF_UNIX))
        abstract_name = f"codelab-{os.getpid()}-{road}"
        abstract.bind(f"\0{abstract_name}")
        for listener in (unix, abstract):
            listener.listen()
        for listener in (tcp, unix, abstract):
            listener.setblocking(False)
        yield Machine(
            await workspaces.folder(OWNER),
            data,
            other,
            victim,
            tcp.getsockname()[1],
            data / "control.sock",
            abstract_name,
            RunCommand(sandbox(road), workspaces),
            ReadFile(workspaces),
            [tcp, unix, abstract],
        )


def processes_on(folder: Path) -> list[int]:
    """The processes that have the folder as their workspace, and those below this process that set one up."""
    found = [pid for pid in children(os.getpid()) if "bwrap" in _command(pid)]
    # As from its temporary folder, whose name is no other's: what comes before depends on how the disk is mounted.
    mounted = f"{_PREFIX}{str(folder).partition(_PREFIX)[2]} /workspace "
    for each in Path("/proc").glob("[0-9]*"):
        # Others end meanwhile, or are others' and none of ours.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError, OSError):
            if mounted in (each / "mountinfo").read_text():
                found.append(int(each.name))
    return found


def python(code: str) -> str:
    """A command that runs the code."""
    return f"python3 - <<'END'\n{code}\nEND"


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _as(user: int) -> tuple[str, ...]:
    return ("setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups")
