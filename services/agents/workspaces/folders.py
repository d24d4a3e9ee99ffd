"""Folders by their descriptors: opened one name at a time, never through a link, looked through and removed.

A descriptor stays with its folder whatever becomes of the names that led to it, and a name is only looked up in the
folder of a descriptor: links and folders that are exchanged meanwhile cannot lead anywhere else.
"""

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from services.agents.workspaces.patience import Patience

MOST_ENTRIES = 20_000
"""Files, folders and the rest in one workspace."""
MOST_COUNTED_DEPTH = 100
"""How deep a workspace is looked through: one open descriptor for each folder."""
BLOCK = 4_096
"""Bytes that a file's content is rounded up to, as file systems do."""


@dataclass(frozen=True)
class Found:
    """Something in a folder. The folder's descriptor is open until the next one is asked for."""

    folder: int
    names: tuple[str, ...]
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Not for a link to one."""
        return stat.S_ISDIR(self.status.st_mode)


@dataclass(frozen=True)
class Usage:
    """What there is in a workspace: bytes that it takes on the disk, and entries. Incomplete: there is more."""

    bytes: int
    entries: int
    complete: bool


def open_folder(name: str | os.PathLike[str], parent: int | None = None) -> int:
    """The descriptor of a folder. Raise OSError, also for a link to a folder."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if parent is None else os.O_NOFOLLOW)
    return os.open(name, flags, dir_fd=parent)


def open_unlocked(name: str, parent: int) -> int:
    """The descriptor of a folder of ours that may be closed even to us."""
    try:
        descriptor = open_folder(name, parent)
        if os.fstat(descriptor).st_mode & stat.S_IRWXU == stat.S_IRWXU:
            return descriptor
        os.close(descriptor)
    except PermissionError:
        pass  # Which is mended below, or raised there.
    _unlock(name, parent)
    return open_folder(name, parent)


@contextmanager
def opened(name: str | os.PathLike[str], parent: int | None = None) -> Iterator[int]:
    """The same, closed when the block ends."""
    descriptor = open_folder(name, parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(name: str, parent: int, mode: int, given_to: int | None) -> int:
    """The descriptor of a folder, which is made unless it is there. Raise OSError."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    descriptor = open_folder(name, parent)
    try:
        give(descriptor, given_to)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def give(descriptor: int, user: int | None) -> None:
    """Let it belong to the user, if there is one and it does not."""
    if user is not None and os.fstat(descriptor).st_uid != user:
        os.fchown(descriptor, user, user)


def look_through(
    folder: int,
    depth: int,
    patience: Patience,
    names: tuple[str, ...] = (),
    leaving_out: frozenset[str] = frozenset(),
    unlocking: bool = False,
) -> Iterator[Found]:
    """What is in the folder, sorted by name, what is in a folder right after it; `depth` 1 is the folder's own.

    Folders that are called like one in `leaving_out` are not entered, and those not that may not be read, unless
    `unlocking`. Of one folder it is at most MOST_ENTRIES + 1.
    """
    with os.scandir(folder) as scanned:
        entries = sorted(islice(scanned, MOST_ENTRIES + 1), key=lambda entry: entry.name)
    for entry in entries:
        patience.check()
        try:
            found = Found(folder, (*names, entry.name), entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            continue  # Removed meanwhile.
        yield found
        if not found.is_folder or depth <= 1 or entry.name in leaving_out:
            continue
        try:
            inner = open_unlocked(entry.name, folder) if unlocking else open_folder(entry.name, folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # Removed or exchanged meanwhile, or closed to us.
        try:
            yield from look_through(inner, depth - 1, patience, found.names, leaving_out, unlocking)
        finally:
            os.close(inner)


def measure(folder: int, patience: Patience) -> Usage:
    """How much is in the folder. What is written there meanwhile may be counted or not. Raise OutOfTime."""
    taken = entries = 0
    linked: set[tuple[int, int]] = set()
    for found in look_through(folder, MOST_COUNTED_DEPTH, patience, unlocking=True):
        entries += 1
        if entries > MOST_ENTRIES or len(found.names) >= MOST_COUNTED_DEPTH:
            return Usage(taken, entries, complete=False)
        status = found.status
        if status.st_nlink > 1 and not found.is_folder:
            if (status.st_dev, status.st_ino) in linked:
                continue
            linked.add((status.st_dev, status.st_ino))
        # What is on the disk: files with holes are long and take nothing, others are short and have space reserved.
        taken += status.st_blocks * 512
    return Usage(taken, entries, complete=True)


def remove_tree(parent: int, name: str, patience: Patience) -> None:
    """Remove the folder with everything in it, following no link. Raise OSError, OutOfTime: then a part is left.

    Whatever the depth, two descriptors are open: folders of folders are moved up to the top before they are emptied.
    """
    top = open_unlocked(name, parent)
    try:
        moved = f".removing-{secrets.token_hex(8)}"
        number = 0
        while entries := _some(top):
            for entry in entries:
                patience.check()
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=top)
                    continue
                inner = open_unlocked(entry.name, top)
                try:
                    while inside := _some(inner):
                        for each in inside:
                            patience.check()
                            if each.is_dir(follow_symlinks=False):
                                # Moving a folder changes its `..`: that takes the right to write to it.
                                _unlock(each.name, inner)
                                number += 1
                                os.rename(each.name, f"{moved}-{number}", src_dir_fd=inner, dst_dir_fd=top)
                            else:
                                os.unlink(each.name, dir_fd=inner)
                finally:
                    os.close(inner)
                os.rmdir(entry.name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _some(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scanned:
        return list(islice(scanned, 1_000))


def _unlock(name: str, parent: int) -> None:
    """Let the folder's owner do everything with it; never what a link leads to."""
    if sys.platform == "linux":
        # Linux changes modes through links only; this one leads to the very folder that was opened.
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{descriptor}").chmod(stat.S_IRWXU)
        finally:
            os.close(descriptor)
    else:
        os.chmod(name, stat.S_IRWXU, dir_fd=parent, follow_symlinks=False)
