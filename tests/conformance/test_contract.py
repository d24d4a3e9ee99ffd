"""Rules of the contract that buf does not know: who may call an RPC, and what JSON can carry."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from codelab.options.v1 import options_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)

DESCRIPTORS = Path(options_pb2.__file__).parents[2] / "descriptors.binpb"
FILES = [
    file for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file if file.package.startswith("codelab.")
]
METHODS = {
    f"{file.package}.{service.name}.{method.name}": method
    for file in FILES
    for service in file.service
    for method in service.method
}
# JavaScript numbers hold 53 bits; json_format writes these as strings.
INTEGERS_OF_64_BITS = {
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_SINT64,
    FieldDescriptorProto.TYPE_FIXED64,
    FieldDescriptorProto.TYPE_SFIXED64,
}


def _with_nested(prefix: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    name = f"{prefix}.{message.name}"
    yield name, message
    for nested in message.nested_type:
        yield from _with_nested(name, nested)


MESSAGES = {
    name: message
    for file in FILES
    for top in file.message_type
    for name, message in _with_nested(f".{file.package}", top)
}


def _exposures(method: MethodDescriptorProto) -> list[str]:
    rules = method.options.Extensions[options_pb2.method]
    stated = {
        "google.api.http": method.options.HasExtension(annotations_pb2.http),
        "internal": rules.internal,
        "grpc_only": rules.grpc_only,
        "open": rules.open,
    }
    return [name for name, is_stated in stated.items() if is_stated]


PUBLIC = [rpc for rpc, method in METHODS.items() if _exposures(method) != ["internal"]]
OPEN = [rpc for rpc, method in METHODS.items() if _exposures(method) == ["open"]]


def _reachable(name: str, seen: set[str]) -> set[str]:
    """The contract's own messages that `name` is made of, itself included."""
    if name in MESSAGES and name not in seen:
        seen.add(name)
        for field in MESSAGES[name].field:
            _reachable(field.type_name, seen)
    return seen


def _is_safe_to_repeat(method: MethodDescriptorProto) -> bool:
    stated = method.options.idempotency_level in (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
    return stated or method.options.Extensions[annotations_pb2.http].HasField("delete")


def _idempotency_keys(method: MethodDescriptorProto) -> list[FieldDescriptorProto]:
    fields = MESSAGES[method.input_type].field
    return [field for field in fields if field.options.Extensions[options_pb2.field].idempotency_key]


@pytest.mark.parametrize("rpc", METHODS)
def test_rpc_carries_exactly_one_of_http_internal_grpc_only_and_open(rpc: str) -> None:
    assert len(_exposures(METHODS[rpc])) == 1, f"{rpc} carries {_exposures(METHODS[rpc]) or 'none of them'}"


@pytest.mark.parametrize("rpc", PUBLIC)
def test_public_rpc_may_be_repeated_by_its_nature_or_by_a_key_of_its_callers(rpc: str) -> None:
    method = METHODS[rpc]
    keys = _idempotency_keys(method)
    if _is_safe_to_repeat(method):
        assert not keys, f"{rpc} says that it may be repeated anyway"
        return
    assert [key.name for key in keys] == ["request_id"], f"{rpc} creates or sends: it needs a request_id"
    assert keys[0].proto3_optional
    rules = keys[0].options.Extensions[options_pb2.field]
    assert (rules.min_length, rules.max_length) == (1, 128)


@pytest.mark.parametrize("rpc", PUBLIC)
def test_post_to_a_collection_creates_and_takes_a_key(rpc: str) -> None:
    method = METHODS[rpc]
    post = method.options.Extensions[annotations_pb2.http].post
    if post and ":" not in post.rpartition("}")[2]:
        assert _idempotency_keys(method), f"{rpc} is POST {post}, and takes no request_id"


@pytest.mark.parametrize("rpc", PUBLIC)
def test_public_rpc_carries_no_64_bit_integer(rpc: str) -> None:
    method = METHODS[rpc]
    wide = [
        f"{message}.{field.name}"
        for message in _reachable(method.input_type, set()) | _reachable(method.output_type, set())
        for field in MESSAGES[message].field
        if field.type in INTEGERS_OF_64_BITS
    ]
    assert not wide


def _id_fields(message: str) -> Iterator[tuple[str, options_pb2.FieldRules]]:
    """What callers fill that holds ids, by its name or by its own word."""
    for field in MESSAGES[message].field:
        rules = field.options.Extensions[options_pb2.field]
        output_only = field_behavior_pb2.OUTPUT_ONLY in field.options.Extensions[field_behavior_pb2.field_behavior]
        by_name = field.type == field.TYPE_STRING and field.name.removesuffix("s").endswith(("_id", "target_agent"))
        if (by_name and not output_only and not rules.idempotency_key) or rules.resource:
            yield field.name, rules


# Events are told by services and go to readers as they are: their ids are looked up nowhere.
TOLD = _reachable(".codelab.orchestrator.v1.Event", set())
REQUESTS = sorted(set().union(*(_reachable(method.input_type, set()) for method in METHODS.values())) - TOLD)


@pytest.mark.parametrize("request_", [name for name in REQUESTS if any(_id_fields(name))])
def test_every_id_of_a_request_says_which_resource_it_identifies(request_: str) -> None:
    kinds = {name.rpartition(".")[2].lower() for name in MESSAGES}
    for field, rules in _id_fields(request_):
        assert rules.resource in kinds, f"give {request_}.{field} its (codelab.options.v1.field).resource"


def test_nothing_but_the_tunnel_is_open_to_those_without_a_token() -> None:
    assert OPEN == ["codelab.tunnel.v1.TunnelService.Open"]
