"""The backends: a channel to each, what it says of itself, and whether it serves."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from codelab_client import connect
from gateway.reflection import Description, describe
from services.runtime.calls.channel import has_tunnels, reach
from services.runtime.calls.neighbours import Neighbours

log = structlog.get_logger()

# An answer about oneself needs no database: a backend that takes longer is not well.
REFLECTION_SECONDS = 5.0
HEALTH_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 3.0
# A suite that starts or stops does not do so all at once: only an absence that lasts is worth a line.
_COMPLAIN_AFTER_SECONDS = 3.0
# Replicas change behind one address without the connection showing it.
_LOOK_AGAIN_SECONDS = 60.0
# Left to itself, gRPC lets every stream that nobody reads fill 4 MiB here: its windows grow with the bandwidth.
_CALLING = (("grpc.http2.bdp_probe", 0),)


class Backend:
    """One address: reached or not, its services and the channel for calls to them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.description: Description | None = None
        self.services: list[ServiceDescriptor] = []
        self._neighbours = Neighbours()
        self._watching = connect(address)
        # Calls go over a channel that knows which methods may be repeated: that takes descriptors.
        self._calling: grpc.aio.Channel = self._watching
        self._outdated: list[grpc.aio.Channel] = []
        self._callables: dict[str, Any] = {}

    @property
    def reached(self) -> bool:
        """Whether the backend has ever described itself to this process."""
        return self.description is not None

    async def look(self) -> bool:
        """Ask the backend to describe itself; return whether that changed anything. Raise as `describe` does."""
        found = await describe(self._watching, REFLECTION_SECONDS)
        if found == self.description:
            return False
        services = found.descriptors()
        if self._calling is not self._watching:
            self._outdated.append(self._calling)
        self._calling = reach(self.address, self._neighbours, services, _CALLING, has_tunnels(services))
        self._callables = {}
        self.services = services
        self.description = found
        return True

    def call(self, rpc: Any) -> Any:
        """The callable for an RPC of this backend. What it streams comes as bytes: see Framing."""
        callable_ = self._callables.get(rpc.path)
        if callable_ is None:
            kind = self._calling.unary_stream if rpc.streaming else self._calling.unary_unary
            callable_ = self._callables[rpc.path] = kind(
                rpc.path,
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=None if rpc.streaming else rpc.response.FromString,
            )
        return callable_

    async def check(self) -> str:
        """`ready`, or why it is not: `unreachable`, `not_serving`, or `starting` until it has described itself."""
        health: Any = self._watching.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await health(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError as error:
            # A server without a health service that answers is alive.
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                return "unreachable"
        else:
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                return "not_serving"
            # Calls go over a connection of their own, which may be a moment later to find a server that was away.
            if self._calling.get_state(try_to_connect=True) is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return "unreachable"
        return "ready" if self.reached else "starting"

    async def lost(self, timeout: float) -> None:
        """Return when the connection is lost, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                state = self._watching.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    await self._watching.wait_for_state_change(state)
                    state = self._watching.get_state(try_to_connect=True)
                await self._watching.wait_for_state_change(grpc.ChannelConnectivity.READY)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        for channel in {self._watching, self._calling, *self._outdated}:
            await channel.close()


async def watch(backend: Backend, changed: Callable[[Backend], None], first: asyncio.Event) -> None:
    """Keep a backend's description up to date for ever; call `changed` after each change.

    Looks again when the connection was lost, because a restarted backend may offer other things. `first` is set after
    the first attempt, whatever became of it.
    """
    now = asyncio.get_running_loop().time
    delay = _FIRST_RETRY_SECONDS
    failing_since: float | None = None
    complained = False
    while True:
        try:
            if await backend.look():
                log.debug(
                    "backend described itself",
                    address=backend.address,
                    services=[each.full_name for each in backend.services],
                )
                changed(backend)
            delay, failing_since, complained = _FIRST_RETRY_SECONDS, None, False
        # Whatever a backend answers with: the others must not lose their watchers for it, nor it its own.
        except Exception as error:
            failing_since = now() if failing_since is None else failing_since
            if not complained and now() - failing_since >= _COMPLAIN_AFTER_SECONDS:
                log.warning("backend does not describe itself", address=backend.address, cause=_cause(error))
                complained = True
            first.set()
            # Spread out, so that gateways do not ask a starting backend all at once.
            await asyncio.sleep(delay * random.uniform(0.75, 1.25))
            delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
            continue
        first.set()
        await backend.lost(_LOOK_AGAIN_SECONDS)


async def check_all(backends: Sequence[Backend]) -> dict[str, str]:
    """The state of each backend by address."""
    states = await asyncio.gather(*(backend.check() for backend in backends))
    return {backend.address: state for backend, state in zip(backends, states, strict=True)}


def _cause(error: Exception) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
