"""A session's events across broken connections, restarts and expired tokens."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable

import grpc
from codelab.orchestrator.v1.event_pb2 import Event
from codelab.streams.v1.event_service_pb2 import SubscribeRequest
from codelab.streams.v1.event_service_pb2_grpc import EventServiceStub

from codelab_client.errors import ApiError

log = logging.getLogger("codelab_client")

OnWait = Callable[[ApiError, float], object]
"""What it was refused with, and in how many seconds it asks again."""

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
# Three heartbeats: a connection that says nothing for so long is none.
SILENCE_SECONDS = 45.0

# What a service that dies, restarts or has too much to do lets its callers see. Without a reason it is the transport's.
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
_PASSING_WITHOUT_REASON = (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


async def events_of(
    stub: EventServiceStub, request: SubscribeRequest, on_wait: OnWait | None = None
) -> AsyncGenerator[Event, None]:
    """See Client.subscribe."""
    failures, refused = 0, False
    while True:
        call = stub.Subscribe(request)
        answers = aiter(call)
        refusal: ApiError | None = None
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    event = (await anext(answers)).event
                failures, refused = 0, False
                kind = event.WhichOneof("payload")
                if event.HasField("id"):
                    request.after = event.id
                if kind == "resync_required":
                    request.after = event.resync_required.latest_id
                if kind == "stream_ended" and event.stream_ended.resumable:
                    break
                if kind != "heartbeat":
                    yield event
                if kind == "stream_ended":
                    return
        except (StopAsyncIteration, TimeoutError):
            # Cut off without a word.
            pass
        except ApiError as error:
            if error.code is grpc.StatusCode.UNAUTHENTICATED and not refused:
                # The source of tokens was told by the call: a fresh one gets one chance.
                refused = True
            elif _passes(error):
                refusal = error
            else:
                raise
        finally:
            call.cancel()
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**failures)
        # Short enough that two to its power is a number.
        failures = min(failures + 1, 10)
        asked = (refusal and refusal.retry_after) or 0.0
        # All who were cut off together shall not come back together.
        seconds = max(asked, pause) * random.uniform(1, 1.5)
        if refusal is not None:
            (on_wait or _warn)(refusal, seconds)
        await asyncio.sleep(seconds)


def _passes(error: ApiError) -> bool:
    return error.code in _PASSING or (error.reason is None and error.code in _PASSING_WITHOUT_REASON)


def _warn(refusal: ApiError, seconds: float) -> None:
    """Say what waiting alone may never mend: a limit that one's own streams fill. A server that is away comes back."""
    if refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        log.warning("subscription refused, asking again in %.0f s: %s", seconds, refusal)
