"""How the messages of a stream are written: as blocks of Server-Sent Events or lines of NDJSON."""

from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor, OneofDescriptor

from gateway.contract import Binding, field_with, rules_of, tagged_oneof
from gateway.transcode import Transcoder

# Blocks that are kept: those who watch one session are sent the same within milliseconds.
_KEPT = 256
_MOST_KEPT_BYTES = 4096


class Framing:
    """How one binding's messages, as they come from their service, are written: compiled from the roles of its
    fields."""

    def __init__(self, binding: Binding, transcoder: Transcoder) -> None:
        shown = binding.shown
        self._transcoder = transcoder
        self._parse = binding.rpc.response.FromString
        self._kept: dict[bytes, bytes] = {}
        self._id = field_with(shown, "event_id")
        self._tag = tagged_oneof(shown)
        self._heartbeats = _heartbeats(self._tag)
        self._data = _before_data(self._tag)

    def sse(self, response: bytes) -> bytes:
        """A block of the event stream."""
        block = self._kept.get(response)
        if block is None:
            block = self._block(self._parse(response))
            if len(response) <= _MOST_KEPT_BYTES:
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[response] = block
        return block

    def ndjson(self, response: bytes) -> bytes:
        """A line."""
        return self._transcoder.response(self._parse(response)) + b"\n"

    def _block(self, response: Any) -> bytes:
        message = self._transcoder.shown(response)
        if message is None:
            return b""
        event_id = _one_line(getattr(message, self._id.name)) if self._id is not None else ""
        kind = message.WhichOneof(self._tag.name) if self._tag is not None else None
        if kind in self._heartbeats:
            # A block with only an id moves the browser's cursor and raises no event.
            return f"id: {event_id}\n\n".encode() if event_id else b": heartbeat\n\n"
        block = b"%s%s\n\n" % (self._data[kind], orjson.dumps(self._transcoder.encode(message)))
        return b"id: %s\n%s" % (event_id.encode(), block) if event_id else block


def _before_data(tag: OneofDescriptor | None) -> dict[str | None, bytes]:
    """What a block says before an event's JSON, by the event's kind."""
    kinds = [member.name for member in tag.fields] if tag is not None else []
    return {None: b"data: ", **{kind: f"event: {kind}\ndata: ".encode() for kind in kinds}}


def _heartbeats(tag: OneofDescriptor | None) -> frozenset[str]:
    members: list[FieldDescriptor] = list(tag.fields) if tag is not None else []
    return frozenset(member.name for member in members if rules_of(member).heartbeat)


def _one_line(text: str) -> str:
    """An id as a line of the event stream may hold it."""
    return text if text.isprintable() else "".join(each for each in text if each.isprintable())
