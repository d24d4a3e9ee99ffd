"""A channel between services: past the network within a process, through tunnels for what streams."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import grpc
from codelab.tunnel.v1 import tunnel_service_pb2
from google.protobuf.descriptor import ServiceDescriptor

from codelab_client.channel import connect, repeatable_methods
from services.runtime.calls.call_server import CallServer
from services.runtime.calls.neighbours import Neighbours
from services.runtime.calls.opened import OpenCall, Shape, Way
from services.runtime.calls.repeated import Repeated
from services.runtime.calls.tunnel_client import Tunnels

_TUNNEL = tunnel_service_pb2.DESCRIPTOR.services_by_name["TunnelService"]


def reach(
    address: str,
    neighbours: Neighbours,
    services: Sequence[ServiceDescriptor] = (),
    options: Iterable[tuple[str, int | str]] = (),
    tunnels: bool = True,
) -> "ShortcutChannel":
    """A channel to the service at `address`, which may be one of `neighbours`. See `connect` for the rest.

    `tunnels` is whether it is known to have any; if it then has none, it is called without.
    """
    named = {each.full_name: each for each in (*services, _TUNNEL)}
    beyond = connect(address, named.values(), options)
    repeatable = frozenset(repeatable_methods(services))
    through = Tunnels(beyond) if tunnels else None
    return ShortcutChannel(beyond, lambda: neighbours.find(address), through, repeatable)


def has_tunnels(services: Iterable[ServiceDescriptor]) -> bool:
    """Whether a server that offers these carries calls in tunnels."""
    return any(each.full_name == _TUNNEL.full_name for each in services)


class ShortcutChannel(grpc.aio.Channel):
    """Calls past a channel, where there is a way, or over it. Owns it.

    Calls of a server that `here` finds in this process are made directly. Of others, those that stream go through
    `tunnels`, if there are any. Either are made again while the server is UNAVAILABLE, if they are `repeatable`. What
    is called with an iterator of requests (write them instead), with credentials, or with a wish to wait or to compress
    goes over the channel.
    """

    def __init__(
        self,
        beyond: grpc.aio.Channel,
        here: Callable[[], CallServer | None],
        tunnels: Tunnels | None,
        repeatable: Collection[str] = (),
    ) -> None:
        self._beyond = beyond
        self._here = here
        self._tunnels = tunnels
        self._repeatable = repeatable
        self._calls: set[OpenCall] = set()
        self._closed = False

    def unary_unary(self, method: str, *coding: Any, **more: Any) -> Any:
        """As gRPC's."""
        return self._callable(self._beyond.unary_unary, method, True, True, coding, more)

    def unary_stream(self, method: str, *coding: Any, **more: Any) -> Any:
        """As gRPC's."""
        return self._callable(self._beyond.unary_stream, method, True, False, coding, more)

    def stream_unary(self, method: str, *coding: Any, **more: Any) -> Any:
        """As gRPC's."""
        return self._callable(self._beyond.stream_unary, method, False, True, coding, more)

    def stream_stream(self, method: str, *coding: Any, **more: Any) -> Any:
        """As gRPC's."""
        return self._callable(self._beyond.stream_stream, method, False, False, coding, more)

    def _callable(
        self,
        beyond: Callable[..., Any],
        method: str,
        asks_once: bool,
        answers_once: bool,
        coding: tuple[Any, ...],
        more: dict[str, Any],
    ) -> Any:
        long_way = beyond(method, *coding, **more)
        serialize, deserialize = (*coding, None, None)[:2]
        shape = Shape(
            method,
            more.get("request_serializer", serialize),
            more.get("response_deserializer", deserialize),
            asks_once,
            answers_once,
        )

        def call(
            request: Any = None,
            timeout: float | None = None,
            metadata: Any = None,
            *,
            request_iterator: Any = None,
            **options: Any,
        ) -> Any:
            request = request_iterator if request is None else request
            way = self._way(shape) if (asks_once or request is None) and not any(options.values()) else None
            if way is None:
                return long_way(request, timeout=timeout, metadata=metadata, **options)
            if self._closed:
                raise grpc.aio.UsageError("the channel is closed")
            opened = OpenCall(shape, way, tuple(metadata or ()), timeout, request)
            if not opened.done():
                self._calls.add(opened)
                opened.add_done_callback(self._calls.discard)
            return opened

        return call

    def _way(self, shape: Shape) -> Way | None:
        way: Way | None = self._here()
        if way is None and not (shape.asks_once and shape.answers_once):
            way = self._tunnels if self._tunnels is not None and self._tunnels.offered else None
        return Repeated(way) if way is not None and shape.asks_once and shape.method in self._repeatable else way

    async def __aenter__(self) -> "ShortcutChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it. Calls under way are cancelled, those over the channel behind it after `grace` seconds."""
        self._closed = True
        for call in tuple(self._calls):
            call.cancel()
        if self._tunnels is not None:
            await self._tunnels.close()
        await self._beyond.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the channel behind it."""
        return self._beyond.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the state of the channel behind it is another one."""
        await self._beyond.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when the channel behind it is ready."""
        await self._beyond.channel_ready()
