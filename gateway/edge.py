"""The outermost layer: the trace, CORS, one log line a request, and an answer when something unforeseen is raised."""

import time
from collections.abc import Awaitable, MutableMapping
from dataclasses import dataclass, field

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import problems
from gateway.cors import CorsPolicy
from gateway.negotiation import ClientGone
from gateway.problems import Problem
from services.runtime.telemetry import new_traceparent, trace_id, valid_traceparent

log = structlog.get_logger()

_KEY = "codelab.exchange"


@dataclass(slots=True)
class Exchange:
    """What the layers share about one request and its answer."""

    traceparent: str
    status: int = 0
    # Why it was refused, if it was.
    reason: str = ""
    # For the log: the route's template, and the query without what must not be logged.
    route: str = ""
    query: str = ""
    cut: bool = False
    # Probes come every few seconds and say nothing when all is well.
    quiet: bool = False
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def trace_id(self) -> str:
        return trace_id(self.traceparent)

    @classmethod
    def of(cls, scope: MutableMapping[str, object]) -> "Exchange":
        """The exchange of the request being served."""
        exchange = scope[_KEY]
        assert isinstance(exchange, Exchange)
        return exchange


class Edge:
    """Wraps the application. What it raises as a Problem, or at all, becomes problem+json."""

    def __init__(self, app: ASGIApp, cors: CorsPolicy) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        origin = traceparent = wanted_method = None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                traceparent = value
            elif name == b"origin":
                origin = value
            elif name == b"access-control-request-method":
                wanted_method = value
        exchange = Exchange(_traceparent(traceparent))
        exchange.headers.append((b"x-trace-id", exchange.trace_id.encode()))
        if origin is not None:
            exchange.headers += self._cors.headers(origin)
        scope[_KEY] = exchange

        # Hands on what it has no part in, without a coroutine of its own: every event of a stream comes this way.
        def send_marked(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *exchange.headers]
            return send(message)

        try:
            if origin is not None and wanted_method is not None and scope["method"] == "OPTIONS":
                await send_empty(send_marked, 204, self._cors.preflight_headers(origin))
            else:
                await self._serve(scope, receive, send_marked, exchange)
        finally:
            self._log(scope, exchange, begun)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        try:
            await self._app(scope, receive, send)
        except Problem as problem:
            await send_problem(send, problem, exchange)
        except ClientGone:
            exchange.cut = True
        except Exception:
            log.exception("unforeseen error", trace_id=exchange.trace_id, route=exchange.route)
            # Once the answer has begun nothing can be said any more: the server cuts the connection.
            if exchange.status:
                raise
            await send_problem(send, problems.internal(), exchange)

    def _log(self, scope: Scope, exchange: Exchange, begun: float) -> None:
        fields = {"query": exchange.query} if exchange.query else {}
        if exchange.reason:
            fields["reason"] = exchange.reason
        if exchange.cut:
            fields["cut"] = "by the client"
        write = log.debug if exchange.quiet else log.info
        write(
            "request served",
            method=scope["method"],
            route=exchange.route or "-",
            path=scope["path"],
            status=exchange.status or 499,
            milliseconds=round((time.perf_counter() - begun) * 1000, 1),
            trace_id=exchange.trace_id,
            **fields,
        )


async def send_body(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Answer with a whole body."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_empty(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def send_problem(send: Send, problem: Problem, exchange: Exchange) -> None:
    """Answer with problem+json."""
    exchange.reason = problem.reason
    await send_body(send, problem.status, problem.response_headers(), problem.json(exchange.trace_id))


def _traceparent(value: bytes | None) -> str:
    given = valid_traceparent(value.decode("latin-1")) if value is not None else None
    return given or new_traceparent()
