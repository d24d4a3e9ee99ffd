"""A network that breaks: a proxy before a server, whose connections can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Cut:
    """A TCP proxy. Who connects while the server is away is turned away too."""

    def __init__(self, target: str) -> None:
        """`target` is `host:port`."""
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.connections = 0
        self.away = False
        """Whether nobody gets through: who connects is turned away."""

    def cut(self) -> int:
        """Break every connection, without a word to either side. How many there were."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is over."""
        self.connections += 1
        if self.away:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except ConnectionError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            self._writers -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # One of the two has gone; so does the other.
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def cutting(target: str) -> AsyncIterator[Cut]:
    """Stand before the server at this address, `host:port`."""
    proxy = Cut(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
