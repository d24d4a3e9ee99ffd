"""HTTP on the wire: what is no request is refused as a problem too, and none may take for ever to be sent."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway import problems
from gateway.problems import Problem
from services.runtime.telemetry import new_traceparent, trace_id

log = structlog.get_logger()

# The longest token of a page and a few hundred filters fit; what browsers and proxies take is of this size.
MAX_TARGET_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
# How long a client that is still sending may take to read why it should not.
_LINGER_SECONDS = 2.0


class _Refused(Exception):
    """Raised through the parser, which makes an HttpParserError of it: uvicorn then calls `send_400_response`."""


class HttpConnection(HttpToolsProtocol):
    """One client's connection.

    uvicorn answers what is no HTTP with a line of text, and takes heads of any size and age. Here the first is a 400
    `MALFORMED_REQUEST`; a target beyond MAX_TARGET_BYTES is 414 `TARGET_TOO_LONG`, a head beyond MAX_HEAD_BYTES 431
    `HEAD_TOO_LARGE`, one that is not complete after HEAD_SECONDS 408 `HEAD_TOO_SLOW`; after each the connection ends.
    """

    _problem: Problem | None = None
    _ended = False
    _in_head = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Who connects and says nothing is as idle as who says nothing more."""
        super().connection_made(_Gentle(transport, self._end))  # type: ignore[arg-type]
        self._set_deadline(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; then bound what is still no complete head."""
        if self._ended:
            return
        goes_on = self._in_head
        super().data_received(data)
        if not self._in_head or self._ended:
            return
        if goes_on and self._deadline is not None:
            self._head_bytes += len(data)
        else:
            # How much of the data is this head's, and not what came before, only the parser knows.
            self._set_deadline(HEAD_SECONDS, lambda: self._refuse(problems.head_too_slow(HEAD_SECONDS)))
        if len(self.url) > MAX_TARGET_BYTES:
            self._refuse(problems.target_too_long(MAX_TARGET_BYTES))
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(problems.head_too_large(MAX_HEAD_BYTES))

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large."""
        self._in_head, self._head_bytes = False, 0
        self._clear_deadline()
        if len(self.url) > MAX_TARGET_BYTES:
            self._problem = problems.target_too_long(MAX_TARGET_BYTES)
        elif sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._problem = problems.head_too_large(MAX_HEAD_BYTES)
        if self._problem is not None:
            raise _Refused
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser gives up, for whichever reason."""
        self._refuse(self._problem or problems.malformed_request())

    def _set_deadline(self, seconds: float, act: Callable[[], object]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, act)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem where an answer is due, and end the connection; what still comes is not looked at."""
        self._ended = True
        self._clear_deadline()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or not cycle.more_body:
                # This follows a request that is complete, and that one's answer is what the client gets.
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if self.transport.is_closing():
            return
        trace = trace_id(new_traceparent())
        log.info("connection refused", status=problem.status, reason=problem.reason, trace_id=trace)
        self.transport.write(_answer(problem, trace))
        self.transport.close()

    def _end(self, transport: asyncio.Transport) -> None:
        """Close the connection, but not in the face of a client that is still sending: it would not read the answer."""
        sending = self._ended or (self.cycle is not None and self.cycle.more_body)
        self._ended = True
        if sending and transport.can_write_eof():
            transport.write_eof()
            self._set_deadline(_LINGER_SECONDS, transport.close)
        else:
            transport.close()


class _Gentle:
    """A transport that is closed as its owner says."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[asyncio.Transport], None]) -> None:
        self._transport = transport
        self._end = end
        self._closing = False

    def close(self) -> None:
        if not self.is_closing():
            self._closing = True
            self._end(self._transport)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _answer(problem: Problem, trace: str) -> bytes:
    body = problem.json(trace)
    headers = [
        *problem.response_headers(),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-trace-id", trace.encode()),
    ]
    status = HTTPStatus(problem.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join([*lines, b"", body])
