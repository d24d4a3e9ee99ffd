"""Calls to the replicas of one service, side by side in one stream to each."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

import grpc
import structlog
from codelab.tunnel.v1.tunnel_service_pb2_grpc import TunnelServiceStub

from services.runtime.calls.flow import Outcome, ToCaller, ToServer
from services.runtime.calls.opened import Opening
from services.runtime.calls.tunnel_calls import CLOSED, Carried, Tunnel
from services.runtime.calls.tunnel_server import INSTANCE

log = structlog.get_logger()

Result = TypeVar("Result")

OPEN_SECONDS = 10.0
"""How long a server may take to open a tunnel, which needs nothing but itself."""
BESIDE_SECONDS = 1.0
"""A replica that has not opened a tunnel by then may be frozen: another is tried beside it."""
REOPEN_SECONDS = 0.1
"""At least, between two tries to open a first tunnel: one that is about to stop opens tunnels, too, and leaves them."""
LOOK_SECONDS = 30.0
"""Between two looks for replicas that have come since."""
LOOK_TIMES = 3
"""So many tunnels are tried in a look: other calls on the channel take their turns among the replicas, too."""
ABSENT_SECONDS = 60.0
"""How long a server that has no tunnels is called without one before it is asked again."""
MOST_ATTEMPTS = 4
"""To begin a call that no server that leaves has begun."""


class Tunnels:
    """The way through tunnels; a Way. `close` it.

    The first call opens a tunnel, and others are looked for until they lead to replicas that are known: a channel calls
    its replicas in turn. A new call takes the tunnel with the fewest, of those that are not silent if there are any.
    When none has had a call for a while, all are closed. A tunnel that breaks ends its calls as UNAVAILABLE. Those of
    which the server says, or shows by ending the tunnel in order, that it never began them are begun elsewhere.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the service, and repeats what opens a tunnel."""
        self._open = TunnelServiceStub(channel).Open
        self._tunnels: dict[str, Tunnel] = {}
        self._waiting: dict[Carried, None] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_soon = asyncio.Event()
        self._tried_at = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._absent_until = 0.0
        self._closed = False
        self._context = copy_context()

    @property
    def offered(self) -> bool:
        """Whether the server has tunnels, as far as is known."""
        return not self._absent_until or asyncio.get_running_loop().time() >= self._absent_until

    def open(self, opening: Opening, call: ToCaller) -> ToServer:
        """See Way."""
        carried = Carried(opening, call)
        self.place(carried)
        return carried

    def place(self, carried: Carried) -> None:
        """Let a call begin, in a tunnel that stands or as soon as one does."""
        if self._closed:
            carried.call.end(CLOSED)
        elif self._tunnels:
            self._choose().begin(carried)
        else:
            self._waiting[carried] = None
            carried.left = lambda: self._waiting.pop(carried, None)
            if self._connecting is None:
                self._connecting = self._run(self._connect(), "open tunnel")

    def _choose(self) -> Tunnel:
        """The tunnel for a call."""
        silent = [tunnel for tunnel in self._tunnels.values() if tunnel.is_silent()]
        if len(silent) == len(self._tunnels):
            self._look_soon.set()
            return min(silent, key=Tunnel.fullness)
        return min((each for each in self._tunnels.values() if each not in silent), key=Tunnel.fullness)

    def may_begin_again(self, carried: Carried) -> bool:
        """Whether a call that was not begun may be begun in another tunnel."""
        carried.attempts += 1
        return not self._closed and carried.untouched and carried.attempts < MOST_ATTEMPTS

    async def close(self) -> None:
        """End all calls and tunnels."""
        self._closed = True
        tasks = [task for task in (self._connecting, self._looking, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._fail_waiting(CLOSED)

    async def _connect(self) -> None:
        """Open a tunnel, for those who wait for one."""
        outcome = Outcome(grpc.StatusCode.UNAVAILABLE, "the server opened no tunnel in time", tried=True)
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                await asyncio.sleep(self._tried_at + REOPEN_SECONDS - now())
                self._tried_at = now()
                await self._add_first()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                log.info("the server has no tunnels")
                self._absent_until = now() + ABSENT_SECONDS
            outcome = Outcome(grpc.StatusCode.UNAVAILABLE, error.details() or "", tried=True)
        except TimeoutError:
            log.debug("no tunnel in time")
        finally:
            # First, for whoever hears that their call failed may make another, which then connects anew.
            self._connecting = None
            self._fail_waiting(CLOSED if self._closed else outcome)
        self._look_soon.set()
        if self._tunnels and self._looking is None:
            self._looking = self._run(self._look(), "look for replicas")

    async def _add_first(self) -> None:
        """Open a tunnel to whichever replica opens one. Raise AioRpcError or TimeoutError."""
        attempts: list[asyncio.Task[str]] = []
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                while not any(each.done() for each in attempts):
                    attempts.append(asyncio.create_task(self._add(), name="open tunnel"))
                    await asyncio.wait(attempts, timeout=BESIDE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in attempts:
                each.cancel()
            results = await asyncio.gather(*attempts, return_exceptions=True)
        if not any(isinstance(each, str) for each in results):
            _raise_first(results)

    async def _look(self) -> None:
        """Find the replicas, now and again, until there is nothing to do for them."""
        try:
            while self._tunnels:
                self._look_soon.clear()
                await self._meet()
                await asyncio.sleep(BESIDE_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look_soon.wait()
                if all(tunnel.idle_seconds() >= LOOK_SECONDS for tunnel in self._tunnels.values()):
                    self._hang_up()
        finally:
            self._looking = None

    async def _meet(self) -> None:
        """Open tunnels until they lead to nobody new. Who leaves what they open is new once, too."""
        met: set[str] = set()
        new = set(self._tunnels)
        while new:
            met |= new
            found = await asyncio.gather(*(self._add() for _ in range(LOOK_TIMES)), return_exceptions=True)
            # One of several may be away: the next look finds it.
            _raise_first(each for each in found if not isinstance(each, grpc.aio.AioRpcError | TimeoutError))
            new = {each for each in found if isinstance(each, str)} - met

    def _hang_up(self) -> None:
        """End all tunnels, in which there are no calls."""
        tunnels, self._tunnels = self._tunnels, {}
        for tunnel in tunnels.values():
            tunnel.hang_up()

    async def _add(self) -> str:
        """Open a tunnel, and keep it if there is none to that replica. Return which one it is. Raise AioRpcError."""
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
            return instance
        tunnel = Tunnel(call, self.place, self.may_begin_again)
        self._tunnels[instance] = tunnel
        running = self._run(tunnel.run(lambda: self._leave(instance, tunnel)), "tunnel")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        waiting, self._waiting = self._waiting, {}
        for carried in waiting:
            tunnel.begin(carried)
        return instance

    def _run(self, work: Coroutine[Any, Any, Result], name: str) -> "asyncio.Task[Result]":
        """A task that lives longer than the call that it is begun with, and holds nothing of who makes that."""
        return asyncio.get_running_loop().create_task(work, name=name, context=self._context.copy())

    def _leave(self, instance: str, tunnel: Tunnel) -> None:
        """Begin no more calls there."""
        if self._tunnels.get(instance) is tunnel:
            del self._tunnels[instance]

    def _fail_waiting(self, outcome: Outcome) -> None:
        waiting, self._waiting = self._waiting, {}
        for carried in waiting:
            carried.call.end(outcome)


def _raise_first(results: Iterable[str | BaseException]) -> None:
    for each in results:
        if isinstance(each, Exception):
            raise each
