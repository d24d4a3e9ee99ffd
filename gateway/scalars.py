"""Single values of fields, from JSON and from the text of paths and queries."""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.contract import enum_names
from gateway.faults import Refused, WrongType

# A JSON value, or a text, to the value a field takes. Raises WrongType or Refused.
Parse = Callable[[Any], Any]

_F = FieldDescriptor
_RANGES = {
    _F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    _F.CPPTYPE_UINT32: (0, 2**32 - 1),
    _F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    _F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_WIDE = (_F.CPPTYPE_INT64, _F.CPPTYPE_UINT64)
_INTEGER_TEXT = re.compile(r"-?[0-9]+")
# More digits than any integer field has.
_LONGEST_INTEGER = 40
_NUMBER_TEXT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def json_parser(field: FieldDescriptor) -> Parse:
    """The parser of a scalar field's JSON value."""
    kind = field.cpp_type
    if field.enum_type is not None:
        return enum_parser(field.enum_type)
    if kind == _F.CPPTYPE_BOOL:
        return _json_bool
    if kind == _F.CPPTYPE_STRING:
        return _json_bytes if field.type == _F.TYPE_BYTES else _json_string
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        largest = math.inf if kind == _F.CPPTYPE_DOUBLE else _LARGEST_FLOAT
        return lambda value: parse_number(value, largest)
    least, most = _RANGES[kind]
    if kind in _WIDE:
        return lambda value: _in_range(_json_wide_integer(value), least, most)
    return lambda value: _in_range(_json_integer(value), least, most)


def text_parser(field: FieldDescriptor) -> Parse:
    """The parser of a scalar field's text in a path or a query."""
    kind = field.cpp_type
    if kind == _F.CPPTYPE_BOOL:
        return _text_bool
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        parse = json_parser(field)
        return lambda text: parse(_text_number(text))
    if kind in _RANGES:
        least, most = _RANGES[kind]
        return lambda text: _in_range(_text_integer(text), least, most)
    return json_parser(field)


def enum_parser(enum: EnumDescriptor) -> Parse:
    """The parser of an enum's JSON name. The zero value, which JSON writes as null, has none."""
    numbers = {name: number for number, name in enum_names(enum).items() if name is not None}
    choices = ", ".join(numbers)

    def parse(value: Any) -> int:
        if not isinstance(value, str):
            raise WrongType("a string")
        number = numbers.get(value)
        if number is None:
            raise Refused(f"must be one of: {choices}")
        return number

    return parse


def parse_timestamp(value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970 of an RFC 3339 text."""
    if not isinstance(value, str):
        raise WrongType("an RFC 3339 time, such as 2026-01-31T12:00:00.000Z")
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise Refused("must be an RFC 3339 time, such as 2026-01-31T12:00:00.000Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    offset = match[8]
    shift = 0
    if offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            raise Refused("must be an RFC 3339 time with an offset below 24 hours")
        shift = (hours * 60 + minutes) * (-60 if offset[0] == "-" else 60)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - timedelta(seconds=shift)
    except (ValueError, OverflowError):
        raise Refused("must be an RFC 3339 time that exists, from year 1 to year 9999") from None
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds, int((match[7] or "").ljust(9, "0"))


def parse_duration(value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds of a text such as `1.5s`."""
    if not isinstance(value, str):
        raise WrongType("a duration in seconds, such as 1.5s")
    match = _DURATION.fullmatch(value)
    if match is None or int(match[2]) > 315_576_000_000:
        raise Refused("must be a duration in seconds, such as 1.5s")
    sign = -1 if match[1] else 1
    return sign * int(match[2]), sign * int((match[3] or "").ljust(9, "0"))


def _json_string(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongType("a string")
    return value


def _json_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise WrongType("a base64 string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("must be base64") from None


def _json_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongType("true or false")
    return value


def parse_number(value: Any, largest: float = math.inf) -> float:
    """A JSON number as a double of at most this size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongType("a number")
    try:
        number = float(value)
    except OverflowError:
        raise Refused("is beyond the range of a double") from None
    if math.isinf(number):
        raise Refused("is beyond the range of a double")
    if abs(number) > largest:
        raise Refused("is beyond the range of a 32-bit float")
    return number


def _json_integer(value: Any) -> int | float:
    """An integer, or an infinity, which is in no range."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float) and math.isinf(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType("an integer")
    return value


def _json_wide_integer(value: Any) -> int | float:
    return _text_integer(value) if isinstance(value, str) else _json_integer(value)


def _in_range(value: int | float, least: int, most: int) -> int:
    if value < least:
        raise Refused(f"must be at least {least}")
    if value > most:
        raise Refused(f"must be at most {most}")
    return int(value)


def _text_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise WrongType("true or false")
    return text == "true"


def _text_integer(text: str) -> int | float:
    if not _INTEGER_TEXT.fullmatch(text):
        raise WrongType("an integer")
    if len(text) > _LONGEST_INTEGER:
        return -math.inf if text.startswith("-") else math.inf
    return int(text)


def _text_number(text: str) -> float:
    if not _NUMBER_TEXT.fullmatch(text):
        raise WrongType("a number")
    return float(text)


_LARGEST_FLOAT: float = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
