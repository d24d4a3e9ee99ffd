"""Messages to JSON values, by encoders compiled once per descriptor.

The rules: proto names; every field present; null for what is unset and has presence; enums lower-case; timestamps in
UTC with milliseconds; Struct as plain JSON; tagged oneofs flattened. 64-bit integers are strings, as in ProtoJSON.
"""

import base64
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

from gateway.contract import WELL_KNOWN, enum_names, is_map, message_of, optional_fields, tag_of

Encode = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDE_INTEGERS = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
# Values of these types, when unset, are empty rather than absent: a Struct is a plain object for its readers.
_EMPTY_WHEN_UNSET = {f"{WELL_KNOWN}Struct": "{}", f"{WELL_KNOWN}ListValue": "[]"}


class Encoders:
    """Encoders by message type, each compiled on first use."""

    def __init__(self) -> None:
        self._compiled: dict[Descriptor, Encode] = {}

    def of(self, message: Descriptor) -> Encode:
        """The function from a message of this type to its JSON value."""
        known = self._compiled.get(message)
        if known is not None:
            return known
        special = _WELL_KNOWN_ENCODERS.get(message.full_name)
        if special is not None:
            self._compiled[message] = special
            return special

        # A type may contain itself: whoever asks while it is being compiled gets a way to the finished encoder.
        def later(value: Any) -> Any:
            return self._compiled[message](value)

        self._compiled[message] = later
        encode = self._compile(message)
        self._compiled[message] = encode
        return encode

    def _compile(self, message: Descriptor) -> Encode:
        """One dict literal, written as source: a loop over the fields takes twice as long, and events are many."""
        optional = optional_fields(message)
        names: dict[str, Any] = {}
        items: list[str] = []
        tags: dict[str, str] = {}
        for field in message.fields:
            oneof = field.containing_oneof
            tag = tag_of(oneof) if oneof is not None else None
            if oneof is not None and tag is not None:
                if oneof.name not in tags:
                    tags[oneof.name] = self._tag(oneof, tag.type_field, tag.value_field, names)
            else:
                nullable = field.name in optional or oneof is not None
                items.append(f"{field.name!r}: {self._field(field, nullable, names)}")
        exec(f"def encode(m):\n    return {{{', '.join([*items, *tags.values()])}}}", names)
        encode: Encode = names["encode"]
        return encode

    def _tag(self, oneof: OneofDescriptor, type_field: str, value_field: str, names: dict[str, Any]) -> str:
        """The source of a flattened oneof's two items."""
        encoders = _named({member.name: self._value(member) or _same for member in oneof.fields}, names)
        value = f"{encoders}[chosen](getattr(m, chosen)) if chosen is not None else None"
        return f"{type_field!r}: (chosen := m.WhichOneof({oneof.name!r})), {value_field!r}: {value}"

    def _field(self, field: FieldDescriptor, nullable: bool, names: dict[str, Any]) -> str:
        """The source of a field's JSON value. What it calls is added to `names`."""
        # Not as an attribute: a field may have the name of a keyword.
        read = f"getattr(m, {field.name!r})"
        if is_map(field):
            return f"{_named(self._map(field), names)}({read})"
        encode = self._value(field)
        if field.is_repeated:
            return f"list({read})" if encode is None else f"[{_named(encode, names)}(each) for each in {read}]"
        value = read if encode is None else f"{_named(encode, names)}({read})"
        unset = "None"
        if not nullable:
            if field.message_type is None:
                return value
            unset = _EMPTY_WHEN_UNSET.get(field.message_type.full_name, unset)
        return f"{value} if m.HasField({field.name!r}) else {unset}"

    def _map(self, field: FieldDescriptor) -> Encode:
        entry = message_of(field)
        encode = self._value(entry.fields_by_name["value"]) or _same
        if entry.fields_by_name["key"].type == FieldDescriptor.TYPE_BOOL:
            return lambda value: {("true" if key else "false"): encode(item) for key, item in value.items()}
        return lambda value: {str(key): encode(item) for key, item in value.items()}

    def _value(self, field: FieldDescriptor) -> Encode | None:
        """The encoder of one value of a field; None if the Python value is the JSON value."""
        if field.message_type is not None:
            return self.of(field.message_type)
        if field.enum_type is not None:
            names = enum_names(field.enum_type)
            # A number that this enum does not know comes from a newer contract: show it rather than lose it.
            return lambda number: names.get(number, number)
        if field.type in _WIDE_INTEGERS:
            return str
        if field.type == FieldDescriptor.TYPE_FLOAT:
            return _shortest_float
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value: base64.b64encode(value).decode("ascii")
        return None


def _named(value: Any, names: dict[str, Any]) -> str:
    """Give a value a name that source can use."""
    name = f"_{len(names)}"
    names[name] = value
    return name


def _same(value: Any) -> Any:
    return value


def _shortest_float(value: float) -> float:
    """The shortest decimal that is the same 32-bit float: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return value
    for precision in (6, 7, 8):
        short = float(f"{value:.{precision}g}")
        if _as_float32(short) == value:
            return short
    return float(f"{value:.9g}")


def _as_float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _timestamp(value: Any) -> str:
    seconds, milliseconds = divmod(value.seconds * 1_000 + value.nanos // 1_000_000, 1_000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """What events are written for comes many times a second."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")[:19]


def _duration(value: Any) -> str:
    nanos = value.seconds * 1_000_000_000 + value.nanos
    sign = "-" if nanos < 0 else ""
    seconds, rest = divmod(abs(nanos), 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}s"


def _struct(value: Any) -> dict[str, Any]:
    return {key: _json_value(item) for key, item in value.fields.items()}


def _list_value(value: Any) -> list[Any]:
    return [_json_value(item) for item in value.values]


def _json_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= 2**53 else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return _list_value(value.list_value)
    return None


def _wrapped(value: Any) -> Any:
    return value.value


_WELL_KNOWN_ENCODERS: dict[str, Encode] = {
    f"{WELL_KNOWN}Timestamp": _timestamp,
    f"{WELL_KNOWN}Duration": _duration,
    f"{WELL_KNOWN}FieldMask": lambda value: ",".join(value.paths),
    f"{WELL_KNOWN}Struct": _struct,
    f"{WELL_KNOWN}ListValue": _list_value,
    f"{WELL_KNOWN}Value": _json_value,
    f"{WELL_KNOWN}BoolValue": _wrapped,
    f"{WELL_KNOWN}StringValue": _wrapped,
    f"{WELL_KNOWN}Int32Value": _wrapped,
    f"{WELL_KNOWN}UInt32Value": _wrapped,
    f"{WELL_KNOWN}DoubleValue": _wrapped,
    f"{WELL_KNOWN}FloatValue": lambda value: _shortest_float(value.value),
    f"{WELL_KNOWN}Int64Value": lambda value: str(value.value),
    f"{WELL_KNOWN}UInt64Value": lambda value: str(value.value),
    f"{WELL_KNOWN}BytesValue": lambda value: base64.b64encode(value.value).decode("ascii"),
}
