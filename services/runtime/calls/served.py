"""The server's end of a call that came over no connection of its own: same handlers, behind the same interceptors."""

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import grpc
import structlog

from codelab_client.channel import MAX_MESSAGE_BYTES
from services.runtime.calls.flow import Inbox, Metadata, Outcome, ToCaller, Window, weight
from services.runtime.calls.opened import Opening

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
_TOO_LARGE = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is larger than a message may be")
_STOPPED = Outcome(grpc.StatusCode.UNAVAILABLE, "the server has stopped")
_CANCELLED = Outcome(grpc.StatusCode.CANCELLED, "the call was cancelled")
_EXPIRED = Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


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

    def open(self, opening: Opening, call: ToCaller) -> "ServedCall":
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

    def _forget(self, call: "ServedCall") -> None:
        del self._calls[call]
        # One that is cancelled before its first step never gets to its end.
        call.close(call.broken or _CANCELLED)
        # Such a task holds an error, that its frame, and that the call.
        call.task = None

    async def _serve(self, call: "ServedCall") -> None:
        outcome = _CANCELLED
        try:
            outcome = await self._outcome_of(call)
        except asyncio.CancelledError:
            # Of nobody but the call, or the server's stop: its task is at its end.
            outcome = call.broken or _CANCELLED
        except Exception as error:
            outcome = call.broken or Outcome(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}")
            if call.broken is None:
                # What no interceptor made an answer of, as gRPC has it.
                log.exception("unforeseen error", method=call.method)
        finally:
            call.close(outcome)

    async def _outcome_of(self, call: "ServedCall") -> Outcome:
        if sum(len(name) + len(value) + _METADATA_ENTRY_BYTES for name, value in call.metadata) > _METADATA_BYTES:
            return _TOO_MUCH_METADATA
        handler = await self._handler(call)
        if handler is None:
            return _UNKNOWN_METHOD
        call.serialize = handler.response_serializer
        call.deserialize = handler.request_deserializer
        asked: Any = _Requests(call)
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

    async def _only_request(self, call: "ServedCall") -> Any:
        """Read it, or EOF."""
        if not call.unasked:
            return await call.read()
        self._unasked += 1
        try:
            return await call.read()
        finally:
            self._unasked -= 1

    async def _handler(self, call: "ServedCall") -> Any:
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


async def _handled(handler: Any, call: "ServedCall", asked: Any) -> Outcome:
    if not handler.response_streaming:
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        await call.write(await behaviour(asked, call))
    else:
        behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
        # Behind an interceptor of ours it writes its answers itself.
        await behaviour(asked, call)
    return call.outcome()


class _Requests:
    """What the caller asks. No generator: one that is left before its end would need a task to close it."""

    def __init__(self, call: "ServedCall") -> None:
        self._call = call

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> Any:
        request = await self._call.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return request


