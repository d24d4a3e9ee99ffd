"""Answers' JSON: our rules, and agreement with protobuf's own JSON where the rules coincide."""

import random
from typing import Any

import orjson
import pytest
from google.protobuf import descriptor_pb2, json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from gateway.contract import is_map
from gateway.decode import Decoders
from gateway.encode import Encoders
from gateway.faults import Faults
from gateway.site import shipped_descriptors
from tests.gateway.garden import pool_for

TEXTS = ["", "a", 'é\u2028\n"\\', "😀", "\x00", "a" * 300]


@pytest.fixture(scope="module")
def contract_pool() -> DescriptorPool:
    return pool_for(shipped_descriptors())


def filled(message: Any, rng: random.Random, depth: int = 0) -> Any:
    """`message` with random values in a random part of its fields."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds, message.nanos = rng.randrange(-(10**10), 10**11), rng.randrange(1000) * 1_000_000
    elif name == "google.protobuf.Struct":
        message.update({"a": rng.choice([1, 1.5, None, True, "x", {"b": [1, {}]}]), "é": []})
    else:
        for field in message.DESCRIPTOR.fields:
            if rng.random() < 0.6 and depth < 4:
                fill_field(message, field, rng, depth)
    return message


def fill_field(message: Any, field: FieldDescriptor, rng: random.Random, depth: int) -> None:
    if is_map(field):
        for key in ("a", "b"):
            getattr(message, field.name)[key] = rng.randrange(9)
    elif field.message_type is not None:
        targets = [getattr(message, field.name)]
        if field.is_repeated:
            targets = [targets[0].add() for _ in range(rng.randrange(3))]
        for target in targets:
            target.SetInParent()
            filled(target, rng, depth + 1)
    elif field.is_repeated:
        getattr(message, field.name).extend(scalar(field, rng) for _ in range(rng.randrange(3)))
    else:
        setattr(message, field.name, scalar(field, rng))


def scalar(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.enum_type is not None:
        return rng.choice([value.number for value in field.enum_type.values if value.number])
    if field.cpp_type == field.CPPTYPE_STRING:
        return rng.choice(TEXTS)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == field.CPPTYPE_DOUBLE:
        return rng.choice([0.0, 1.5, -1e-7, 1e300, 3.0])
    return rng.randrange(0, 2**31 - 1)


def reference(message: Any, value: Any, descriptor: Descriptor) -> Any:
    """json_format's value of a message, brought to our rules."""
    out: dict[str, Any] = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in ("payload", "what"):
            if message.WhichOneof(oneof.name) != field.name:
                continue
            type_key, value_key = ("type", "payload") if oneof.name == "payload" else ("kind", "data")
            out[type_key], out[value_key] = field.name, refined(message, field, value)
        elif field.name in value:
            out[field.name] = refined(message, field, value)
        else:
            struct = field.message_type is not None and field.message_type.full_name.endswith(".Struct")
            out[field.name] = {} if struct and not (oneof is not None) else None
    for oneof in descriptor.oneofs:
        if oneof.name in ("payload", "what") and message.WhichOneof(oneof.name) is None:
            out |= {"type": None, "payload": None} if oneof.name == "payload" else {"kind": None, "data": None}
    return out


def refined(message: Any, field: FieldDescriptor, value: Any) -> Any:
    mine, theirs = getattr(message, field.name), value[field.name]
    if is_map(field):
        return theirs
    if field.enum_type is not None:
        prefix = {v.name: None if v.number == 0 else v.name.lower() for v in field.enum_type.values}
        cut = len(field.enum_type.values[0].name) - len("UNSPECIFIED")

        def named(name: str) -> str | None:
            return None if prefix[name] is None else name[cut:].lower()

        return [named(each) for each in theirs] if field.is_repeated else named(theirs)
    if field.message_type is None or field.message_type.full_name == "google.protobuf.Struct":
        return theirs
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return theirs if "." in theirs else theirs.replace("Z", ".000Z")
    if field.is_repeated:
        return [reference(a, b, field.message_type) for a, b in zip(mine, theirs, strict=True)]
    return reference(mine, theirs, field.message_type)


