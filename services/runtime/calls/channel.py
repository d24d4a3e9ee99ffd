"""A channel that takes a shorter way to its server where there is one."""

from collections.abc import Callable
from typing import Any

import grpc

from services.runtime.calls.opened import OpenCall, Shape, Way


class ShortcutChannel(grpc.aio.Channel):
    """Calls over another channel, or past it. Owns that one.

    `way` is asked with each call, by its shape, for the way it takes; None is over the channel. So is what is called
    with an iterator of requests: write them instead.
    """

    def __init__(self, beyond: grpc.aio.Channel, way: Callable[[Shape], Way | None]) -> None:
        self._beyond = beyond
        self._way = way
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
            way = self._way(shape) if asks_once or request is None else None
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

    async def __aenter__(self) -> "ShortcutChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close it. Calls under way are cancelled, those over the channel behind it after `grace` seconds."""
        self._closed = True
        await self._beyond.close(grace)
        for call in tuple(self._calls):
            call.cancel()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the channel behind it."""
        return self._beyond.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the state of the channel behind it is another one."""
        await self._beyond.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when the channel behind it is ready."""
        await self._beyond.channel_ready()
