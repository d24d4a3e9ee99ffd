"""The suite's two doors, HTTP at the gateway and gRPC at the services themselves, asked and answering alike."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import grpc
import httpx
from codelab.agents.v1 import agent_service_pb2, memory_service_pb2
from codelab.orchestrator.v1 import run_service_pb2, session_service_pb2
from codelab.projects.v1 import project_service_pb2

from codelab_client.channel import connect
from codelab_client.errors import ApiError
from gateway.contract import Binding, bindings_of, field_with
from gateway.encode import Encoders
from services.runtime.messages import fill
from tests.e2e.suite import SERVICES, Suite

SECONDS = 30.0
FILES = (project_service_pb2, agent_service_pb2, memory_service_pb2, session_service_pb2, run_service_pb2)


class Door(StrEnum):
    """Where a call goes in."""

    HTTP = "HTTP"
    GRPC = "gRPC"


def _bindings() -> Mapping[str, list[Binding]]:
    found: dict[str, list[Binding]] = {}
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for binding in bindings_of(service):
                found.setdefault(binding.rpc.method.name, []).append(binding)
    return found


BINDINGS = _bindings()
KEYED = {name for name, [first, *_] in BINDINGS.items() if field_with(first.rpc.method.input_type, "idempotency_key")}
"""The RPCs that take a request_id."""
_encoders = Encoders()


@dataclass(frozen=True)
class Answer:
    """What came of a call: the JSON of its result (of a stream, all of its events), or why there is none."""

    value: Any = None
    code: str | None = None
    reason: str | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def made(self) -> Any:
        """The result of a call that must have succeeded."""
        assert self.code is None, self
        return self.value


@dataclass(frozen=True)
class Caller:
    """One user at both doors."""

    http: httpx.AsyncClient
    channels: Mapping[str, grpc.aio.Channel]

    async def ask(
        self, door: Door, rpc: str, *, whole: bool = False, timeout: float = SECONDS, **values: Any
    ) -> Answer:
        """Call an RPC by its name with the fields of its request, as they stand in JSON.

        An update changes the keys that are given, as PATCH does, or with `whole` everything, as PUT does.
        """
        binding = BINDINGS[rpc][1 if whole else 0]
        if door is Door.HTTP:
            return await self._ask_http(binding, values, timeout)
        return await self._ask_grpc(binding, values, whole, timeout)

    async def _ask_http(self, binding: Binding, values: dict[str, Any], timeout: float) -> Answer:
        rest = dict(values)
        named = {each.field_path: rest.pop(each.field_path) for each in binding.template.variables}
        path = binding.template.text.format_map({name: quote(value, safe="") for name, value in named.items()})
        headers = {"Accept": "application/x-ndjson" if binding.rpc.streaming else "application/json"}
        if request_id := rest.pop("request_id", None):
            headers["Idempotency-Key"] = request_id
        body = None if not binding.body else rest if binding.body == "*" else rest.pop(binding.body, {})
        query = {} if body is rest else rest
        response = await self.http.request(
            binding.method, path, params=query, json=body, headers=headers, timeout=timeout
        )
        if response.status_code != binding.rpc.success_status:
            problem = response.json()
            return Answer(None, problem["code"], problem["reason"], problem["metadata"])
        if binding.rpc.streaming:
            # Not `splitlines`: U+2028, which may stand in a text, ends no line of NDJSON.
            return Answer([json.loads(line) for line in response.text.split("\n") if line])
        return Answer(response.json() if response.content else {})

    async def _ask_grpc(self, binding: Binding, values: dict[str, Any], whole: bool, timeout: float) -> Answer:
        request = binding.rpc.request()
        fill(request, values)
        if binding.method in ("PATCH", "PUT"):
            request.update_mask.paths.extend(["*"] if whole else _paths(values[binding.body]))  # type: ignore[attr-defined]
        channel = self.channels[binding.rpc.service.split(".")[1]]
        method = channel.unary_stream if binding.rpc.streaming else channel.unary_unary
        calling = method(  # type: ignore[operator]
            binding.rpc.path,
            request_serializer=binding.rpc.request.SerializeToString,
            response_deserializer=binding.rpc.response.FromString,
        )
        metadata = (("authorization", self.http.headers["authorization"]),)
        call = calling(request, timeout=timeout, metadata=metadata, wait_for_ready=True)
        try:
            if binding.rpc.streaming:
                return Answer([_shown(binding, each) async for each in call])
            return Answer(_shown(binding, await call))
        except grpc.aio.AioRpcError as error:
            failed = ApiError.of(error)
            return Answer(None, failed.code.name, failed.reason, failed.metadata)
        finally:
            call.cancel()


@contextlib.asynccontextmanager
async def calling(suite: Suite, token: str, **elsewhere: str) -> AsyncIterator[Caller]:
    """A user with this token. `elsewhere` says where gRPC finds a service if not at its own address."""
    addresses = {service: suite.grpc_address(service) for service in SERVICES} | elsewhere
    channels = {service: connect(address) for service, address in addresses.items()}
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=None)
    try:
        async with httpx.AsyncClient(base_url=suite.url, headers=headers, timeout=SECONDS, limits=limits) as http:
            yield Caller(http, channels)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels.values()))


def _shown(binding: Binding, response: Any) -> Any:
    shown = binding.response_field
    value = _encoders.of(binding.shown)(response if shown is None else getattr(response, shown.name))
    # As HTTP answers it: a 204 has no body.
    return {} if binding.rpc.success_status == 204 else value


def _paths(changes: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The mask of a PATCH: what is a message's own field, but nothing inside of what is one value."""
    found: list[str] = []
    for name, value in changes.items():
        inside = isinstance(value, dict) and name != "metadata"
        found += _paths(value, f"{prefix}{name}.") if inside else [f"{prefix}{name}"]
    return found
