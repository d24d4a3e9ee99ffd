"""Publishers of many runs in one process, by PublishService: `python -m tests.bench.event_publishers`.

It obeys `load_process`, and calls as the orchestrator does. What it publishes carries a `mark`, and is padded to a
size.
"""

import asyncio
import time
from typing import Any

import grpc
from codelab.orchestrator.v1 import event_pb2
from codelab.streams.v1 import publish_service_pb2 as pb
from codelab.streams.v1.publish_service_pb2_grpc import PublishServiceStub

from codelab_client.tokens import service_token
from services.runtime.calls.channel import reach
from services.runtime.calls.neighbours import Neighbours
from services.runtime.ids import new_id
from tests.bench.load_process import obey
from tests.bench.sse_readers import mark

_TOKEN_SECONDS = 3600
_READY_SECONDS = 10.0
_PUBLISHING = pb.DESCRIPTOR.services_by_name["PublishService"]


class Publisher:
    """One run's stream: an answer's text, or state events that are acknowledged."""

    def __init__(self, stub: PublishServiceStub, key: str, project_id: str, session_id: str, user_id: str) -> None:
        token = service_token("orchestrator", user_id, key, _TOKEN_SECONDS)
        self._call = stub.Publish(metadata=(("authorization", f"Bearer {token}"),))
        self._opening = pb.PublishOpen(project_id=project_id, session_id=session_id, run_id=new_id(), epoch=1)
        self._message_id = new_id()
        self._offset = self._n = 0
        self._sent: dict[int, float] = {}
        self._reading: asyncio.Task[None] | None = None
        self.acks: list[tuple[float, float]] = []
        """When each event was published, and the seconds until its acknowledgement."""

    async def open(self) -> None:
        await self._call.write(pb.PublishRequest(open=self._opening))
        await self._call.initial_metadata()
        self._reading = asyncio.create_task(self._read())

    async def publish(self, size: int, event: bool) -> None:
        now = time.monotonic()
        text = mark(now).ljust(size, "x")
        message = event_pb2.Event()
        if event:
            self._n += 1
            self._sent[self._n] = now
            message.agent_started.agent_name = text
            frame = pb.PublishEvent(n=self._n, event=message)
        else:
            message.message_delta.MergeFrom(
                event_pb2.MessageDelta(message_id=self._message_id, generation=1, offset=self._offset, text=text)
            )
            self._offset += len(text)
            frame = pb.PublishEvent(event=message)
        await self._call.write(pb.PublishRequest(event=frame))

    async def acknowledged(self) -> None:
        """Return once everything is."""
        while self._sent:
            assert self._reading is not None
            if self._reading.done():
                raise RuntimeError(f"{len(self._sent)} events were not acknowledged: {await self._call.details()}")
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._call.cancel()
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            async for response in self._call:
                sent = self._sent.pop(response.n)
                self.acks.append((sent, time.monotonic() - sent))
        except grpc.aio.AioRpcError:
            return  # `acknowledged` says that something is missing, and why.


class Publishers:
    """All publishers of this process."""

    def __init__(self) -> None:
        self._channels: list[grpc.aio.Channel] = []
        self._publishers: list[Publisher] = []

    async def open(self, address: str, key: str, sessions: list[tuple[str, str, str]]) -> int:
        """A publisher for each `(project_id, session_id, user_id)`: each is admitted."""
        channel = reach(address, Neighbours(), [_PUBLISHING])
        self._channels.append(channel)
        # The service may have been started anew, and the old connection be remembered.
        async with asyncio.timeout(_READY_SECONDS):
            await channel.channel_ready()
        opened = [Publisher(PublishServiceStub(channel), key, *session) for session in sessions]
        self._publishers += opened
        await asyncio.gather(*(publisher.open() for publisher in opened))
        return len(self._publishers)

    async def publish(
        self,
        rate: float,
        seconds: float,
        size: int,
        event: bool = False,
        busy: int = 0,
        busy_rate: float = 0.0,
        heavy_size: int = 0,
        heavy_seconds: float = 0.0,
    ) -> dict[str, Any]:
        """Publish `rate` times a second in all, evenly and in turn; the first `busy` ones so often together instead,
        and so much at a time in the beginning.

        Returns how much that was, how late the latest was, and of all but the busy ones `acks`.
        """
        common, often = self._publishers[busy:], self._publishers[:busy]
        begun_at = time.monotonic()

        async def press() -> tuple[int, float]:
            count, late = await _pace(often, busy_rate, heavy_seconds, heavy_size, event)
            more, later = await _pace(often, busy_rate, seconds - heavy_seconds, size, event)
            return count + more, max(late, later)

        paces = await asyncio.gather(_pace(common, rate, seconds, size, event), *([press()] if often else []))
        await asyncio.gather(*(publisher.acknowledged() for publisher in self._publishers))
        acks = [ack for publisher in common for ack in publisher.acks]
        for publisher in self._publishers:
            publisher.acks.clear()
        return {
            "published": sum(count for count, _ in paces),
            "late": max(late for _, late in paces),
            "begun_at": begun_at,
            "acks": acks,
        }

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(publisher.close() for publisher in self._publishers))
        for channel in self._channels:
            await channel.close()
        self._publishers.clear()
        self._channels.clear()


async def _pace(publishers: list[Publisher], rate: float, seconds: float, size: int, event: bool) -> tuple[int, float]:
    """How much was published, and how late the latest was."""
    begun, late, count = time.monotonic(), 0.0, round(rate * seconds)
    for number in range(count):
        due = begun + number / rate
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        late = max(late, time.monotonic() - due)
        await publishers[number % len(publishers)].publish(size, event)
    return count, late


async def main() -> None:
    publishers = Publishers()
    await obey({step: getattr(publishers, step) for step in ("open", "publish", "close")})


if __name__ == "__main__":
    asyncio.run(main())
