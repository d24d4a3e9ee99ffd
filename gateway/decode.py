"""JSON values to messages, by decoders compiled once per descriptor.

Unknown fields are refused by name, output-only ones ignored whatever they hold; `null` clears an optional field and is
refused elsewhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from gateway.contract import (
    WELL_KNOWN,
    is_map,
    is_nullable,
    is_output_only,
    is_plain_message,
    message_of,
    tag_of,
)
from gateway.faults import Faults, Refused, WrongType, shortened
from gateway.scalars import json_parser, parse_duration, parse_number, parse_timestamp, text_parser

# (message that holds the field, JSON value, path of the value, faults)
Setter = Callable[[Message, Any, str, Faults], None]
# (message to fill, JSON value, path of the value, faults)
Filler = Callable[[Any, Any, str, Faults], None]

_NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Fields:
    """What a message takes: a setter by JSON key, and what reads the two keys of a tagged oneof together."""

    setters: dict[str, Setter] = field(default_factory=dict)
    tags: list[Setter] = field(default_factory=list)

    def taken(self, hidden: frozenset[str]) -> Iterator[str]:
        """The keys that are not for nothing, in the contract's order."""
        return (key for key, setter in self.setters.items() if setter is not _ignore and key not in hidden)


class Decoders:
    """Decoders by message type, each compiled on first use."""

    def __init__(self) -> None:
        self._compiled: dict[Descriptor, _Fields] = {}

    def fill(self, message: Message, value: Any, path: str, faults: Faults, hidden: frozenset[str] = _NOTHING) -> None:
        """Fill a message from the JSON object at `path`, noting what is wrong. Keys in `hidden` count as unknown."""
        if not isinstance(value, dict):
            faults.wrong_type(path, "an object")
            return
        fields = self._of(message)
        prefix = f"{shortened(path)}." if path else ""
        for key, item in value.items():
            setter = fields.setters.get(key)
            if setter is None or key in hidden:
                faults.unknown(f"{prefix}{key}", fields.taken(hidden))
            else:
                setter(message, item, f"{prefix}{key}", faults)
        for tag in fields.tags:
            tag(message, value, prefix, faults)

    def set(self, message: Message, name: str, value: Any, path: str, faults: Faults) -> None:
        """Set one field of a message from the JSON value at `path`."""
        self._of(message).setters[name](message, value, path, faults)

    def _of(self, message: Message) -> _Fields:
        descriptor: Any = message.DESCRIPTOR
        known = self._compiled.get(descriptor)
        if known is None:
            # Setters look nested types up when they run, so a type may contain itself.
            known = self._compiled[descriptor] = self._compile(descriptor)
        return known

    def _compile(self, message: Descriptor) -> _Fields:
        fields = _Fields()
        for oneof in message.oneofs:
            tag = tag_of(oneof)
            if tag is not None:
                fields.setters[tag.type_field] = fields.setters[tag.value_field] = _leave_to_tag
                fields.tags.append(self._tag(oneof, tag.type_field, tag.value_field))
        for each in message.fields:
            if each.containing_oneof is None or tag_of(each.containing_oneof) is None:
                fields.setters[each.name] = self._setter(each)
        return fields

    def _setter(self, field: FieldDescriptor) -> Setter:
        if is_output_only(field):
            return _ignore
        if is_map(field):
            return _not_null(self._map(field))
        if field.is_repeated:
            return _not_null(self._repeated(field))
        name = field.name
        set_value = self._single(field)
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            set_value = _exclusive(oneof.name, name, set_value)
        if is_nullable(field):
            return _nullable(name, set_value)
        # JSON null is a value to google.protobuf.Value.
        return set_value if _takes_null(field) else _not_null(set_value)

    def _single(self, field: FieldDescriptor) -> Setter:
        name = field.name
        if field.message_type is not None:
            fill = self._filler(field.message_type)

            def set_message(message: Message, value: Any, path: str, faults: Faults) -> None:
                inner = getattr(message, name)
                inner.SetInParent()
                fill(inner, value, path, faults)

            return set_message
        parse = json_parser(field)

        def set_scalar(message: Message, value: Any, path: str, faults: Faults) -> None:
            try:
                setattr(message, name, parse(value))
            except WrongType as error:
                faults.wrong_type(path, str(error))
            except Refused as error:
                faults.refused(path, str(error))

        return set_scalar

    def _repeated(self, field: FieldDescriptor) -> Setter:
        name = field.name
        if field.message_type is not None:
            fill = self._filler(field.message_type)
            takes_null = _takes_null(field)

            def set_messages(message: Message, value: Any, path: str, faults: Faults) -> None:
                if not isinstance(value, list):
                    faults.wrong_type(path, "an array")
                    return
                target = getattr(message, name)
                for index, item in enumerate(value):
                    if item is None and not takes_null:
                        faults.refused(f"{path}[{index}]", "must not be null")
                    else:
                        fill(target.add(), item, f"{path}[{index}]", faults)

            return set_messages
        parse = json_parser(field)

        def set_scalars(message: Message, value: Any, path: str, faults: Faults) -> None:
            if not isinstance(value, list):
                faults.wrong_type(path, "an array")
                return
            target = getattr(message, name)
            for index, item in enumerate(value):
                try:
                    if item is None:
                        raise Refused("must not be null")
                    target.append(parse(item))
                except WrongType as error:
                    faults.wrong_type(f"{path}[{index}]", str(error))
                except Refused as error:
                    faults.refused(f"{path}[{index}]", str(error))

        return set_scalars

    def _map(self, field: FieldDescriptor) -> Setter:
        name = field.name
        key_field, value_field = (message_of(field).fields_by_name[part] for part in ("key", "value"))
        parse_key = text_parser(key_field)
        fill = self._filler(value_field.message_type) if value_field.message_type is not None else None
        parse_value = None if fill is not None else json_parser(value_field)

        def set_map(message: Message, value: Any, path: str, faults: Faults) -> None:
            if not isinstance(value, dict):
                faults.wrong_type(path, "an object")
                return
            target = getattr(message, name)
            for text, item in value.items():
                try:
                    key = parse_key(text)
                    if item is None and not _takes_null(value_field):
                        raise Refused("must not be null")
                    if fill is not None:
                        fill(target[key], item, f"{path}.{text}", faults)
                    elif parse_value is not None:
                        target[key] = parse_value(item)
                except WrongType as error:
                    faults.wrong_type(f"{path}.{text}", str(error))
                except Refused as error:
                    faults.refused(f"{path}.{text}", str(error))

        return set_map

    def _tag(self, oneof: OneofDescriptor, type_key: str, value_key: str) -> Setter:
        members = {member.name: self._single(member) for member in oneof.fields}
        choices = ", ".join(members)

        def set_member(message: Message, value: Any, prefix: str, faults: Faults) -> None:
            chosen = value.get(type_key)
            if chosen is None:
                if value.get(value_key) is not None:
                    faults.refused(f"{prefix}{type_key}", f"is required with {value_key}")
            elif not isinstance(chosen, str):
                faults.wrong_type(f"{prefix}{type_key}", "a string")
            elif chosen not in members:
                faults.refused(f"{prefix}{type_key}", f"must be one of: {choices}")
            elif value.get(value_key) is None:
                faults.refused(f"{prefix}{value_key}", f"is required with {type_key}")
            else:
                members[chosen](message, value[value_key], f"{prefix}{value_key}", faults)

        return set_member

    def _filler(self, message: Descriptor) -> Filler:
        known = _WELL_KNOWN_FILLERS.get(message.full_name)
        return known if known is not None else self.fill


