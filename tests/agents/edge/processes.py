"""The processes below an EdgeMemoryStore, as the system sees them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.agents.memory.edge.store import EdgeMemoryStore
from tests.e2e.polling import eventually


def process_of(store: EdgeMemoryStore) -> int:
    assert store.pid is not None
    return store.pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def command(pid: int) -> str:
    """The command line of a process; nothing when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def owners_of(folder: Path) -> list[int]:
    """The living processes that were started to own the folder."""
    pids = (int(each.name) for each in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if f"memory.edge.process {folder} " in command(pid)]


def optimisers_of(folder: Path) -> list[int]:
    """The living processes that optimise something in the folder."""
    pids = (int(each.name) for each in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if f"memory.edge.optimizer {folder}/" in command(pid)]


async def the_optimiser_of(folder: Path) -> int:
    """The optimiser that is about to start."""
    (pid,) = await eventually(lambda: optimisers_of(folder), what="the optimiser's start")
    return int(pid)


async def gone(*pids: int) -> None:
    """Return when the processes have ended."""
    await eventually(lambda: not any(command(pid) for pid in pids), what=f"the end of {pids}")


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def open_collections(pid: int) -> set[str]:
    """The collections whose files a process has open."""
    opened = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            opened |= {part for part in link.readlink().parts if part.endswith("_context")}
    return opened
