"""JSON Schemas of messages, as OpenAPI 3.1 components.

A message has up to three schemas: what answers hold (every field), what a create or PUT takes (`…Input`), and what a
PATCH takes (`…Patch`: nothing is required). Output-only fields are in the first one alone.
"""

from typing import Any

from codelab.options.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from gateway.comments import Comments
from gateway.contract import (
    WELL_KNOWN,
    enum_names,
    is_map,
    is_nullable,
    is_output_only,
    is_required,
    message_of,
    rules_of,
    rules_of_oneof,
    tag_of,
    tagged_oneof,
)
from gateway.examples import default_of
from services.runtime.validation import SINGLE_LINE

Schema = dict[str, Any]

OUTPUT, INPUT, PATCH = "", "Input", "Patch"

_F = FieldDescriptor
_INTEGERS: dict[int, Schema] = {
    _F.CPPTYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    _F.CPPTYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1},
    _F.CPPTYPE_INT64: {"type": "string", "pattern": "^-?[0-9]+$"},
    _F.CPPTYPE_UINT64: {"type": "string", "pattern": "^[0-9]+$"},
}
_WELL_KNOWN_SCHEMAS: dict[str, Schema] = {
    f"{WELL_KNOWN}Timestamp": {"type": "string", "format": "date-time"},
    f"{WELL_KNOWN}Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"},
    f"{WELL_KNOWN}FieldMask": {"type": "string"},
    f"{WELL_KNOWN}Struct": {"type": "object", "additionalProperties": True},
    f"{WELL_KNOWN}ListValue": {"type": "array", "items": {}},
    f"{WELL_KNOWN}Value": {},
    f"{WELL_KNOWN}StringValue": {"type": "string"},
    f"{WELL_KNOWN}BytesValue": {"type": "string", "contentEncoding": "base64"},
    f"{WELL_KNOWN}BoolValue": {"type": "boolean"},
    f"{WELL_KNOWN}Int32Value": {"type": "integer"},
    f"{WELL_KNOWN}UInt32Value": {"type": "integer"},
    f"{WELL_KNOWN}Int64Value": {"type": "string"},
    f"{WELL_KNOWN}UInt64Value": {"type": "string"},
    f"{WELL_KNOWN}FloatValue": {"type": "number"},
    f"{WELL_KNOWN}DoubleValue": {"type": "number"},
}


