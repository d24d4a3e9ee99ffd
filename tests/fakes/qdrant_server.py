"""A Qdrant on a real socket that holds every request and its own answers against Qdrant's description.

What it knows it has from qdrant-client's local mode; where a server refuses and local mode does not, it refuses. It
cannot tell what only a server can: what is durable, how replicas agree, and how well the approximate index finds.

    with FakeQdrant(description) as qdrant: …
"""

import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.e2e.ports import free_ports
from tests.fakes.qdrant_collections import Collections, Refused
from tests.fakes.qdrant_description import Description, Operation

_HELD_SECONDS = 30.0
SECRET_TEXT = "text-of-the-server"
"""Stands in every error that the server tells."""


@dataclass(frozen=True)
class Seen:
    """A request and the status that it was answered with; None: its answer was dropped or held."""

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    status: int | None


@dataclass(frozen=True)
class Answer:
    """A fault: this is answered, and nothing is done."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = SECRET_TEXT


@dataclass(frozen=True)
class Drop:
    """A fault: what was asked is done, and the connection is reset before the answer."""


@dataclass(frozen=True)
class Hold:
    """A fault: the request is read, and nothing happens until the server stops."""


Fault = Answer | Drop | Hold


class FakeQdrant:
    """The server, in threads of its own. It may be stopped and started again, and keeps what it has."""

    def __init__(self, description: Description, api_key: str = "") -> None:
        self.description = description
        self.api_key = api_key
        self.requests: list[Seen] = []
        self.violations: list[str] = []
        self.before: Callable[[str, str], None] = lambda method, path: None
        """Called with the method and the path of each request before it is worked on, in a thread of its own."""
        self._collections = Collections()
        self._faults: deque[tuple[str, Fault]] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._port = free_ports()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What QDRANT_URL wants."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._stopping.clear()
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="fake-qdrant")
        self._thread.start()

    def stop(self) -> None:
        """Close the port: whoever asks next is refused."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None

    def fail(self, *faults: Fault, operation: str = "") -> None:
        """Let the next requests fail so, each with one of these; with `operation`, the next of that one."""
        self._faults.extend((operation, fault) for fault in faults)

    def asked(self, operation: str) -> list[Seen]:
        """The requests for an operation, as the description names it, oldest first."""
        return [seen for seen in self.requests if seen.operation == operation]

    def assert_nothing_wrong(self) -> None:
        """Fail if any request, or any answer, was not as described."""
        assert not self.violations, "\n".join(self.violations)

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body to answer with; None to reset the connection."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        operation = self.description.operation(method, parts.path)
        name = "" if operation is None else operation.name
        self.before(method, parts.path)
        fault = self._next_fault(name)
        value = _json(body)

        def seen(status: int | None) -> None:
            self.requests.append(Seen(name, method, parts.path, query, headers, value, status))

        if isinstance(fault, Hold):
            seen(None)
            self._stopping.wait(_HELD_SECONDS)
            return None
        if isinstance(fault, Answer):
            seen(fault.status)
            return fault.status, {"content-type": "text/plain", **fault.headers}, fault.body.encode()
        if name == "readyz":
            # Whoever asks, and in plain text.
            seen(200)
            return 200, {"content-type": "text/plain"}, b"all shards are ready"
        if self.api_key and headers.get("api-key") != self.api_key:
            # A server answers this one in plain text.
            seen(401)
            return 401, {"content-type": "text/plain"}, f"Must provide an API key: {SECRET_TEXT}".encode()
        status, answered = self._judged(operation, f"{method} {target}", query, headers, body)
        if isinstance(fault, Drop):
            seen(None)
            return None
        seen(status)
        return status, {"content-type": "application/json"}, json.dumps(answered).encode()

    def _next_fault(self, operation: str) -> Fault | None:
        with self._lock:
            for index, (wanted, fault) in enumerate(self._faults):
                if wanted in ("", operation):
                    del self._faults[index]
                    return fault
        return None

    def _judged(
        self,
        operation: Operation | None,
        what: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> tuple[int, Any]:
        if operation is None:
            return self._wrong(what, "there is no such path with this method")
        if wrong := operation.wrong_request(query, headers.get("content-type", ""), body):
            return self._wrong(what, wrong)
        values = {name: unquote(value) for name, value in operation.path_values.items()}
        began = time.monotonic()
        try:
            with self._lock:
                result = self._collections.do(operation.name, values, _json(body))
            status, answer = 200, {"result": result, "status": "ok", "time": time.monotonic() - began}
        except Refused as refused:
            status, answer = refused.status, _error(str(refused))
        if wrong := operation.wrong_answer(status, answer):
            self.violations.append(f"the answer {status} to {what}: {wrong}")
            return 500, _error(wrong)
        return status, answer

    def _wrong(self, what: str, why: str) -> tuple[int, Any]:
        self.violations.append(f"{what}: {why}")
        return 400, _error(f"Format error in JSON body: {why}")


def filters_of(body: Any) -> Iterable[Any]:
    """Every filter that a request has, wherever it stands."""
    if isinstance(body, list):
        for each in body:
            yield from filters_of(each)
    if isinstance(body, dict):
        for key, value in body.items():
            if key in ("filter", "update_filter"):
                yield value
            else:
                yield from filters_of(value)


def _error(text: str) -> dict[str, Any]:
    return {"status": {"error": f"{text} ({SECRET_TEXT})"}, "time": 0.0}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Stopping waits for the threads, so that nothing is done by a server that is gone.
    block_on_close = True
    request_queue_size = 128
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong here, but not that a client was killed before its answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler(qdrant: FakeQdrant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = qdrant.answer(self.command, self.path, headers, body)
            if answer is None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            status, answer_headers, content = answer
            self.send_response(status)
            for name, value in {**answer_headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = handle_request

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing between the dots."""

    return Handler
