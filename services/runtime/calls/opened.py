"""The caller's end of a call: what a stub gets back, of gRPC's shape, whatever way the call goes."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from codelab_client.channel import MAX_MESSAGE_BYTES
from services.runtime.calls.flow import Inbox, Metadata, Nobody, Outcome, ToCaller, ToServer, Window, weight

_NOBODY = Nobody()
_CANCELLED = Outcome(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
_EXPIRED = Outcome(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
_TOO_LARGE = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is larger than a message may be")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a call begins with. `request` is there if it is the only one."""

    method: str
    metadata: Metadata
    timeout: float | None
    request: bytes | None


class Way(Protocol):
    """How calls get to a server."""

    def open(self, opening: Opening, call: ToCaller) -> ToServer:
        """Begin a call, whose server says to `call` what it has to say. Neither waits nor raises."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a stub knows of a method: its name and how its messages are read and written. None is for bytes."""

    method: str
    serialize: Callable[[Any], bytes] | None
    deserialize: Callable[[bytes], Any] | None
    asks_once: bool
    """One request, which comes with the call."""
    answers_once: bool


class OpenCall(grpc.aio.Call):
    """A call of any shape, from when it is made; a ToCaller.

    As with gRPC, it ends when whoever awaits it or reads it is cancelled, and `cancel` is heard by them as
    CancelledError. What streams has not ended before all that was answered is read: until then it can be cancelled.
    """

    # A channel of gRPC's that is closed looks through all tasks for calls, and fails at those that tell no channel.
    _channel = None

    def __init__(self, shape: Shape, way: Way, metadata: Metadata, timeout: float | None, request: Any = None) -> None:
        self._shape = shape
        self._loop = asyncio.get_running_loop()
        self._ending: Outcome | None = None
        """What the server ended with, which counts once all has been read."""
        self._outcome: Outcome | None = None
        self._initial: Metadata | None = None
        self._answer: Any = None
        self._finished = shape.asks_once
        self._stirred: list[asyncio.Future[None]] = []
        self._callbacks: list[tuple[Callable[[Any], None], Context]] = []
        self._inbox = Inbox(self._taken)
        self._window = Window()
        self._server: ToServer = _NOBODY
        self._deadline = None if timeout is None else self._loop.time() + timeout
        self._timer: asyncio.TimerHandle | None = None
        first = self._bytes_of(request) if shape.asks_once else None
        if first is not None and len(first) > MAX_MESSAGE_BYTES:
            self.end(_TOO_LARGE)
        elif timeout is not None and timeout <= 0:
            self.end(_EXPIRED)
        else:
            if timeout is not None:
                self._timer = self._loop.call_later(timeout, self._give_up, _EXPIRED)
            server = way.open(Opening(shape.method, metadata, timeout, first), self)
            if self._outcome is None:
                self._server = server

    # What the server says.

    has_room = True
    """Of a way that nobody shares; see ToCaller."""

    async def room(self) -> None:
        """See ToCaller."""

    def begin(self, metadata: Metadata) -> None:
        """See ToCaller."""
        if self._initial is None:
            self._initial = metadata
            self._stir()

    def message(self, message: bytes) -> None:
        """See ToCaller."""
        if self._initial is None:
            self.begin(())
        self._inbox.put(message)

    def grant(self, size: int) -> None:
        """See ToCaller."""
        self._window.add(size)

    def end(self, outcome: Outcome) -> None:
        """See ToCaller."""
        if self._is_over:
            return
        self._ending = outcome
        self._inbox.close()
        self._window.abandon()
        if self._shape.answers_once or self._inbox.empty:
            self._settle(outcome)

    # What the caller does.

    async def read(self) -> Any:
        """The next answer, or EOF. Raise AioRpcError if the call failed."""
        try:
            message = await self._inbox.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if message is None:
            self._raise_for(await self._ended())
            return grpc.aio.EOF
        if self._ending is not None and self._outcome is None and self._inbox.empty:
            self._settle(self._ending)
        return message if self._shape.deserialize is None else self._shape.deserialize(message)

    def pass_to(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` the answers, as bytes, that come while one is waited for in `read`; see Inbox."""
        self._inbox.pass_to(take)

    def __aiter__(self) -> "OpenCall":
        return self

    async def __anext__(self) -> Any:
        answer = await self.read()
        if answer is grpc.aio.EOF:
            raise StopAsyncIteration
        return answer

    def __await__(self) -> Generator[Any, None, Any]:
        return self._only().__await__()

    async def _only(self) -> Any:
        # Any number may wait. Its status comes behind the answer, and counts more.
        try:
            outcome = await self._ended()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._raise_for(outcome)
        if self._answer is None:
            self._answer = await self.read()
        if self._answer is grpc.aio.EOF:
            raise self._error(Outcome(grpc.StatusCode.INTERNAL, "the server answered nothing"))
        return self._answer

    async def write(self, request: Any) -> None:
        """Send a request, as soon as there is room for one."""
        if self._is_over or self._finished:
            raise asyncio.InvalidStateError("nothing can be written to the call any more")
        message = self._bytes_of(request)
        if len(message) > MAX_MESSAGE_BYTES:
            self._give_up(_TOO_LARGE)
        if not self._window.has_room:
            try:
                await self._window.room()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if (outcome := self._outcome or self._ending) is not None:
            self._raise_for(outcome)
            raise asyncio.InvalidStateError("the call is over")
        self._window.spend(weight(message))
        self._server.message(message)

    async def done_writing(self) -> None:
        """Say that no request follows. Idempotent."""
        if not self._finished:
            self._finished = True
            if not self._is_over:
                self._server.finish()

    def cancel(self) -> bool:
        """End the call. Whether it was still going on."""
        return self._give_up(_CANCELLED)

    def cancelled(self) -> bool:
        """Whether it was cancelled, from here or there."""
        return self._outcome is not None and self._outcome.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Whether it has ended, and all that was answered was read."""
        return self._outcome is not None

    def time_remaining(self) -> float | None:
        """Seconds until its deadline, if it has one."""
        return None if self._deadline is None else max(0.0, self._deadline - self._loop.time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it with the call when that has ended, now if it has."""
        if self._outcome is None:
            self._callbacks.append((callback, copy_context()))
        else:
            callback(self)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """What the server began with; nothing if it ended at once."""
        while self._initial is None and self._outcome is None:
            await self._next_stir()
        return grpc.aio.Metadata(*(self._initial or ()))

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """What the server ended with."""
        return grpc.aio.Metadata(*(await self._ended()).trailing)

    async def code(self) -> grpc.StatusCode:
        """How it ended."""
        return (await self._ended()).code

    async def details(self) -> str:
        """Why it ended so."""
        return (await self._ended()).details

    async def wait_for_connection(self) -> None:
        """As gRPC's: return when what it begins with is answered; a call that is still to be written to begins at once.

        Raise AioRpcError if it failed.
        """
        if self._shape.asks_once:
            await (self._ended() if self._shape.answers_once else self.initial_metadata())
        if self._outcome is not None:
            self._raise_for(self._outcome)

    def _give_up(self, outcome: Outcome) -> bool:
        """End it from here."""
        if self._outcome is not None:
            return False
        server = self._server
        self._inbox.drop()
        self._settle(outcome)
        if self._ending is None:
            server.cancel()
        return True

    def _settle(self, outcome: Outcome) -> None:
        """This is how it ended."""
        self._outcome = outcome
        # The two ends know each other only as long as they must: nothing is left for a collector of cycles to find.
        self._server = _NOBODY
        if self._timer is not None:
            self._timer.cancel()
        self._inbox.close()
        self._window.abandon()
        self._stir()
        for callback, context in self._callbacks:
            # Whoever ends it has nothing to do with them: neither their errors nor its context pass.
            try:
                context.run(callback, self)
            except Exception as error:
                self._loop.call_exception_handler({"message": "a call's done callback failed", "exception": error})
        self._callbacks.clear()

    @property
    def _is_over(self) -> bool:
        return self._ending is not None or self._outcome is not None

    async def _ended(self) -> Outcome:
        while self._outcome is None:
            await self._next_stir()
        return self._outcome

    async def _next_stir(self) -> None:
        stirred = self._loop.create_future()
        self._stirred.append(stirred)
        await stirred

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, []
        for each in stirred:
            if not each.done():
                each.set_result(None)

    def _raise_for(self, outcome: Outcome) -> None:
        if outcome is _CANCELLED:
            raise asyncio.CancelledError
        if outcome.code is not grpc.StatusCode.OK:
            raise self._error(outcome)

    def _error(self, outcome: Outcome) -> grpc.aio.AioRpcError:
        initial = grpc.aio.Metadata(*(self._initial or ()))
        return grpc.aio.AioRpcError(outcome.code, initial, grpc.aio.Metadata(*outcome.trailing), outcome.details)

    def _taken(self, size: int) -> None:
        if not self._is_over:
            self._server.grant(size)

    def _bytes_of(self, request: Any) -> bytes:
        return bytes(request) if self._shape.serialize is None else self._shape.serialize(request)
