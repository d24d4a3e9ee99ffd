"""The rules that the contract declares for values, compiled once per message and enforced before any handler."""

import math
import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from codelab.options.v1 import options_pb2
from google.api import field_behavior_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.runtime.errors import InvalidArgument
from services.runtime.ids import is_uuid
from services.runtime.interceptors import Call, Interceptor
from services.runtime.interceptors import Check as RequestCheck
from services.runtime.messages import is_moment
from services.runtime.resource_ids import settle_ids
from services.runtime.struct_rules import wrong_json

if TYPE_CHECKING:
    from services.runtime.messages import AnyDescriptor, AnyField

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
SINGLE_LINE = rf"[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?"
"""What a whole string under the rule `single_line` matches, for Python and for JSON Schema alike."""

# More than this helps nobody.
MAX_VIOLATIONS = 50

Violation = tuple[str, str]
Check = Callable[[Message, str, "Found"], None]
"""Adds to what is found what is wrong in a message, whose fields' paths begin with a prefix. No generator: what streams
is checked a thousand times a second."""
ValueCheck = Callable[[object], str | None]

_STRUCT = "google.protobuf.Struct"
_TIMESTAMP = "google.protobuf.Timestamp"


class ValidationInterceptor(Interceptor):
    """Refuses requests whose values break the rules, naming every field that does. Ids pass in their one form."""

    def check_of(self, call: Call) -> RequestCheck:
        """Raise InvalidArgument with all violations."""
        return _admit


def _admit(request: Message) -> None:
    if violations := validate(request):
        raise InvalidArgument(*violations)
    settle_ids(request)


def validate(request: Message) -> list[Violation]:
    """Return (field path, what is wrong) for each value of `request` that breaks a rule, up to MAX_VIOLATIONS.

    Where a request carries an update mask, only what the mask names is held against the rules; output-only fields never
    are.
    """
    mask = _update_mask(request)
    if mask is not None:
        return list(islice(_masked_violations(request, mask), MAX_VIOLATIONS))
    found = Found()
    _checker(request.DESCRIPTOR)(request, "", found)
    del found[MAX_VIOLATIONS:]
    return found


class Found(list[Violation]):
    """What is wrong. Once it is `full`, no more need be looked for."""

    enough: float = MAX_VIOLATIONS

    @property
    def full(self) -> bool:
        """Whether that is enough."""
        return len(self) >= self.enough


def _masked_violations(request: Message, mask: list[str]) -> Iterable[Violation]:
    for field in request.DESCRIPTOR.fields:
        check = _field_check(field)
        if check is None:
            continue
        # What the mask leaves out must not hide the rest.
        found = Found()
        found.enough = math.inf
        check(request, "", found)
        if field.message_type is not None and not _is_well_known(field.message_type):
            yield from _unknown_paths(mask, field.message_type)
            yield from (each for each in found if _is_masked(each[0], field.name, mask))
        else:
            yield from found


def mask_paths(mask: FieldMask, descriptor: "AnyDescriptor") -> set[str]:
    """The top-level and nested paths that a mask names; `*` becomes every field that is not output-only."""
    if list(mask.paths) == ["*"]:
        return {field.name for field in descriptor.fields if not is_output_only(field)}
    return {path for path in mask.paths if not _path_is_output_only(path, descriptor)}


def is_output_only(field: "AnyField") -> bool:
    """Whether the server alone sets the field."""
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _is_required(field: "AnyField") -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _update_mask(request: Message) -> list[str] | None:
    name = _mask_field(request.DESCRIPTOR)
    return None if name is None else list(getattr(request, name).paths)


@cache
def _mask_field(descriptor: "AnyDescriptor") -> str | None:
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.FieldMask":
            return field.name
    return None


def _is_masked(path: str, resource: str, mask: list[str]) -> bool:
    inside = path.removeprefix(f"{resource}.")
    if inside == path:
        return True  # The resource itself is missing.
    return mask == ["*"] or any(inside == each or inside.startswith((f"{each}.", f"{each}[")) for each in mask)


