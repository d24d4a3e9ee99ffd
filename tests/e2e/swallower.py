"""A gRPC service whose answers never arrive, however much it does for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_HEADER_BYTES = 9
_DATA, _HEADERS = 0, 1


@dataclass
class Swallower:
    """A proxy before one service. It forwards all requests, and of what comes back nothing that answers one."""

    target: str
    address: str = ""
    answered: set[tuple[int, int]] = field(default_factory=set)
    """The calls whose answers were swallowed so far: the service is done with them, and what it did is committed."""
    _connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        self._connections += 1
        connection = self._connections
        from_service, to_service = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_forward(reader, to_service))
                group.create_task(self._swallow(from_service, writer, connection))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass  # One of the two has gone; so does the other.
        finally:
            writer.close()
            to_service.close()

    async def _swallow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            header = await reader.readexactly(_HEADER_BYTES)
            length, kind, stream = int.from_bytes(header[:3]), header[3], int.from_bytes(header[5:])
            payload = await reader.readexactly(length)
            if kind in (_DATA, _HEADERS):
                self.answered.add((connection, stream))
                continue
            writer.write(header + payload)
            await writer.drain()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError


@contextlib.asynccontextmanager
async def swallowing(target: str) -> AsyncIterator[Swallower]:
    """Swallow the answers of the service at this address."""
    swallower = Swallower(target)
    server = await asyncio.start_server(swallower.serve, "127.0.0.1", 0)
    swallower.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield swallower
