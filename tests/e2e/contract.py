"""Every RPC of the contract and what it takes to ask it, from the descriptors: so a new one is here too."""

import copy
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import httpx
from codelab.options.v1 import options_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions

from codelab_client.errors import ApiError

Values = dict[str, Any]
"""A request as JSON with the fields' own names."""

_SENDING = {"content": "Let me in."}
_EVENT = {"run_cancelled": {"reason": "intruder"}}
# A good request of every RPC but for its ids, so that nothing else can be what is wrong with it.
GOOD: dict[str, Values | list[Values]] = {
    "ProjectService.GetCurrentUser": {},
    "ProjectService.CreateProject": {"project": {"name": "Mine"}},
    "ProjectService.ListProjects": {},
    "ProjectService.GetProject": {},
    "ProjectService.UpdateProject": {"project": {"name": "Taken"}, "update_mask": "name"},
    "ProjectService.DeleteProject": {},
    "AgentService.CreateAgent": {"agent": {"name": "Spy"}},
    "AgentService.ListAgents": {},
    "AgentService.GetAgent": {},
    "AgentService.UpdateAgent": {"agent": {"name": "Taken"}, "update_mask": "name"},
    "AgentService.DeleteAgent": {},
    "MemoryService.AddMemory": {"memory": {"content": "Let me in."}},
    "MemoryService.ListMemories": {},
    "MemoryService.GetMemory": {},
    "MemoryService.UpdateMemory": {"memory": {"content": "Taken"}, "update_mask": "content"},
    "MemoryService.DeleteMemory": {},
    "MemoryService.DeleteMemories": {"all": True},
    "MemoryService.ImportMemories": {"memories": [{"memory": {"content": "Let me in."}}]},
    "ToolService.ListTools": {},
    "ToolService.GetToolPolicy": {},
    # Without words: both doors take its numbers alike.
    "ToolService.UpdateToolPolicy": {"policy": {"plan_approval": {"max_tasks": 3}}},
    "ExecutionService.ResolveAgent": {},
    "ExecutionService.Execute": {"run_epoch": 1, "attempt": 1, "instruction": "Let me in."},
    "PlanningService.ProposePlan": {"request": "Let me in.", "max_tasks": 3},
    "PlanningService.ChooseAgent": {"request": "Let me in."},
    "PlanningService.CombineResults": {"request": "Let me in.", "results": [{"title": "A", "output": "In."}]},
    "WorkerSpaceService.CreateWorkerSpace": {},
    "WorkerSpaceService.DeleteWorkerSpace": {},
    "LifecycleService.AdmitProject": {},
    "LifecycleService.DeleteProject": {},
    "SessionService.CreateSession": {"session": {"title": "Mine"}},
    "SessionService.ListSessions": {},
    "SessionService.GetSession": {},
    "SessionService.UpdateSession": {"session": {"title": "Taken"}, "update_mask": "title"},
    "SessionService.DeleteSession": {},
    "SessionService.ListMessages": {},
    "RunService.SendMessage": _SENDING,
    "RunService.StreamMessage": _SENDING,
    "RunService.CreateRun": _SENDING,
    "RunService.ListRuns": {},
    "RunService.GetRun": {},
    "RunService.CancelRun": {},
    "RunService.RetryRun": {},
    "RunService.ListRunEvents": {},
    "ApprovalService.ListApprovals": {},
    "ApprovalService.GetApproval": {},
    "ApprovalService.Approve": {},
    "ApprovalService.Reject": {},
    "EventService.Subscribe": {},
    "EventService.CreateTicket": {},
    "PublishService.Publish": [{"open": {"epoch": 1}}, {"event": {"n": 1, "event": _EVENT}}],
    "PublishService.CloseSessions": {},
}


@dataclass(frozen=True)
class Position:
    """A place of a request that identifies a resource: the way to its field, and of what kind the resource is."""

    path: tuple[str, ...]
    resource: str
    field: FieldDescriptor

    @property
    def optional(self) -> bool:
        """Whether a request is good without it: it filters, or chooses."""
        return self.field.has_presence

    @property
    def takes_names(self) -> bool:
        return not re.fullmatch(r".*_ids?", self.field.name)

    def __str__(self) -> str:
        return ".".join(self.path)


Ids = Mapping[Position, str]


