"""Free ports for servers that are told their port beforehand."""

import random
import socket

# Below 32768, where the kernel hands out ports to outgoing connections.
_RANGE = range(15000, 32000)


def free_ports(count: int = 1) -> int:
    """Return the first of so many consecutive ports that nobody listens on."""
    for _ in range(200):
        first = random.choice(_RANGE)
        if all(_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"found no {count} consecutive free ports")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
