"""Runs of the test's own: their events are published as the orchestrator publishes those of its runs."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from codelab.orchestrator.v1 import event_pb2
from codelab.streams.v1 import publish_service_pb2, publish_service_pb2_grpc

from tests.e2e.torture.published import Published, event_of
from tests.e2e.torture.transports import Doors, Session

TYPES = ("tool_started", "tool_completed", "agent_started")
FINAL = "run_cancelled"
_AGAIN_AFTER_SECONDS = 0.1
_REPEATED_BY_A_SUCCESSOR = 5


@dataclass
class SyntheticRun:
    """Publishes `count` state events at a rate, the last one final, and some progress between them that may be lost.

    A run may be taken over in its middle: a later epoch of it goes on, and says the last things again.
    """

    id: str
    session: Session
    published: Published
    count: int
    token: Callable[[], str]
    """Makes a service token in the user's name."""
    random: random.Random
    bulk: str = ""
    """Makes each event that large."""
    epoch: int = 1
    reopened: int = 0
    _made: dict[int, event_pb2.Event] = field(default_factory=dict)
    _acknowledged: set[int] = field(default_factory=set)
    _progress: list[event_pb2.Event] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether its end is committed, published or not: what a reload tells."""
        return self.count in self._made

    async def publish(self, doors: Doors, rate: float | None) -> None:
        """Return when everything is acknowledged. `rate` is events a second; None: as fast as it goes."""
        takeover = self.random.randrange(2, self.count) if self.count > 2 and self.random.random() < 0.5 else None
        pacing = asyncio.create_task(self._pace(rate), name=f"pace {self.id}")
        try:
            while len(self._acknowledged) < self.count:
                await self._speak(doors, takeover)
                if takeover is not None and len(self._acknowledged) >= takeover:
                    self._take_over()
                    takeover = None
        finally:
            pacing.cancel()
            await asyncio.wait([pacing])
        if not pacing.cancelled():
            pacing.result()

    def _take_over(self) -> None:
        """Who takes over cannot know what its predecessor was told: it says the last things again."""
        self.epoch += 1
        self._acknowledged -= set(sorted(self._acknowledged)[-_REPEATED_BY_A_SUCCESSOR:])

    async def _pace(self, rate: float | None) -> None:
        begun = asyncio.get_running_loop().time()
        for n in range(1, self.count + 1):
            if rate is not None:
                await asyncio.sleep(begun + n / rate - asyncio.get_running_loop().time())
            self._made[n] = self._event(n)
            if rate is not None and self.random.random() < 0.1:
                self._progress.append(self._stamped(event_pb2.Event(agent_working=_working(f"{self.id} {n}"))))
            self._changed.set()

    def _event(self, n: int) -> event_pb2.Event:
        mark = f"{n} of {self.id} é 𝄞{self.bulk}"
        if n == self.count:
            return self._stamped(event_pb2.Event(final=True, run_cancelled=event_pb2.RunCancelled(reason=mark)))
        match TYPES[n % len(TYPES)]:
            case "tool_started":
                started = event_pb2.ToolStarted(call_id=mark, tool="shell")
                started.arguments.update({"n": n, "list": [None, "x"]})
                return self._stamped(event_pb2.Event(tool_started=started))
            case "tool_completed":
                completed = event_pb2.ToolCompleted(call_id="c", success=True, output=mark)
                return self._stamped(event_pb2.Event(tool_completed=completed))
        return self._stamped(event_pb2.Event(agent_started=event_pb2.AgentStarted(agent_name=mark)))

    def _stamped(self, event: event_pb2.Event) -> event_pb2.Event:
        event.session_id, event.run_id = self.session.session_id, self.id
        event.timestamp.FromMilliseconds(int(time.time() * 1000))
        return event

    async def _speak(self, doors: Doors, takeover: int | None) -> None:
        """Open one stream and publish until all is said, it breaks, or so many are acknowledged."""
        address = self.random.choice(doors.addresses)
        stub = publish_service_pb2_grpc.PublishServiceStub(doors.channel(address))
        call = stub.Publish(metadata=(("authorization", f"Bearer {self.token()}"),))
        writing = asyncio.create_task(self._write(call), name=f"write {self.id}")
        try:
            async for told in call:
                self._acknowledged.add(told.n)
                self.published.acknowledge(self.id, told.n, told.event_id, event_of(self._made[told.n]))
                if takeover is not None and len(self._acknowledged) >= takeover:
                    return
        except grpc.aio.AioRpcError as error:
            # INTERNAL says gRPC itself, of a write to a call that has just been ended by the other side.
            core = error.code() is grpc.StatusCode.INTERNAL and "from Core" in str(error.details())
            if error.code() is not grpc.StatusCode.UNAVAILABLE and not core:
                raise
            self.reopened += 1
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)
        finally:
            call.cancel()
            writing.cancel()
            await asyncio.wait([writing])

    async def _write(self, call: Any) -> None:
        opening = publish_service_pb2.PublishOpen(
            project_id=self.session.project_id,
            session_id=self.session.session_id,
            run_id=self.id,
            epoch=self.epoch,
        )
        said: set[int] = set()
        try:
            await call.write(publish_service_pb2.PublishRequest(open=opening))
            while True:
                self._changed.clear()
                for n in sorted(self._made.keys() - self._acknowledged - said):
                    said.add(n)
                    await call.write(_request(self._made[n], n))
                while self._progress:
                    await call.write(_request(self._progress.pop(0)))
                if len(self._made) == self.count and self._made.keys() <= said | self._acknowledged:
                    await call.done_writing()
                    return
                await self._changed.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The call is over: who reads it hears why.


def _working(name: str) -> event_pb2.AgentWorking:
    return event_pb2.AgentWorking(agent_name=name, task_id="t")


def _request(event: event_pb2.Event, n: int | None = None) -> publish_service_pb2.PublishRequest:
    return publish_service_pb2.PublishRequest(event=publish_service_pb2.PublishEvent(n=n, event=event))


def split(total: int, size: int) -> Sequence[int]:
    """So many as parts of this size; the last one takes the rest."""
    whole = max(1, total // size)
    return [size] * (whole - 1) + [total - size * (whole - 1)]