def _unknown_paths(mask: list[str], descriptor: "AnyDescriptor") -> list[Violation]:
    if mask == ["*"]:
        return []
    return [("update_mask", f"{path!r} is not a field") for path in mask if _field_at(path, descriptor) is None]


def _field_at(path: str, descriptor: "AnyDescriptor") -> "AnyField | None":
    field: AnyField | None = None
    inside: AnyDescriptor | None = descriptor
    for name in path.split("."):
        field = inside.fields_by_name.get(name) if inside is not None else None
        if field is None:
            return None
        # A Struct or Timestamp is one value: what protobuf keeps inside of it is nobody's field.
        whole = field.is_repeated or field.message_type is None or _is_well_known(field.message_type)
        inside = None if whole else field.message_type
    return field


def _path_is_output_only(path: str, descriptor: "AnyDescriptor") -> bool:
    parts = path.split(".")
    fields = (_field_at(".".join(parts[: depth + 1]), descriptor) for depth in range(len(parts)))
    return any(field is not None and is_output_only(field) for field in fields)


@cache
def _checker(descriptor: "AnyDescriptor") -> Check:
    # Of a oneof, what is not set breaks no rule, and an event has dozens of members.
    chosen = {
        oneof.name: {field.name: _field_check(field) for field in oneof.fields}
        for oneof in descriptor.oneofs
        if len(oneof.fields) > 1 and not any(map(_is_required, oneof.fields))
    }
    checks = [
        check
        for field in descriptor.fields
        if (field.containing_oneof is None or field.containing_oneof.name not in chosen)
        and (check := _field_check(field)) is not None
    ]

    def check_all(message: Message, prefix: str, found: Found) -> None:
        for check in checks:
            check(message, prefix, found)
        for name, members in chosen.items():
            member = message.WhichOneof(name)
            if member is not None and (check_member := members[member]) is not None:
                check_member(message, prefix, found)

    return check_all


@cache
def _field_check(field: "AnyField") -> Check | None:
    if is_output_only(field):
        return None
    name = field.name
    required = _is_required(field)
    rules: options_pb2.FieldRules = field.GetOptions().Extensions[options_pb2.field]
    wrong_value = _value_check(field, rules)
    most = rules.max_items if rules.HasField("max_items") else None
    # Only what has rules is walked into: an event on its way through has hundreds of fields, and hardly any.
    inner = None if field.message_type is None or _is_well_known(field.message_type) else field.message_type
    bounded = rules.HasField("minimum") or rules.HasField("maximum")
    only_finite = field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT) and not bounded
    holds_json = most is not None and field.message_type is not None and field.message_type.full_name == _STRUCT
    walked = inner is not None and _has_rules(inner, frozenset())
    has_presence = field.has_presence
    if not required and wrong_value is None and most is None and not walked:
        return None

    def check_each(values: Any, path: str, found: Found) -> None:
        if most is not None and len(values) > most:
            found.append((path, f"must have at most {most} elements"))
        # A vector has a thousand numbers, and an import a thousand vectors.
        if only_finite and all(map(math.isfinite, values)):
            return
        for index, element in enumerate(values):
            if found.full:
                return
            if wrong_value is not None:
                if wrong := wrong_value(element):
                    found.append((f"{path}[{index}]", wrong))
            elif isinstance(element, Message):
                _checker(element.DESCRIPTOR)(element, f"{path}[{index}].", found)

    def check_repeated(message: Message, prefix: str, found: Found) -> None:
        check_each(getattr(message, name), f"{prefix}{name}", found)

    def check_message(message: Message, prefix: str, found: Found) -> None:
        if message.HasField(name):
            if walked and inner is not None:
                _checker(inner)(getattr(message, name), f"{prefix}{name}.", found)
        elif required:
            found.append((f"{prefix}{name}", "is required"))

    def check_value(message: Message, prefix: str, found: Found) -> None:
        value = getattr(message, name)
        absent = not message.HasField(name) if has_presence else not value
        if absent and required:
            found.append((f"{prefix}{name}", "is required"))
        # Zero is a value to a number without presence: it is held against its rules.
        elif absent and (has_presence or isinstance(value, str)):
            return
        elif wrong_value is not None:
            if wrong := wrong_value(value):
                found.append((f"{prefix}{name}", wrong))
        elif holds_json and most is not None:
            found.extend(islice(wrong_json(value, f"{prefix}{name}", most), MAX_VIOLATIONS))

    if field.is_repeated:
        return check_repeated
    return check_value if inner is None else check_message


