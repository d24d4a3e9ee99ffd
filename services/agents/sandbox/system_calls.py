"""The system calls that a sandbox refuses, as a program for the kernel (seccomp, classic BPF).

Namespaces and an unprivileged user are what holds a command; this takes away what it could try the kernel with: user
namespaces, which would give it capabilities over kernel code that few have read, keyrings, BPF, io_uring, and what is
not in any namespace, such as virtual sockets to the host of a virtual machine. And it takes away memory that no
process's size shows, since that is what the memory limit counts.
"""

import errno
import platform
import struct

_UNCONDITIONAL: dict[str, tuple[int, int]] = {
    # Name: number on x86_64, number on aarch64.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "vhangup": (153, 58),
}
_UNKNOWN: dict[str, tuple[int, int]] = {
    # Answered as an old kernel would: programs do without. glibc forks with clone, whose flags can be read here.
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    # Its events are counted for all of the machine together.
    "io_setup": (206, 0),
}
_CLONE, _IOCTL, _SOCKET = (56, 220), (16, 29), (41, 198)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_NEW_NAMESPACES = 0x7E02_0000
_TYPING_FOR_OTHERS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: input for whoever reads the terminal."""
_SOCKET_FAMILIES = (1, 2, 10, 16)
"""UNIX, IPv4, IPv6, and netlink, by which programs ask for interfaces: all of them end in a namespace of ours."""

_X32 = 0x4000_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24


def is_known(machine: str | None = None) -> bool:
    """Whether there is a filter for this machine's processor."""
    return (machine or platform.machine()) in _MACHINES


def refusing_filter(machine: str | None = None) -> bytes:
    """The program, as `bwrap --seccomp` reads it. Raise KeyError for a machine that is not known."""
    column, architecture = _MACHINES[machine or platform.machine()]
    program = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        # Another architecture's numbers, such as those of 32 bits, mean other calls.
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _ERROR | errno.ENOSYS),
    ]
    for numbers in _UNCONDITIONAL.values():
        program += _if_equal(numbers[column], [_step(_RETURN, _ERROR | errno.EPERM)])
    for numbers in _UNKNOWN.values():
        program += _if_equal(numbers[column], [_step(_RETURN, _ERROR | errno.ENOSYS)])
    program += _if_equal(
        _CLONE[column],
        [
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
            _step(_RETURN, _ERROR | errno.EPERM),
            _step(_RETURN, _ALLOW),
        ],
    )
    typing = [_step(_LOAD, _SECOND_ARGUMENT)]
    for request in _TYPING_FOR_OTHERS:
        typing += _if_equal(request, [_step(_RETURN, _ERROR | errno.EPERM)])
    program += _if_equal(_IOCTL[column], [*typing, _step(_RETURN, _ALLOW)])
    families = [_step(_LOAD, _FIRST_ARGUMENT)]
    for family in _SOCKET_FAMILIES:
        families += _if_equal(family, [_step(_RETURN, _ALLOW)])
    program += _if_equal(_SOCKET[column], [*families, _step(_RETURN, _ERROR | errno.EAFNOSUPPORT)])
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _if_equal(value: int, then: list[bytes]) -> list[bytes]:
    """The steps, which are passed over unless what was loaded is the value."""
    return [_step(_EQUAL, value, 0, len(then)), *then]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
