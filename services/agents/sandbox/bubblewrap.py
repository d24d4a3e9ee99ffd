"""The sandbox that bubblewrap makes of the kernel's namespaces."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from services.agents.sandbox import walls
from services.agents.sandbox.processes import shared_by_all, unnamed_below, used_below
from services.agents.sandbox.running import Running, memory_file
from services.agents.sandbox.sandbox import MOST_COMMAND_BYTES, Ended, Limits, NotStarted, Stop
from services.agents.sandbox.system_calls import refusing_filter

LOWER_PRIORITY = ("nice", "-n", "10")
_LOOK_SECONDS = 0.1
_FOLDER_SHARE = 0.05
"""At most this part of the time it is counted what is in the folder."""
_LEAST_FREE_BYTES = 256 * 1024**2
_LEAST_FREE_FILES = 100_000
_AT_ONCE = 8


class Bubblewrap:
    """Commands in namespaces of their own, each below a bubblewrap that dies with this process.

    `user` is who runs them where this process is root, else None: then they are this process's user to the machine.
    `hidden` are folders and files that no command may see, wherever they are; `before` is what starts bubblewrap.

    What bounds the memory of a command is the data limit, for each process at once, and a look at all of them ten times
    a second, for the sum. The kernel's memory that no process shows, such as that of sockets, is bounded by the limits
    on processes and open files alone.

    What bounds the folder is the same look, more seldom where it takes long, and the limit on each file's length. In a
    folder that holds too much already no file can be written to, so that nothing can be done but remove some.
    """

    unavailable: str | None = None

    def __init__(
        self, limits: Limits, user: int | None, hidden: Sequence[Path] = (), before: Sequence[str] = LOWER_PRIORITY
    ) -> None:
        self._limits = limits
        self._user = user
        self._hidden = hidden
        self._before = before
        self._filter = refusing_filter()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def limits(self) -> Limits:
        return self._limits

    async def run(self, folder: Path, command: str, seconds: float, used_bytes: Callable[[], Awaitable[int]]) -> Ended:
        if "\0" in command or len(command.encode()) > MOST_COMMAND_BYTES:
            raise ValueError("a command that no shell can be given")
        async with self._turns:
            seconds, most = min(seconds, self._limits.seconds), self._limits.folder_bytes
            used = await used_bytes()
            running = self._start(folder, command, seconds, longest_file=0 if used > most else most)
            try:
                stopped = await self._watched(running, folder, max(used, most), seconds, used_bytes)
            finally:
                # Cancelled again meanwhile, it comes to its end all the same, unheard.
                status = await asyncio.shield(running.ended)
        beginning, end, left_out = running.printed
        if not running.has_started:
            raise NotStarted(beginning.decode(errors="replace").strip() or f"bubblewrap ended with status {status}")
        _open_to_its_owner(folder)
        return Ended(status, stopped, beginning, end, left_out)

    def _start(self, folder: Path, command: str, seconds: float, longest_file: int) -> Running:
        with ExitStack() as closing:

            def handed(content: bytes) -> int:
                descriptor = memory_file(content)
                closing.callback(os.close, descriptor)
                return descriptor

            made = walls.Descriptors(
                handed(walls.passwd(self._user)),
                handed(walls.group(self._user)),
                handed(walls.hosts()),
                handed(self._filter),
            )
            try:
                return Running(
                    self._before,
                    walls.walls(folder, self._limits, self._user, walls.to_hide(self._hidden), made),
                    walls.launch(command, self._limits, self._user, seconds, longest_file),
                    (made.passwd, made.group, made.hosts, made.system_calls),
                    self._limits.output_bytes,
                )
            except OSError as error:
                raise NotStarted(f"no process could be started: {error.strerror}") from error

    async def _watched(
        self, running: Running, folder: Path, room: int, seconds: float, used_bytes: Callable[[], Awaitable[int]]
    ) -> Stop | None:
        """Wait until it has ended, or end it and return why. Its time begins when it does."""
        watching: list[asyncio.Task[Any]] = []
        try:
            await running.started.wait()
            if not running.has_started:
                return None
            use = asyncio.create_task(self._watch(running, folder, room, used_bytes), name="command's use")
            overflow = asyncio.create_task(running.overflowing.wait(), name="command's output")
            watching += use, overflow
            await asyncio.wait((running.ended, *watching), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if overflow.done():
                return "output"
            if use.done():
                return await use
            return None if running.ended.done() else "time"
        finally:
            running.kill()
            for task in watching:
                task.cancel()
            # What the watch came upon when all was over is of no interest.
            await asyncio.gather(*watching, return_exceptions=True)

    async def _watch(self, running: Running, folder: Path, room: int, used_bytes: Callable[[], Awaitable[int]]) -> Stop:
        """Return what it uses more of than it may; not before it does."""
        before = counted = _Free.around(folder)
        least_bytes, least_files = min(_LEAST_FREE_BYTES, before.bytes // 2), min(_LEAST_FREE_FILES, before.files // 2)
        shared_before = shared_by_all()
        count_at = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            used = await asyncio.to_thread(used_below, running.pid, self._limits.memory_bytes, shared_before)
            if used.memory > self._limits.memory_bytes:
                return "memory"
            # The first process and the shell, which waits for what it runs, are of the sandbox.
            if used.threads > self._limits.processes + 1:
                return "processes"
            free = _Free.around(folder)
            if free.bytes < least_bytes or free.files < least_files:
                return "disk"
            # Where there is too much to be counted already, counting tells nothing of what comes to it.
            if room > self._limits.folder_bytes and before.files - free.files > self._limits.new_files:
                return "disk"
            if (began := time.monotonic()) >= count_at or counted.files - free.files > self._limits.new_files:
                counted = free
                # Of files without a name the folder tells nothing. They are looked for where the disk lacks as much.
                if before.bytes - free.bytes > self._limits.folder_bytes:
                    unnamed = await asyncio.to_thread(unnamed_below, running.pid, folder)
                else:
                    unnamed = 0
                if await used_bytes() + unnamed > room:
                    return "disk"
                now = time.monotonic()
                count_at = now + (now - began) / _FOLDER_SHARE


@dataclass(frozen=True)
class _Free:
    """What is left of a disk: bytes, and files that can be made; 0 where there is no end of these."""

    bytes: int
    files: int

    @classmethod
    def around(cls, folder: Path) -> Self:
        found = os.statvfs(folder)
        return cls(found.f_bavail * found.f_frsize, found.f_favail)


def _open_to_its_owner(folder: Path) -> None:
    """A command may have closed the folder even to us; it cannot have put another in its place."""
    mode = folder.stat().st_mode & 0o7777
    if mode & 0o700 != 0o700:
        folder.chmod(0o700)
