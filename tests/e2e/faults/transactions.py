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


async def freeze_client(pid: int, ledger: Ledger, chosen: random.Random) -> None:
    """Stop the process (SIGSTOP) while it has a transaction open on PostgreSQL that changed something. Raise NotHit.

    Other processes have transactions too; that of a frozen one is the one that stays.
    """
    for _ in range(_LOOKS):
        os.kill(pid, signal.SIGSTOP)
        _wait_until_stopped(pid)
        if open_now := await _open_transactions(ledger):
            await asyncio.sleep(0.05)
            if open_now & await _open_transactions(ledger):
                return
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(chosen.uniform(0.001, 0.02))
    raise NotHit(f"{pid} had no transaction open at {_LOOKS} looks")


async def _open_transactions(ledger: Ledger) -> set[tuple[int, str]]:
    query = (
        "SELECT pid, backend_xid::text AS xid FROM pg_stat_activity"
        " WHERE backend_xid IS NOT NULL AND state = 'idle in transaction'"
    )
    return {(row["pid"], row["xid"]) for row in await ledger.rows(query)}


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
