"""The optimisation of one shard: a copy that another process works on, and what was written meanwhile."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.agents.memory.edge.optimizer import COPIED
from services.agents.memory.edge.protocol import EdgeLimits, Request
from services.agents.memory.edge.shard import Shard

# Writes made again on a copy between two requests, at least.
_REPLAYED_AT_ONCE = 4
# The end of a traceback, in bytes.
_KEPT_OF_ERRORS = 2000


@dataclass(frozen=True)
class Copied:
    """The copy is made: the shard may be written to again."""

    of: "Optimisation"


@dataclass(frozen=True)
class Ended:
    """The optimiser ended; if it failed, how."""

    of: "Optimisation"
    failure: str | None


@dataclass(frozen=True)
class Replay:
    """Some of what was written is to be made again on the copy."""

    of: "Optimisation"


@dataclass
class Optimisation:
    """The optimisation of the shard of `name`. What happens to it is told to `tell`, from another thread."""

    name: str
    shard: Shard
    copy: Path
    limits: EdgeLimits
    tell: Callable[[Copied | Ended], None]
    copying: bool = True
    """Whether the shard must not be written to."""
    held: list[Request] = field(default_factory=list)
    """Writes that wait for the end of copying."""
    written: list[Request] = field(default_factory=list)
    """Writes that the copy does not have yet."""
    optimized: Shard | None = None
    """The copy, opened, when the optimiser is done."""
    _left: int = 0

    def start(self, parent: int) -> None:
        """Start the optimiser, as a child of the process `parent`, which is this one."""
        self.shard.flush()
        module = "services.agents.memory.edge.optimizer"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self.shard.folder), str(self.copy), str(parent)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._copying_ends = threading.Timer(self.limits.copy_seconds, self._process.kill)
        self._copying_ends.daemon = True
        self._copying_ends.start()
        threading.Thread(target=self._wait, name="optimiser", daemon=True).start()

    def replay(self) -> bool:
        """Make some writes again on the copy, and more than were added since the last time; return if none is left."""
        if self.optimized is None:
            self.optimized = Shard(self.copy, self.limits)
        number = _REPLAYED_AT_ONCE + 2 * (len(self.written) - self._left)
        now, self.written = self.written[:number], self.written[number:]
        self._left = len(self.written)
        for each in now:
            getattr(self.optimized, each.operation)(*each.arguments)
        return not self.written

    def finish(self) -> None:
        """Close the copy: it is complete."""
        assert self.optimized is not None
        self.optimized.close()
        self.optimized = None

    def kill(self) -> None:
        """End the optimiser; its end is told all the same."""
        self._process.kill()

    def discard(self) -> None:
        """Kill the optimiser, and remove the copy."""
        self._process.kill()
        self._process.wait()
        if self.optimized is not None:
            self.optimized.abandon()
            self.optimized = None
        shutil.rmtree(self.copy, ignore_errors=True)

    def _wait(self) -> None:
        assert self._process.stdout is not None
        said = b""
        with self._process.stdout as lines:
            for line in lines:
                if line == COPIED:
                    self._copying_ends.cancel()
                    self.tell(Copied(self))
                else:
                    said = (said + line)[-_KEPT_OF_ERRORS:]
        code = self._process.wait()
        self._copying_ends.cancel()
        self.tell(Ended(self, None if code == 0 else f"exit code {code}, {said.decode(errors='replace')}"))
