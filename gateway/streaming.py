"""Server-streaming RPCs as Server-Sent Events or NDJSON."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
import orjson
import structlog
from starlette.types import Receive, Scope, Send

from gateway import problems
from gateway.connections import WRITABLE
from gateway.edge import Exchange, send_problem
from gateway.problems import Problem
from gateway.site import Endpoint

log = structlog.get_logger()

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
MEDIA_TYPES = (SSE, NDJSON)

# How long a browser waits before it connects again.
RETRY_MILLISECONDS = 1000
# A refusal and the initial metadata that gRPC makes up for it arrive together, but not in one event: wait this long for
# the refusal before telling the client that the stream has begun.
_REFUSAL_SECONDS = 0.02

_HEADERS = [
    (b"cache-control", b"no-store, no-transform"),
    # nginx and its kin buffer otherwise.
    (b"x-accel-buffering", b"no"),
]


class Stream:
    """One call being answered frame by frame."""

    def __init__(self, call: Any, endpoint: Endpoint, media_type: str, exchange: Exchange) -> None:
        self._call = call
        self._binding = endpoint.binding
        self._sse = media_type == SSE
        self._frame = endpoint.framing.sse if self._sse else endpoint.framing.ndjson
        self._media_type = media_type
        self._exchange = exchange
        self._stopping = False
        self._gone = False
        self._begun = False

    def stop(self) -> None:
        """End the stream with a problem that says that the gateway stops."""
        self._stopping = True
        self._call.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. A client that goes away cancels the call."""
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._pump(send, scope["method"] == "HEAD", scope.get(WRITABLE))
        except grpc.aio.AioRpcError as error:
            await self._end(send, problems.from_rpc(error, self._binding.rpc.name, self._binding.body))
        except asyncio.CancelledError:
            # Cancelling the call is how `stop` and `_watch` wake whoever reads it; a cancelled task is another matter.
            if not (self._stopping or self._gone) or _is_cancelled():
                raise
            if self._gone:
                self._exchange.cut = True
            else:
                await self._end(send, problems.stopping())
        finally:
            self._call.cancel()
            watcher.cancel()

    async def _pump(self, send: Send, head: bool, writable: Callable[[], bool] | None) -> None:
        call = self._call
        await call.initial_metadata()
        first = asyncio.ensure_future(call.read())
        try:
            await asyncio.wait({first}, timeout=_REFUSAL_SECONDS)
            if first.done() or call.done():
                # Raises what the service refused with, while the status line is still ours to choose.
                await first
            await self._begin(send)
            if head:
                await send({"type": "http.response.body", "body": b""})
                return
            response = await first
        finally:
            first.cancel()
        if writable is not None and hasattr(call, "pass_to"):
            call.pass_to(partial(self._send_now, send, writable))
        while response is not grpc.aio.EOF:
            frame = self._frame(response)
            if frame:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
            # One frame at a time: a slow client slows the call down, and nothing piles up here.
            response = await call.read()
        await self._check_status()
        await send({"type": "http.response.body", "body": b""})

    def _send_now(self, send: Send, writable: Callable[[], bool], response: bytes) -> bool:
        """Send what came while `_pump` waits for it, without waking it, to a client that takes it at once."""
        if not writable():
            return False
        try:
            frame = self._frame(response)
            if frame:
                _done_at_once(send({"type": "http.response.body", "body": frame, "more_body": True}))
        except Exception:
            # Whoever brought it has others to bring something to. Nothing was sent: `_pump` comes upon the same.
            log.debug("a frame is left to whoever reads it", exc_info=True)
            return False
        return True

    async def _check_status(self) -> None:
        code = await self._call.code()
        if code is grpc.StatusCode.CANCELLED and (self._stopping or self._gone):
            raise asyncio.CancelledError
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                code,
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )

    async def _begin(self, send: Send) -> None:
        headers = [(b"content-type", self._media_type.encode()), *_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._begun = True
        # Flushes the headers too, before there is anything to tell.
        opening = f"retry: {RETRY_MILLISECONDS}\n".encode() if self._sse else b""
        await send({"type": "http.response.body", "body": opening, "more_body": True})

    async def _end(self, send: Send, problem: Problem) -> None:
        if not self._begun:
            await send_problem(send, problem, self._exchange)
            return
        body = problem.body(self._exchange.trace_id)
        if self._sse:
            frame = b"event: problem\ndata: %s\n\n" % orjson.dumps(body)
        else:
            frame = orjson.dumps({"problem": body}) + b"\n"
        await send({"type": "http.response.body", "body": frame})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._call.cancel()


class OpenStreams:
    """The streams being answered, so that a gateway that stops can end them."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._stopping = False
        # Set when the last stream has ended and no new one is taken.
        self._ended = asyncio.Event()

    async def serve(self, stream: Stream, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a stream."""
        if self._stopping:
            stream.stop()
        self._open.add(stream)
        try:
            await stream.serve(scope, receive, send)
        finally:
            self._open.discard(stream)
            if self._stopping and not self._open:
                self._ended.set()

    async def end(self, seconds: float) -> None:
        """Give streams so many seconds to be ended by their services, which say more than we can; then stop the rest.

        A suite that stops sends every process its signal at once.
        """
        self._stopping = True
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
        self.stop()

    def stop(self) -> None:
        """End every stream, and each that begins from now on."""
        self._stopping = True
        for stream in list(self._open):
            stream.stop()

    def __len__(self) -> int:
        return len(self._open)


def _done_at_once(sending: Awaitable[None]) -> None:
    """Run what has nothing to wait for. Raise RuntimeError if it waits all the same."""
    steps = sending.__await__()
    try:
        next(steps)
    except StopIteration:
        return
    raise RuntimeError("a client that takes everything at once is waited for")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
