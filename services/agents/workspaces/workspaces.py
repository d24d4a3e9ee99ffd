"""Where the files of every project are: a folder each, made on first use and removed with the project."""

import asyncio
import os
import secrets
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self, TypeVar
from weakref import WeakValueDictionary

import structlog

from services.agents.agent import Owner
from services.agents.errors import WorkspaceUnavailable
from services.agents.tools.tool import ToolFailed
from services.agents.workspaces.failures import failing
from services.agents.workspaces.folders import give, make_folder, measure, open_unlocked, opened, remove_tree
from services.agents.workspaces.patience import OutOfTime, Patience
from services.agents.workspaces.workspace import UNFINISHED, Workspace
from services.runtime.settings import Settings

log = structlog.get_logger()

Result = TypeVar("Result")

SECONDS = 10.0
"""Longest that one call of a tool is about files."""
REMOVING_SECONDS = 5.0
"""Longest that who deletes a project waits for the removal of its files; the rest is left to the next sweep."""
SWEEPING_SECONDS = 60.0
"""Longest that a sweep takes; the rest is left to the next one."""
TOMBSTONES_KEPT = 7 * 86_400.0
"""Seconds that a project's place stays taken after its deletion: far longer than any write can be late."""
UNFINISHED_KEPT = 3_600.0
"""Seconds that a file is left alone which is not complete: far longer than any write may take."""
_GRACE = 5.0
_AT_ONCE, _OF_ONE_USER = 3, 2
_GOING = ".going-"


class Workspaces:
    """The folders `root/<user>/<project>`, which nobody but the server may enter.

    Where commands run as another user than the server, which is root then, that user's id is `given_to`: the folder and
    what tools make in it belong to it, so that commands may read and write that, and root what commands make. Else all
    belongs to the server's own user.

    A deletion leaves an empty file in the folder's place: whatever writes to the project late, also in another replica
    that shares the root, finds no folder, and cannot make one. Of two edits of a file at the same time neither is lost:
    in one process they follow each other; of two replicas the second finds, up to the moment before it replaces the
    file, that it was changed.
    """

    def __init__(self, root: Path, most_bytes: int, given_to: int | None = None, seconds: float = SECONDS) -> None:
        self._root = root
        self._most_bytes = most_bytes
        self._given_to = given_to
        self._seconds = seconds
        self._alone: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()
        # Of the event loop's threads some are left for others, whatever the disk does.
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Nor do others wait for all that one user's agents ask for: most of these calls nobody has to approve.
        self._own_turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        # Not behind long searches: whoever watches a command asks again and again.
        self._counting = asyncio.Semaphore(1)
        self._removing: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, given_to: int | None = None) -> Self:
        """Those of a server."""
        root = Path(settings.workspaces_dir) if settings.workspaces_dir else settings.data_dir / "workspaces"
        return cls(root.absolute(), settings.workspace_mb << 20, given_to)

    async def folder(self, owner: Owner) -> Path:
        """The project's folder, which is made unless it is there. Raise ToolFailed if the project is deleted.

        It is what a sandbox mounts. Its parents are the server's alone: no name on the way there is another's.
        """
        await self.use(owner, lambda workspace: None)
        return self._root / owner.user_id / owner.project_id

    async def used_bytes(self, owner: Owner) -> int:
        """Bytes that the project's files take on the disk; more than permitted if they are too many to be counted.

        Raise ToolFailed.
        """

        def count(patience: Patience) -> int:
            with failing("."), self._opened_user(owner) as user, self._opened(owner, user) as folder:
                usage = measure(folder, patience)
            return usage.bytes if usage.complete else max(usage.bytes, self._most_bytes + 1)

        async with self._counting:
            return await self._in_thread(count, self._seconds)

    async def use(self, owner: Owner, work: Callable[[Workspace], Result], alone: bool = False) -> Result:
        """Do something with the project's files, in a thread; `alone`: while nobody else does so too.

        Cancelling it ends what is done, or waits for the end of what cannot be. Raise ToolFailed.
        """

        def do(patience: Patience) -> Result:
            with failing("."), self._opened_user(owner) as user, self._opened(owner, user) as folder:
                return work(Workspace(folder, user, self._most_bytes, self._given_to, patience))

        lock = self._alone.setdefault(owner, asyncio.Lock()) if alone else nullcontext()
        own_turns = self._own_turns.setdefault(owner.user_id, asyncio.Semaphore(_OF_ONE_USER))
        async with lock, own_turns, self._turns:
            return await self._in_thread(do, self._seconds)

    async def remove(self, owner: Owner) -> None:
        """Remove the deleted project's folder for good. What cannot be removed now is removed by `sweep`.

        Raise WorkspaceUnavailable: then a late write may yet find the folder.
        """

        def close(patience: Patience) -> tuple[str, ...]:
            with self._opened_user(owner) as user:
                return _close_place(user, _checked(owner.project_id), patience)

        def remove(patience: Patience) -> None:
            with self._opened_user(owner) as user:
                for each in going:
                    self._try_to_remove(user, each, patience)

        try:
            going = await self._in_thread(close, self._seconds)
        except (OSError, OutOfTime) as error:
            log.warning("files of a deleted project cannot be removed", error=type(error).__name__)
            raise WorkspaceUnavailable from None
        if going:
            await self._in_thread(remove, REMOVING_SECONDS)

    async def sweep(self) -> None:
        """Housekeeping: remove what is left of deleted projects, in the end also what keeps their places taken, and of
        writes that their process did not live to complete."""
        try:
            await self._in_thread(self._sweep, SWEEPING_SECONDS)
        except OutOfTime:
            log.warning("files of deleted projects, or of broken writes, are left for the next sweep")

    def _sweep(self, patience: Patience) -> None:
        if not self._root.is_dir():
            return
        with opened(self._root) as root:
            for user_id in _names(root):
                with suppress(NotADirectoryError), opened(user_id, root) as user:
                    self._sweep_user(user, patience)

    def _sweep_user(self, user: int, patience: Patience) -> None:
        for name in _names(user):
            patience.check()
            if name.startswith(_GOING):
                self._try_to_remove(user, name, patience)
                continue
            # A write that ends meanwhile takes its file away.
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=user, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and _has_served(name, status):
                    os.unlink(name, dir_fd=user)

    def _try_to_remove(self, user: int, name: str, patience: Patience) -> None:
        if name in self._removing:
            return  # By another thread: two would only be in each other's way.
        self._removing.add(name)
        try:
            remove_tree(user, name, patience)
        except (OSError, OutOfTime) as error:
            log.warning("files of a deleted project are removed later", error=type(error).__name__)
        finally:
            self._removing.discard(name)

    @contextmanager
    def _opened_user(self, owner: Owner) -> Iterator[int]:
        user_id = _checked(owner.user_id)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with opened(self._root) as root:
            user = make_folder(user_id, root, 0o700, None)
        try:
            yield user
        finally:
            os.close(user)

    @contextmanager
    def _opened(self, owner: Owner, user: int) -> Iterator[int]:
        project_id = _checked(owner.project_id)
        try:
            with suppress(FileExistsError):
                os.mkdir(project_id, 0o700, dir_fd=user)
            # It is the commands' own: one of them may have closed it.
            folder = open_unlocked(project_id, user)
        except NotADirectoryError:
            raise ToolFailed("The project was deleted, and its files with it.") from None
        try:
            give(folder, self._given_to)
            yield folder
        finally:
            os.close(folder)

    async def _in_thread(self, work: Callable[[Patience], Result], seconds: float) -> Result:
        patience = Patience(seconds)
        working = asyncio.create_task(asyncio.to_thread(work, patience), name="files")
        working.add_done_callback(_seen)
        try:
            await asyncio.wait([working], timeout=seconds + _GRACE)
        except asyncio.CancelledError:
            # What it does next it does not do; what it is doing is over when the caller is told so.
            patience.end()
            await asyncio.wait([working], timeout=_GRACE)
            raise
        if not working.done():
            patience.end()
            raise OutOfTime("The server's disk does not answer: try again later.")
        return working.result()


