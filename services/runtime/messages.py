"""Between protobuf's well-known types and Python's own."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp."""
    result = Timestamp()
    result.FromDatetime(moment)
    return result


def moment(value: Timestamp) -> datetime:
    """A Timestamp as an aware datetime in UTC."""
    return value.ToDatetime(tzinfo=UTC)


def struct(values: dict[str, Any]) -> Struct:
    """JSON-like values as a Struct."""
    result = Struct()
    result.update(values)
    return result


def values(message: Struct) -> dict[str, Any]:
    """A Struct as JSON-like values; whole numbers become int, as they do in JSON."""
    result: dict[str, Any] = json_format.MessageToDict(message)
    return result
