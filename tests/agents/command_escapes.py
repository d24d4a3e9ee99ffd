"""What commands try in order to get out of their sandbox, or to take more of the machine than they may.

Each row says what the output must hold and how the command must end. Of every one it must be true besides that nothing
secret is in the output, that nothing of it is left, and that nothing around the sandbox was touched.
"""

from dataclasses import dataclass

from tests.agents.sandboxes import python


@dataclass(frozen=True)
class Attempt:
    """`success`: whether the command may say that all went well; None if either is right."""

    name: str
    command: str
    success: bool | None = None
    says: str = ""
    """A regular expression that the output must fit."""
    hides: str = ""
    """A regular expression that nothing of the output may fit."""
    seconds: float | None = None
    refused: bool = False
    """The tool does not run it."""


def connecting(family: str, address: str, kind: str = "SOCK_STREAM") -> str:
    """A command that connects and sends something."""
    return python(
        f"import socket\ns = socket.socket(socket.{family}, socket.{kind})\ns.connect({address})\ns.send(b'x')"
    )


def system_call(number_on_x86: int, number_on_arm: int, *arguments: str) -> str:
    """A command that makes the call and tells its error by name."""
    return python(
        "import ctypes, errno, platform, sys\n"
        f"number = {number_on_arm} if platform.machine() == 'aarch64' else {number_on_x86}\n"
        "call = ctypes.CDLL(None, use_errno=True).syscall\n"
        f"result = call(number, {', '.join(arguments) or '0'})\n"
        "print('result', errno.errorcode.get(ctypes.get_errno()) if result < 0 else 'done')"
    )


NOT_THERE = "No such file|cannot access|Permission denied"

