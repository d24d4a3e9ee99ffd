"""A scripted OpenAI-compatible model on a real socket: `python -m tests.fakes.openai_server --port 9999`.

POST /v1/chat/completions, streamed or whole, behaves as the script in what is asked says, and plans (see
`openai_script`).
POST /v1/embeddings makes vectors of words (see `openai_vectors`), and obeys the script in any of the texts.
GET /v1/models lists its models. A server that is told its key, or its models, refuses others.
GET /control/exchanges tells what was asked and how it ended, GET /control/embeddings the same of vectors; DELETE
forgets it.
POST /control/gates/NAME opens a gate that answers wait at, POST /control/scripts gives scripts by name, as JSON.
In a test, `FakeModel` runs the same server in a thread, so that it answers whatever the test's own event loop does.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from tests.e2e.ports import free_ports
from tests.fakes.openai_calls import Kind, asked_text, kind_of
from tests.fakes.openai_script import Script, ScriptError, script_of
from tests.fakes.openai_vectors import DIMENSION, BadInput, embeddings, inputs_of

MODEL = "fake-model"
Outcome = Literal["open", "answered", "refused", "broken", "closed_by_client"]
# Below every timeout that tests give the model.
SIGN_OF_LIFE_SECONDS = 0.5


@dataclass
class Exchange:
    """A request for a completion or for vectors, and its fate. Times are seconds of this process's monotonic clock."""

    number: int
    headers: dict[str, str]
    body: dict[str, Any]
    received_at: float
    outcome: Outcome = "open"
    first_piece_at: float | None = None
    ended_at: float | None = None
    pieces_sent: int = 0

    @property
    def user_text(self) -> str:
        """What is asked, without its context: of a task its instruction, of planning and combining the message."""
        return asked_text(self.body)

    @property
    def kind(self) -> Kind:
        return kind_of(self.body)

    @property
    def model_seconds(self) -> float:
        """The model's own time: from the request's last byte to the answer's."""
        if self.ended_at is None:
            raise ValueError("the exchange is still open")
        return self.ended_at - self.received_at


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class BrokenOff(Exception):
    """The script ends the connection here."""


