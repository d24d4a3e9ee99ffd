"""TunnelService: calls that come side by side in one stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from codelab.tunnel.v1 import tunnel_service_pb2 as pb

from services.runtime.calls.call_server import CallServer
from services.runtime.calls.flow import Metadata, Outcome
from services.runtime.calls.opened import Opening
from services.runtime.calls.served import ServedCall
from services.runtime.calls.tunnel_frames import Outgoing, metadata_message, metadata_of
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.ids import new_id

INSTANCE = "codelab-instance"
MOST_CALLS = 20_000
"""Of one tunnel, at once."""
_FRAMES_AT_A_TIME = 256
"""So many are taken before others have their turn: a message has room for millions."""
_TOO_MANY = Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, f"a tunnel carries at most {MOST_CALLS} calls at once")


class TunnelServicer:
    """TunnelService: serves the calls of all tunnels to this process."""

    def __init__(self, server: CallServer) -> None:
        self._server = server
        self._instance = new_id()
        self._tunnels: set[_Tunnel] = set()
        self._leaving = False

    async def Open(self, requests: AsyncIterator[pb.OpenRequest], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Carry calls, and write what is said of them. Raise Unavailable once this server leaves."""
        if self._leaving:
            # To be tried again, with pauses: others may take it, and whoever came to this one again would be sent away.
            raise Unavailable("this server is about to stop")
        tunnel = _Tunnel(self._server, context)
        self._tunnels.add(tunnel)
        try:
            await context.send_initial_metadata(((INSTANCE, self._instance),))
            await tunnel.run(requests)
        finally:
            self._tunnels.discard(tunnel)

    async def leave(self) -> None:
        """Tell the callers of all tunnels to begin no more calls; each ends when the last of its calls has."""
        self._leaving = True
        for tunnel in self._tunnels:
            tunnel.leave()


class _Tunnel:
    """One caller's."""

    def __init__(self, server: CallServer, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._server = server
        self._context = context
        self._calls: dict[int, ServedCall] = {}
        self._leaving = False
        self._outgoing: Outgoing[pb.ServerFrame] = Outgoing(pb.OpenResponse, context.write)
        self.say = self._outgoing.add
        """Say a frame, which is to be filled at once, with whatever else is to be said."""

    async def run(self, requests: AsyncIterator[pb.OpenRequest]) -> None:
        """Carry calls until the caller hangs up, or says no more or this server leaves, and none is left."""
        reading = asyncio.create_task(self._read(requests), name="read tunnel")
        sending = asyncio.create_task(self._outgoing.run(), name="write tunnel")
        try:
            ended, _ = await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            if reading in ended:
                reading.result()
            await sending
        finally:
            self._outgoing.finish()
            for call in list(self._calls.values()):
                call.cancel()
            reading.cancel()
            sending.cancel()
            await asyncio.wait((reading, sending))

    def leave(self) -> None:
        """Begin no more calls."""
        self._leaving = True
        self.say().leaving = True
        self._end_if_idle()

    @property
    def has_room(self) -> bool:
        """See ToCaller."""
        return self._outgoing.has_room

    async def room(self) -> None:
        """See ToCaller."""
        await self._outgoing.room()

    def forget(self, number: int) -> None:
        """The call is over."""
        self._calls.pop(number, None)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._leaving and not self._calls:
            self._outgoing.finish()

    async def _read(self, requests: AsyncIterator[pb.OpenRequest]) -> None:
        async for request in requests:
            for number, frame in enumerate(request.frames, 1):
                self._take(frame)
                if number % _FRAMES_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                    await self._until_read()
            await self._until_read()
        self._leaving = True
        self._end_if_idle()

    def _take(self, frame: pb.CallerFrame) -> None:
        call = self._calls.get(frame.call)
        match frame.WhichOneof("frame"):
            case "begin":
                self._begin(frame.call, frame.begin)
            case "ping":
                self.say().ping = True
            case _ if call is None:
                return  # It ended while this was on its way.
            case "message":
                call.message(frame.message)
            case "grant":
                call.grant(frame.grant)
            case "finish":
                call.finish()
            case "cancel":
                call.cancel()

    async def _until_read(self) -> None:
        """Wait for a caller who asks and asks and does not read what it is answered."""
        while not self.has_room:
            await self.room()

    def _begin(self, number: int, begin: pb.CallBegin) -> None:
        if number in self._calls or number == 0:
            raise InvalidArgument(("frames.call", "must be a number that no call had before"))
        if self._leaving:
            # Were it begun, the tunnel might end before it does, and the caller begin it elsewhere.
            unbegun = self.say()
            unbegun.call, unbegun.unbegun = number, True
            return
        answers = _Answers(self, number)
        if len(self._calls) >= MOST_CALLS:
            answers.tell_end(_TOO_MANY)
            return
        opening = Opening(
            begin.method,
            metadata_of(begin.metadata),
            begin.timeout / 1000 if begin.HasField("timeout") else None,
            begin.request if begin.HasField("request") else None,
        )
        call = self._server.open(opening, answers)
        # It may have ended at once.
        if not call.done():
            self._calls[number] = call


class _Answers:
    """The way of one call's answers into the tunnel; a ToCaller."""

    __slots__ = ("_number", "_tunnel")

    def __init__(self, tunnel: _Tunnel, number: int) -> None:
        self._tunnel = tunnel
        self._number = number

    @property
    def has_room(self) -> bool:
        return self._tunnel.has_room

    async def room(self) -> None:
        await self._tunnel.room()

    def begin(self, metadata: Metadata) -> None:
        accepted = pb.CallAccepted(metadata=metadata_message(metadata))
        self._say(accepted.ByteSize()).begin.CopyFrom(accepted)

    def message(self, message: bytes) -> None:
        # Nobody waits for what is said in the midst of a call as for all else.
        self._say(len(message), urgent=False).message = message

    def grant(self, size: int) -> None:
        self._say().grant = size

    def end(self, outcome: Outcome) -> None:
        self.tell_end(outcome)
        self._tunnel.forget(self._number)

    def tell_end(self, outcome: Outcome) -> None:
        """As `end`, of a call that was none."""
        end = pb.CallEnd(
            code=outcome.code.value[0], details=outcome.details, trailing=metadata_message(outcome.trailing)
        )
        self._say(end.ByteSize()).end.CopyFrom(end)

    def _say(self, size: int = 0, *, urgent: bool = True) -> pb.ServerFrame:
        frame = self._tunnel.say(size, urgent=urgent)
        frame.call = self._number
        return frame
