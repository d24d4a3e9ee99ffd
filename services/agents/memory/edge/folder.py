"""The folder of the embedded engine: a folder a collection, in it one whose name is a number, the shard.

The highest number is the shard. Everything is made or removed under another name, so that whoever is killed leaves
either all of it or what the next opening removes.
"""

import re
import secrets
import shutil
from collections import OrderedDict
from pathlib import Path

from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.shard import Shard

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DROPPED = ".dropped-"


class EdgeFolder:
    """The collections in a folder, of which the last used ones are open. One process at a time may have it."""

    def __init__(self, folder: Path, limits: EdgeLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self.kept_open: str | None = None
        """A collection that is not closed, however long it was not used."""
        for dropped in folder.glob(f"{_DROPPED}*/"):
            shutil.rmtree(dropped)

    def shard(self, name: str) -> Shard | None:
        """The open shard of a collection; None if there is no such collection."""
        shard = self._open.get(name)
        if shard is None:
            number = self._tidied(name)
            if number is None:
                return None
            self._close_down_to(self._limits.open_shards - 1)
            shard = self._open[name] = Shard(self._home(name) / str(number), self._limits)
        self._open.move_to_end(name)
        return shard

    def create(self, name: str, vector: str, dimension: int) -> None:
        """Make an empty collection, unless there is one."""
        if self.shard(name) is not None:
            return
        made = self._home(name) / "1.made"
        made.parent.mkdir(mode=0o700, exist_ok=True)
        Shard.make(made, vector, dimension)
        made.rename(made.with_name("1"))

    def drop(self, name: str) -> None:
        """Remove a collection, if there is one."""
        if shard := self._open.pop(name, None):
            shard.abandon()
        home = self._home(name)
        if home.exists():
            aside = self._folder / f"{_DROPPED}{name}"
            if aside.exists():
                shutil.rmtree(aside)
            home.rename(aside)
            shutil.rmtree(aside)

    def copy_of(self, shard: Shard) -> Path:
        """Where a copy of an open shard may be made."""
        # By a name of its own: an optimiser that was given up may not have ended yet.
        return shard.folder.with_name(f"{int(shard.folder.name) + 1}.{secrets.token_hex(4)}")

    def replace(self, name: str, copy: Path) -> None:
        """Let a closed copy of a collection's open shard take its place."""
        copy.rename(copy.with_name(copy.name.partition(".")[0]))
        self._open.pop(name).abandon()
        self.shard(name)

    def close(self) -> None:
        """Close everything that is open."""
        self.kept_open = None
        self._close_down_to(0)

    def _home(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"no collection has the name {name!r}")
        return self._folder / name

    def _tidied(self, name: str) -> int | None:
        home = self._home(name)
        if not home.exists():
            return None
        # A file is not ours: file managers leave some, such as .DS_Store.
        folders = [each for each in home.iterdir() if each.is_dir()]
        number = max((int(each.name) for each in folders if each.name.isdecimal()), default=None)
        for each in folders:
            if each.name != str(number):
                shutil.rmtree(each)
        return number

    def _close_down_to(self, number: int) -> None:
        for name in list(self._open):
            if len(self._open) <= number:
                return
            if name != self.kept_open:
                self._open.pop(name).close()