@pytest.mark.parametrize(
    "name", ["orchestrator.v1.Event", "orchestrator.v1.Run", "agents.v1.Agent", "projects.v1.ListProjectsResponse"]
)
def test_encoder_agrees_with_json_format_on_the_contract(contract_pool: DescriptorPool, name: str) -> None:
    agree(contract_pool.FindMessageTypeByName(f"codelab.{name}"), seed=7)


@pytest.mark.parametrize("name", ["Plant", "Event", "ListPlantsRequest"])
def test_encoder_agrees_with_json_format_on_the_garden(garden_pool: DescriptorPool, name: str) -> None:
    agree(garden_pool.FindMessageTypeByName(f"acme.garden.v1.{name}"), seed=11)


def agree(descriptor: Descriptor, seed: int) -> None:
    rng = random.Random(seed)
    encode = Encoders().of(descriptor)
    for _ in range(150):
        message = filled(GetMessageClass(descriptor)(), rng)
        theirs = json_format.MessageToDict(
            message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
        )
        assert orjson.loads(orjson.dumps(encode(message))) == reference(message, theirs, descriptor)


def test_what_is_encoded_decodes_to_the_same_message(garden_pool: DescriptorPool) -> None:
    rng = random.Random(3)
    descriptor = garden_pool.FindMessageTypeByName("acme.garden.v1.Plant")
    kind = GetMessageClass(descriptor)
    encode, decoders = Encoders().of(descriptor), Decoders()
    for _ in range(150):
        message = filled(kind(), rng)
        # What is only an answer does not come back, and null says nothing of what is not optional.
        message.ClearField("id")
        message.ClearField("planted_at")
        value = {key: item for key, item in encode(message).items() if item is not None}
        care = value.get("care")
        while care is not None:
            following = care["summer"]
            if following is None:
                del care["summer"]
            care = following
        again, faults = kind(), Faults()
        if not message.HasField("extra"):
            value.pop("extra")
        decoders.fill(again, value, "", faults)
        assert not faults.found
        assert again == message


def test_timestamps_have_milliseconds_and_are_cut_not_rounded(garden_pool: DescriptorPool) -> None:
    plant = GetMessageClass(garden_pool.FindMessageTypeByName("acme.garden.v1.Plant"))()
    encode = Encoders().of(plant.DESCRIPTOR)
    for seconds, nanos, text in [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (1, 999_999_999, "1970-01-01T00:00:01.999Z"),
        (-1, 500_000_000, "1969-12-31T23:59:59.500Z"),
        (253402300799, 0, "9999-12-31T23:59:59.000Z"),
        (-62135596800, 0, "0001-01-01T00:00:00.000Z"),
    ]:
        plant.planted_at.seconds, plant.planted_at.nanos = seconds, nanos
        assert encode(plant)["planted_at"] == text


def test_unspecified_enum_is_null(garden_pool: DescriptorPool) -> None:
    kind = GetMessageClass(garden_pool.FindMessageTypeByName("acme.garden.v1.Plant"))
    encode = Encoders().of(kind.DESCRIPTOR)
    assert encode(kind())["light"] is None
    assert encode(kind(light=1, lights=[2, 1]))["light"] == "full_sun"
    assert encode(kind(light=1, lights=[2, 1]))["lights"] == ["shade", "full_sun"]


def test_fields_with_names_of_python_are_written() -> None:
    names = ["class", "m", "encode", "chosen", "list", "_0"]
    file = descriptor_pb2.FileDescriptorProto(name="words.proto", syntax="proto3")
    words = file.message_type.add(name="Words")
    for number, name in enumerate(names, 1):
        words.field.add(name=name, number=number, type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64)
    pool = DescriptorPool()
    pool.Add(file)
    kind = GetMessageClass(pool.FindMessageTypeByName("Words"))
    assert Encoders().of(kind.DESCRIPTOR)(kind(**dict.fromkeys(names, 7))) == dict.fromkeys(names, "7")
