"""A tunnel to one replica, seen from the caller's end, and the calls in it."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import grpc
from codelab.tunnel.v1 import tunnel_service_pb2 as pb

from services.runtime.calls.flow import Metadata, Outcome, ToCaller
from services.runtime.calls.opened import Opening
from services.runtime.calls.tunnel_frames import Outgoing, metadata_message, metadata_of

SILENT_SECONDS = 1.0
"""After a call began, and nothing was heard of the replica. It may be frozen, or just have nothing to say."""
_LONGEST_MILLISECONDS = 2**32 - 1
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)
CLOSED = Outcome(grpc.StatusCode.CANCELLED, "the channel is closed")
_LEFT = Outcome(grpc.StatusCode.UNAVAILABLE, "the server left")


class Carried:
    """A call on its way; a ToServer. What is said before it has a tunnel waits here."""

    __slots__ = ("_deadline", "_early", "_number", "_outgoing", "attempts", "call", "left", "opening", "untouched")

    def __init__(self, opening: Opening, call: ToCaller) -> None:
        self.opening = opening
        self.call = call
        self._deadline = None if opening.timeout is None else asyncio.get_running_loop().time() + opening.timeout
        self.attempts = 0
        self.untouched = True
        """Whether nothing was heard of it, nor said that would have to be said again."""
        self.left: Callable[[], object] = _nothing
        """Called when its caller leaves it."""
        self._number = 0
        self._outgoing: Outgoing[pb.CallerFrame] | None = None
        self._early: list[tuple[pb.CallerFrame, int, bool]] = []

    def attach(self, number: int, outgoing: Outgoing[pb.CallerFrame]) -> None:
        """Begin in a tunnel, as its call of this number."""
        opening = self.opening
        begin = pb.CallBegin(method=opening.method, metadata=metadata_message(opening.metadata))
        if self._deadline is not None:
            left = max(0.0, self._deadline - asyncio.get_running_loop().time())
            begin.timeout = min(_LONGEST_MILLISECONDS, round(left * 1000))
        if opening.request is not None:
            begin.request = opening.request
        self._number, self._outgoing = number, outgoing
        self._say(begin.ByteSize()).begin.CopyFrom(begin)
        early, self._early = self._early, []
        self.untouched = not early
        for frame, size, urgent in early:
            self._say(size, urgent=urgent).MergeFrom(frame)

    def detach(self) -> None:
        """The tunnel is gone."""
        self._outgoing = None

    def message(self, message: bytes) -> None:
        self.untouched = self.untouched and self._outgoing is None
        # As at the other end.
        self._say(len(message), urgent=False).message = message

    def finish(self) -> None:
        self.untouched = self.untouched and self._outgoing is None
        self._say().finish = True

    def grant(self, size: int) -> None:
        self._say().grant = size

    def cancel(self) -> None:
        if self._outgoing is not None:
            self._say().cancel = True
        self.left()

    def _say(self, size: int = 0, *, urgent: bool = True) -> pb.CallerFrame:
        """A frame of this call, to be filled at once."""
        if self._outgoing is None:
            frame = pb.CallerFrame()
            self._early.append((frame, size, urgent))
        else:
            frame = self._outgoing.add(size, urgent=urgent)
            frame.call = self._number
        return frame


class Tunnel:
    """A stream to one replica, and the calls in it."""

    def __init__(self, call: Any, place: Callable[[Carried], None], may_begin_again: Callable[[Carried], bool]) -> None:
        self._call = call
        self._place = place
        self._may_begin_again = may_begin_again
        self._numbers = count(1)
        self._calls: dict[int, Carried] = {}
        self._outgoing: Outgoing[pb.CallerFrame] = Outgoing(pb.OpenRequest, self._send)
        self._now = asyncio.get_running_loop().time
        self._empty_since = self._now()
        self._asked_at: float | None = None
        """When the first call began of which, or of whatever else, nothing has been heard."""
        self._pinged = False

    def idle_seconds(self) -> float:
        """How long there has been no call in it."""
        return 0.0 if self._calls else self._now() - self._empty_since

    def is_silent(self) -> bool:
        """Whether calls began and nothing is heard. Asks for a sign of life then."""
        if self._asked_at is None or self._now() - self._asked_at < SILENT_SECONDS:
            return False
        if not self._pinged:
            self._pinged = True
            self._outgoing.add().ping = True
        return True

    def hang_up(self) -> None:
        """End it, with what is in it."""
        self._call.cancel()

    def fullness(self) -> int:
        """How many calls are in it."""
        return len(self._calls)

    def begin(self, carried: Carried) -> None:
        """Begin a call here."""
        number = next(self._numbers)
        self._calls[number] = carried
        if self._asked_at is None:
            self._asked_at = self._now()
        carried.left = lambda: self._forget(number)
        carried.attach(number, self._outgoing)

    async def run(self, leave: Callable[[], None]) -> None:
        """Carry what is said, until the tunnel ends. `leave` is called when no more calls are to begin here."""
        sending = asyncio.create_task(self._outgoing.run(), name="write tunnel")
        in_order, outcome = False, CLOSED
        try:
            async for response in self._call:
                self._asked_at, self._pinged = None, False
                for frame in response.frames:
                    self._take(frame, leave)
            in_order = True
        except grpc.aio.AioRpcError as error:
            code = grpc.StatusCode.UNAVAILABLE if error.code() in _BROKEN else error.code()
            outcome = Outcome(code, f"the tunnel broke: {error.details()}")
        finally:
            leave()
            self._call.cancel()
            sending.cancel()
            await asyncio.wait([sending])
            self._end_all(in_order, outcome)

    async def _send(self, request: pb.OpenRequest) -> None:
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The tunnel is over: who reads it hears why.

    def _take(self, frame: pb.ServerFrame, leave: Callable[[], None]) -> None:
        said = frame.WhichOneof("frame")
        carried = self._calls.get(frame.call)
        if carried is None:
            if said == "leaving":
                leave()
            return
        if said == "unbegun":
            self._forget(frame.call)
            self._begin_again(carried)
            return
        carried.untouched = False
        match said:
            case "message":
                carried.call.message(frame.message)
            case "begin":
                carried.call.begin(metadata_of(frame.begin.metadata))
            case "grant":
                carried.call.grant(frame.grant)
            case "end":
                self._forget(frame.call)
                carried.detach()
                carried.call.end(_outcome(frame.end))

    def _forget(self, number: int) -> None:
        self._calls.pop(number, None)
        if not self._calls:
            self._empty_since = self._now()

    def _end_all(self, in_order: bool, outcome: Outcome) -> None:
        calls, self._calls = self._calls, {}
        for carried in calls.values():
            if in_order:
                self._begin_again(carried)
            else:
                carried.detach()
                carried.call.end(outcome)

    def _begin_again(self, carried: Carried) -> None:
        """Begin elsewhere what was not begun here, if that is still of use."""
        carried.detach()
        if self._may_begin_again(carried):
            self._place(carried)
        else:
            carried.call.end(_LEFT)


def _outcome(end: pb.CallEnd) -> Outcome:
    trailing: Metadata = metadata_of(end.trailing)
    return Outcome(_CODES.get(end.code, grpc.StatusCode.UNKNOWN), end.details, trailing)


def _nothing() -> None: ...
