"""A backend of the tests' own: a contract that the gateway has never heard of, on a real gRPC server."""

import asyncio
import importlib.resources
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.api.annotations_pb2
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import _async as reflection
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from grpc_tools import protoc

from gateway.reflection import in_import_order, pool_of
from services.runtime.errors import CodelabError
from services.runtime.status import to_status
from tests.e2e.ports import free_ports

SERVICE = "acme.garden.v1.GardenService"
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


def compile_protos(sources: Path, into: Path) -> descriptor_pb2.FileDescriptorSet:
    """The descriptors of every .proto below `sources`, with comments."""
    output = into / "descriptors.binpb"
    googleapis = Path(google.api.annotations_pb2.__file__).parents[2]
    includes = [sources, _ROOT / "protos", importlib.resources.files("grpc_tools") / "_proto", googleapis]
    files = [path.relative_to(sources).as_posix() for path in sorted(sources.rglob("*.proto"))]
    arguments = [*(f"-I{path}" for path in includes), "--include_imports", "--include_source_info"]
    assert protoc.main(["protoc", *arguments, f"--descriptor_set_out={output}", *files]) == 0
    return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


def pool_for(descriptors: descriptor_pb2.FileDescriptorSet) -> descriptor_pool.DescriptorPool:
    """A private pool of a descriptor set."""
    files = {file.name: file for file in descriptors.file}
    return pool_of(file.SerializeToString() for file in in_import_order(files))


@dataclass
class Garden:
    """Serves every RPC of a pool's services, answers as told, and keeps what it was asked."""

    pool: descriptor_pool.DescriptorPool
    services: list[str] = field(default_factory=lambda: [SERVICE])
    reflection_versions: tuple[str, ...] = ("v1", "v1alpha")
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    remaining: list[float | None] = field(default_factory=list)
    cancelled: int = 0
    address: str = ""
    _answers: dict[str, Answer] = field(default_factory=dict)

    def message(self, name: str, /, **values: Any) -> Any:
        """A message of the pool, by its full name."""
        return GetMessageClass(self.pool.FindMessageTypeByName(name))(**values)

    def of(self, name: str, /, **values: Any) -> Any:
        """A message of acme.garden.v1."""
        return self.message(f"acme.garden.v1.{name}", **values)

    def on(self, method: str, answer: Answer | Message | CodelabError | tuple[grpc.StatusCode, str]) -> None:
        """What `method` does from now on: run a function, return a message, or fail."""

        async def scripted(_: Any, context: grpc.aio.ServicerContext) -> Any:
            if isinstance(answer, CodelabError):
                await fail(context, answer)
            elif isinstance(answer, tuple):
                await context.abort(*answer)
            return answer

        self._answers[method] = answer if callable(answer) else scripted

    def forget(self) -> None:
        """Answer as a new garden would."""
        self.requests.clear()
        self.metadata.clear()
        self.remaining.clear()
        self.cancelled = 0
        self._answers.clear()

    async def start(self, address: str | None = None) -> str:
        """Listen; return `host:port`, which it can be started on again."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        for name in self.services:
            service = self.pool.FindServiceByName(name)
            handlers = {method.name: self._handler(method) for method in service.methods}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        self._add_reflection()
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        port = self._server.add_insecure_port(address or f"127.0.0.1:{free_ports()}")
        await self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self.address

    async def stop(self) -> None:
        """Cut everybody off."""
        await self._server.stop(None)

    def _handler(self, method: Any) -> Any:
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

        async def answer(message: Any, context: grpc.aio.ServicerContext) -> Any:
            self.requests.append(message)
            self.metadata.append(dict(context.invocation_metadata()))
            self.remaining.append(context.time_remaining())
            scripted = self._answers.get(method.name)
            return response() if scripted is None else await scripted(message, context)

        async def stream(message: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            try:
                frames = await answer(message, context)
                if hasattr(frames, "__aiter__"):
                    async for frame in frames:
                        yield frame
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

        kind = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        return kind(stream if method.server_streaming else answer, request.FromString, response.SerializeToString)

    def _add_reflection(self) -> None:
        names = [*self.services, "grpc.reflection.v1.ServerReflection", "grpc.health.v1.Health"]
        servicer = reflection.ReflectionServicer(names, self.pool)
        if "v1alpha" in self.reflection_versions:
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self._server)
        if "v1" in self.reflection_versions:
            handler = grpc.stream_stream_rpc_method_handler(
                servicer.ServerReflectionInfo,
                reflection_pb2.ServerReflectionRequest.FromString,
                reflection_pb2.ServerReflectionResponse.SerializeToString,
            )
            name = "grpc.reflection.v1.ServerReflection"
            handlers = {"ServerReflectionInfo": handler}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


@asynccontextmanager
async def growing(garden: Garden, address: str | None = None) -> AsyncIterator[Garden]:
    """A garden that serves inside the block."""
    await garden.start(address)
    try:
        yield garden
    finally:
        await garden.stop()


async def fail(context: grpc.aio.ServicerContext, error: CodelabError) -> None:
    """Abort as the services do."""
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, tuple(status.trailing_metadata))
