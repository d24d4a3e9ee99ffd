"""Calls to the replicas of one service, side by side in one stream to each."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import copy_context
from itertools import count
from typing import Any

import grpc
import structlog
from codelab.tunnel.v1 import tunnel_service_pb2 as pb
from codelab.tunnel.v1.tunnel_service_pb2_grpc import TunnelServiceStub

from services.runtime.calls.flow import Metadata, Outcome, ToServer
from services.runtime.calls.opened import OpenCall, Opening
from services.runtime.calls.tunnel_frames import Outgoing, metadata_message, metadata_of
from services.runtime.calls.tunnel_server import INSTANCE

log = structlog.get_logger()

OPEN_SECONDS = 10.0
"""How long a server may take to open a tunnel, which needs nothing but itself."""
LOOK_SECONDS = 30.0
"""Between two looks for replicas that have come since."""
ABSENT_SECONDS = 60.0
"""How long a server that has no tunnels is called without one before it is asked again."""
MOST_ATTEMPTS = 4
"""Of a call that may be repeated, and was not answered before its tunnel broke."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)
_CLOSED = Outcome(grpc.StatusCode.CANCELLED, "the channel is closed")


class Tunnels:
    """The way through tunnels; a Way. `close` it.

    The first call opens a tunnel, and others are looked for until one leads to a replica that is known: a channel calls
    its replicas in turn. A new call takes the tunnel with the fewest. A tunnel that breaks ends its calls as
    UNAVAILABLE, but those that nothing was heard of yet are begun again elsewhere, if they are `repeatable`, or if the
    server ended the tunnel in order and so never began them.
    """

    def __init__(self, channel: grpc.aio.Channel, repeatable: Iterable[str]) -> None:
        """`channel` leads to the service; `repeatable` are the `/package.Service/Method`s that may be called twice."""
        self._open = TunnelServiceStub(channel).Open
        self._repeatable = frozenset(repeatable)
        self._tunnels: dict[str, _Tunnel] = {}
        self._waiting: dict[_Carried, None] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._absent_until = 0.0
        self._closed = False
        self._context = copy_context()

    @property
    def offered(self) -> bool:
        """Whether the server has tunnels, as far as is known."""
        return not self._absent_until or asyncio.get_running_loop().time() >= self._absent_until

    def open(self, opening: Opening, call: OpenCall) -> ToServer:
        """See Way."""
        carried = _Carried(opening, call)
        self.place(carried)
        return carried

    def place(self, carried: "_Carried") -> None:
        """Let a call begin, in a tunnel that stands or as soon as one does."""
        if self._closed:
            carried.call.end(_CLOSED)
        elif self._tunnels:
            min(self._tunnels.values(), key=_Tunnel.fullness).begin(carried)
        else:
            self._waiting[carried] = None
            carried.left = lambda: self._waiting.pop(carried, None)
            if self._connecting is None:
                self._connecting = self._run(self._connect(), "open tunnel")

    def may_begin_again(self, carried: "_Carried", in_order: bool) -> bool:
        """Whether a call whose tunnel ended may be begun in another."""
        if self._closed or not carried.untouched:
            return False
        carried.attempts += 1
        return in_order or (carried.opening.method in self._repeatable and carried.attempts < MOST_ATTEMPTS)

    async def close(self) -> None:
        """End all calls and tunnels."""
        self._closed = True
        tasks = [task for task in (self._connecting, self._looking, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._fail_waiting(_CLOSED)

    async def _connect(self) -> None:
        """Open the first tunnel, for those who wait for one."""
        outcome = Outcome(grpc.StatusCode.UNAVAILABLE, "the server opened no tunnel in time")
        try:
            await self._add()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                log.info("the server has no tunnels")
                self._absent_until = asyncio.get_running_loop().time() + ABSENT_SECONDS
            outcome = Outcome(grpc.StatusCode.UNAVAILABLE, error.details() or "")
        except TimeoutError:
            log.debug("no tunnel in time")
        finally:
            # First, for whoever hears that their call failed may make another, which then connects anew.
            self._connecting = None
            self._fail_waiting(_CLOSED if self._closed else outcome)
        if self._tunnels and self._looking is None:
            self._looking = self._run(self._look(), "look for replicas")

    async def _look(self) -> None:
        """Find the replicas, now and again."""
        try:
            while self._tunnels:
                try:
                    while await self._add():
                        pass
                except (grpc.aio.AioRpcError, TimeoutError):
                    # One of several may be away: the next look finds it.
                    log.debug("no further tunnel")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._looking = None

    async def _add(self) -> bool:
        """Open a tunnel. Return whether it leads to a replica to which there was none. Raise AioRpcError."""
        call = self._open()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                instance = str((await call.initial_metadata()).get(INSTANCE, ""))
                if not instance:
                    # Ended at once: this raises why.
                    await call.read()
        except BaseException:
            call.cancel()
            raise
        if instance in self._tunnels:
            call.cancel()
            return False
        tunnel = _Tunnel(call, self.place, self.may_begin_again)
        self._tunnels[instance] = tunnel
        running = self._run(tunnel.run(lambda: self._leave(instance, tunnel)), "tunnel")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        waiting, self._waiting = self._waiting, {}
        for carried in waiting:
            tunnel.begin(carried)
        return True

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A task that lives longer than the call that it is begun with, and holds nothing of who makes that."""
        return asyncio.get_running_loop().create_task(work, name=name, context=self._context.copy())

    def _leave(self, instance: str, tunnel: "_Tunnel") -> None:
        """Begin no more calls there."""
        if self._tunnels.get(instance) is tunnel:
            del self._tunnels[instance]

    def _fail_waiting(self, outcome: Outcome) -> None:
        waiting, self._waiting = self._waiting, {}
        for carried in waiting:
            carried.call.end(outcome)


class _Carried:
    """A call on its way; a ToServer. What is said before it has a tunnel waits here."""

    __slots__ = ("_early", "_say", "attempts", "call", "left", "opening", "untouched")

    def __init__(self, opening: Opening, call: OpenCall) -> None:
        self.opening = opening
        self.call = call
        self.attempts = 0
        self.untouched = True
        """Whether nothing was heard of it, nor said that would have to be said again."""
        self.left: Callable[[], object] = _nothing
        """Called when its caller leaves it."""
        self._say: Callable[[pb.CallerFrame, int], None] | None = None
        self._early: list[tuple[pb.CallerFrame, int]] = []

    def attach(self, number: int, say: Callable[[pb.CallerFrame, int], None]) -> None:
        """Begin in a tunnel, as its call of this number."""

        def numbered(frame: pb.CallerFrame, size: int) -> None:
            frame.call = number
            say(frame, size)

        opening = self.opening
        begin = pb.CallBegin(method=opening.method, metadata=metadata_message(opening.metadata))
        if (timeout := self.call.time_remaining()) is not None:
            begin.timeout = timeout
        if opening.request is not None:
            begin.request = opening.request
        numbered(pb.CallerFrame(begin=begin), len(opening.request or b""))
        self._say = numbered
        early, self._early = self._early, []
        self.untouched = not early
        for frame, size in early:
            numbered(frame, size)

    def detach(self) -> None:
        """The tunnel is gone."""
        self._say = None

    def message(self, message: bytes) -> None:
        self.untouched = self.untouched and self._say is None
        self._tell(pb.CallerFrame(message=message), len(message))

    def finish(self) -> None:
        self.untouched = self.untouched and self._say is None
        self._tell(pb.CallerFrame(finish=True))

    def grant(self, size: int) -> None:
        self._tell(pb.CallerFrame(grant=size))

    def cancel(self) -> None:
        if self._say is not None:
            self._say(pb.CallerFrame(cancel=True), 0)
        self.left()

    def _tell(self, frame: pb.CallerFrame, size: int = 0) -> None:
        if self._say is None:
            self._early.append((frame, size))
        else:
            self._say(frame, size)


class _Tunnel:
    """A stream to one replica, and the calls in it."""

    def __init__(
        self, call: Any, place: Callable[[_Carried], None], may_begin_again: Callable[[_Carried, bool], bool]
    ) -> None:
        self._call = call
        self._place = place
        self._may_begin_again = may_begin_again
        self._numbers = count(1)
        self._calls: dict[int, _Carried] = {}
        self._outgoing: Outgoing[pb.CallerFrame] = Outgoing(self._send)

    def fullness(self) -> int:
        """How many calls are in it."""
        return len(self._calls)

    def begin(self, carried: _Carried) -> None:
        """Begin a call here."""
        number = next(self._numbers)
        self._calls[number] = carried
        carried.left = lambda: self._calls.pop(number, None)
        carried.attach(number, self._outgoing.add)

    async def run(self, leave: Callable[[], None]) -> None:
        """Carry what is said, until the tunnel ends. `leave` is called when no more calls are to begin here."""
        sending = asyncio.create_task(self._outgoing.run(), name="write tunnel")
        in_order, outcome = False, _CLOSED
        try:
            async for response in self._call:
                for frame in response.frames:
                    if frame.leaving:
                        leave()
                    else:
                        self._take(frame)
            in_order = True
            outcome = Outcome(grpc.StatusCode.UNAVAILABLE, "the server left")
        except grpc.aio.AioRpcError as error:
            code = grpc.StatusCode.UNAVAILABLE if error.code() in _BROKEN else error.code()
            outcome = Outcome(code, f"the tunnel broke: {error.details()}")
        finally:
            leave()
            self._call.cancel()
            sending.cancel()
            await asyncio.wait([sending])
            self._end_all(in_order, outcome)

    async def _send(self, frames: list[pb.CallerFrame]) -> None:
        try:
            await self._call.write(pb.OpenRequest(frames=frames))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The tunnel is over: who reads it hears why.

    def _take(self, frame: pb.ServerFrame) -> None:
        carried = self._calls.get(frame.call)
        if carried is None:
            return
        carried.untouched = False
        match frame.WhichOneof("frame"):
            case "message":
                carried.call.message(frame.message)
            case "begin":
                carried.call.begin(metadata_of(frame.begin.metadata))
            case "grant":
                carried.call.grant(frame.grant)
            case "end":
                del self._calls[frame.call]
                carried.detach()
                carried.call.end(_outcome(frame.end))

    def _end_all(self, in_order: bool, outcome: Outcome) -> None:
        calls, self._calls = self._calls, {}
        for carried in calls.values():
            carried.detach()
            if self._may_begin_again(carried, in_order):
                self._place(carried)
            else:
                carried.call.end(outcome)


def _outcome(end: pb.CallEnd) -> Outcome:
    trailing: Metadata = metadata_of(end.trailing)
    return Outcome(_CODES.get(end.code, grpc.StatusCode.UNKNOWN), end.details, trailing)


def _nothing() -> None: ...
