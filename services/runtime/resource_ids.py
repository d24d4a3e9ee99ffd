"""Ids in requests: the contract says which fields hold them (`resource`), and they have one form behind this door."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from codelab.options.v1 import options_pb2
from google.protobuf.message import Message

from services.runtime.ids import is_uuid

if TYPE_CHECKING:
    from services.runtime.messages import AnyDescriptor, AnyField

Settle = Callable[[Any], None]


def settle_ids(request: Message) -> None:
    """Give the ids in `request` their one form, in place: UUIDs are in lower case.

    What is no UUID stays as it is and finds nothing, but for U+0000, which not every database takes even in a question:
    it becomes U+FFFD, which is in no id either.
    """
    for settle in _settlers(request.DESCRIPTOR):
        settle(request)


def resource_of(field: "AnyField") -> str:
    """The kind of resource that the field identifies, such as `project`; empty if none."""
    rules: options_pb2.FieldRules = field.GetOptions().Extensions[options_pb2.field]
    return rules.resource


@cache
def _settlers(descriptor: "AnyDescriptor") -> tuple[Settle, ...]:
    return tuple(_settler(field) for field in descriptor.fields if _holds_ids(field, frozenset()))


def _settler(field: "AnyField") -> Settle:
    name = field.name

    def each_message(message: Any) -> None:
        for element in getattr(message, name):
            settle_ids(element)

    def one_message(message: Any) -> None:
        if message.HasField(name):
            settle_ids(getattr(message, name))

    def each_id(message: Any) -> None:
        ids = getattr(message, name)
        for index, given in enumerate(ids):
            ids[index] = settled(given)

    def one_id(message: Any) -> None:
        given = getattr(message, name)
        if (form := settled(given)) != given:
            setattr(message, name, form)

    if field.message_type is not None:
        return each_message if field.is_repeated else one_message
    return each_id if field.is_repeated else one_id


def settled(given: str) -> str:
    """An id in its one form."""
    return given.lower() if is_uuid(given) else given.replace("\0", "\ufffd")


def _holds_ids(field: "AnyField", within: frozenset[str]) -> bool:
    """Whether the field is an id or has one inside. `within` are the messages it was reached through."""
    inner = field.message_type
    if inner is None:
        return bool(resource_of(field))
    if inner.full_name in within:
        return False
    return any(_holds_ids(each, within | {inner.full_name}) for each in inner.fields)
