"""Stopping a process in the middle of a transaction: frozen first, then looked at, so that it is certain."""

import asyncio
import fcntl
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from tests.e2e.faults.ledger import Ledger

# SQLite's own layout of a `-shm` file's locks: whoever writes holds this byte, from BEGIN IMMEDIATE to the end.
_WRITE_LOCK = 120
_WATCH_SECONDS = 5.0
_LOOKS = 150


class NotHit(Exception):
    """No transaction was met in the time."""


def freeze_writer(pid: int, database: Path) -> None:
    """Stop the process (SIGSTOP) while it holds the file's write lock. Raise NotHit, with the process going on.

    Blocks for as long as that takes, at most _WATCH_SECONDS: call it in a thread.
    """
    shared = os.open(database.with_name(f"{database.name}-shm"), os.O_RDWR)
    try:
        deadline = time.monotonic() + _WATCH_SECONDS
        while time.monotonic() < deadline:
            if not _is_written(shared):
                time.sleep(0.0001)
                continue
            os.kill(pid, signal.SIGSTOP)
            _wait_until_stopped(pid)
            if _is_written(shared):
                return
            # It was over before the signal came.
            os.kill(pid, signal.SIGCONT)
    finally:
        os.close(shared)
    raise NotHit(f"{pid} wrote nothing to {database.name} within {_WATCH_SECONDS:g} s")


async def freeze_client(pid: int, ledger: Ledger, chosen: random.Random, *, in_transaction: bool) -> None:
    """Stop the process (SIGSTOP) while it has a transaction open on PostgreSQL that changed something, or has none.

    Other processes have transactions too; that of a frozen one is the one that stays. Raise NotHit.
    """
    for _ in range(_LOOKS):
        os.kill(pid, signal.SIGSTOP)
        _wait_until_stopped(pid)
        staying = await _open_transactions(ledger)
        if staying:
            await asyncio.sleep(0.05)
            now = await _open_transactions(ledger)
            # Not one that PostgreSQL takes for a statement under way: see _open_transactions.
            staying = {each: state for each, state in staying.items() if now.get(each) == state}
        if set(staying.values()) == ({"idle in transaction"} if in_transaction else set()):
            return
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(chosen.uniform(0.001, 0.02))
    raise NotHit(f"{pid} had {'no' if in_transaction else 'a'} transaction open at each of {_LOOKS} looks")


async def _open_transactions(ledger: Ledger) -> dict[tuple[int, str], str]:
    """The state of each transaction that changed something, by its backend and number.

    `active` may also be one whose client was frozen between two messages of one statement. It keeps its locks until
    `statement_timeout`, and nobody can do its runs meanwhile.
    """
    query = "SELECT pid, backend_xid::text AS xid, state FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
    return {(row["pid"], row["xid"]): row["state"] for row in await ledger.rows(query)}


def _is_written(shared: int) -> bool:
    """Whether another process holds the lock; never takes it."""
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK, 1, 0)
    if sys.platform == "darwin":
        asked = struct.pack("qqihh", _WRITE_LOCK, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
        return bool(struct.unpack("qqihh", fcntl.fcntl(shared, fcntl.F_GETLK, asked))[3] != fcntl.F_UNLCK)
    return bool(struct.unpack("hhqqi4x", fcntl.fcntl(shared, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)


def _wait_until_stopped(pid: int) -> None:
    """A signal is only sent by then: a thread on another core may run on for a moment."""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in ("T", "Z"):
        time.sleep(0.0001)
