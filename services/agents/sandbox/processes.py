"""The processes of a sandbox, as the machine's /proc shows them."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_INODE_BYTES = 1_024
"""About what an empty file in memory takes."""
_IN_MEMORY = ("tmp", "dev/shm")
# A process that ends while it is looked at.
_GONE = (FileNotFoundError, ProcessLookupError)
_SHARED = "/dev/zero (deleted)"
"""What the kernel calls memory that processes share without a file."""
_SHARING = re.compile(rb"/dev/zero \(deleted\)|\[anon_shmem:")


@dataclass(frozen=True)
class Used:
    """What the processes below one use: bytes of memory, with files that are kept there, and threads."""

    memory: int
    threads: int


def used_below(pid: int, enough: int, shared_before: int) -> Used:
    """What the descendants of the process use. Of more memory than `enough` it is looked at exactly.

    For that the kernel has to go through all pages; without it, what processes share counts for each.
    `shared_before` is what `shared_by_all` gave before they were started.
    """
    below = _below(pid)
    sizes = {each: _sizes(each) for each in below}
    files = _files_in_memory(below) + _shared(below, shared_before)
    memory = files + sum(map(_resident, sizes.values()))
    if memory > enough:
        memory = files + sum(_proportional(each, sizes[each]) for each in below)
    return Used(memory, sum(map(_threads, below)))


def shared_by_all() -> int:
    """Bytes of memory that all processes of the machine share, with files that are kept in memory."""
    return _numbers("/proc/meminfo")["Shmem"]


def unnamed_below(pid: int, folder: Path) -> int:
    """Bytes of files on the folder's disk that have no name any more, and that descendants of the process keep open."""
    device, found = folder.stat().st_dev, dict[int, int]()
    for each in _below(pid):
        for kept in ("fd", "map_files"):
            with suppress(PermissionError, *_GONE):
                for file in Path(f"/proc/{each}/{kept}").iterdir():
                    with suppress(PermissionError, *_GONE):
                        status = file.stat()
                        if status.st_dev == device and status.st_nlink == 0:
                            found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


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


def _sizes(pid: int) -> dict[str, int]:
    """What the kernel tells of a process's memory; nothing if it is gone."""
    with suppress(*_GONE):
        return _numbers(f"/proc/{pid}/status")
    return {}


def _numbers(path: str) -> dict[str, int]:
    """The lines of a file of the kernel's that are numbers of KiB, in bytes."""
    lines = (line.split() for line in Path(path).read_text(errors="replace").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1_024 for words in lines if words[2:] == ["kB"]}


def _resident(sizes: Mapping[str, int]) -> int:
    # The tables of its pages take memory also where the pages take none.
    return sum(sizes.get(name, 0) for name in ("VmRSS", "VmSwap", "VmPTE"))


def _shared(pids: Sequence[int], before: int) -> int:
    """What the processes share without a file, also pages that they have let go of, or all but one: they stay.

    Where the kernel does not tell us how much it is, it is by how much more all of the machine shares.
    """
    found: dict[int, int] = {}
    for pid in pids:
        with suppress(PermissionError, *_GONE):
            if not _SHARING.search(Path(f"/proc/{pid}/maps").read_bytes()):
                continue
            for mapped in Path(f"/proc/{pid}/map_files").iterdir():
                with suppress(*_GONE):
                    if str(mapped.readlink()) != _SHARED:
                        continue
                    try:
                        status = mapped.stat()
                    except PermissionError:
                        return max(0, shared_by_all() - before)
                    found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def _proportional(pid: int, sizes: Mapping[str, int]) -> int:
    try:
        pages = _numbers(f"/proc/{pid}/smaps_rollup")
    except PermissionError:
        # Of who does not let itself be looked at, everything counts.
        return _resident(sizes)
    except _GONE:
        return 0
    # What is shared, or a file in memory, is counted as such.
    own = pages.get("Pss", 0) - pages.get("Pss_Shmem", 0)
    return own + pages.get("SwapPss", 0) + sizes.get("VmPTE", 0)


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
