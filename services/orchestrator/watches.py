"""The events of runs for those who watch them, from the streams service and across the ends of its streams."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import grpc
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.streams.v1.event_service_pb2 import SubscribeRequest, SubscribeResponse
from codelab.streams.v1.event_service_pb2_grpc import EventServiceStub

from services.orchestrator.model import Owner
from services.runtime.channels import callers_metadata
from services.runtime.errors import ResourceExhausted, Unavailable
from services.runtime.status import from_rpc_error

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
# A streams service that restarts is back before; more silence than this many proxies take for the end.
_PATIENCE_SECONDS = 30.0
# All others that can be resumed are: its own token would not be admitted again.
_TOKEN_EXPIRED = "token_expired"


class Watches:
    """The open watches of this process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the streams service."""
        self._stub = EventServiceStub(channel)
        self._calls: set[grpc.aio.UnaryStreamCall[SubscribeRequest, SubscribeResponse]] = set()
        self._draining = asyncio.Event()

    async def watch(self, owner: Owner, session_id: str, run_id: str, after: str) -> AsyncGenerator[Event, None]:
        """The run's events after `after`, to its end, in the caller's own name. Raise what Subscribe raises.

        Where the streams service ends a stream early, or dies, this goes on after the last id, with a heartbeat that
        repeats it; only if that fails for long it raises Unavailable or ResourceExhausted. Ends early, without
        `stream_ended`, when this process drains.
        """
        request = SubscribeRequest(project_id=owner.project_id, session_id=session_id, run_id=run_id, after=after)
        now = asyncio.get_running_loop().time
        begun, give_up_at, pause = False, 0.0, _FIRST_PAUSE_SECONDS
        while not self._draining.is_set():
            try:
                async with aclosing(self._subscribed(request)) as events:
                    async for event in events:
                        begun, give_up_at, pause = True, now() + _PATIENCE_SECONDS, _FIRST_PAUSE_SECONDS
                        if event.HasField("id"):
                            request.after = event.id
                        elif event.HasField("resync_required"):
                            request.after = event.resync_required.latest_id
                        if event.stream_ended.resumable and event.stream_ended.reason != _TOKEN_EXPIRED:
                            break
                        yield event
                        if event.HasField("stream_ended"):
                            return
            except (Unavailable, ResourceExhausted):
                if not begun or now() >= give_up_at:
                    raise
            await self._pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def drain(self) -> None:
        """End every watch here: nobody is to wait for a stream that outlives this process."""
        self._draining.set()
        for call in self._calls:
            call.cancel()

    async def _subscribed(self, request: SubscribeRequest) -> AsyncGenerator[Event, None]:
        """One stream. Ends early when this process drains."""
        call = self._stub.Subscribe(request, metadata=callers_metadata())
        self._calls.add(call)
        try:
            async for response in call:
                yield response.event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "streams") from None
        except asyncio.CancelledError:
            # `drain` cancels the call, anybody else this task.
            if not self._draining.is_set() or not call.cancelled() or _being_cancelled():
                raise
        finally:
            self._calls.discard(call)
            call.cancel()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