def _checked(identity: str) -> str:
    """The id, which is the name of a folder. Raise ValueError unless it is a UUID in its canonical form."""
    if str(uuid.UUID(identity)) != identity:
        raise ValueError("not a UUID in its canonical form")
    return identity


def _close_place(user: int, project_id: str, patience: Patience) -> tuple[str, ...]:
    """Put an empty file where the project's folder is or would be; return what the folder is called now, if any."""
    going: tuple[str, ...] = ()
    while True:
        patience.check()
        aside = f"{_GOING}{secrets.token_hex(8)}"
        try:
            # The slash: only a folder is moved, never the file that is in its place.
            os.rename(f"{project_id}/", aside, src_dir_fd=user, dst_dir_fd=user)
            going = (*going, aside)
        except FileNotFoundError:
            pass  # Nothing was ever written.
        except NotADirectoryError:
            return going
        # Another replica may have made the folder again since.
        with suppress(FileExistsError):
            os.close(os.open(project_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=user))
            return going


def _has_served(name: str, status: os.stat_result) -> bool:
    """Whether nothing that the file is there for can come any more."""
    if name.startswith(UNFINISHED):
        return status.st_ctime < time.time() - UNFINISHED_KEPT
    return status.st_mtime < time.time() - TOMBSTONES_KEPT


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as scanned:
        return [entry.name for entry in scanned]


def _seen(working: "asyncio.Task[object]") -> None:
    if not working.cancelled():
        working.exception()  # Seen: whoever was cancelled does not ask for it.