@dataclass(frozen=True)
class Rpc:
    """One RPC."""

    descriptor: MethodDescriptor

    def __str__(self) -> str:
        return f"{self.descriptor.containing_service.name}.{self.descriptor.name}"

    @property
    def service(self) -> str:
        """The service that serves it: `projects`."""
        return self.descriptor.containing_service.file.package.split(".")[1]

    @property
    def internal(self) -> bool:
        rules: options_pb2.MethodRules = self.descriptor.GetOptions().Extensions[options_pb2.method]
        return rules.internal

    @property
    def open(self) -> bool:
        rules: options_pb2.MethodRules = self.descriptor.GetOptions().Extensions[options_pb2.method]
        return rules.open

    @property
    def reads(self) -> bool:
        level: int = self.descriptor.GetOptions().idempotency_level
        return level == MethodOptions.NO_SIDE_EFFECTS

    @property
    def filters(self) -> bool:
        """Whether what it takes beyond its path only chooses among what there is: it then may find nothing."""
        return self.reads or (bool(self.routes) and all(method == "DELETE" for method, _, _ in self.routes))

    @cached_property
    def positions(self) -> list[Position]:
        return list(_positions(self.descriptor.input_type, ()))

    @property
    def routes(self) -> list[tuple[str, str, str]]:
        """HTTP method, template and body of each route."""
        rule = self.descriptor.GetOptions().Extensions[annotations_pb2.http]
        rules = [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []
        return [
            (kind.upper(), getattr(each, kind), each.body) for each in rules if (kind := each.WhichOneof("pattern"))
        ]

    def takes(self, role: str) -> str | None:
        """The field that plays this part, such as `idempotency_key`."""
        for field in self.descriptor.input_type.fields:
            if getattr(field.GetOptions().Extensions[options_pb2.field], role):
                return field.name
        return None

    def requests(self, ids: Ids) -> list[Values]:
        """The good request with these ids: several where the caller streams."""
        good = GOOD[str(self)]
        filled: list[Values] = copy.deepcopy(good if isinstance(good, list) else [good])
        for position, value in ids.items():
            for request in filled:
                *way, last = position.path
                if way and len(filled) > 1 and way[0] not in request:
                    continue
                for name in way:
                    request = request.setdefault(name, {})
                request[last] = [value] if position.field.is_repeated else value
        return filled


def every_rpc() -> list[Rpc]:
    """The contract's RPCs. Fails where GOOD has no request for one."""
    shipped = Path(options_pb2.__file__).parents[2] / "descriptors.binpb"
    files = [file for file in FileDescriptorSet.FromString(shipped.read_bytes()).file if file.service]
    modules = [
        importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        for file in files
        if file.package.startswith("codelab.")
    ]
    every = [
        Rpc(method)
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    # What is open to all holds nothing of anybody's; what passes through is asked for by each of these.
    rpcs = [rpc for rpc in every if not rpc.open]
    unknown = [str(rpc) for rpc in rpcs if str(rpc) not in GOOD]
    assert not unknown, f"give a good request without its ids for {unknown} in GOOD ({__name__})"
    return rpcs


# They name what they tell of, or have no end.
_NOT_ASKED_FOR = {"codelab.orchestrator.v1.Event", "google.protobuf.Struct"}


def _positions(message: Any, way: tuple[str, ...]) -> Iterator[Position]:
    for field in message.fields:
        options = field.GetOptions()
        if field_behavior_pb2.OUTPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]:
            continue
        resource = options.Extensions[options_pb2.field].resource
        if resource:
            yield Position((*way, field.name), resource, field)
        # Lists of messages quote what came before (history, inputs); they are not asked for by id.
        elif field.message_type and not field.is_repeated and field.message_type.full_name not in _NOT_ASKED_FOR:
            yield from _positions(field.message_type, (*way, field.name))


# Asking


@dataclass(frozen=True)
class Answer:
    """What came back, without what differs between any two answers: trace ids, and the ids that were asked for."""

    status: str
    text: str

    @property
    def missing(self) -> bool:
        return self.status in ("NOT_FOUND", "404")


def _plain(text: str, ids: Ids) -> str:
    for position, value in ids.items():
        for form in (value, value.lower()):
            text = text.replace(form, f"<{position.resource}>")
    return text


async def ask_grpc(channel: grpc.aio.Channel, rpc: Rpc, ids: Ids, token: str | None, **more: str) -> Answer:
    """Call; of a stream that begins, the first message stands for all."""
    while True:
        answer = await _ask_once(channel, rpc, ids, token, **more)
        # Not the service's: a client that still writes when its call is refused may lose what it was refused for.
        if not (rpc.descriptor.client_streaming and "Internal error from Core" in answer.text):
            return answer


async def _ask_once(channel: grpc.aio.Channel, rpc: Rpc, ids: Ids, token: str | None, **more: str) -> Answer:
    method = rpc.descriptor
    request_class, response_class = (
        message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type)
    )
    requests = [json_format.ParseDict({**values, **more}, request_class()) for values in rpc.requests(ids)]
    kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    call = getattr(channel, "_".join(kind))(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )(
        iter(requests) if method.client_streaming else requests[0],
        metadata=() if token is None else (("authorization", f"Bearer {token}"),),
        timeout=30,
    )
    try:
        if not method.server_streaming:
            return Answer("OK", _plain(json_format.MessageToJson(await call), ids))
        first = await call.read()
        return Answer("OK", "" if first is grpc.aio.EOF else type(first).__name__)
    except grpc.aio.AioRpcError as error:
        api_error = ApiError.of(error)
        keys = sorted(key for key, _ in error.trailing_metadata() or () if not key.startswith("grpc-"))
        return Answer(error.code().name, _plain(repr((vars(api_error), keys)), ids))
    finally:
        call.cancel()


_VOLATILE_HEADERS = {"date", "content-length", "x-trace-id"}


async def ask_http(http: httpx.AsyncClient, rpc: Rpc, route: tuple[str, str, str], ids: Ids, **more: str) -> Answer:
    """Ask; of a stream that begins, nothing is read."""
    method, template, body_field = route
    [values] = rpc.requests(ids)
    values = {**values, **more}
    values.pop("update_mask", None)
    path = re.sub(r"\{(\w+)\}", lambda found: str(values.pop(found[1])), template)
    content: Any = None
    if body_field == "*":
        content, values = values, {}
    elif body_field:
        content = values.pop(body_field)
    body = {} if content is None else {"json": content}
    async with http.stream(method, path, params=values, **body) as response:
        headers = {name: value for name, value in response.headers.items() if name not in _VOLATILE_HEADERS}
        status, text = str(response.status_code), ""
        if not rpc.descriptor.server_streaming or response.status_code != 200:
            text = (await response.aread()).decode()
    if headers.get("content-type", "").startswith("application/problem+json"):
        text = json.dumps({**json.loads(text), "trace_id": "<trace>"}, sort_keys=True)
    return Answer(status, _plain(f"{sorted(headers.items())} {text}", ids))
