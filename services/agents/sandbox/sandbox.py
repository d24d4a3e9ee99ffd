"""A sandbox, by contract: what runs in it sees a folder and the system's programs, and can harm neither the machine nor
anybody else on it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Stop = Literal["time", "memory", "processes", "disk", "output"]
"""Why a command was killed, with everything that it had started."""

MOST_COMMAND_BYTES = 120_000
"""The kernel takes 128 KiB as one argument."""


@dataclass(frozen=True)
class Limits:
    """What one command may use, with all that it starts."""

    seconds: float = 120.0
    memory_bytes: int = 512 * 1024**2
    folder_bytes: int = 256 * 1024**2
    new_files: int = 5_000
    """So many more files on the disk, whoever made them, are a reason to count those of the folder at once, and to stop
    what runs in one that holds too much already."""
    processes: int = 64
    """Threads count too."""
    open_files: int = 256
    """Of each process."""
    output_bytes: int = 10 * 1024**2
    """What it may print; of that the beginning and the end are kept."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed: stdout and stderr as they came, `beginning` and `end` of it.

    `status` is the shell's; 128 + n if signal n ended what it ran last, and of no meaning if the command was stopped.
    """

    status: int
    stopped: Stop | None
    beginning: bytes
    end: bytes = b""
    left_out: int = 0
    """Bytes between the two."""


class NotStarted(Exception):
    """The sandbox could not be set up. The text is for the log: it may name paths of the server."""


class Sandbox(Protocol):
    """Runs commands, several at a time."""

    @property
    def unavailable(self) -> str | None:
        """Why it cannot be used on this machine, and what to do about it; None if it can. Known from the start on."""

    @property
    def limits(self) -> Limits:
        """What each command may use."""

    async def run(self, folder: Path, command: str, seconds: float, used_bytes: Callable[[], Awaitable[int]]) -> Ended:
        """Run `sh -c command` in the folder for at most so many seconds, and not longer than the limits say.

        It ends when the shell does: what that leaves in the background is killed. Cancelling the caller kills all of it
        before the cancellation comes through. `used_bytes` tells how much is in the folder at the moment.

        Raise ValueError for a command that no shell can be given (a NUL, half a surrogate, more than
        MOST_COMMAND_BYTES of UTF-8), NotStarted.
        """


class NoSandbox:
    """Says why there is none."""

    def __init__(self, unavailable: str, limits: Limits) -> None:
        self._unavailable = unavailable
        self._limits = limits

    @property
    def unavailable(self) -> str | None:
        return self._unavailable

    @property
    def limits(self) -> Limits:
        return self._limits

    async def run(self, folder: Path, command: str, seconds: float, used_bytes: Callable[[], Awaitable[int]]) -> Ended:
        raise NotStarted(self._unavailable)
