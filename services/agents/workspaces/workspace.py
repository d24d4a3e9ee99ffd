"""One project's files, while a call has to do with them. Everything here blocks: it runs in a thread."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from services.agents.tools.tool import ToolFailed
from services.agents.workspaces.failures import failing
from services.agents.workspaces.folders import (
    BLOCK,
    MOST_ENTRIES,
    Found,
    give,
    look_through,
    make_folder,
    measure,
    open_folder,
)
from services.agents.workspaces.names import folder_names_of, line_of, names_of, shown
from services.agents.workspaces.patience import Patience

MOST_FILE = 1 << 20
"""Bytes of a file that tools read or write."""
UNFINISHED = ".writing-"
"""What a file is called until it is complete, beside the workspace: no agent sees it there, no command changes it."""

Kind = Literal["folder", "file", "link", "other"]


@dataclass(frozen=True)
class Entry:
    """Something in the workspace; `size` is a file's, in bytes."""

    path: str
    kind: Kind
    size: int


@dataclass(frozen=True)
class Content:
    """What a file held when it was read, and what tells whether it is still the same."""

    data: bytes
    mode: int
    identity: tuple[int, ...]


class Workspace:
    """A project's folder, by its descriptor, and by another one the folder that it is in; their opener closes them.

    Paths are relative to it. No link is followed, whichever part of a path it is, and nothing but regular files that
    have one name is read or written: another name may lie outside. Raise ToolFailed, with what to do about it.
    """

    def __init__(self, folder: int, outer: int, most_bytes: int, given_to: int | None, patience: Patience) -> None:
        self._folder = folder
        self._outer = outer
        self._most_bytes = most_bytes
        self._given_to = given_to
        self.patience = patience

    def entries(self, path: str, depth: int = 1, leaving_out: frozenset[str] = frozenset()) -> Iterator[Entry]:
        """What is in the folder at `path`, and down to `depth` in the folders there, each sorted by name."""
        for found in self._below(folder_names_of(path), path, depth, leaving_out):
            yield Entry(line_of("/".join(found.names)), _kind(found.status), found.status.st_size)

    def contents(
        self,
        path: str,
        depth: int,
        wanted: Callable[[tuple[str, ...]], bool],
        leaving_out: frozenset[str] = frozenset(),
    ) -> Iterator[tuple[tuple[str, ...], Content | None]]:
        """The files below `path` whose names are wanted, or the one that it is: their names and what they hold.

        None stands for one that tools do not read.
        """
        names = folder_names_of(path)
        if names and not self._is_folder(names, path):
            yield names, self.read(path)
            return
        for found in self._below(names, path, depth, leaving_out):
            if _kind(found.status) == "file" and wanted(found.names):
                yield found.names, self._content(found)

    def _content(self, found: Found) -> Content | None:
        try:
            # What it is now decides, not what it was when it was found.
            with failing("/".join(found.names)):
                return _read(found.folder, found.names[-1], "/".join(found.names))
        except ToolFailed:
            return None

    def read(self, path: str) -> Content:
        """The file's content, of MOST_FILE bytes at most."""
        names = _file_names(path, making=False)
        with failing(path), self._parent(names, path) as parent:
            return _read(parent, names[-1], path)

    def write(self, path: str, data: bytes, instead_of: Content | None = None) -> bool:
        """Let the file have this content, all of it or, if this fails, none; return whether it is new.

        Folders that are missing are made, a file that is there keeps its mode. With `instead_of`, only if the file is
        as it was read.
        """
        names = _file_names(path, making=instead_of is None)
        if len(data) > MOST_FILE:
            raise ToolFailed(f"{len(data):,} bytes are too much for a file: at most {MOST_FILE:,} can be written.")
        with failing(path):
            has_folder = self._has_folder(names[:-1], path)
            if not has_folder:
                self._check_room(len(data), len(names))
            with self._parent(names, path, making=True) as parent:
                before = _status(parent, names[-1])
                if before is not None:
                    _check_regular(before, path)
                if instead_of is not None and (before is None or _identity(before) != instead_of.identity):
                    raise ToolFailed(f"{shown(path)} was changed by somebody else meanwhile: read it again.")
                # What takes the place of as much needs no more room, whatever else there is: no need to look.
                if has_folder and (before is None or before.st_blocks * 512 < _on_disk(len(data))):
                    self._check_room(len(data), 1)
                self._put(parent, names[-1], data, 0o644 if before is None else stat.S_IMODE(before.st_mode) & 0o777)
        return before is None

    def _put(self, parent: int, name: str, data: bytes, mode: int) -> None:
        try:
            self._put_from(self._outer, parent, name, data, mode)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # Somebody has mounted the workspace, or this part of it, from elsewhere.
            self._put_from(parent, parent, name, data, mode)

    def _put_from(self, made_in: int, parent: int, name: str, data: bytes, mode: int) -> None:
        unfinished = f"{UNFINISHED}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(unfinished, flags, 0o600, dir_fd=made_in)
        try:
            with os.fdopen(descriptor, "wb") as file:
                give(descriptor, self._given_to)
                os.fchmod(descriptor, mode)
                file.write(data)
            self.patience.check()
            # Replaces the name: a link that was put there meanwhile goes, what it led to stays.
            os.rename(unfinished, name, src_dir_fd=made_in, dst_dir_fd=parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(unfinished, dir_fd=made_in)
            raise

    def _has_folder(self, names: tuple[str, ...], path: str) -> bool:
        try:
            return not names or self._is_folder(names, path)
        except ToolFailed:
            return False  # Nor the one that it would be in.

    def _check_room(self, size: int, names: int) -> None:
        """Raise ToolFailed unless so much more fits. This looks at every file there is, which takes 5 µs each.

        No sum is kept instead: commands and other replicas change what it would be of, and tell nobody.
        """
        usage = measure(self._folder, self.patience)
        if not usage.complete or usage.entries + names > MOST_ENTRIES:
            raise ToolFailed(
                f"The workspace is full: it may have {MOST_ENTRIES:,} files and folders, not too deep in one another."
                " Remove some first, with a command."
            )
        # The old content stays until the new one is complete, so both must fit.
        if usage.bytes + _on_disk(size) > self._most_bytes:
            raise ToolFailed(
                f"The workspace is full: its files take {usage.bytes:,} of {self._most_bytes:,} bytes,"
                f" and {size:,} more do not fit. Remove some first, with a command."
            )

    def _below(self, names: tuple[str, ...], path: str, depth: int, leaving_out: frozenset[str]) -> Iterator[Found]:
        with failing(path):
            folder = self._open(names, path)
            try:
                yield from look_through(folder, depth, self.patience, names, leaving_out)
            finally:
                os.close(folder)

    def _is_folder(self, names: tuple[str, ...], path: str) -> bool:
        with failing(path), self._parent(names, path) as parent:
            status = _status(parent, names[-1])
            return status is not None and stat.S_ISDIR(status.st_mode)

    @contextmanager
    def _parent(self, names: tuple[str, ...], path: str, making: bool = False) -> Iterator[int]:
        folder = self._open(names[:-1], path, making)
        try:
            yield folder
        finally:
            os.close(folder)

    def _open(self, names: tuple[str, ...], path: str, making: bool = False) -> int:
        """The descriptor of the folder at the end of these names, each opened in the one before."""
        folder = os.dup(self._folder)
        try:
            for place, name in enumerate(names, 1):
                self.patience.check()
                try:
                    inner = self._make(name, folder) if making else open_folder(name, folder)
                except OSError:
                    _check_folder(_status(folder, name), "/".join(names[:place]), path)
                    raise
                folder, outer = inner, folder
                os.close(outer)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _make(self, name: str, parent: int) -> int:
        return make_folder(name, parent, 0o755, self._given_to)


def _file_names(path: str, making: bool) -> tuple[str, ...]:
    names = names_of(path, making)
    if not names:
        raise ToolFailed(f"{shown(path)} is the workspace itself: name a file in it.")
    return names


def _on_disk(size: int) -> int:
    """Bytes that content of this size takes there."""
    return -(-size // BLOCK) * BLOCK


def _read(parent: int, name: str, path: str) -> Content:
    # Looked at before it is opened: opening alone does something to some devices.
    _check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False), path)
    # Something else may be there by now: a pipe that nobody writes to would never open otherwise.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=parent), "rb") as file:
        status = os.fstat(file.fileno())
        _check_regular(status, path)
        # One more than permitted: it may grow while it is read.
        data = file.read(MOST_FILE + 1) if status.st_size <= MOST_FILE else b""
    if status.st_size > MOST_FILE or len(data) > MOST_FILE:
        raise ToolFailed(
            f"{shown(path)} is too large: {status.st_size:,} bytes, and tools read at most {MOST_FILE:,}."
            " Take a part of it with a command."
        )
    return Content(data, stat.S_IMODE(status.st_mode), _identity(status))


