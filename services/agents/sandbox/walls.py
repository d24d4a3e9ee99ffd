"""What a command sees of the machine, as arguments of bubblewrap and of what it starts."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.agents.sandbox.sandbox import Limits

WORKSPACE = "/workspace"
HOME = "/tmp"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME, "LANG": "C.UTF-8"}

_INNER_USER = 1000
"""Who the command is in a user namespace; outside it is the server's user."""
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OF_ETC = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "protocols",
    "services",
)
_LEAST_TEMPORARY = 16 * 1024**2
_MOST_STACK = 64 * 1024**2
_MOST_LOCKED = 8 * 1024**2

# The folder, which is closed to root without its capabilities; to be the first to go when memory is short; the word
# that the walls stand, to who is at the other end of stdin, whose answer is waited for; and the command, which may
# begin with a dash.
_LAUNCHER = (
    f"cd {WORKSPACE} && echo 1000 >/proc/self/oom_score_adj && echo >&0 && read -r go && exec </dev/null"
    ' && exec /bin/sh -c -- "$1" sh'
)


@dataclass(frozen=True)
class Descriptors:
    """What bubblewrap is handed: files to put into the sandbox, and what it is to refuse."""

    passwd: int
    group: int
    hosts: int
    system_calls: int


def walls(
    folder: Path, limits: Limits, user: int | None, hidden: Iterable[Path], descriptors: Descriptors
) -> list[str]:
    """The options of bubblewrap. `user`: who is to run the command, where root sets the sandbox up.

    Root needs no user namespace, in which it would stay root to the machine. Any other user gets one, since only there
    the kernel lets it mount; in both cases nobody in the sandbox can make another.
    """
    temporary = str(max(_LEAST_TEMPORARY, limits.memory_bytes // 4))
    return [
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *(_to_change_user() if user is not None else _as_inner_user()),
        "--clearenv",
        *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)),
        *("--ro-bind", "/usr", "/usr"),
        *(word for path in _SYSTEM for word in _system_folder(Path(path))),
        *("--perms", "0755", "--dir", "/etc"),
        *(word for name in _OF_ETC for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")),
        *("--perms", "0444", "--ro-bind-data", str(descriptors.passwd), "/etc/passwd"),
        *("--perms", "0444", "--ro-bind-data", str(descriptors.group), "/etc/group"),
        *("--perms", "0444", "--ro-bind-data", str(descriptors.hosts), "/etc/hosts"),
        *(word for path in hidden for word in _cover(path)),
        *("--proc", "/proc"),
        *("--dev", "/dev"),
        *("--perms", "1777", "--size", temporary, "--tmpfs", "/dev/shm"),
        *("--perms", "1777", "--size", temporary, "--tmpfs", "/tmp"),
        *("--bind", str(folder), WORKSPACE),
        # Both are in memory, without bounds of their own.
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--seccomp", str(descriptors.system_calls)),
    ]


def launch(command: str, limits: Limits, user: int | None, seconds: float, longest_file: int) -> list[str]:
    """What bubblewrap runs: it takes on the user and the limits, and becomes the shell."""
    change = (
        [
            *("setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"),
            *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"),
        ]
        if user is not None
        else []
    )
    # Of a user that all commands share the kernel counts the processes of all; each by itself is counted by its watch.
    processes = limits.processes * (8 if user is not None else 1)
    return [
        *change,
        "prlimit",
        "--core=0:0",
        f"--nproc={processes}:{processes}",
        f"--nofile={limits.open_files}:{limits.open_files}",
        f"--data={limits.memory_bytes}:{limits.memory_bytes}",
        f"--stack=8388608:{_MOST_STACK}",
        f"--memlock={_MOST_LOCKED}:{_MOST_LOCKED}",
        f"--fsize={longest_file}:{longest_file}",
        # Its time is up before: this is for what nobody would end.
        f"--cpu={math.ceil(seconds + 1) * (os.cpu_count() or 1)}",
        *("/bin/sh", "-c", _LAUNCHER, "sh", command),
    ]


def passwd(user: int | None) -> bytes:
    """Who there is in the sandbox: programs ask for the name of their user."""
    number = _INNER_USER if user is None else user
    return f"root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nagent:x:{number}:{number}:agent:{HOME}:/bin/sh\n".encode()


def group(user: int | None) -> bytes:
    """Its groups."""
    return f"root:x:0:\nagent:x:{_INNER_USER if user is None else user}:\n".encode()


def hosts() -> bytes:
    """The one machine that there is."""
    return b"127.0.0.1 localhost sandbox\n::1 localhost\n"


def to_hide(paths: Sequence[Path]) -> list[Path]:
    """Those of the paths that lie where a command could see them, without those in another of them."""
    seen = [path.resolve() for path in paths]
    visible = [path for path in seen if path.is_relative_to("/usr") and path != Path("/usr") and path.exists()]
    return [path for path in visible if not any(other in path.parents for other in visible)]


def _cover(path: Path) -> list[str]:
    if path.is_dir():
        return ["--perms", "0755", "--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
    return ["--ro-bind", "/dev/null", str(path)]


def _to_change_user() -> list[str]:
    return ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]


def _as_inner_user() -> list[str]:
    return ["--unshare-user", "--uid", str(_INNER_USER), "--gid", str(_INNER_USER)]


def _system_folder(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []
