"""What every call of a Client gets: a token, a deadline, another try with a fresh token, readable errors.

gRPC's own interceptors would do, if their calls could end with an error of another kind than gRPC's, and if closing a
channel ended the streams that nobody reads at that moment.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from weakref import WeakSet

import grpc

from codelab_client.channel import safe_to_repeat
from codelab_client.errors import ApiError
from codelab_client.tokens import TokenSource

READ_SECONDS = 30.0
CALL_SECONDS = 130.0
"""A send waits up to 120 s in its service, which then says so itself; the deadline lies beyond."""

Metadata = Iterable[tuple[str, str | bytes]]


class SignedChannel:
    """Makes the calls of generated stubs over a channel. Owns it: `close` when done."""

    def __init__(self, channel: grpc.aio.Channel, tokens: TokenSource) -> None:
        self._channel = channel
        self._tokens = tokens
        self._streams: WeakSet[Stream] = WeakSet()

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Callable[..., Awaitable[Any]]:
        """What a stub calls for one answer. Awaiting it raises ApiError."""
        call: Any = self._channel.unary_unary(method, *arguments, **options)
        repeatable = safe_to_repeat(method)
        limit = READ_SECONDS if repeatable else CALL_SECONDS

        async def ask(request: Any, *, timeout: float | None = None, metadata: Metadata = (), **more: Any) -> Any:
            timeout = limit if timeout is None else timeout
            signed, token = await self._sign(metadata)
            try:
                return await call(request, timeout=timeout, metadata=signed, **more)
            except grpc.aio.AioRpcError as error:
                # Refused at the door: nothing was done. Only what is safe to repeat is, for doors there are several.
                if not (self._refused(error, token) and repeatable):
                    raise ApiError.of(error) from error
            signed, token = await self._sign(metadata)
            try:
                return await call(request, timeout=timeout, metadata=signed, **more)
            except grpc.aio.AioRpcError as error:
                self._refused(error, token)
                raise ApiError.of(error) from error

        return ask

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> "Callable[..., Stream]":
        """What a stub calls for a stream of answers."""
        call: Any = self._channel.unary_stream(method, *arguments, **options)

        def ask(request: Any, *, timeout: float | None = None, metadata: Metadata = (), **more: Any) -> Stream:
            async def begin() -> tuple[Any, str | None]:
                signed, token = await self._sign(metadata)
                return call(request, timeout=timeout, metadata=signed, **more), token

            stream = Stream(begin, self._refused)
            self._streams.add(stream)
            return stream

        return ask

    async def close(self) -> None:
        """End the streams and close the channel; calls under way are cancelled."""
        for stream in list(self._streams):
            stream.cancel()
        await self._channel.close()

    async def _sign(self, metadata: Metadata) -> tuple[Metadata, str | None]:
        """The metadata with a token, and that token; None where the call brings its own."""
        given = tuple(metadata or ())
        if any(name == "authorization" for name, _ in given):
            return given, None
        token = await self._tokens.token()
        return (*given, ("authorization", f"Bearer {token}")), token

    def _refused(self, error: grpc.aio.AioRpcError, token: str | None) -> bool:
        """Whether a call failed for its token and there may be another one."""
        return error.code() is grpc.StatusCode.UNAUTHENTICATED and token is not None and self._tokens.refuse(token)


class Stream:
    """The answers of a call, as they come: iterate it. Raises ApiError. `cancel` it to leave early."""

    def __init__(
        self,
        begin: Callable[[], Awaitable[tuple[Any, str | None]]],
        refused: Callable[[grpc.aio.AioRpcError, str | None], bool],
    ) -> None:
        self._begin = begin
        self._refused = refused
        self._call: Any = None
        self._answers: AsyncIterator[Any] | None = None
        self._token: str | None = None

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Any:
        if self._answers is None:
            self._call, self._token = await self._begin()
            self._answers = aiter(self._call)
        try:
            return await anext(self._answers)
        except grpc.aio.AioRpcError as error:
            self._refused(error, self._token)
            raise ApiError.of(error) from error

    def __del__(self) -> None:
        # gRPC cancels what is abandoned, but its calls refer to themselves and wait for the collector.
        self.cancel()

    def cancel(self) -> bool:
        """End the call. Whether it was still going on."""
        return self._call is not None and bool(self._call.cancel())
