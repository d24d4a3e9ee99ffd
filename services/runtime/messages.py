"""Between protobuf and Python's own types."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

if TYPE_CHECKING:
    # What the stubs call a generated message's descriptors; at run time it is all one.
    from google._upb import _message as upb

    AnyDescriptor = Descriptor | upb.Descriptor
    AnyField = FieldDescriptor | upb.FieldDescriptor
    AnyEnum = EnumDescriptor | upb.EnumDescriptor

# Seconds since 1970 of the years 1 and 10000.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_800
# Beyond it, not every whole number is a double.
_LARGEST_EXACT = 2**53


def timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp."""
    result = Timestamp()
    result.FromDatetime(moment)
    return result


def is_moment(timestamp: Timestamp) -> bool:
    """Whether it is one by its own definition: in the years 1 to 9999, and less than a second beyond its second."""
    return _EARLIEST <= timestamp.seconds < _LATEST and 0 <= timestamp.nanos < 1_000_000_000


def moment(timestamp: Timestamp) -> datetime:
    """The inverse of `timestamp`, to the microsecond. Raise ValueError if it is no moment."""
    # Its own conversion to a datetime fails for some years with other errors.
    if not is_moment(timestamp):
        raise ValueError(timestamp)
    return timestamp.ToDatetime(UTC)


def fill(message: Message, values: Mapping[str, Any]) -> None:
    """Set fields of `message` by name from plain values: enums in lower case without prefix, moments as datetime or
    RFC 3339 text, messages as mappings. None leaves a field unset."""
    for name, value in values.items():
        if value is None:
            continue
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            target = getattr(message, name)
            if field.message_type is None:
                target.extend(_scalar(field, each) for each in value)
            else:
                for each in value:
                    _fill_message(target.add(), each)
        elif field.message_type is None:
            setattr(message, name, _scalar(field, value))
        else:
            nested = getattr(message, name)
            nested.SetInParent()
            _fill_message(nested, value)


def plain(message: Message) -> dict[str, Any]:
    """The inverse of `fill`: every field by name, None where an optional one or a message is unset."""
    return {field.name: _plain_field(message, field) for field in message.DESCRIPTOR.fields}


def json_object(struct: Struct) -> dict[str, Any]:
    """A Struct as JSON has it: numbers that are whole are ints, which a Struct does not know."""
    value: dict[str, Any] = _whole(json_format.MessageToDict(struct))
    return value


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) <= _LARGEST_EXACT:
            return int(value)
        case dict():
            return {key: _whole(each) for key, each in value.items()}
        case list():
            return [_whole(each) for each in value]
    return value


def enum_word(field: "AnyField", number: int) -> str:
    """The contract's word for an enum value: `AGENT_STATUS_READY` is `ready`."""
    return _words(field.enum_type)[number]


def _fill_message(message: Message, value: Any) -> None:
    if isinstance(message, Timestamp):
        message.FromDatetime(value) if isinstance(value, datetime) else message.FromJsonString(value)
    elif isinstance(message, Struct):
        message.update(value)
    else:
        fill(message, value)


def _scalar(field: "AnyField", value: Any) -> Any:
    return _numbers(field.enum_type)[value] if field.enum_type is not None else value


def _plain_field(message: Message, field: "AnyField") -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_plain_value(field, each) for each in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain_value(field, value)


def _plain_value(field: "AnyField", value: Any) -> Any:
    if field.enum_type is not None:
        return enum_word(field, value)
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Struct):
        return json_format.MessageToDict(value)
    return plain(value) if isinstance(value, Message) else value


@cache
def _words(enum: "AnyEnum") -> dict[int, str]:
    prefix = f"{re.sub(r'(?<!^)(?=[A-Z])', '_', enum.name).upper()}_"
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


@cache
def _numbers(enum: "AnyEnum") -> dict[str, int]:
    return {word: number for number, word in _words(enum).items()}