FILES = [
    Attempt("data_folder", "cat <data>/jwt.key", False, "No such file"),
    Attempt("data_folder_by_dots", "cat ../../../../../..<data>/jwt.key", False, "No such file"),
    Attempt("data_folder_by_proc_root", "cat /proc/*/root<data>/jwt.key /proc/*/cwd/jwt.key", False, NOT_THERE),
    Attempt(
        "data_folder_by_search", "find / -xdev -name jwt.key -o -xdev -type s; echo searched", True, r"^searched\n\["
    ),
    Attempt(
        "data_folder_by_command_lines", "cat /proc/*/cmdline | tr '\\0' ' '", None, "bwrap", hides="codelab-test|jwt"
    ),
    Attempt("descriptors_of_server", "ls -l /proc/self/fd; cat /proc/self/fd/*/jwt.key", False, hides="codelab-test"),
    Attempt("descriptors_of_first_process", "cat /proc/1/fd/[3-9]* </dev/null", None),
    Attempt("other_workspace", "cat <other>/notes ../other/notes ../*/notes", False, "No such file"),
    Attempt("secrets_of_system", "cat /etc/shadow /etc/sudoers /etc/machine-id /root/.ssh/*", False, NOT_THERE),
    Attempt(
        "other_folders",
        "for each in /root /home /var /run /opt /srv /mnt /sys /boot; do test -e $each && echo $each; done; true",
        True,
        r"^\[",
    ),
    Attempt("link_out", "ln -s <data>/jwt.key link; ln -s / root; cat link root<data>/jwt.key", False, "No such file"),
    Attempt("hard_link_out", "ln /usr/bin/env hard; ln <data>/jwt.key key; ls", True, "cross-device.*(.|\n)*No such"),
    Attempt(
        "system_written", "echo x > /usr/bin/x; echo x > /etc/passwd; touch /x /dev/x", False, "Read-only file system"
    ),
    Attempt("workspace_closed", "chmod 000 /workspace; touch x", None),
    Attempt("workspace_removed", "rm -rf /workspace", False, "cannot remove"),
    Attempt("workspace_moved", "mv /workspace /tmp/moved || mv /workspace /elsewhere", False, "cannot move"),
    Attempt("disk_device_made", "mknod disk b 254 0; cat disk", False, "not permitted"),
    Attempt("devices", "cat /dev/mem /dev/kmem /dev/port /dev/kmsg /dev/sda /dev/vda /proc/kcore", False, NOT_THERE),
    Attempt("terminal", "cat /dev/tty", False, "No such device"),
    Attempt("kernel_settings", "echo 1 > /proc/sys/kernel/panic", False, "denied|Read-only"),
    Attempt("kernel_keys", "echo c > /proc/sysrq-trigger", False, "denied|Read-only|nonexistent"),
    Attempt("kernel_by_sys", "mkdir /sys && mount -t sysfs sysfs /sys; echo 1 > /sys/kernel/x", False, "Read-only"),
]
ENVIRONMENT = [
    Attempt("environment", "env | cut -d= -f1 | sort | tr '\\n' ' '", True, r"^HOME LANG (OLDPWD )?PATH PWD"),
    Attempt("environment_of_first_process", "cat /proc/1/environ", None, hides="HOME="),
    Attempt("environment_of_all", "cat /proc/*/environ | tr '\\0' '\\n'", None, hides="SECRET|CODELAB"),
]
POWERS = [
    Attempt("root", "id -u; test $(id -u) != 0 && test $(id -g) != 0", True),
    Attempt("capabilities", "grep Cap[IPEBA] /proc/self/status | grep -v 0000000000000000", False, r"^\["),
    Attempt(
        "no_new_privileges", "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status", True, r"NoNewPrivs:\t1\nSeccomp:\t2"
    ),
    Attempt("setuid_program", "cp /usr/bin/id mine && chmod 4755 mine && ./mine", True, "^uid=1", hides="=0"),
    Attempt("mount", "mount -t tmpfs none /tmp", False, "mount:"),
    Attempt("mount_called", system_call(165, 40, "b'/'", "b'/tmp'", "b''", "4096", "0"), True, "result EPERM"),
    Attempt("chroot", python("import os\nos.chroot('/workspace')"), False, "not permitted"),
    Attempt("user_namespace", "unshare --user --map-root-user id", False, "unshare failed: Operation not permitted"),
    Attempt("user_namespace_of_child", system_call(56, 220, "0x10000011", "0", "0", "0", "0"), True, "result EPERM"),
    Attempt("namespaces_of_first_process", "nsenter --target 1 --all id", False, "nsenter:"),
    Attempt("keyring", system_call(250, 219, "0", "-3", "1"), True, "result EPERM"),
    Attempt("bpf", system_call(321, 280, "0", "0", "0"), True, "result EPERM"),
    Attempt("io_uring", system_call(425, 425, "1", "0"), True, "result ENOSYS"),
    Attempt("file_by_handle", system_call(304, 265, "-100", "0", "0"), True, "result EPERM"),
    Attempt("limits_raised", "ulimit -n 100000; prlimit --pid $$ --nproc=9999", False, "limit"),
    Attempt("priority_raised", "renice -n -20 $$", False, "renice"),
    Attempt("last_to_be_killed", "echo -1000 > /proc/self/oom_score_adj", False, "error|denied"),
    Attempt("core_dump", "ulimit -c unlimited; sh -c 'kill -SEGV $$'; ls core*", False, "No such file"),
]
PROCESSES = [
    Attempt("server_killed", "kill -9 <victim>; kill -9 <server>; kill -9 -1; true", None),
    Attempt("first_process_killed", "kill -9 1; sleep 0.1; echo here", True, "here"),
    Attempt("server_traced", system_call(101, 117, "16", "<victim>", "0", "0"), True, "result E(SRCH|PERM)"),
    Attempt("server_memory", "cat /proc/<victim>/maps /proc/<victim>/environ", False, NOT_THERE),
    Attempt("background", "sleep 1000 & echo left", True, r"^left\n\["),
    Attempt("background_without_terminal", "setsid nohup sleep 1000 >/dev/null 2>&1 & echo left", True, "left"),
    Attempt("daemon_that_holds_output", "(setsid sh -c 'sleep 1000 & sleep 1000' &) ; echo left", True, "left"),
    Attempt("sleep", "sleep 1000", False, r"killed after 0\.3 s", seconds=0.3),
    Attempt("loop", "while :; do :; done", False, r"killed after 0\.3 s", seconds=0.3),
    Attempt(
        "terms_ignored", "trap '' TERM INT HUP QUIT; while :; do sleep 9; done", False, "killed after", seconds=0.3
    ),
    Attempt("reads_input", "cat; echo end", True, "end"),
    Attempt(
        "types_for_others",
        python("import fcntl, os\nmain, other = os.openpty()\nfcntl.ioctl(other, 0x5412, b'x')"),
        False,
        "PermissionError: .*not permitted",
    ),
]
NETWORK = [
    Attempt("server_by_network", connecting("AF_INET", "('127.0.0.1', <port>)"), False, "refused"),
    Attempt("server_by_socket", connecting("AF_UNIX", "'<socket>'"), False, "No such file"),
    Attempt("server_by_abstract_socket", connecting("AF_UNIX", r"'\0<abstract>'"), False, "refused"),
    Attempt("internet", connecting("AF_INET", "('192.0.2.1', 80)"), False, "unreachable"),
    Attempt("internet_by_udp", connecting("AF_INET", "('192.0.2.1', 53)", "SOCK_DGRAM"), False, "unreachable"),
    Attempt("internet_by_ipv6", connecting("AF_INET6", "('2001:db8::1', 80)"), False, "unreachable|not supported"),
    Attempt("names", "getent hosts example.com", False),
    Attempt("host_of_virtual_machine", python("import socket\nsocket.socket(40, 1)"), False, "not supported"),
    Attempt("raw_packets", python("import socket\nsocket.socket(17, 3)"), False, "not supported"),
    Attempt("interfaces", "grep -c : /proc/net/dev", True, "^1\n"),
]
BOMBS = [
    Attempt("processes", "bomb() { bomb | bomb & }; bomb; sleep 9", False, "processes|Cannot fork|killed", seconds=1.0),
    Attempt("memory", python("x = bytearray(10**9)"), False, "MemoryError"),
    Attempt(
        "memory_of_many",
        "for n in 1 2 3 4; do python3 -c 'import time; x = b\"x\" * (50 * 2**20); time.sleep(99)' & done; wait",
        False,
        "more than 128 MiB of memory",
    ),
    Attempt(
        "memory_as_files", "head -c 99M /dev/zero >/dev/shm/x || head -c 99M /dev/zero >/tmp/x", False, "File size"
    ),
    Attempt("memory_as_file_without_name", system_call(319, 279, "b'x'", "0"), True, "result ENOSYS"),
    Attempt("memory_shared", system_call(29, 194, "0", "999999999", "0"), True, "result ENOSYS"),
    Attempt("archive", "gzip -d <bomb.gz >bomb", False, "beyond what is left|File size"),
    Attempt("long_file", "head -c 100M /dev/zero >long", False, "beyond what is left|File size"),
    Attempt("long_file_of_nothing", "truncate -s 1T long", False),
    Attempt("files", "n=0; while head -c 1M /dev/zero >f$n; do n=$((n+1)); done", False, "more than 8 MiB"),
    Attempt("open_files", python("kept = [open('/dev/null') for _ in range(9999)]"), False, "Too many open files"),
    Attempt("output", "yes", False, "printed more than 1 MiB"),
    Attempt("output_without_lines", "cat /dev/zero", False, "printed more than 1 MiB"),
]
_SHARING = """
import mmap, time
kept = []
for _ in range(40):
    shared = mmap.mmap(-1, 8 * 2**20)
    shared.write(bytes(len(shared)))
    <let go>
    kept.append(shared)
    time.sleep(0.02)
time.sleep(9)
"""
UNSEEN_MEMORY = [
    Attempt("memory_shared_and_let_go", python(_SHARING.replace("<let go>", "shared.madvise(4)")), False, "of memory"),
    Attempt("memory_shared_and_cut", python(_SHARING.replace("<let go>", "shared.resize(4096)")), False, "of memory"),
    Attempt(
        "memory_as_tables_of_pages",
        python(
            "import ctypes, mmap, time\n"
            "map = ctypes.CDLL(None).mmap\n"
            "map.restype, map.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3]\n"
            "begin = map(None, 80_000 * 2**21, mmap.PROT_READ, 0x4022, -1)\n"
            "for n in range(80_000): ctypes.c_char.from_address(begin + n * 2**21).value\n"
            "time.sleep(9)"
        ),
        False,
        "of memory",
    ),
    Attempt("memory_as_semaphores", system_call(64, 190, "0", "32000", "0o600"), True, "result ENOSYS"),
    Attempt("memory_as_events", system_call(206, 0, "9", "ctypes.byref(ctypes.c_long())"), True, "result ENOSYS"),
]
WORDS = [
    Attempt("output_closed", "exec >&- 2>&-; sleep 0.05; exit 3", False, r"^\[exit status 3\]$"),
    Attempt("binary_output", "head -c 3000 /dev/urandom; printf '\\0\\1'", True, "\N{REPLACEMENT CHARACTER}"),
    Attempt("not_utf8", "printf 'a\\377\\376b'", True, "^a\N{REPLACEMENT CHARACTER}{2}b"),
    Attempt("terminal_sequences", r"printf '\033]0;owned\007\033[31mred\033[0m\033[2J\rnext'", True, r"^red\nnext\n"),
    Attempt("long_command", f": {'x' * 100_000}; echo end", True, "^end"),
    Attempt("too_long_command", f": {'x' * 120_000}", refused=True, says="write it to a file"),
    Attempt("nul", "echo a\0b", refused=True, says="NUL"),
    Attempt("half_a_surrogate", "echo \ud800", refused=True, says="not valid Unicode"),
    Attempt("option_for_shell", "-i", False, "-i: not found"),
    Attempt("long_option_for_shell", "--help", False, "--help: not found"),
    Attempt("option_for_bubblewrap", "-- --bind / /x id", False, "not found"),
    Attempt("quotes", "'; id; \"$(id", False, "Syntax error|unterminated|unexpected"),
    Attempt("many_lines", "echo one\necho two\n\n", True, "^one\ntwo\n"),
    Attempt("looks_like_success", "echo '[exit status 0]'; exit 1", False, r"\n\[exit status 1\]$"),
]

OF_WALLS = [*FILES, *ENVIRONMENT, *POWERS, *PROCESSES, *NETWORK, *UNSEEN_MEMORY]
"""What each way of making a sandbox has to hold by itself."""
ATTEMPTS = [*OF_WALLS, *BOMBS, *WORDS]
