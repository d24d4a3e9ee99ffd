"""HTTP on the wire: what is no request is refused as a problem too, and none may take for ever to be sent."""

import asyncio
import socket
from collections.abc import Callable
from contextvars import copy_context
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway import problems
from gateway.negotiation import BODY_SECONDS
from gateway.problems import Problem
from services.runtime.telemetry import new_traceparent, trace_id

log = structlog.get_logger()

WRITABLE = "codelab.writable"
"""In a scope: what tells whether the client is sent something at once, or a coroutine that sends waits."""

# The longest token of a page and a few hundred filters fit; what browsers and proxies take is of this size.
MAX_TARGET_BYTES = 16 * 1024
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
# Who takes nothing of what waits for them is gone, or means harm: streams are ended long before by their service.
STALLED_SECONDS = 60.0
# A client that vanished without a word, as a phone in a tunnel does, is taken for gone after so long.
ABSENT_SECONDS = 60
# How long a client that is still sending may take to read why it should not, or one to read before the server stops.
_LINGER_SECONDS = 2.0


class _Refused(Exception):
    """Raised through the parser, which makes an HttpParserError of it: uvicorn then calls `send_400_response`."""


def _notice_absence(connection: socket.socket) -> None:
    """Let the kernel end the connection when its client is gone: left to itself, it takes a quarter of an hour."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux. It holds for what was sent, and for what is asked when quiet.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ABSENT_SECONDS // 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ABSENT_SECONDS // 6)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, ABSENT_SECONDS * 1000)


class HttpConnection(HttpToolsProtocol):
    """One client's connection.

    uvicorn answers what is no HTTP with a line of text, and takes heads of any size and age. Here the first is a 400
    `MALFORMED_REQUEST`; a target beyond MAX_TARGET_BYTES is 414 `TARGET_TOO_LONG`, a head beyond MAX_HEAD_BYTES 431
    `HEAD_TOO_LARGE`, one that is not complete after HEAD_SECONDS 408 `HEAD_TOO_SLOW`; after each the connection ends.
    Who reads nothing of an answer for STALLED_SECONDS is cut off.

    Fields behind a body in chunks are no headers, and are dropped. Nobody is upgraded to another protocol: who offers
    that, as some clients do with every first request, is answered in HTTP/1.1.
    """

    _problem: Problem | None = None
    _ended = False
    _in_head = False
    # Where a body's trailer may be: behind the head of a chunk of which nothing has come.
    _in_trailer = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    # Of requests in line, the one whose turn it is, and what the last one is answered that broke off in line.
    _served: RequestResponseCycle | None = None
    _in_line: Problem | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Who connects and says nothing is as idle as who says nothing more."""
        super().connection_made(_Gentle(transport, self._end))  # type: ignore[arg-type]
        # What is written may be another's who brings it at once: what happens here later has nothing of theirs.
        self._context = copy_context()
        _notice_absence(transport.get_extra_info("socket"))
        self.parser = _Parser(self)  # type: ignore[assignment]
        self._set_deadline(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline, and tell the request that is being served, which need not be the last one."""
        self._clear_deadline()
        self._clear_stalled()
        served = self._served
        if served is not None and not served.response_complete:
            served.disconnected = True
            served.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; then bound what is still no complete head."""
        if self._ended:
            return
        in_head, in_trailer = self._in_head, self._in_trailer
        super().data_received(data)
        if self._ended:
            return
        if self._in_trailer:
            self._head_bytes = self._head_bytes + len(data) if in_trailer else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(problems.head_too_large(MAX_HEAD_BYTES))
        if not self._in_head:
            if self._in_unread_body() and self._deadline is None:
                # uvicorn takes whoever sends for busy, and would wait for ever.
                self._set_deadline(BODY_SECONDS, self.transport.close)
            return
        if in_head and self._deadline is not None:
            self._head_bytes += len(data)
        else:
            # How much of the data is this head's, and not what came before, only the parser knows.
            self._set_deadline(HEAD_SECONDS, lambda: self._refuse(problems.head_too_slow(HEAD_SECONDS)))
        if len(self.url) > MAX_TARGET_BYTES:
            self._refuse(problems.target_too_long(MAX_TARGET_BYTES))
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(problems.head_too_large(MAX_HEAD_BYTES))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # uvicorn knows the last one alone: one in front of it, a stream perhaps, would never hear that its client left.
        self._served = cycle
        if self._in_line is not None and cycle is self.cycle:
            self._answer(self._in_line)
        else:
            super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """As much waits for the client as may."""
        super().pause_writing()
        self._look_at_stalled(self.transport.get_write_buffer_size(), STALLED_SECONDS)

    def resume_writing(self) -> None:
        """The client has taken it."""
        self._clear_stalled()
        super().resume_writing()

    def shutdown(self) -> None:
        """The server stops. Who does not read shall not keep it for as long as it waits for others."""
        super().shutdown()
        if self._stalled is not None:
            self._clear_stalled()
            self._look_at_stalled(self.transport.get_write_buffer_size(), _LINGER_SECONDS)

    def _look_at_stalled(self, waiting: int, seconds: float) -> None:
        """Cut the client off if it takes none of so many bytes. Slow is not stalled: a part is enough for more time."""

        def look() -> None:
            left = self.transport.get_write_buffer_size()
            if left < waiting:
                self._look_at_stalled(left, seconds)
            else:
                log.info("client that does not read cut off", bytes=left)
                self.transport.abort()

        self._stalled = self.loop.call_later(seconds, look, context=self._context)

    def _clear_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[WRITABLE] = self._is_writable
        self._in_head = True

    def _is_writable(self) -> bool:
        return not self.flow.write_paused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and no trailer: it could say later what nobody looked for in the head."""
        if self._in_head:
            super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """A chunk begins, or it is the last, which is empty and has the trailer behind it."""
        self._in_trailer = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._in_trailer = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's last byte, or the last of a head that offers an upgrade: `_Parser` brings it again without."""
        self._in_trailer = False
        if not self.parser.should_upgrade():
            self._clear_deadline()
            super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large or it is not clear which host and HTTP it means."""
        version, hosts = self.parser.get_http_version(), sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1") or hosts > 1 or (hosts == 0 and version == "1.1"):
            raise _Refused
        if self.parser.should_upgrade():
            return
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

    def _in_unread_body(self) -> bool:
        """Whether a request is still being sent that is answered already."""
        return self.cycle is not None and self.cycle.response_complete and self.cycle.more_body

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
            if cycle is not self._served:
                # Whoever is in front is being answered, perhaps by a stream: that the client leaves must be heard.
                self._in_line = problem
                self.flow.resume_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.transport.is_closing():
            self._answer(problem)

    def _answer(self, problem: Problem) -> None:
        """Answer for the application, and end the connection."""
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


class _Parser:
    """httptools' parser, but one that declines every upgrade.

    Its own takes what follows a head that offers one for the other protocol: it drops the request's body, or reads it
    as the next request. Here the same head is read again without the offer, and what follows it as what it is.
    """

    def __init__(self, protocol: HttpConnection) -> None:
        self._protocol = protocol
        self._parser = self._new()

    def feed_data(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            protocol, method, version = self._protocol, self._parser.get_method(), self._parser.get_http_version()
            if method == b"CONNECT":
                raise httptools.HttpParserError("there is nobody to connect to") from None
            headers = [b"%s: %s" % header for header in protocol.headers if header[0] != b"upgrade"]
            lines = [b"%s %s HTTP/%s" % (method, protocol.url, version.encode()), *headers, b"", b""]
            self._parser = self._new()
            self._parser.feed_data(b"\r\n".join(lines))
            # May offer another upgrade, if it holds the next request.
            self.feed_data(data[upgrade.args[0] :])

    def _new(self) -> Any:
        parser = httptools.HttpRequestParser(self._protocol)
        # As uvicorn has it: a request may follow one that says `Connection: close`, and is not looked at.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class _Gentle:
    """A transport that is closed as its owner says."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[asyncio.Transport], None]) -> None:
        self._transport = transport
        self._end = end
        self._closing = False
        # Found at once, and not by way of `__getattr__`: every event of a stream is written.
        self.write = transport.write

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