def _has_rules(descriptor: "AnyDescriptor", within: frozenset[str]) -> bool:
    """Whether a value of this message can break any rule. `within` are the messages it was reached through."""
    if descriptor.full_name in within:
        return False
    within |= {descriptor.full_name}
    return any(_field_has_rules(field, within) for field in descriptor.fields)


def _field_has_rules(field: "AnyField", within: frozenset[str]) -> bool:
    if is_output_only(field):
        return False
    if _is_required(field):
        return True
    rules: options_pb2.FieldRules = field.GetOptions().Extensions[options_pb2.field]
    if rules.HasField("max_items") or _value_check(field, rules) is not None:
        return True
    inner = field.message_type
    return inner is not None and not _is_well_known(inner) and _has_rules(inner, within)


def _value_check(field: "AnyField", rules: options_pb2.FieldRules) -> ValueCheck | None:
    """What says the first thing wrong with a single value of the field; None if nothing can be."""
    checks = list(_value_checks(field, rules))
    if not checks:
        return None
    return lambda value: next((wrong for check in checks if (wrong := check(value))), None)


def _value_checks(field: "AnyField", rules: options_pb2.FieldRules) -> Iterable[ValueCheck]:
    if rules.HasField("min_length"):
        yield lambda value, least=rules.min_length: (  # type: ignore[misc]
            None if len(value) >= least else f"must have at least {least} character{'s' if least != 1 else ''}"
        )
    if rules.HasField("max_length"):
        yield lambda value, most=rules.max_length: (  # type: ignore[misc]
            None if len(value) <= most else f"must have at most {most} characters"
        )
        # Databases and the C strings of others cannot hold it.
        yield lambda value: None if "\0" not in value else "must not contain U+0000"  # type: ignore[operator]
    if rules.single_line:
        line = re.compile(SINGLE_LINE)
        wrong = "must be one line of text: no control characters, and no space at its ends"
        # What is empty is the lengths' affair.
        yield (lambda value: None if not value or line.fullmatch(str(value)) else wrong)
    if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        yield (lambda value: None if math.isfinite(value) else "must be a finite number")  # type: ignore[arg-type]
    if rules.HasField("minimum"):
        yield (lambda value, least=rules.minimum: None if value >= least else f"must be at least {least:.15g}")  # type: ignore[misc]
    if rules.HasField("maximum"):
        yield (lambda value, most=rules.maximum: None if value <= most else f"must be at most {most:.15g}")  # type: ignore[misc]
    if rules.uuid:
        yield lambda value: None if is_uuid(str(value)) else "must be a UUID"
    if field.message_type is not None and field.message_type.full_name == _TIMESTAMP:
        # Beyond it, no two of those who read it do the same.
        yield lambda value: None if is_moment(value) else "is no time between the years 1 and 9999"  # type: ignore[arg-type]
    if field.enum_type is not None:
        known = field.enum_type.values_by_number
        unspecified = field.has_presence or field.is_repeated
        yield (
            lambda value: None if value in known and (value or not unspecified) else "is not one of the known values"
        )


def _is_well_known(descriptor: "AnyDescriptor") -> bool:
    return descriptor.file.package == "google.protobuf"
