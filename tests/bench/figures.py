"""What the benchmarks read off processes, folders and clocks, and how they print it."""

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

Cell = str | int | float | None


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, to 10 ms."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu_seconds(pid: int) -> float:
    """User and system time of those children that a process has waited for."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def precise_cpu_seconds(*pids: int) -> float:
    """User and system time of processes so far, to the microsecond: what one search costs is less than a tick."""
    # A Linux process's CPU clock, as clock_getcpuclockid(3) makes its number.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of these processes, what they share counted once; files that they look into are part of it."""
    return sum(_kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") for pid in pids) / 1024


def anonymous_mb(pid: int) -> float:
    """Memory of a process that no file stands behind: what it cannot give back."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "RssAnon:") / 1024


def children(pid: int) -> list[int]:
    """The processes that a process started and that have not ended."""
    listed = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for line in listed for child in line.split()]


def disk_mb(folder: Path) -> float:
    """What the files of a folder take on the disk, holes not counted."""
    return sum(each.stat().st_blocks for each in folder.rglob("*")) * 512 / 1e6


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """What one of a hundred values is above."""
    return sorted(values)[max(0, round(0.99 * len(values)) - 1)]


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Rows under their heads, numbers with three digits that say something."""
    cells = [list(heads), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([title, *(f"  {line}" for line in lines)]) + "\n"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if not isinstance(cell, float):
        return str(cell)
    size = abs(cell)
    return f"{cell:.0f}" if size >= 100 else f"{cell:.1f}" if size >= 10 else f"{cell:.2f}"


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kilobytes(path: Path, name: str) -> int:
    # A process that has just ended still has a folder, with less in it.
    return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name)), 0)