def mask_paths(message: Descriptor, value: Any) -> list[str]:
    """The field paths that a JSON object names: nested messages deep, everything else whole, output-only left out."""
    return list(_mask(message, value, ""))


def _mask(message: Descriptor, value: Any, prefix: str) -> list[str]:
    paths: list[str] = []
    if not isinstance(value, dict):
        return paths
    tags = {tag.type_field: tag.value_field for oneof in message.oneofs if (tag := tag_of(oneof)) is not None}
    for key, item in value.items():
        if key in tags:
            # A tagged oneof is replaced as a whole, under its member's name.
            if isinstance(item, str):
                paths.append(f"{prefix}{item}")
            continue
        field = message.fields_by_name.get(key)
        if field is None or is_output_only(field):
            continue
        if is_plain_message(field) and isinstance(item, dict):
            paths += _mask(message_of(field), item, f"{prefix}{key}.")
        else:
            paths.append(f"{prefix}{key}")
    return paths


def _ignore(message: Message, value: Any, path: str, faults: Faults) -> None:
    return


def _leave_to_tag(message: Message, value: Any, path: str, faults: Faults) -> None:
    return


def _takes_null(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == f"{WELL_KNOWN}Value"


def _not_null(setter: Setter) -> Setter:
    def set_value(message: Message, value: Any, path: str, faults: Faults) -> None:
        if value is None:
            faults.refused(path, "must not be null")
        else:
            setter(message, value, path, faults)

    return set_value


def _nullable(name: str, setter: Setter) -> Setter:
    def set_value(message: Message, value: Any, path: str, faults: Faults) -> None:
        if value is None:
            message.ClearField(name)
        else:
            setter(message, value, path, faults)

    return set_value


def _exclusive(oneof: str, name: str, setter: Setter) -> Setter:
    def set_value(message: Message, value: Any, path: str, faults: Faults) -> None:
        other = message.WhichOneof(oneof)
        if value is not None and other is not None:
            faults.refused(path, f"excludes {other}, which is set too")
        else:
            setter(message, value, path, faults)

    return set_value


def _fill_timestamp(message: Any, value: Any, path: str, faults: Faults) -> None:
    _fill_time(parse_timestamp, message, value, path, faults)


def _fill_duration(message: Any, value: Any, path: str, faults: Faults) -> None:
    _fill_time(parse_duration, message, value, path, faults)


def _fill_time(parse: Callable[[Any], tuple[int, int]], message: Any, value: Any, path: str, faults: Faults) -> None:
    try:
        message.seconds, message.nanos = parse(value)
    except WrongType as error:
        faults.wrong_type(path, str(error))
    except Refused as error:
        faults.refused(path, str(error))


def _fill_mask(message: Any, value: Any, path: str, faults: Faults) -> None:
    if not isinstance(value, str):
        faults.wrong_type(path, "a string of field paths separated by commas")
    else:
        message.paths.extend(part for part in value.split(",") if part)


def _fill_struct(message: Any, value: Any, path: str, faults: Faults) -> None:
    if not isinstance(value, dict):
        faults.wrong_type(path, "an object")
        return
    # One long key must not be written once more for each of its many.
    path = shortened(path)
    for key, item in value.items():
        _fill_value(message.fields[key], item, f"{path}.{key}", faults)


def _fill_list(message: Any, value: Any, path: str, faults: Faults) -> None:
    if not isinstance(value, list):
        faults.wrong_type(path, "an array")
        return
    for index, item in enumerate(value):
        _fill_value(message.values.add(), item, f"{path}[{index}]", faults)


def _fill_value(message: Any, value: Any, path: str, faults: Faults) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value, path, faults)
    elif isinstance(value, list):
        message.list_value.SetInParent()
        _fill_list(message.list_value, value, path, faults)
    else:
        try:
            message.number_value = parse_number(value)
        except Refused as error:
            faults.refused(path, str(error))


def _fill_wrapper(message: Any, value: Any, path: str, faults: Faults) -> None:
    field = message.DESCRIPTOR.fields_by_name["value"]
    try:
        message.value = json_parser(field)(value)
    except WrongType as error:
        faults.wrong_type(path, str(error))
    except Refused as error:
        faults.refused(path, str(error))


_WRAPPERS = ("Bool", "String", "Bytes", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double")
_WELL_KNOWN_FILLERS: dict[str, Filler] = {
    f"{WELL_KNOWN}Timestamp": _fill_timestamp,
    f"{WELL_KNOWN}Duration": _fill_duration,
    f"{WELL_KNOWN}FieldMask": _fill_mask,
    f"{WELL_KNOWN}Struct": _fill_struct,
    f"{WELL_KNOWN}ListValue": _fill_list,
    f"{WELL_KNOWN}Value": _fill_value,
    **{f"{WELL_KNOWN}{kind}Value": _fill_wrapper for kind in _WRAPPERS},
}
