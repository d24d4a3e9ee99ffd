"""The processes of a sandbox, as the machine's /proc shows them."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_INODE_BYTES = 1_024
"""About what an empty file in memory takes."""
_IN_MEMORY = ("tmp", "dev/shm")
# A process that ends while it is looked at.
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True)
class Used:
    """What the processes below one use: bytes of memory, with files that are kept there, and threads."""

    memory: int
    threads: int


def used_below(pid: int, enough: int) -> Used:
    """What the descendants of the process use. Of more memory than `enough` it is looked at exactly.

    For that the kernel has to go through all pages; without it, what processes share counts for each.
    """
    below = _below(pid)
    files = _files_in_memory(below)
    memory = files + sum(map(_resident, below))
    if memory > enough:
        memory = files + sum(map(_proportional, below))
    return Used(memory, sum(map(_threads, below)))


def child_of(pid: int) -> int | None:
    """A descriptor of the process's one child, which does not end by itself now; None if both were killed."""
    for child in children(pid):
        with suppress(ProcessLookupError):
            return os.pidfd_open(child)
    return None


def children(pid: int) -> list[int]:
    """The children of the process; none if it is gone. Raise FileNotFoundError where the kernel does not tell."""
    found: list[int] = []
    try:
        threads = [each.name for each in Path(f"/proc/{pid}/task").iterdir()]
    except _GONE:
        return found
    for thread in threads:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
        except _GONE:
            if Path(f"/proc/{pid}/task/{thread}/stat").exists():
                raise
    return found


def _below(pid: int) -> list[int]:
    found = children(pid)
    for each in found:
        # The list grows while it is gone through.
        found += children(each)
    return found


def _resident(pid: int) -> int:
    with suppress(*_GONE):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1_024
    except PermissionError:
        # Of who does not let itself be looked at, everything counts.
        return _resident(pid)
    except _GONE:
        pass
    return 0


def _threads(pid: int) -> int:
    with suppress(*_GONE):
        # Two links are its own.
        return Path(f"/proc/{pid}/task").stat().st_nlink - 2
    return 0


def _files_in_memory(pids: list[int]) -> int:
    for pid in pids:
        # Any of them shows the same.
        with suppress(PermissionError, *_GONE):
            kept = [os.statvfs(f"/proc/{pid}/root/{name}") for name in _IN_MEMORY]
            return sum(
                (each.f_blocks - each.f_bfree) * each.f_frsize + (each.f_files - each.f_ffree) * _INODE_BYTES
                for each in kept
            )
    return 0
