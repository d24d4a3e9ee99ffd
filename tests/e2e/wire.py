"""Requests as bytes, because no client library would send the bad ones."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class Response:
    """What came back until the connection ended; status 0 if nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str,
    target: str,
    body: bytes | str | None = None,
    *headers: str,
    content_type: str | None = JSON,
    length: int | None = None,
) -> bytes:
    """A request that is well-formed but for its parts. `$TOKEN` stands for the caller's."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", "Authorization: Bearer $TOKEN", *headers]
    content = body.encode() if isinstance(body, str) else body
    if content is not None:
        lines += [f"Content-Type: {content_type}"] if content_type is not None else []
        lines.append(f"Content-Length: {len(content) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content or b"")


def chunked(method: str, target: str, *chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    """A request whose body comes in chunks, as they stand."""
    head = request(method, target, None, f"Content-Type: {JSON}", "Transfer-Encoding: chunked", *headers)
    return head + b"".join(chunks)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def exchange(host: str, port: int, data: bytes, *, half_close: bool = False, within: float = 30) -> Response:
    """Send bytes over a connection of their own and read until the server ends it."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(within):
            sending = asyncio.create_task(_send(writer, data, half_close))
            received = b""
            # A server that has said what it thinks of a request need not read the rest of it.
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    received += piece
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    finally:
        writer.close()
    return parsed(received)


async def _send(writer: asyncio.StreamWriter, data: bytes, half_close: bool) -> None:
    writer.write(data)
    await writer.drain()
    if half_close:
        writer.write_eof()


def parsed(received: bytes) -> Response:
    """The first response in these bytes; an interim one (1xx) is passed over."""
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head:
        return Response(0, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status < 200:
        return parsed(rest)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Response(status, headers, rest[: int(headers.get("content-length", len(rest)))])
