"""This machine: Python, and the data folder with its locks and keys."""

import fcntl
import os
import shutil
import stat
import sys
from pathlib import Path

from services.doctor.finding import Finding, fail, ok, warn
from services.runtime.settings import SERVICES, Settings

_LEAST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 500 * 1024 * 1024


async def python(_: Settings) -> list[Finding]:
    """The interpreter that runs this."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _LEAST_PYTHON:
        return [fail("python", version, "install Python 3.11 or newer")]
    return [ok("python", version)]


async def data_folder(settings: Settings) -> list[Finding]:
    """Whether the folder is there or can be made, who may read it, how much fits, and who runs on it."""
    folder, what = settings.data_dir, "data folder"
    if not folder.is_dir():
        parent = next(each for each in folder.absolute().parents if each.exists())
        if folder.exists() or not parent.is_dir():
            taken = folder if folder.exists() else parent
            return [fail(what, f"{taken} is not a folder", "move it away, or set CODELAB_DATA_DIR to another")]
        if not os.access(parent, os.W_OK | os.X_OK):
            return [fail(what, f"{folder} cannot be made: {parent} is not writable", _own(parent))]
        return [ok(what, f"{folder} will be made at the first start"), *_space(parent)]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [fail(what, f"{folder} is not writable", _own(folder))]
    running = locked(folder)
    detail = f"{folder}, in use by {', '.join(running)}" if running else f"{folder}, nothing runs on it"
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return [warn(what, f"{detail}; others may look into it", f"chmod 700 {folder}"), *_space(folder)]
    return [ok(what, detail), *_space(folder)]


async def keys(settings: Settings) -> list[Finding]:
    """Whether only their owner can read the secrets that were made in the data folder."""
    made = sorted(settings.data_dir.glob("*.key")) if settings.data_dir.is_dir() else []
    open_to_others = [str(path) for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_to_others:
        names = " ".join(open_to_others)
        return [warn("keys", f"others may read {names}", f"chmod 600 {names}")]
    return [ok("keys", f"{len(made)} in the data folder, for their owner only" if made else "made when first needed")]


def locked(folder: Path) -> list[str]:
    """What runs on the data folder: `suite`, with its process id where it is known, or services of their own."""
    running = [name for name in ("suite", *SERVICES) if _is_locked(folder / f"{name}.lock")]
    if "suite" in running:
        try:
            return [f"suite (process {(folder / 'suite.pid').read_text().strip()})"]
        except FileNotFoundError:
            return ["suite"]
    return running


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Taken and given back at once: there is no other way to ask. Shared, for others who ask.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _space(folder: Path) -> list[Finding]:
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE_BYTES:
        detail = f"{free // 1024**2} MB are free where the data folder is"
        return [warn("disk", detail, "make room, or set CODELAB_DATA_DIR to a folder on another disk")]
    return [ok("disk", f"{free / 1024**3:.1f} GB are free")]


def _own(folder: Path) -> str:
    return f"give yourself the right to write in {folder}, or set CODELAB_DATA_DIR to another folder"
