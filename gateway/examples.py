"""Examples of messages in JSON: from the contract's own, and from names and rules where it has none."""

import json
import uuid
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from gateway.contract import (
    WELL_KNOWN,
    enum_names,
    is_map,
    is_output_only,
    is_plain_message,
    is_required,
    message_of,
    nullable_fields,
    rules_of,
    rules_of_oneof,
    tag_of,
    tagged_oneof,
)

_F = FieldDescriptor
_MOMENT = "2026-01-31T12:00:00.000Z"
_WELL_KNOWN_EXAMPLES: dict[str, Any] = {
    f"{WELL_KNOWN}Timestamp": _MOMENT,
    f"{WELL_KNOWN}Duration": "1.5s",
    f"{WELL_KNOWN}FieldMask": "",
    f"{WELL_KNOWN}Struct": {},
    f"{WELL_KNOWN}ListValue": [],
    f"{WELL_KNOWN}Value": None,
    f"{WELL_KNOWN}BoolValue": False,
    f"{WELL_KNOWN}Int64Value": "0",
    f"{WELL_KNOWN}UInt64Value": "0",
    f"{WELL_KNOWN}StringValue": "",
    f"{WELL_KNOWN}BytesValue": "",
}
_WIDE = (_F.CPPTYPE_INT64, _F.CPPTYPE_UINT64)


class NoExample(Exception):
    """A value is needed that nothing says how to make up; the text names the field."""


def example_id(kind: str) -> str:
    """The UUID that examples call a resource of this kind by: the same in all of them, so that they fit together."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, kind))


class Answers:
    """Examples of answers, each made up once."""

    def __init__(self) -> None:
        self._made: dict[Descriptor, Any] = {}

    def of(self, message: Descriptor) -> Any:
        """What an answer may hold. A tagged oneof has its first member set: see `variants_of`."""
        if not _is_plain(message):
            return _WELL_KNOWN_EXAMPLES.get(message.full_name, 0)
        if message not in self._made:
            # Inside of itself a message is null.
            self._made[message] = None
            value = self._without_tagged(message)
            oneof = tagged_oneof(message)
            self._made[message] = value if oneof is None else self._variant(value, oneof, oneof.fields[0])
        return self._made[message]

    def variants_of(self, message: Descriptor) -> dict[str, Any]:
        """An answer for each member of the message's tagged oneof, by the member's name; none without such a oneof."""
        oneof = tagged_oneof(message)
        if oneof is None:
            return {}
        base = self._without_tagged(message)
        return {member.name: self._variant(base, oneof, member) for member in oneof.fields}

    def _without_tagged(self, message: Descriptor) -> dict[str, Any]:
        nullable = nullable_fields(message)
        return {
            field.name: self._field(field, field.name in nullable) for field in message.fields if not _is_tagged(field)
        }

    def _variant(self, base: dict[str, Any], oneof: OneofDescriptor, member: FieldDescriptor) -> dict[str, Any]:
        tag = rules_of_oneof(oneof)
        stated = json.loads(rules_of(member).example or "{}")
        value = self.of(member.message_type) if member.message_type is not None else _made_up(member)
        return {**base, tag.type_field: member.name, tag.value_field: value, **stated}

    def _field(self, field: FieldDescriptor, nullable: bool) -> Any:
        rules = rules_of(field)
        if is_map(field):
            return {}
        if rules.example:
            return _listed(field, _stated(field))
        if field.is_repeated:
            element = self.of(field.message_type) if field.message_type is not None else None
            return [] if element is None else [element]
        if nullable and not rules.server_default and not rules.format:
            return None
        return self.of(field.message_type) if field.message_type is not None else _made_up(field)


def request_example(
    message: Descriptor, hidden: frozenset[str] = frozenset(), within: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What a caller may send: all that is required, and what the contract has examples of.

    `within` are the messages it lies in. Raise NoExample if something required has no example and none can be made up.
    """
    value: dict[str, Any] = {}
    for field in message.fields:
        if field.name in hidden or is_output_only(field) or _is_tagged(field):
            continue
        if is_plain_message(field):
            inner_type = message_of(field)
            if inner_type.full_name in within:
                continue
            inner = request_example(inner_type, within=within | {message.full_name})
            if inner or is_required(field):
                value[field.name] = inner
        elif rules_of(field).example:
            value[field.name] = _listed(field, _stated(field))
        elif is_required(field):
            value[field.name] = _listed(field, _made_up(field))
    return value


def parameter_example(field: FieldDescriptor) -> Any:
    """What a path or a query may hold in the field, or None."""
    rules = rules_of(field)
    if rules.example:
        return _listed(field, _stated(field))
    return example_id(rules.resource) if rules.resource and not field.is_repeated else None


def default_of(field: FieldDescriptor) -> Any:
    """What the server takes for a query parameter that is left out, or None if the contract does not say."""
    return _parsed(field, rules_of(field).default) if rules_of(field).default else None


def _is_plain(message: Descriptor) -> bool:
    """Whether the message's JSON is an object of its fields."""
    return not message.full_name.startswith(WELL_KNOWN)


def _is_tagged(field: FieldDescriptor) -> bool:
    return field.containing_oneof is not None and tag_of(field.containing_oneof) is not None


def _listed(field: FieldDescriptor, value: Any) -> Any:
    return [value] if field.is_repeated else value


def _stated(field: FieldDescriptor) -> Any:
    return _parsed(field, rules_of(field).example)


def _parsed(field: FieldDescriptor, text: str) -> Any:
    textual = field.cpp_type == _F.CPPTYPE_STRING or field.enum_type is not None
    moment = field.message_type is not None and field.message_type.full_name in (
        f"{WELL_KNOWN}Timestamp",
        f"{WELL_KNOWN}Duration",
    )
    return text if textual or moment else json.loads(text)


def _made_up(field: FieldDescriptor) -> Any:
    rules = rules_of(field)
    if field.message_type is not None:
        # A required Struct or Timestamp.
        return _WELL_KNOWN_EXAMPLES.get(field.message_type.full_name, 0)
    if field.enum_type is not None:
        return _first(field.enum_type)
    if field.cpp_type == _F.CPPTYPE_BOOL:
        return False
    if field.cpp_type == _F.CPPTYPE_STRING:
        return _text(field)
    least = rules.minimum if rules.HasField("minimum") else 0.0
    most = rules.maximum if rules.HasField("maximum") else least
    number = min(max(0.0, least), max(most, least))
    if field.cpp_type in _WIDE:
        return str(int(number))
    return number if field.cpp_type in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT) else int(number)


def _text(field: FieldDescriptor) -> str:
    rules = rules_of(field)
    if rules.uuid or rules.resource or rules.format == "uuid":
        return example_id(rules.resource or _kind(field))
    if not is_required(field) and not rules.min_length:
        return ""
    text = field.name.replace("_", " ")[: rules.max_length or None]
    if len(text) < rules.min_length:
        raise NoExample(field.full_name)
    return text


def _kind(field: FieldDescriptor) -> str:
    """What a UUID is of: `robot_id` is a robot's; `id` is its message's own."""
    if field.name == "id" and field.containing_type is not None:
        return field.containing_type.name.lower()
    return field.name.removesuffix("_id")


def _first(enum: EnumDescriptor) -> str:
    return next((name for name in enum_names(enum).values() if name is not None), "")
