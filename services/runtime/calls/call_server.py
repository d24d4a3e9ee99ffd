"""Serves calls that come over no connection of their own: the same handlers, behind the same interceptors."""

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
import structlog

from services.runtime.calls.flow import Metadata, Outcome, ToCaller
from services.runtime.calls.opened import Opening
from services.runtime.calls.served import CANCELLED, Requests, ServedCall

log = structlog.get_logger()

_METADATA_BYTES = 32 * 1024
_METADATA_ENTRY_BYTES = 32
"""What an entry weighs beside its text, as in HTTP/2."""
_MOST_UNASKED = 1000
"""So many calls may wait for their only request, which comes with them as a rule: until then they are anybody's."""
_UNASKED = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait for their requests: send them together")
_MISSING = Outcome(grpc.StatusCode.INTERNAL, "the request is missing")
_UNKNOWN_METHOD = Outcome(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
_TOO_MUCH_METADATA = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "the metadata is larger than it may be")
_STOPPED = Outcome(grpc.StatusCode.UNAVAILABLE, "the server has stopped")


class CallServer:
    """The handlers of a server, for calls that come otherwise than over gRPC's transport.

    Servicers are added as to a grpc.aio.Server; the first interceptor is one of ours. Each call runs in a task, whose
    context is that in which the server was started: nothing of a caller's passes but what the call carries.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        self._interceptors = interceptors
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._calls: dict[ServedCall, asyncio.Task[None]] = {}
        self._unasked = 0
        self._context: contextvars.Context | None = None

    def add_registered_method_handlers(
        self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """As gRPC's."""
        self._handlers.update({f"/{service}/{method}": handler for method, handler in handlers.items()})

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As gRPC's."""
        self._generic += handlers

    def start(self) -> None:
        """Take calls."""
        self._context = contextvars.copy_context()

    async def stop(self, grace: float) -> None:
        """Take no more calls, let those under way finish within `grace` seconds, then cancel them."""
        self._context = None
        if self._calls:
            await asyncio.wait(self._calls.values(), timeout=grace)
        for call in self._calls:
            call.cut_off(_STOPPED)
        if self._calls:
            await asyncio.wait(self._calls.values())

    def open(self, opening: Opening, call: ToCaller) -> ServedCall:
        """Serve a call (see Way)."""
        served = ServedCall(opening, call)
        if self._context is None:
            served.close(_STOPPED)
            return served
        # The context is the server's: what the task of a caller holds is the caller's.
        task = asyncio.get_running_loop().create_task(self._serve(served), context=self._context.copy())
        served.task = self._calls[served] = task
        task.add_done_callback(lambda _: self._forget(served))
        return served

    def _forget(self, call: ServedCall) -> None:
        del self._calls[call]
        # One that is cancelled before its first step never gets to its end.
        call.close(call.broken or CANCELLED)
        # Such a task holds an error, that its frame, and that the call.
        call.task = None

    async def _serve(self, call: ServedCall) -> None:
        outcome = CANCELLED
        try:
            outcome = await self._outcome_of(call)
        except asyncio.CancelledError:
            # Of nobody but the call, or the server's stop: its task is at its end.
            outcome = call.broken or CANCELLED
        except Exception as error:
            outcome = call.broken or Outcome(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}")
            if call.broken is None:
                # What no interceptor made an answer of, as gRPC has it.
                log.exception("unforeseen error", method=call.method)
        finally:
            call.close(outcome)

    async def _outcome_of(self, call: ServedCall) -> Outcome:
        if sum(len(name) + len(value) + _METADATA_ENTRY_BYTES for name, value in call.metadata) > _METADATA_BYTES:
            return _TOO_MUCH_METADATA
        handler = await self._handler(call)
        if handler is None:
            return _UNKNOWN_METHOD
        call.serialize = handler.response_serializer
        call.deserialize = handler.request_deserializer
        asked: Any = Requests(call)
        if not handler.request_streaming:
            if call.unasked and self._unasked >= _MOST_UNASKED:
                return _UNASKED
            asked = await self._only_request(call)
            if asked is grpc.aio.EOF:
                return _MISSING
        try:
            return await _handled(handler, call, asked)
        except grpc.aio.AbortError:
            return call.outcome()

    async def _only_request(self, call: ServedCall) -> Any:
        """Read it, or EOF."""
        if not call.unasked:
            return await call.read()
        self._unasked += 1
        try:
            return await call.read()
        finally:
            self._unasked -= 1

    async def _handler(self, call: ServedCall) -> Any:
        async def found(details: grpc.HandlerCallDetails) -> Any:
            if details.method in self._handlers:
                return self._handlers[details.method]
            handlers = (generic.service(details) for generic in self._generic)
            return next((handler for handler in handlers if handler is not None), None)

        find: Any = found
        for interceptor in reversed(self._interceptors):
            find = partial(interceptor.intercept_service, find)
        return await find(_Details(call.method, call.metadata))


class _Details(grpc.HandlerCallDetails):
    def __init__(self, method: str, metadata: Metadata) -> None:
        self.method = method
        self.invocation_metadata = metadata


async def _handled(handler: Any, call: ServedCall, asked: Any) -> Outcome:
    if not handler.response_streaming:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        await call.write(await behaviour(asked, call))
    else:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        # Behind an interceptor of ours it writes its answers itself.
        await behaviour(asked, call)
    return call.outcome()
