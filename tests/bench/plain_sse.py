"""What one would write without this platform: a Starlette endpoint of Server-Sent Events with pub/sub in its process.

`python -m tests.bench.plain_sse PORT`, on uvicorn with httptools. Each client has an asyncio.Queue that its
StreamingResponse reads, as tutorials for FastAPI show; FastAPI itself is no dependency here, and would add nothing to
a stream that is open. Nobody is asked for a token, nothing is kept, bounded, resumed or filtered. It publishes by
itself, which costs less than being asked to by another process.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from services.runtime.ids import new_id
from tests.bench.sse_readers import mark

_CLIENTS: dict[str, set[asyncio.Queue[dict[str, object]]]] = defaultdict(set)


async def blocks(session_id: str) -> AsyncIterator[str]:
    """The stream of a session, for one more client."""
    queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    _CLIENTS[session_id].add(queue)
    try:
        yield ": begun\n\n"
        while True:
            event = await queue.get()
            yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
    finally:
        _CLIENTS[session_id].discard(queue)


async def events(request: Request) -> Response:
    """The stream of a session."""
    return StreamingResponse(blocks(request.path_params["session_id"]), media_type="text/event-stream")


async def publish(request: Request) -> Response:
    """Publish to the sessions that are watched, evenly and in turn: `rate` times a second, for `seconds`."""
    asked = await request.json()
    rate, sessions = asked["rate"], list(_CLIENTS)
    begun, count = time.monotonic(), round(asked["rate"] * asked["seconds"])
    message_id, run_id, offset = new_id(), new_id(), 0
    for number in range(count):
        if (early := begun + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(early)
        session_id = sessions[number % len(sessions)]
        text = mark(time.monotonic()).ljust(asked["size"], "x")
        payload = {"message_id": message_id, "generation": 1, "offset": offset, "text": text}
        event = {"id": None, "session_id": session_id, "run_id": run_id, "timestamp": time.time(), "final": False}
        for queue in _CLIENTS[session_id]:
            queue.put_nowait({**event, "type": "message_delta", "payload": payload})
        offset += len(text)
    return JSONResponse({"published": count})


ROUTES = (Route("/sessions/{session_id}/events", events), Route("/publish", publish, methods=["POST"]))


def serve(app: ASGIApp, port: int) -> None:
    """Serve until the process is killed."""
    uvicorn.run(app, host="127.0.0.1", port=port, http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    serve(Starlette(routes=ROUTES), int(sys.argv[1]))