class ServedCall(grpc.aio.ServicerContext[Any, Any]):
    """A call being served: the context of its handler, and a ToServer for its caller."""

    def __init__(self, opening: Opening, caller: ToCaller) -> None:
        self.method = opening.method
        self.metadata = opening.metadata
        self.task: asyncio.Task[None] | None = None
        self.serialize: Any = None
        self.deserialize: Any = None
        self.broken: Outcome | None = None
        """How it ends if its handler is cancelled; None while nobody did."""
        self._caller = caller
        self._inbox = Inbox(caller.grant)
        self._window = Window()
        self._begun = self._over = self._aborted = False
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._trailing: Metadata = ()
        self._callbacks: list[Any] = []
        loop = asyncio.get_running_loop()
        self._deadline = None if opening.timeout is None else loop.time() + opening.timeout
        # The caller keeps it too, and says so; but it may be frozen, or anybody.
        self._timer = None if opening.timeout is None else loop.call_later(opening.timeout, self.cut_off, _EXPIRED)
        if opening.request is not None:
            self._inbox.put(opening.request)
            self._inbox.close()

    # What the caller says.

    def message(self, message: bytes) -> None:
        """See ToServer."""
        if self._inbox.full:
            # It was not granted.
            self.cancel()
        self._inbox.put(message)

    def finish(self) -> None:
        """See ToServer."""
        self._inbox.close()

    def grant(self, size: int) -> None:
        """See ToServer."""
        self._window.add(size)

    def cancel(self) -> None:
        """See ToServer."""
        self.cut_off(_CANCELLED)

    # What the server does with it.

    def cut_off(self, outcome: Outcome) -> None:
        """Cancel its handler, once: how that cleans up is not disturbed."""
        if self.broken is None and not self._over:
            self.broken = outcome
            if self.task is not None:
                self.task.cancel()
            # A handler that goes on all the same finds nothing to wait for.
            self._inbox.drop()
            self._window.abandon()

    def outcome(self) -> Outcome:
        """How the handler, which has ended, let it end."""
        return Outcome(self._code, self._details, self._trailing)

    def close(self, outcome: Outcome) -> None:
        """End it. Idempotent."""
        if not self._over:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            self._inbox.drop()
            self._window.abandon()
            self._caller.end(outcome)
            for callback in self._callbacks:
                try:
                    callback(self)
                except Exception:
                    log.exception("unforeseen error", method=self.method)

    @property
    def unasked(self) -> bool:
        """Whether nothing that its caller asked waits."""
        return self._inbox.empty

    # What its handler does.

    async def read(self) -> Any:
        """The next request, or EOF."""
        message = await self._inbox.get()
        if message is None:
            return grpc.aio.EOF
        return message if self.deserialize is None else self.deserialize(message)

    async def write(self, message: Any) -> None:
        """Answer, as soon as there is room for it. Raise UsageError if the call is over."""
        data: bytes = message if self.serialize is None else self.serialize(message)
        if len(data) > MAX_MESSAGE_BYTES:
            self._fail(_TOO_LARGE)
        if not self._window.has_room:
            await self._window.room()
        while not self._caller.has_room:
            await self._caller.room()
        self._check_open()
        self._begun = True
        self._window.spend(weight(data))
        self._caller.message(data)

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Tell the caller that it is accepted. Raise UsageError if that was told, or the call is over."""
        self._check_open()
        if self._begun:
            raise grpc.aio.UsageError("the initial metadata was sent already")
        self._begun = True
        self._caller.begin(tuple(initial_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End it with an error. What was set before stays where nothing is given."""
        self._fail(Outcome(code, details or self._details, tuple(trailing_metadata) or self._trailing))

    def _fail(self, outcome: Outcome) -> NoReturn:
        if self._over or self._aborted:
            raise grpc.aio.UsageError("the call is over")
        self._aborted = True
        self._code, self._details, self._trailing = outcome.code, outcome.details, outcome.trailing
        raise grpc.aio.AbortError(outcome.details)

    def _check_open(self) -> None:
        if self._over or self._aborted or self.broken is not None:
            raise grpc.aio.UsageError("the call is over")

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Say something with its end."""
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Metadata:  # type: ignore[override]
        """What is said with its end."""
        return self._trailing

    def set_code(self, code: grpc.StatusCode) -> None:
        """How it will end."""
        self._code = code

    def code(self) -> grpc.StatusCode:
        """How it will end."""
        return self._code

    def set_details(self, details: str) -> None:
        """Why it will end so."""
        self._details = details

    def details(self) -> str:
        """Why it will end so."""
        return self._details

    def invocation_metadata(self) -> Metadata:  # type: ignore[override]
        """What the caller sent along."""
        return self.metadata

    def time_remaining(self) -> float:
        """Seconds until the caller gives up; None if it never does."""
        if self._deadline is None:
            # As gRPC has it, whatever its types say.
            return None  # type: ignore[return-value]
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def add_done_callback(self, callback: Any) -> None:
        """Call it with this when it is over."""
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        """Whether the caller gave up."""
        return self.broken is not None

    def done(self) -> bool:
        """Whether it is over."""
        return self._over

    def peer(self) -> str:
        """Whoever it is, it came over no address."""
        return "unknown"

    def peer_identities(self) -> None:
        """Nobody is known by their connection."""

    def peer_identity_key(self) -> None:
        """Nobody is known by their connection."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Nobody is known by their connection."""
        return {}

    def set_compression(self, compression: grpc.Compression) -> None:
        """There is no wire of its own to compress for."""

    def disable_next_message_compression(self) -> None:
        """There is no wire of its own to compress for."""
