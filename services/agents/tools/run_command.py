"""The tool `run_command`: a shell command on the project's files, in a sandbox."""

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from services.agents.agent import Owner
from services.agents.sandbox.choice import open_sandbox
from services.agents.sandbox.sandbox import MOST_COMMAND_BYTES, Ended, Limits, NotStarted, Sandbox, Stop
from services.agents.tools.tool import MOST_OUTPUT, Caller, Output, Tool, ToolFailed, ToolSpec, bounded
from services.runtime.settings import Settings

log = structlog.get_logger()

_MIB = 1024**2
_ESCAPE_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_ENDS = re.compile(r"\r\n?")


async def command_tools(settings: Settings, folders: "Folders") -> tuple[Tool, ...]:
    """The tools that run commands, after a trial of what this machine permits; what it does not is unavailable."""
    return (RunCommand(await open_sandbox(settings), folders),)


class Folders(Protocol):
    """Where the files of projects are."""

    async def folder(self, owner: Owner) -> Path:
        """Return the project's folder, which is made unless it is there. Raise ToolFailed if the project is deleted."""

    async def used_bytes(self, owner: Owner) -> int:
        """Return what is in it; more than permitted if it is too much to be counted. Raise ToolFailed."""


class RunCommand:
    """Runs what agents ask for, within the sandbox's limits."""

    def __init__(self, sandbox: Sandbox, folders: Folders) -> None:
        self._sandbox = sandbox
        self._folders = folders
        self._spec = _spec(sandbox.limits)

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    @property
    def unavailable(self) -> str | None:
        return self._sandbox.unavailable

    async def run(self, caller: Caller, arguments: Mapping[str, Any]) -> Output:
        if self.unavailable is not None:
            raise ToolFailed(self.unavailable)
        command = _command(arguments["command"])
        limits = self._sandbox.limits
        seconds = min(float(arguments.get("timeout_seconds") or limits.seconds), limits.seconds)
        owner = caller.agent.owner
        folder = await self._folders.folder(owner)
        try:
            ended = await self._sandbox.run(folder, command, seconds, lambda: self._folders.used_bytes(owner))
        except NotStarted as error:
            log.error("sandbox could not be set up", error=str(error), project_id=owner.project_id)
            raise ToolFailed("The command was not run: its sandbox could not be set up. Try again later.") from None
        return _told(ended, _how(ended, limits, seconds))


def _command(command: str) -> str:
    """The command. Raise ToolFailed if no shell can be given it."""
    if "\0" in command:
        raise ToolFailed("The command holds a NUL character, which no command can: leave it out.")
    try:
        length = len(command.encode())
    except UnicodeEncodeError:
        raise ToolFailed("The command is not valid Unicode: it holds half of a surrogate pair.") from None
    if length > MOST_COMMAND_BYTES:
        raise ToolFailed(
            f"The command is {length:,} bytes long, and {MOST_COMMAND_BYTES:,} is the most: write it to a file of the"
            " workspace and run that."
        )
    return command


def _how(ended: Ended, limits: Limits, seconds: float) -> str:
    """How it ended, in words."""
    if ended.stopped is None:
        return _status(ended.status)
    why: Mapping[Stop, str] = {
        "time": f"killed after {seconds:g} s, which was its time",
        "memory": f"killed: it used more than {limits.memory_bytes // _MIB} MiB of memory",
        "processes": f"killed: it had more than {limits.processes} processes and threads at once",
        "disk": f"killed: the workspace would have held more than {limits.folder_bytes // _MIB} MiB, too many files, or"
        " the disk is nearly full",
        "output": f"killed: it printed more than {limits.output_bytes // _MIB} MiB; let it write to a file instead",
    }
    return why[ended.stopped]


def _status(status: int) -> str:
    number = status - 128
    if number == signal.SIGXFSZ:
        return f"exit status {status}: a file would have grown beyond what is left of the workspace's space"
    if number in {each.value for each in signal.Signals}:
        return f"exit status {status}, as of a process that {signal.Signals(number).name} ended"
    return f"exit status {status}"


def _told(ended: Ended, how: str) -> Output:
    """What was printed, and how it ended below: that comes last, where no output can follow it."""
    success = ended.stopped is None and ended.status == 0
    # An outcome is told of every command, so that what is printed cannot pass for it.
    last = f"\n[{how}]"
    most = MOST_OUTPUT - len(last) - 100
    if not ended.left_out:
        printed = bounded(_readable(ended.beginning + ended.end).rstrip("\n"), success, most)
        return Output((printed.text + last).lstrip("\n"), success, printed.truncated)
    first, end = _readable(ended.beginning)[: most * 3 // 4], _readable(ended.end)[-(most // 4) :]
    more = f"\n… [more than {ended.left_out:,} bytes are left out here] …\n"
    return Output(f"{first}{more}{end.rstrip()}{last}", success, True)


def _readable(printed: bytes) -> str:
    """The text, without what it would do to a terminal."""
    text = _ESCAPE_SEQUENCES.sub("", printed.decode(errors="replace"))
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub("\n", text))


def _spec(limits: Limits) -> ToolSpec:
    return ToolSpec(
        name="run_command",
        description=(
            "Run a shell command (`sh -c`) in the project's workspace, and get what it prints (stdout and stderr as"
            " they come) and its exit status. It runs in a sandbox: of files there are the workspace (/workspace, where"
            " it starts) and the system's programs, /tmp is empty and gone afterwards; there is no network, no input,"
            " no terminal and no root. What it leaves in the background is killed when it ends."
            f" Limits: {limits.seconds:g} s, {limits.memory_bytes // _MIB} MiB of memory, {limits.processes} processes,"
            f" {limits.folder_bytes // _MIB} MiB in the workspace; of a long output you get the beginning and the end."
        ),
        risk="execute",
        parameters={
            "type": "object",
            "properties": {
                "command": {"type": "string", "minLength": 1, "description": "What to run, such as `python3 test.py`."},
                "timeout_seconds": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": max(1, int(limits.seconds)),
                    "description": f"Kill it after so many seconds; {limits.seconds:g} unless given.",
                },
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    )