class Schemas:
    """Collects the components that operations refer to."""

    def __init__(self, comments: Comments) -> None:
        self.components: dict[str, Schema] = {}
        self._comments = comments
        self._names: dict[str, str] = {}

    def add(self, name: str, schema: Schema) -> None:
        """Add a schema that no message has; a message of the same name gets another one."""
        self.components[name] = schema
        self._names[name] = ""

    def message(self, message: Descriptor, kind: str, hidden: frozenset[str] = frozenset()) -> Schema:
        """The schema of a message in a role: OUTPUT, INPUT or PATCH. `hidden` fields are not part of it."""
        known = _WELL_KNOWN_SCHEMAS.get(message.full_name)
        if known is not None:
            return dict(known)
        name = self._name(message, kind)
        if name not in self.components:
            # Named before it is made: a message may contain itself.
            self.components[name] = {}
            self.components[name].update(self._object(message, kind, hidden, name))
        return _reference(name)

    def field(self, field: FieldDescriptor, kind: str) -> Schema:
        """The schema of a field's value, with its comment."""
        rules = rules_of(field)
        if is_map(field):
            value = message_of(field).fields_by_name["value"]
            schema: Schema = {"type": "object", "additionalProperties": self._single(value, kind, rules_of(value))}
            if kind != OUTPUT and rules.HasField("max_items"):
                schema["maxProperties"] = rules.max_items
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field, kind, rules)}
            if kind != OUTPUT and rules.HasField("max_items"):
                schema["maxItems"] = rules.max_items
        else:
            schema = self._single(field, kind, rules)
            # What the server fills is null on the way in ("the default again") and never on the way out.
            # A message inside of itself must end somewhere.
            endless = kind == OUTPUT and field.message_type is not None and field.message_type is field.containing_type
            if endless or (is_nullable(field) and not (kind == OUTPUT and rules.server_default)):
                schema = _or_null(schema)
        comment = self._comments.of(field.full_name)
        if comment:
            schema["description"] = comment
        if kind == OUTPUT and is_output_only(field):
            schema["readOnly"] = True
        return schema

    def parameter(self, field: FieldDescriptor, *, in_path: bool = False) -> Schema:
        """The schema of a field's value in a path, a query or a header, where null cannot be said."""
        rules = rules_of(field)
        single = self._single(field, INPUT, rules)
        if rules.resource and not rules.uuid and not in_path:
            # A filter by what is no id is not refused: it finds nothing.
            single.pop("format", None)
        if not field.is_repeated:
            default = default_of(field)
            return single if default is None else {**single, "default": default}
        schema: Schema = {"type": "array", "items": single}
        if rules.HasField("max_items"):
            schema["maxItems"] = rules.max_items
        return schema

    def _single(self, field: FieldDescriptor, kind: str, rules: options_pb2.FieldRules) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type, kind)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if rules.member_of:
            return self._member_name(field, rules.member_of)
        if field.cpp_type == _F.CPPTYPE_BOOL:
            return {"type": "boolean"}
        if field.cpp_type == _F.CPPTYPE_STRING:
            return _string(field, kind, rules)
        number: Schema = dict(_INTEGERS.get(field.cpp_type, {"type": "number", "format": "double"}))
        if kind != OUTPUT and "type" in number and number["type"] != "string":
            number |= _bounds(rules, number["type"] == "integer")
        elif kind == OUTPUT:
            number.pop("minimum", None)
            number.pop("maximum", None)
        return number

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = self._name(enum, OUTPUT)
        if name not in self.components:
            values = {value: number for number, value in enum_names(enum).items() if value is not None}
            schema: Schema = {"type": "string", "enum": list(values)}
            texts = [
                f"- `{value}`: {text}"
                for value, number in values.items()
                if (text := self._comments.of(f"{enum.full_name}.{enum.values_by_number[number].name}"))
            ]
            text = "\n".join([self._comments.of(enum.full_name), "", *texts]).strip()
            self.components[name] = {**schema, "description": text} if text else schema
        return _reference(name)

    def _member_name(self, field: FieldDescriptor, of: str) -> Schema:
        """What the tagged oneof of the message `of` may hold, by name: `EventType` for an `Event` with a `type`."""
        assert field.containing_type is not None
        message = field.containing_type.file.pool.FindMessageTypeByName(of)
        oneof = tagged_oneof(message)
        if oneof is None:
            return {"type": "string"}
        name = f"{self._name(message, OUTPUT)}{rules_of_oneof(oneof).type_field.title().replace('_', '')}"
        if name not in self.components:
            self.add(name, {"type": "string", "enum": [member.name for member in oneof.fields]})
        return _reference(name)

    def _object(self, message: Descriptor, kind: str, hidden: frozenset[str], name: str) -> Schema:
        properties: dict[str, Schema] = {}
        required: list[str] = []
        for field in message.fields:
            oneof = field.containing_oneof
            if field.name in hidden or (oneof is not None and tag_of(oneof) is not None):
                continue
            if kind != OUTPUT and is_output_only(field):
                continue
            properties[field.name] = self.field(field, kind)
            if kind == OUTPUT or (kind == INPUT and is_required(field)):
                required.append(field.name)
        schema: Schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if kind != OUTPUT:
            schema["additionalProperties"] = False
        comment = self._comments.of(message.full_name)
        oneof = tagged_oneof(message)
        if oneof is not None:
            schema = self._variants(oneof, schema, kind, name)
        if comment:
            schema["description"] = comment
        return schema

    def _variants(self, oneof: OneofDescriptor, base: Schema, kind: str, name: str) -> Schema:
        """A schema for each member of the tagged oneof, told apart by the tag."""
        tag = rules_of_oneof(oneof)
        mapping: dict[str, str] = {}
        for member in oneof.fields:
            variant = f"{name}_{member.name}"
            self.components[variant] = {
                **base,
                "properties": {
                    **base["properties"],
                    tag.type_field: {"type": "string", "const": member.name},
                    tag.value_field: self._single(member, kind, rules_of(member)),
                },
                "required": [*base.get("required", []), tag.type_field, tag.value_field],
            }
            comment = self._comments.of(member.full_name)
            if comment:
                self.components[variant]["description"] = comment
            mapping[member.name] = f"#/components/schemas/{variant}"
        return {
            "oneOf": [{"$ref": reference} for reference in mapping.values()],
            "discriminator": {"propertyName": tag.type_field, "mapping": mapping},
        }

    def _name(self, message: Descriptor | EnumDescriptor, kind: str) -> str:
        """The type's short name, or its full one where another type has the short one already."""
        short = message.full_name.removeprefix(f"{message.file.package}.")
        if self._names.setdefault(short, message.full_name) != message.full_name:
            short = message.full_name
        return f"{short}{kind}"


def _string(field: FieldDescriptor, kind: str, rules: options_pb2.FieldRules) -> Schema:
    schema: Schema = {"type": "string"}
    if field.type == _F.TYPE_BYTES:
        schema["contentEncoding"] = "base64"
    if rules.uuid or (rules.resource and not rules.min_length):
        # What takes names as well is no UUID, and then it must not be empty.
        schema["format"] = "uuid"
    elif rules.format:
        schema["format"] = rules.format
    if kind == OUTPUT:
        return schema
    if rules.HasField("min_length"):
        schema["minLength"] = rules.min_length
    elif is_required(field) and not field.has_presence and not field.is_repeated:
        # Without presence, empty is absent.
        schema["minLength"] = 1
    if rules.HasField("max_length"):
        schema["maxLength"] = rules.max_length
    if rules.single_line:
        # JSON Schema searches, the rule is for the whole.
        schema["pattern"] = f"^{SINGLE_LINE}$"
    return schema


def _bounds(rules: options_pb2.FieldRules, whole: bool) -> Schema:
    bounds: Schema = {}
    for name in ("minimum", "maximum"):
        if rules.HasField(name):
            value = getattr(rules, name)
            bounds[name] = int(value) if whole else value
    return bounds


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema
