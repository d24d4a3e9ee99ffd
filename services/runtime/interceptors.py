"""The shape of a server interceptor: something before a call, something around it, whatever the call's kind."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import grpc
from codelab.options.v1 import options_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message

from services.runtime.errors import CodelabError, MalformedMessage

Context = grpc.aio.ServicerContext[Any, Any]
Check = Callable[[Message], None]


@dataclass(frozen=True)
class Call:
    """The call being served. `method` is `/package.Service/Method`, `metadata` the caller's."""

    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    rules: options_pb2.MethodRules

    def text(self, key: str) -> str | None:
        """The last metadata value of `key` that is text."""
        return next(reversed(self.texts(key)), None)

    def texts(self, key: str) -> list[str]:
        """Every metadata value of `key` that is text, in order."""
        return [value for name, value in self.metadata if name == key and isinstance(value, str)]


class Interceptor(grpc.aio.ServerInterceptor):
    """Wraps every call. Subclasses override `around`, or just `before`, and `check_of` to see each request.

    The one that `parses` takes its requests as bytes: what cannot be parsed is then refused like everything else, and
    not by gRPC with an INTERNAL error. It and those behind it can check requests, those in front of it cannot.
    """

    parses = False

    async def before(self, call: Call, context: Context) -> None:
        """Run before the handler; raise to refuse the call."""

    def check_of(self, call: Call) -> Check | None:
        """What sees each request of the call before the handler does, and raises to refuse it; None if nobody need."""
        return None

    @asynccontextmanager
    async def around(self, call: Call, context: Context) -> AsyncIterator[None]:
        """Run the handler inside; what it raises is raised at the yield."""
        await self.before(call, context)
        yield

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        call = Call(
            handler_call_details.method,
            tuple(handler_call_details.invocation_metadata or ()),
            _rules(handler_call_details.method),
        )
        return _wrap(handler, lambda context: self.around(call, context), self.check_of(call), self.parses)


def method_descriptor(method: str) -> MethodDescriptor | None:
    """The descriptor of `/package.Service/Method`, None if the contract has no such method."""
    service, _, name = method.removeprefix("/").partition("/")
    try:
        return descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(name)
    except KeyError:
        return None


@cache
def _rules(method: str) -> options_pb2.MethodRules:
    descriptor = method_descriptor(method)
    if descriptor is None:
        return options_pb2.MethodRules()
    return descriptor.GetOptions().Extensions[options_pb2.method]


def _wrap(
    handler: Any,
    around: Callable[[Context], AbstractAsyncContextManager[None]],
    check: Check | None,
    parses: bool,
) -> Any:
    """The handler with this around it. What streams does not pass through here but for being checked: with several
    interceptors each message would pay for every one of them.
    """
    inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    steps: list[Callable[[Any], Any]] = []
    if parses:
        steps.append(partial(_parsed, handler.request_deserializer))
    if check is not None:
        steps.append(partial(_checked, check))

    def admitted(request: Any) -> Any:
        if handler.request_streaming:
            return _Each.of(request, steps) if steps else request
        for step in steps:
            request = step(request)
        return request

    async def unary(request: Any, context: Context) -> Any:
        async with around(context):
            return await inner(admitted(request), context)

    async def stream(request: Any, context: Context) -> None:
        async with around(context):
            produced = inner(admitted(request), context)
            if inspect.iscoroutine(produced):
                # It writes its responses itself, as the next interceptor does, and gRPC's own health service.
                await produced
                return
            # Closed here: a client that goes away must not leave the handler's cleanup to the garbage collector.
            async with aclosing(produced) as responses:
                async for response in responses:
                    await context.write(response)

    behaviour: Any = stream if handler.response_streaming else unary
    return _HANDLERS[handler.request_streaming, handler.response_streaming](
        behaviour, None if parses else handler.request_deserializer, handler.response_serializer
    )


class _Each:
    """What a stream brings, each thing after some steps. A generator would cost twice as much for each."""

    def __init__(self, stream: AsyncIterator[Any], steps: Sequence[Callable[[Any], Any]]) -> None:
        self._stream = stream
        self._next = stream.__anext__
        self._steps = steps

    @classmethod
    def of(cls, stream: AsyncIterator[Any], steps: Sequence[Callable[[Any], Any]]) -> "_Each":
        """Interceptors that look at each in turn do so in one go."""
        return cls(stream._stream, [*stream._steps, *steps]) if isinstance(stream, cls) else cls(stream, steps)

    def pass_to(self, take: Callable[[Any], bool]) -> None:
        """Where the stream can, give `take` each that comes while one is waited for, after the same steps. What it
        returns False for, or the steps refuse, is iterated. It neither waits nor raises."""
        pass_on = getattr(self._stream, "pass_to", None)
        if pass_on is not None:
            pass_on(partial(self._passed, take))

    def _passed(self, take: Callable[[Any], bool], request: Any) -> bool:
        try:
            for step in self._steps:
                request = step(request)
        except CodelabError:
            # Whoever iterates is refused.
            return False
        return take(request)

    def __aiter__(self) -> "_Each":
        return self

    async def __anext__(self) -> Any:
        request = await self._next()
        for step in self._steps:
            request = step(request)
        return request


def _parsed(parse: Callable[[bytes], Message], data: bytes) -> Message:
    try:
        return parse(data)
    except DecodeError:
        raise MalformedMessage from None


def _checked(check: Check, request: Message) -> Message:
    check(request)
    return request


_HANDLERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
