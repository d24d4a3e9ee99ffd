"""Which RPCs take a ticket instead of the header, and for what one is good: the contract says so, by its options."""

from functools import cache
from typing import TYPE_CHECKING

from codelab.options.v1 import options_pb2
from google.api import field_behavior_pb2
from google.protobuf.message import Message

from services.runtime.interceptors import method_descriptor
from services.runtime.resource_ids import resource_of, settled

if TYPE_CHECKING:
    from services.runtime.messages import AnyDescriptor


@cache
def ticket_field(method: str) -> str | None:
    """The field of the request to `/package.Service/Method` that takes a ticket; None if it admits no tickets.

    Only a single request can hold one: of a stream of them, each would be another.
    """
    descriptor = method_descriptor(method)
    if descriptor is None or descriptor.client_streaming:
        return None
    fields = descriptor.input_type.fields
    return next((field.name for field in fields if field.GetOptions().Extensions[options_pb2.field].ticket), None)


def resources_of(request: Message) -> dict[str, str]:
    """The ids, in their one form, of what the request is about, by their kind: what a ticket for it must name."""
    return {kind: settled(getattr(request, name)) for kind, name in _required(request.DESCRIPTOR)}


@cache
def _required(descriptor: "AnyDescriptor") -> tuple[tuple[str, str], ...]:
    """Kind and field of each required id; others only choose among what belongs to these."""
    return tuple(
        (kind, field.name)
        for field in descriptor.fields
        if (kind := resource_of(field))
        and field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    )
