"""Endpoints that models are asked at, also odd ones, and asking them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from services.agents.models import Message, ModelRequest, Usage
from services.agents.openai_model import OpenAIModel
from tests.fakes.openai_script import Script


class Pauses(list[float]):
    """Takes the pauses between calls down, instead of pausing."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def asking(script: Script | None = None, model: str = "", text: str = "Hello.") -> ModelRequest:
    content = text if script is None else f"{text} {script.directive()}"
    return ModelRequest((Message("user", content),), model, 0.7, 100)


async def answer(endpoint: OpenAIModel, request: ModelRequest) -> tuple[str, Usage]:
    *pieces, usage = [piece async for piece in endpoint.stream(request)]
    assert isinstance(usage, Usage)
    return "".join(piece for piece in pieces if isinstance(piece, str)), usage


@asynccontextmanager
async def odd_endpoint(
    respond: Callable[[dict[str, Any]], bytes],
    silence_seconds: float = 0.3,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[OpenAIModel]:
    """A model behind a socket that answers each request with these bytes, and then neither speaks nor hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        writer.write(respond(json.loads(await reader.readexactly(length))))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    made = OpenAIModel("key", url, "m", silence_seconds, 0, clock=clock)
    try:
        yield made
    finally:
        await made.close()
        server.close()
        await server.wait_closed()


def refusing(status: int, body: dict[str, Any]) -> bytes:
    """An answer that ends the connection, too."""
    said = json.dumps(body)
    return f"HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-length: {len(said)}\r\n\r\n{said}".encode()


def events(*chunks: dict[str, Any]) -> bytes:
    """The beginning of an event stream that does not say how long it is."""
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks)
    return f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}".encode()


def whole(*chunks: dict[str, Any]) -> bytes:
    """An event stream that says where it ends."""
    return events(*chunks) + b"data: [DONE]\n\n"
