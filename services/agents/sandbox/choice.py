"""Which sandbox this machine gives: found out once, by trying."""

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from services.agents.sandbox.sandbox import Limits, NoSandbox, NotStarted, Sandbox
from services.agents.sandbox.system_calls import is_known
from services.runtime.dotenv import DOTENV
from services.runtime.settings import Settings

_USER = 1_900_000_000
"""Nobody's: above what systems hand out, to people and to containers."""
_USER_IN_CONTAINER = 65_000
"""Where root does not have all of the machine's users, it has about 2¹⁶."""
_PROGRAMS = {"bwrap": "bubblewrap", "setpriv": "util-linux", "prlimit": "util-linux", "nice": "coreutils"}
_TRIAL = 'test "$(id -u)" != 0 && grep -q "^Seccomp:.*2" /proc/self/status && echo tried >tried'
_TRIAL_SECONDS = 10.0


def user_of_commands() -> int | None:
    """Who commands are to the machine where this process is root: files in workspaces belong to it. Else None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= _USER < first + count:
            return _USER
    return _USER_IN_CONTAINER


def limits_of(settings: Settings) -> Limits:
    """What one command may use."""
    return Limits(
        seconds=settings.command_seconds,
        memory_bytes=settings.command_memory_mb * 1024**2,
        folder_bytes=settings.workspace_mb * 1024**2,
    )


async def open_sandbox(settings: Settings) -> Sandbox:
    """The sandbox of this machine, tried; or none, which says why."""
    limits = limits_of(settings)
    if why := lacking():
        return NoSandbox(why, limits)
    from services.agents.sandbox.bubblewrap import Bubblewrap

    user = user_of_commands()
    hidden = [settings.data_dir, DOTENV, *([Path(settings.workspaces_dir)] if settings.workspaces_dir else [])]
    sandbox = Bubblewrap(limits, user, hidden)
    failed = await _try(sandbox, user)
    return sandbox if failed is None else NoSandbox(failed, limits)


def lacking() -> str | None:
    """What a sandbox needs and this machine has not, with what to do about it."""
    if sys.platform != "linux":
        return "Commands can be run on Linux only."
    if not is_known():
        return f"Commands cannot be run on this processor ({platform.machine()}), on x86_64 and aarch64 they can."
    missing = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        return f"Commands need {' and '.join(missing)}: `apt-get install {' '.join(missing)}`."
    return None


async def _try(sandbox: Sandbox, user: int | None) -> str | None:
    async def nothing() -> int:
        return 0

    with tempfile.TemporaryDirectory(prefix="codelab-sandbox-") as made:
        folder = Path(made)
        if user is not None:
            try:
                os.chown(folder, user, user)
            except OSError as error:
                return f"Commands need a user of their own, and {user} cannot be it: {error.strerror}."
        try:
            ended = await sandbox.run(folder, _TRIAL, _TRIAL_SECONDS, nothing)
        except NotStarted as error:
            said = str(error).splitlines()[0].removeprefix("bwrap: ")
            return (
                f"The kernel or the container refuses a sandbox: {said}. Permit user namespaces, or give a server that"
                " is root in a container the capability SYS_ADMIN."
            )
        if ended.status != 0 or not (folder / "tried").is_file():
            said = ended.beginning.decode(errors="replace").strip()
            return f"A command was tried in a sandbox and failed ({ended.stopped or ended.status}): {said}"
    return None
