"""The routes that this gateway serves at the moment, and the backend behind each."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import ServiceDescriptor

from gateway.backends import Backend, watch
from gateway.contract import Binding, ContractError, bindings_of
from gateway.decode import Decoders
from gateway.encode import Encoders
from gateway.framing import Framing
from gateway.reflection import in_import_order, pool_of
from gateway.routes import DuplicateRoute, RouteTable
from gateway.transcode import Transcoder

log = structlog.get_logger()

# How long a start waits for backends to describe themselves before it goes on without them.
_FIRST_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One binding ready to be served. `backend` is None while nobody who serves it has been reached."""

    binding: Binding
    transcoder: Transcoder
    framing: Framing
    backend: Backend | None

    def __str__(self) -> str:
        return self.binding.rpc.name


class Routes:
    """What is served, at one moment: immutable, replaced as a whole."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Raise DuplicateRoute if two endpoints claim one method and one template."""
        self.endpoints = endpoints
        self.table: RouteTable[Endpoint] = RouteTable()
        live = any(endpoint.backend is not None for endpoint in endpoints)
        for endpoint in endpoints:
            try:
                self.table.add(endpoint.binding.method, endpoint.binding.template, endpoint)
            except DuplicateRoute:
                # What a backend offers replaces what the baseline only expects.
                if not live or endpoint.backend is not None:
                    raise


class Site:
    """Keeps the routes in step with the backends. Use as an async context manager: it owns their channels."""

    def __init__(self, addresses: Iterable[str], baseline: descriptor_pb2.FileDescriptorSet) -> None:
        """`baseline` describes the services of backends that have not been reached yet."""
        self.backends = [Backend(address) for address in dict.fromkeys(addresses)]
        self.comments = baseline
        self._baseline = _services_of(baseline)
        self._watchers: list[asyncio.Task[None]] = []
        self._started = False
        self.routes = self._build()

    async def __aenter__(self) -> "Site":
        """Look at every backend once. Raise DuplicateRoute or ContractError if what they offer cannot be served."""
        firsts = [asyncio.Event() for _ in self.backends]
        self._watchers = [
            asyncio.create_task(watch(backend, self._changed, first), name=f"watch {backend.address}")
            for backend, first in zip(self.backends, firsts, strict=True)
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                for first in firsts:
                    await first.wait()
        try:
            self.routes = self._build()
        except (DuplicateRoute, ContractError):
            await self._end()
            raise
        self._started = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for backend in self.backends:
            await backend.close()

    def _changed(self, backend: Backend) -> None:
        if not self._started:
            return
        try:
            self.routes = self._build()
        except (DuplicateRoute, ContractError) as error:
            # What is served now stays: one backend's mistake is no reason to refuse everybody's requests.
            log.error("routes not updated", address=backend.address, cause=str(error))

    def _build(self) -> Routes:
        endpoints: list[Endpoint] = []
        served: set[str] = set()
        encoders, decoders = Encoders(), Decoders()

        def add(service: ServiceDescriptor, backend: Backend | None) -> None:
            # Two addresses may lead to replicas of one service: the first serves.
            if service.full_name not in served:
                served.add(service.full_name)
                for binding in bindings_of(service):
                    transcoder = Transcoder(binding, encoders, decoders)
                    endpoints.append(Endpoint(binding, transcoder, Framing(binding, transcoder), backend))

        for backend in self.backends:
            for service in backend.services:
                add(service, backend)
        # With everybody reached, what nobody offers is not part of this installation.
        if not all(backend.reached for backend in self.backends):
            for service in self._baseline:
                add(service, None)
        return Routes(endpoints)


def shipped_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """The contract that this package was built with, with its comments."""
    import codelab.options.v1

    package = Path(next(iter(codelab.options.v1.__path__))).parents[1]
    return descriptor_pb2.FileDescriptorSet.FromString((package / "descriptors.binpb").read_bytes())


def _services_of(descriptors: descriptor_pb2.FileDescriptorSet) -> list[ServiceDescriptor]:
    files = {file.name: file for file in descriptors.file}
    pool = pool_of(file.SerializeToString() for file in in_import_order(files))
    names = (f"{file.package}.{service.name}" for file in descriptors.file for service in file.service)
    return [pool.FindServiceByName(name) for name in names]
