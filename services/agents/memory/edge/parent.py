"""A process that does not outlive the one that started it."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the system kill this process when the process that started it, `parent`, is gone. Only Linux can.

    To Linux the parent is the thread that started it: one that lives as long as the process, please.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have gone before it was asked for.
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this one, is gone")
