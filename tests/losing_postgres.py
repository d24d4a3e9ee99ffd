"""A PostgreSQL whose connections break at the one moment that leaves a writer in doubt: at the commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

_COMMIT = b"COMMIT;\0"
_COMMITTED = b"COMMIT\0"


class Loss(StrEnum):
    """What is lost with the connection."""

    ANSWER = "the answer to the commit"
    LATE = "the answer to a commit that the server gets to only later"
    COMMIT = "the commit itself"


@dataclass
class LosingPostgres:
    """A proxy before a server. It loses what it is told to at the next commit, and carries everything else."""

    target: str
    url: str = ""
    loses: Loss | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets the server have what it is to get LATE."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.target)
        from_server, to_server = await asyncio.open_connection(address.hostname, address.port)
        answers = asyncio.create_task(_carry(from_server, writer))
        try:
            while data := await reader.read(65536):
                if self.loses is not None and data.endswith(_COMMIT):
                    loss, self.loses = self.loses, None
                    answers.cancel()
                    await asyncio.wait([answers])
                    await self._lose(loss, data, from_server, to_server, writer)
                    return
                to_server.write(data)
                await to_server.drain()
        finally:
            answers.cancel()
            for each in (writer, to_server):
                each.close()

    async def _lose(
        self,
        loss: Loss,
        commit: bytes,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
    ) -> None:
        if loss is not Loss.ANSWER:
            to_client.close()
            self.lost.set()
        if loss is Loss.LATE:
            async with asyncio.timeout(30):
                await self.go.wait()
        if loss is not Loss.COMMIT:
            to_server.write(commit)
            answer = b""
            while _COMMITTED not in answer:
                more = await from_server.read(65536)
                assert more, "the server broke off"
                answer += more
        self.lost.set()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def losing(url: str) -> AsyncIterator[LosingPostgres]:
    """A proxy before the server at this URL, for as long as the block runs."""
    proxy = LosingPostgres(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    address = urlsplit(url)
    port = server.sockets[0].getsockname()[1]
    proxy.url = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{port}")).geturl()
    async with server:
        yield proxy