@dataclass
class OpenAIServer:
    """The server, for one event loop. `exchanges` and `embeddings` may be read from any thread."""

    port: int = 0
    key: str = ""
    """The only key that is taken. Empty: any."""
    models: tuple[str, ...] = ()
    """The only models that there are. Empty: one is listed, and whatever is asked for answers."""
    lists: bool = True
    """Whether the models can be listed."""
    host: str = "127.0.0.1"
    dimension: int = DIMENSION
    exchanges: list[Exchange] = field(default_factory=list)
    embeddings: list[Exchange] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    """Those that requests may name."""
    _gates: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _met: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _connections: set["_Connection"] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection: whoever asks next is refused."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()
        self._server = None

    def open_gate(self, name: str) -> None:
        """Let answers that wait at the gate, and those that come to it later, go on."""
        self._gates[name].set()

    async def answer(self, request: Request, connection: "_Connection") -> None:
        route = (request.method, request.path.partition("?")[0])
        if (
            self.key
            and request.path.startswith("/v1/")
            and request.headers.get("authorization") != f"Bearer {self.key}"
        ):
            connection.send_json(401, _error("that is not the key", "invalid_request_error"))
        elif route == ("POST", "/v1/chat/completions"):
            await self._exchange(request, connection, self.exchanges, self._complete)
        elif route == ("POST", "/v1/embeddings"):
            await self._exchange(request, connection, self.embeddings, self._embed)
        elif route == ("GET", "/v1/models") and self.lists:
            names = self.models or (MODEL,)
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in names]
            connection.send_json(200, {"object": "list", "data": models})
        elif route == ("GET", "/control/exchanges"):
            connection.send_json(200, [asdict(exchange) for exchange in self.exchanges])
        elif route == ("GET", "/control/embeddings"):
            connection.send_json(200, [asdict(exchange) for exchange in self.embeddings])
        elif route in (("DELETE", "/control/exchanges"), ("DELETE", "/control/embeddings")):
            (self.exchanges if route[1] == "/control/exchanges" else self.embeddings).clear()
            connection.send_json(200, {})
        elif route == ("POST", "/control/scripts"):
            self.scripts |= {name: Script(**values) for name, values in json.loads(request.body).items()}
            connection.send_json(200, {})
        elif request.method == "POST" and request.path.startswith("/control/gates/"):
            self.open_gate(request.path.removeprefix("/control/gates/"))
            connection.send_json(200, {})
        else:
            connection.send_json(404, _error(f"there is no {request.method} {request.path}", "not_found_error"))

    async def _exchange(
        self, request: Request, connection: "_Connection", exchanges: list[Exchange], play: "Play"
    ) -> None:
        received_at = time.monotonic()
        try:
            body = json.loads(request.body)
            script = script_of(body, self.scripts)
        except (ValueError, ScriptError) as error:
            connection.send_json(400, _error(str(error), "invalid_request_error"))
            return
        if self.models and body.get("model") not in self.models:
            connection.send_json(404, _error("there is no such model", "invalid_request_error"))
            return
        exchange = Exchange(next(self._numbers), request.headers, body, received_at)
        exchanges.append(exchange)
        outcome: Outcome = "closed_by_client"
        try:
            outcome = await self._begin(script, exchange, connection, play)
        except BrokenOff:
            outcome = "broken"
        finally:
            exchange.ended_at = time.monotonic()
            exchange.outcome = outcome
        if outcome == "broken":
            connection.reset()

    async def _begin(self, script: Script, exchange: Exchange, connection: "_Connection", play: "Play") -> Outcome:
        if script.faulty:
            self._met[script.key] += 1
            if script.times is not None and self._met[script.key] > script.times:
                script = replace(script, status=200, fault=None)
        if script.status != 200:
            retry = {} if script.retry_after is None else {"retry-after": f"{script.retry_after:g}"}
            connection.send_json(script.status, _error("the script says so", "scripted_error"), retry)
            return "refused"
        if script.refuses and script.refuses in exchange.body:
            parameter = None if script.refuses_plainly else script.refuses
            message = f"Unsupported parameter: '{script.refuses}' is not supported with this model."
            connection.send_json(400, _error(message, "invalid_request_error", parameter))
            return "refused"
        if script.fault == "hang":
            await _forever()
        await asyncio.sleep(script.first_token_seconds)
        if script.fault == "reset" and script.after_chunks == 0:
            raise BrokenOff
        if script.fault == "garbage_body":
            connection.send(200, "application/json", b"<html>\xff\xfe{ this is no JSON")
            return "answered"
        return await play(script, exchange, connection)

    async def _complete(self, script: Script, exchange: Exchange, connection: "_Connection") -> Outcome:
        if exchange.body.get("stream") and script.fault != "not_sse":
            await _stream(script, exchange, connection, self._gates[script.gate] if script.gate else None)
        else:
            await asyncio.sleep(script.token_seconds * (len(list(script.deltas(exchange.body))) - 1))
            connection.send_json(200, _completion(script, exchange))
        return "answered"

    async def _embed(self, script: Script, exchange: Exchange, connection: "_Connection") -> Outcome:
        if script.gate:
            await self._gates[script.gate].wait()
        try:
            texts = inputs_of(exchange.body)
            answer = embeddings(script, exchange.body.get("model", MODEL), texts, self.dimension)
        except BadInput as error:
            connection.send_json(400, _error(str(error), "invalid_request_error"))
            return "refused"
        connection.send_json(200, answer)
        return "answered"


async def _stream(script: Script, exchange: Exchange, connection: "_Connection", gate: asyncio.Event | None) -> None:
    connection.begin_stream()
    now = asyncio.get_running_loop().time
    due = 0.0
    for number, delta in enumerate(script.deltas(exchange.body)):
        if number == script.after_chunks:
            if gate is not None:
                await _wait_at(gate, exchange, connection)
            if script.fault == "reset":
                raise BrokenOff
            if script.fault == "stall":
                await _forever()
            if script.fault == "cut":
                connection.end_stream()
                return
            if script.fault == "error_chunk":
                connection.send_event(_error("the model fell over", "server_error"))
                connection.end_stream()
                return
            if script.fault == "garbage_sse":
                connection.send_chunk(b"data: {this is no JSON\n\n")
                connection.end_stream()
                return
        if number > 0 and script.token_seconds:
            # As often as the script says, and not less often by what each piece costs; but never two at once.
            due = max(due + script.token_seconds, now())
            await asyncio.sleep(due - now())
        elif number == 0:
            due = now()
        if script.fault == "empty_choices":
            connection.send_event(_chunk(exchange, []))
            continue
        if number == 0:
            delta["role"] = "assistant"
            exchange.first_piece_at = time.monotonic()
        connection.send_event(_chunk(exchange, [_choice(delta, None)]))
        exchange.pieces_sent += 1
    if script.fault != "empty_choices":
        connection.send_event(_chunk(exchange, [_choice({}, _finish_reason(script, exchange))]))
    if script.usage and (exchange.body.get("stream_options") or {}).get("include_usage"):
        connection.send_event({**_chunk(exchange, []), "usage": _usage(script, exchange)})
    connection.send_chunk(b"data: [DONE]\n\n")
    connection.end_stream()


async def _wait_at(gate: asyncio.Event, exchange: Exchange, connection: "_Connection") -> None:
    """Say nothing until the gate is opened, but never so long that the model would seem to have died."""
    while not gate.is_set():
        try:
            async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                await gate.wait()
        except TimeoutError:
            connection.send_event(_chunk(exchange, [_choice({"content": ""}, None)]))


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def _finish_reason(script: Script, exchange: Exchange) -> str:
    return "tool_calls" if script.finish_reason == "stop" and script.calls_in(exchange.body) else script.finish_reason


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}


