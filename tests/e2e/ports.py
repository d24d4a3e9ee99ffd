"""Free ports for servers that are told their port beforehand."""

import os
import random
import socket

# Below 32768, where the kernel hands out ports to outgoing connections.
_RANGE = range(15000, 32000)
# Never again: who has them may have stopped a server that is to come back on them.
_given: set[int] = set()


def free_ports(count: int = 1) -> int:
    """Return the first of so many consecutive ports that nobody listens on and that were not returned before."""
    ours = _of_worker()
    for _ in range(200):
        first = random.randrange(ours.start, ours.stop - count)
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(_free(port) for port in ports):
            _given.update(ports)
            return first
    raise RuntimeError(f"found no {count} consecutive free ports")


def _of_worker() -> range:
    """The part of this process: between its choice and its server's start another one would find the port free."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = len(_RANGE) // workers
    return _RANGE[size * (number % workers) :][:size]


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