def _check_regular(status: os.stat_result, path: str) -> None:
    match _kind(status):
        case "folder":
            raise ToolFailed(f"{shown(path)} is a folder, not a file: list_directory shows what is in it.")
        case "link":
            raise ToolFailed(f"{shown(path)} is a link, and links are not followed: name the file itself.")
        case "other":
            raise ToolFailed(f"{shown(path)} is no regular file, and cannot be read or written.")
    if status.st_nlink > 1:
        raise ToolFailed(
            f"{shown(path)} has more than one name (hard links), and such files are not touched:"
            " replace it by a copy with a command."
        )


def _check_folder(status: os.stat_result | None, part: str, path: str) -> None:
    """Say why this part of the path is no folder that can be opened, if that can be seen."""
    if status is None:
        raise ToolFailed(f"{shown(path)} does not exist: there is no {shown(part)}. See list_directory.")
    match _kind(status):
        case "link":
            raise ToolFailed(f"{shown(part)} is a link, and links are not followed: name the folder itself.")
        case "file" | "other":
            raise ToolFailed(f"{shown(part)} is not a folder.")


def _status(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _kind(status: os.stat_result) -> Kind:
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    if stat.S_ISREG(status.st_mode):
        return "file"
    return "link" if stat.S_ISLNK(status.st_mode) else "other"