def _chunk(exchange: Exchange, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{exchange.number}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": exchange.body.get("model", MODEL),
        "choices": choices,
    }


def _completion(script: Script, exchange: Exchange) -> dict[str, Any]:
    text, calls = script.text_in(exchange.body), script.calls_in(exchange.body)
    message: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text, "refusal": None}
    if script.refusal is not None:
        message.update(content=None, refusal=script.refusal)
    if calls:
        functions = [(each.id, {"name": each.tool, "arguments": each.arguments}) for each in calls]
        message["tool_calls"] = [{"id": name, "type": "function", "function": each} for name, each in functions]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(script, exchange), "logprobs": None}
    return {
        "id": f"chatcmpl-{exchange.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": exchange.body.get("model", MODEL),
        "choices": [] if script.fault == "empty_choices" else [choice],
        **({"usage": _usage(script, exchange)} if script.usage else {}),
    }


def _usage(script: Script, exchange: Exchange) -> dict[str, int]:
    """Deterministic counts that a test can recompute: words."""
    prompt = sum(len(str(message.get("content") or "").split()) for message in exchange.body["messages"])
    calls = script.calls_in(exchange.body)
    completion = sum(len(text.split()) for text in (script.text_in(exchange.body), *(each.arguments for each in calls)))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _error(message: str, kind: str, parameter: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": parameter, "code": None}}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive by hand: only so can a script reset, hang and see its client go away."""

    transport: asyncio.Transport

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self._buffer = b""
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._connections.discard(self)
        if self._answering is not None:
            self._answering.cancel()

    def _next(self) -> None:
        if self._answering is not None or b"\r\n\r\n" not in self._buffer:
            return
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = first.split(" ")
        request = Request(method, path, headers, rest[:length])
        self._answering = asyncio.get_running_loop().create_task(self._server.answer(request, self))
        self._answering.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering = None
        if task.cancelled():
            return
        if error := task.exception():
            asyncio.get_running_loop().call_exception_handler({"message": "the fake model failed", "exception": error})
            self.transport.abort()
        elif not self.transport.is_closing():
            self._next()

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, "application/json", json.dumps(value).encode(), headers)

    def send(self, status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, {"content-type": media_type, "content-length": str(len(body)), **(headers or {})})
        self.transport.write(body)

    def begin_stream(self) -> None:
        self._head(200, {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"})

    def send_event(self, value: dict[str, Any]) -> None:
        self.send_chunk(b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n")

    def send_chunk(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self.transport.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Send RST, as a crashed peer or an impatient proxy does."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


Play = Callable[[Script, Exchange, _Connection], Awaitable[Outcome]]


class FakeModel:
    """An OpenAIServer in a thread of its own. `with FakeModel() as model: …`; it may be stopped and started again."""

    def __init__(self, port: int = 0, **options: Any) -> None:
        """`options` are those of OpenAIServer."""
        self._server = OpenAIServer(port or free_ports(), **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-model", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL wants."""
        return f"http://{self._server.host}:{self._server.port}/v1"

    def start(self) -> None:
        self._wait(asyncio.run_coroutine_threadsafe(self._server.start(), self._loop))

    def stop(self) -> None:
        self._wait(asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop))

    def open_gate(self, name: str) -> None:
        """Let answers that wait at the gate, and those that come to it later, go on."""
        self._loop.call_soon_threadsafe(self._server.open_gate, name)

    def exchanges(self, text: str = "", kind: Kind | None = None) -> list[Exchange]:
        """The requests, of this kind, that ask what contains the text, oldest first."""
        return [
            exchange
            for exchange in list(self._server.exchanges)
            if text in exchange.user_text and kind in (None, exchange.kind)
        ]

    def embeddings(self, text: str = "") -> list[Exchange]:
        """The requests for vectors of texts of which one contains this text, oldest first."""
        return [exchange for exchange in list(self._server.embeddings) if text in exchange.user_text]

    def open_now(self, text: str = "") -> list[Exchange]:
        return [exchange for exchange in self.exchanges(text) if exchange.outcome == "open"]

    @staticmethod
    def _wait(future: "Future[None]") -> None:
        future.result(timeout=30)


async def _serve(port: int, dimension: int, say: Callable[[str], object]) -> None:
    server = OpenAIServer(port, dimension=dimension)
    await server.start()
    say(f"http://{server.host}:{server.port}/v1\n")
    await _forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible model; prints its base URL.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dimension", type=int, default=DIMENSION, help="numbers of a vector")
    arguments = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, arguments.dimension, say))


if __name__ == "__main__":
    main()
