"""Calls between services of one process, which go past the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.runtime.calls.call_server import CallServer

_here: ContextVar["dict[str, CallServer] | None"] = ContextVar("neighbours", default=None)


class Neighbours:
    """The servers of this process, by the address at which others find them.

    Within a `together` block, servers that start and channels that are made know of each other; without, nobody knows
    anybody, and all calls go over the network.
    """

    def __init__(self) -> None:
        """Those of the block that this is made in."""
        self._servers = _here.get()

    def find(self, address: str) -> CallServer | None:
        """The server at an address, while it is here and takes calls."""
        return None if self._servers is None else self._servers.get(address)

    def add(self, address: str, server: CallServer) -> None:
        """Let it be found at an address."""
        if self._servers is not None:
            self._servers[address] = server

    def remove(self, address: str) -> None:
        """Let nobody be found there any more. Idempotent."""
        if self._servers is not None:
            self._servers.pop(address, None)


@contextmanager
def together() -> Iterator[None]:
    """Let servers and channels that are made in the block, which is on one event loop, find each other."""
    before = _here.get()
    _here.set({})
    try:
        yield
    finally:
        _here.set(before)
