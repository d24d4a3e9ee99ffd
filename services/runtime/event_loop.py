"""The event loop of every process here: asyncio's, which gRPC can wake as often as it likes."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_AT_ONCE_BYTES = 64 * 1024


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As asyncio.run, in this loop."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(main)


class EventLoop(asyncio.SelectorEventLoop):
    """Hears of all that gRPC has for it at once.

    A thread of gRPC puts each event (a message came, one was sent) into a queue and writes a byte to a socket, for the
    loop to look into the queue. The loop then empties the queue, but reads one byte. Where events come more often than
    the loop comes round, bytes pile up until the socket is full, at some 280; then that thread stands still until three
    quarters are read, one a round. So long nothing comes and nothing leaves: for seconds, if a round takes 20 ms.
    """

    def add_reader(self, fd: "FileDescriptorLike", callback: Callable[[*Arguments], Any], *args: *Arguments) -> None:
        """See asyncio."""
        if isinstance(fd, socket.socket) and _is_of_grpc(callback):
            fd.__class__ = _ReadWhole
        super().add_reader(fd, callback, *args)


class _ReadWhole(socket.socket):
    """A socket whose bytes say nothing, however many they are."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """All that is there, whatever was asked for."""
        return super().recv(_AT_ONCE_BYTES, flags)


def _is_of_grpc(callback: Callable[..., Any]) -> bool:
    method = getattr(callback, "func", callback)
    return type(getattr(method, "__self__", None)).__module__ == "grpc._cython.cygrpc"
