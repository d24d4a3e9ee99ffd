"""What descriptors say: which RPCs have HTTP bindings, and the facts of fields that the mapping needs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codelab.options.v1 import options_pb2
from google.api import annotations_pb2, field_behavior_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    OneofDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.templates import Template, TemplateError, parse

FIELD_MASK = "google.protobuf.FieldMask"
WELL_KNOWN = "google.protobuf."

_NO_FIELD_RULES = options_pb2.FieldRules()
_STANDARD_METHODS = ("get", "put", "post", "delete", "patch")


class ContractError(Exception):
    """An annotation cannot be served; the text names the RPC and what is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Rpc:
    """One RPC, ready to be called: its path on the wire and its message classes."""

    path: str
    method: MethodDescriptor
    request: type[Message]
    response: type[Message]
    success_status: int
    streaming: bool
    reads_only: bool

    @property
    def name(self) -> str:
        return self.method.full_name

    @property
    def service(self) -> str:
        return self.method.containing_service.full_name


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One HTTP binding of an RPC. `body` is empty, `*` or a field; `response_body` is empty or a field."""

    rpc: Rpc
    method: str
    template: Template
    body: str
    response_body: str
    primary: bool

    def __str__(self) -> str:
        return self.rpc.name

    @property
    def request_body(self) -> FieldDescriptor | None:
        """The field that the HTTP body fills, if it fills just one."""
        return self.rpc.method.input_type.fields_by_name[self.body] if self.body not in ("", "*") else None

    @property
    def response_field(self) -> FieldDescriptor | None:
        """The field that the HTTP answer shows, if it shows just one."""
        return self.rpc.method.output_type.fields_by_name[self.response_body] if self.response_body else None

    @property
    def shown(self) -> Descriptor:
        """The message that the HTTP answer shows."""
        field = self.response_field
        return self.rpc.method.output_type if field is None else message_of(field)


def bindings_of(service: ServiceDescriptor) -> Iterator[Binding]:
    """Yield the HTTP bindings of a service. Raise ContractError if one cannot be served."""
    for method in service.methods:
        options = method.GetOptions()
        rules = options.Extensions[options_pb2.method]
        # The stubs of googleapis type extensions for another version of protobuf's.
        rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]
        if rules.internal or rules.grpc_only or rule.WhichOneof("pattern") is None:
            continue
        if method.client_streaming:
            raise ContractError(f"{method.full_name} streams requests, which HTTP cannot: remove its HTTP annotation")
        rpc = Rpc(
            path=f"/{service.full_name}/{method.name}",
            method=method,
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            success_status=rules.success_status or 200,
            streaming=method.server_streaming,
            reads_only=options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS,
        )
        yield _binding(rpc, rule, primary=True)
        for additional in rule.additional_bindings:
            yield _binding(rpc, additional, primary=False)


def _binding(rpc: Rpc, rule: http_pb2.HttpRule, *, primary: bool) -> Binding:
    kind = rule.WhichOneof("pattern")
    if kind in _STANDARD_METHODS:
        method, text = kind.upper(), getattr(rule, kind)
    elif kind == "custom":
        method, text = rule.custom.kind, rule.custom.path
    else:
        raise ContractError(f"{rpc.name} has an HTTP binding without a method")
    try:
        template = parse(text)
    except TemplateError as error:
        raise ContractError(f"{rpc.name}: {error}") from error
    request, response = rpc.method.input_type, rpc.method.output_type
    for variable in template.variables:
        field = field_at(request, variable.field_path)
        if field is None or field.is_repeated or field.message_type is not None:
            raise ContractError(f"{rpc.name}: {text!r} binds {variable.field_path!r}, which is no single scalar field")
    if rule.body not in ("", "*") and rule.body not in request.fields_by_name:
        raise ContractError(f"{rpc.name}: its body {rule.body!r} is not a field of {request.full_name}")
    shown = response.fields_by_name.get(rule.response_body)
    if rule.response_body and (shown is None or shown.is_repeated or shown.message_type is None):
        raise ContractError(f"{rpc.name}: its response_body {rule.response_body!r} is not one message")
    return Binding(rpc, method, template, rule.body, rule.response_body, primary)


def field_at(message: Descriptor, path: str) -> FieldDescriptor | None:
    """The field at a dotted path of proto names, or None."""
    field: FieldDescriptor | None = None
    current: Descriptor | None = message
    for name in path.split("."):
        field = current.fields_by_name.get(name) if current is not None else None
        if field is None:
            return None
        current = None if field.is_repeated else field.message_type
    return field


def rules_of(field: FieldDescriptor) -> options_pb2.FieldRules:
    """What codelab.options.v1 says of a field."""
    return field.GetOptions().Extensions[options_pb2.field] if field.has_options else _NO_FIELD_RULES


def errors_of(method: MethodDescriptor) -> Iterable[options_pb2.ErrorRule]:
    """How the contract says that an RPC can fail."""
    rules: options_pb2.MethodRules = method.GetOptions().Extensions[options_pb2.method]
    return rules.errors


def behaviors_of(field: FieldDescriptor) -> Iterable[int]:
    """The google.api.field_behavior values of a field."""
    if not field.has_options:
        return ()
    behaviors: Iterable[int] = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return behaviors


def is_output_only(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.OUTPUT_ONLY in behaviors_of(field)


def is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in behaviors_of(field)


def field_with(message: Descriptor, role: str) -> FieldDescriptor | None:
    """The field of a message that plays a boolean role of FieldRules, such as `cursor`; None if none does."""
    return next((field for field in message.fields if getattr(rules_of(field), role)), None)


def rules_of_oneof(oneof: OneofDescriptor) -> options_pb2.OneofRules:
    """What codelab.options.v1 says of a oneof."""
    return oneof.GetOptions().Extensions[options_pb2.oneof]


def tag_of(oneof: OneofDescriptor) -> options_pb2.OneofRules | None:
    """How a oneof is flattened in JSON, or None if its members are plain fields."""
    rules = rules_of_oneof(oneof)
    return rules if rules.type_field and rules.value_field else None


def tagged_oneof(message: Descriptor) -> OneofDescriptor | None:
    """The first oneof of a message that JSON flattens."""
    return next((oneof for oneof in message.oneofs if tag_of(oneof) is not None), None)


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one."""
    assert field.message_type is not None
    return field.message_type


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_plain_message(field: FieldDescriptor) -> bool:
    """Whether a field holds one message whose JSON is an object of its fields (no Timestamp, Struct and the like)."""
    return (
        field.message_type is not None
        and not field.is_repeated
        and not field.message_type.full_name.startswith(WELL_KNOWN)
    )


