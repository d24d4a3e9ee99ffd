"""The server's end of a call that came over no connection of its own: what its handler sees is gRPC's context."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
import structlog

from codelab_client.channel import MAX_MESSAGE_BYTES
from services.runtime.calls.flow import Inbox, Metadata, Outcome, ToCaller, Window, weight
from services.runtime.calls.opened import Opening

log = structlog.get_logger()

_TOO_LARGE = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is larger than a message may be")
CANCELLED = Outcome(grpc.StatusCode.CANCELLED, "the call was cancelled")
_EXPIRED = Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


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
        self.inbox = Inbox(caller.grant)
        """What its caller asked and nobody has read."""
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
            self.inbox.put(opening.request)
            self.inbox.close()

    # What the caller says.

    def message(self, message: bytes) -> None:
        """See ToServer."""
        if self.inbox.full:
            # It was not granted.
            self.cancel()
        self.inbox.put(message)

    def finish(self) -> None:
        """See ToServer."""
        self.inbox.close()

    def grant(self, size: int) -> None:
        """See ToServer."""
        self._window.add(size)

    def cancel(self) -> None:
        """See ToServer."""
        self.cut_off(CANCELLED)

    # What the server does with it.

    def cut_off(self, outcome: Outcome) -> None:
        """Cancel its handler, once: how that cleans up is not disturbed."""
        if self.broken is None and not self._over:
            self.broken = outcome
            if self.task is not None:
                self.task.cancel()
            # A handler that goes on all the same finds nothing to wait for.
            self.inbox.drop()
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
            self.inbox.drop()
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
        return self.inbox.empty

    # What its handler does.

    async def read(self) -> Any:
        """The next request, or EOF."""
        message = await self.inbox.get()
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
        self._answer(data)

    def write_now(self, data: bytes) -> bool:
        """Answer with what is serialised already, if that need not wait for room, is not too large and the call is not
        over. Whether it did. Nobody may be writing otherwise."""
        if self._is_over or not self._window.has_room or not self._caller.has_room or len(data) > MAX_MESSAGE_BYTES:
            return False
        self._answer(data)
        return True

    def _answer(self, data: bytes) -> None:
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

    @property
    def _is_over(self) -> bool:
        return self._over or self._aborted or self.broken is not None

    def _check_open(self) -> None:
        if self._is_over:
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


class Requests:
    """What the caller of a call asks. No generator: one that is left before its end would need a task to close it."""

    def __init__(self, call: ServedCall) -> None:
        self._call = call
        self._next = call.inbox.get

    def pass_to(self, take: Callable[[Any], bool]) -> None:
        """See Inbox. What it is given is deserialised as what is iterated."""
        deserialize = self._call.deserialize
        self._call.inbox.pass_to(take if deserialize is None else lambda message: take(deserialize(message)))

    def __aiter__(self) -> "Requests":
        return self

    async def __anext__(self) -> Any:
        message = await self._next()
        if message is None:
            raise StopAsyncIteration
        deserialize = self._call.deserialize
        return message if deserialize is None else deserialize(message)
