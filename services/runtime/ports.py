"""Ports to listen on, and the one line when that cannot be."""

import socket

from services.runtime.errors import StartupError

_BACKLOG = 2048


def listen(name: str, host: str, port: int, variable: str) -> socket.socket:
    """A non-blocking listening socket for `name`. Raise StartupError, which names the `variable` of the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartupError(f"{name} cannot listen on {host}: {error.strerror}. Set CODELAB_HOST") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(
            f"{name} cannot listen on {host}:{port}: {error.strerror}."
            f" Stop what uses it, or set {variable} or CODELAB_HOST"
        ) from None
    listener.setblocking(False)
    return listener
