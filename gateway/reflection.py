"""What a backend says of itself: its services and their descriptors, by gRPC server reflection."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2 as pb

# Both speak the same messages; v1alpha is what older servers have.
_VERSIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
# Services of gRPC itself: they describe or watch the others and are nobody's API.
_OWN = "grpc."


class ReflectionError(Exception):
    """The backend answers reflection with something that does not describe its services."""


@dataclass(frozen=True, slots=True)
class Description:
    """The services that a backend offers, and every file they need, each once and after those it imports."""

    services: tuple[str, ...]
    files: tuple[bytes, ...]

    def descriptors(self) -> list[ServiceDescriptor]:
        """The services' descriptors, in a pool of their own: two backends may hold different versions of one file."""
        pool = pool_of(self.files)
        return [pool.FindServiceByName(name) for name in self.services]


def pool_of(files: Iterable[bytes]) -> DescriptorPool:
    """A private pool of serialized files that come after what they import."""
    pool = DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file)
    return pool


async def describe(channel: grpc.aio.Channel, timeout: float) -> Description:
    """Ask a backend for its services.

    Raise AioRpcError if it cannot be reached within `timeout` seconds or has no reflection, ReflectionError if what it
    answers is not a complete description.
    """
    try:
        return await _describe(channel, _VERSIONS[0], timeout)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
    return await _describe(channel, _VERSIONS[1], timeout)


async def _describe(channel: grpc.aio.Channel, version: str, timeout: float) -> Description:
    info: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=pb.ServerReflectionRequest.SerializeToString,
        response_deserializer=pb.ServerReflectionResponse.FromString,
    )
    call = info(timeout=timeout)
    try:
        listed = await _ask(call, pb.ServerReflectionRequest(list_services=""))
        services = sorted(each.name for each in listed.list_services_response.service if not each.name.startswith(_OWN))
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for service in services:
            await _add(call, pb.ServerReflectionRequest(file_containing_symbol=service), files)
        # A server may leave imports for the client to ask for.
        while missing := {name for file in files.values() for name in file.dependency} - files.keys():
            for name in sorted(missing):
                await _add(call, pb.ServerReflectionRequest(file_by_filename=name), files)
    finally:
        call.cancel()
    return Description(tuple(services), tuple(file.SerializeToString() for file in in_import_order(files)))


async def _ask(call: Any, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
    await call.write(request)
    response = await call.read()
    if not isinstance(response, pb.ServerReflectionResponse):
        # The stream has ended: its status says why.
        await _raise_status(call)
        raise ReflectionError("reflection ended before it answered")
    if response.HasField("error_response"):
        raise ReflectionError(response.error_response.error_message)
    return response


async def _raise_status(call: Any) -> None:
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )


async def _add(
    call: Any, request: pb.ServerReflectionRequest, files: dict[str, descriptor_pb2.FileDescriptorProto]
) -> None:
    before = len(files)
    response = await _ask(call, request)
    for serialized in response.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        files.setdefault(file.name, file)
    wanted = request.file_by_filename
    if wanted and (len(files) == before or wanted not in files):
        raise ReflectionError(f"the backend does not know its own file {wanted}")


def in_import_order(
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """The files, each after those it imports. Raise ReflectionError if one imports itself over others."""
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    under_way: set[str] = set()

    def add(name: str) -> None:
        if name in ordered:
            return
        if name in under_way:
            raise ReflectionError(f"{name} imports itself")
        under_way.add(name)
        for dependency in files[name].dependency:
            add(dependency)
        ordered[name] = files[name]

    for name in sorted(files):
        add(name)
    return list(ordered.values())