def optional_fields(message: Descriptor) -> frozenset[str]:
    """Names of the fields declared `optional`: those that JSON may write, and clear, as null."""
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    return frozenset(field.name for field in proto.field if field.proto3_optional)


def nullable_fields(message: Descriptor) -> frozenset[str]:
    """Names of the fields that null is a value of: those that are `optional`, and the members of real oneofs."""
    members = (field.name for field in message.fields if field.containing_oneof is not None)
    return optional_fields(message) | frozenset(members)


def is_nullable(field: FieldDescriptor) -> bool:
    """Whether null is a value of the field on input."""
    return field.containing_type is not None and field.name in nullable_fields(field.containing_type)


def enum_names(enum: EnumDescriptor) -> dict[int, str | None]:
    """JSON names of an enum's values by number: lower-case, without the type's prefix; the zero value is None."""
    prefix = _upper_snake(enum.name) + "_"
    names: dict[int, str | None] = {}
    for value in enum.values:
        unspecified = value.number == 0 and value.name.endswith("UNSPECIFIED")
        names.setdefault(value.number, None if unspecified else value.name.removeprefix(prefix).lower())
    return names


def _upper_snake(name: str) -> str:
    """`AgentStatus` -> `AGENT_STATUS`, as buf's ENUM_VALUE_PREFIX writes it."""
    out: list[str] = []
    for index, letter in enumerate(name):
        after_lower = index > 0 and not name[index - 1].isupper()
        before_lower = index > 0 and index + 1 < len(name) and name[index + 1].islower()
        if letter.isupper() and index > 0 and (after_lower or before_lower):
            out.append("_")
        out.append(letter.upper())
    return "".join(out)
