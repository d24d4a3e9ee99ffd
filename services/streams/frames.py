"""Between what the streams service handles and the frames of its contract."""

from codelab.orchestrator.v1 import event_pb2
from codelab.streams.v1 import event_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from codelab_client.channel import MAX_MESSAGE_BYTES
from services.runtime.errors import InvalidArgument
from services.streams.store import (
    DELTA,
    SNAPSHOT,
    NewEvent,
    RunKey,
    SessionKey,
    StoredEvent,
    Text,
    TextDelta,
    TextSnapshot,
)
from services.streams.subscription import Frame, Heartbeat, ResyncRequired, StreamEnded

EVENT_TYPES = frozenset(field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"].fields)
TEXT_TYPES = frozenset({DELTA, SNAPSHOT})
# What nobody publishes: this service says it to one reader.
_OWN_TYPES = frozenset({"resync_required", "stream_ended", "heartbeat"})
# A message's limit holds for what readers are sent: that has ids which publishers need not write.
MOST_EVENT_BYTES = MAX_MESSAGE_BYTES - 16 * 1024
# Of an answer: a snapshot of it is one message, in which a character may take four bytes.
MOST_TEXT_CHARACTERS = 4_000_000
_OWN_FRAMES = (Heartbeat, ResyncRequired, StreamEnded)


def from_proto(session: SessionKey, run: RunKey, event: event_pb2.Event, n: int | None, now: float) -> NewEvent | Text:
    """What a publisher sends, placed in its session and run. Raise InvalidArgument if it is nothing to publish."""
    type = event.WhichOneof("payload")
    if type is None or type in _OWN_TYPES:
        raise InvalidArgument(("event.event", "must hold a payload that publishers may send"))
    if n is not None and (n < 1 or type in TEXT_TYPES):
        raise InvalidArgument(("event.n", "must count state events from 1; text has none"))
    # The end of a run must not be lost or come twice.
    if n is None and event.final:
        raise InvalidArgument(("event.n", "is required of a final event"))
    if event.ByteSize() > MOST_EVENT_BYTES:
        raise InvalidArgument(("event.event", f"must have at most {MOST_EVENT_BYTES} bytes"))
    at = _seconds(event.timestamp) if event.HasField("timestamp") else None
    if type == DELTA:
        return _delta(run, event.message_delta, now if at is None else at)
    if type == SNAPSHOT:
        return _snapshot(run, event.message_snapshot, now if at is None else at)
    if at is None:
        _set(event.timestamp, now)
    event.ClearField("id")
    event.session_id = session.session_id
    event.run_id = run.run_id
    return NewEvent(type, event.final, event.SerializeToString())


def to_wire(session: SessionKey, frame: Frame, now: float) -> bytes:
    """The SubscribeResponse of a frame, serialised: what all readers are sent alike is made once."""
    if isinstance(frame, _OWN_FRAMES):
        response = event_service_pb2.SubscribeResponse()
        _tell_one(response.event, session, frame, now)
        return response.SerializeToString()
    if frame.frame is None:
        response = event_service_pb2.SubscribeResponse()
        _tell_all(response.event, session, frame)
        frame.frame = response.SerializeToString()
    return frame.frame


def _tell_all(event: event_pb2.Event, session: SessionKey, frame: StoredEvent | Text) -> None:
    if isinstance(frame, StoredEvent):
        event.MergeFromString(frame.payload)
        event.id = str(frame.id)
        return
    event.session_id = session.session_id
    event.run_id = frame.run_id
    _set(event.timestamp, frame.timestamp)
    if isinstance(frame, TextDelta):
        event.message_delta.offset = frame.offset
    body = event.message_delta if isinstance(frame, TextDelta) else event.message_snapshot
    body.message_id = frame.message_id
    if frame.task_id is not None:
        body.task_id = frame.task_id
    if frame.agent_id is not None:
        body.agent_id = frame.agent_id
    body.generation = frame.generation
    body.text = frame.text


def _tell_one(
    event: event_pb2.Event, session: SessionKey, frame: Heartbeat | ResyncRequired | StreamEnded, now: float
) -> None:
    event.session_id = session.session_id
    _set(event.timestamp, now)
    match frame:
        case Heartbeat(id):
            event.heartbeat.SetInParent()
            if id is not None:
                event.id = str(id)
        case ResyncRequired(reason, latest):
            event.resync_required.reason = reason
            event.resync_required.latest_id = str(latest)
        case StreamEnded(reason):
            event.stream_ended.reason = reason.text
            event.stream_ended.resumable = reason.resumable


def _delta(run: RunKey, delta: event_pb2.MessageDelta, at: float) -> TextDelta:
    if delta.offset < 0:
        raise InvalidArgument(("event.event.message_delta.offset", "must be at least 0"))
    _check_length(delta.offset + len(delta.text), DELTA)
    return TextDelta(
        run_id=run.run_id,
        message_id=delta.message_id,
        task_id=delta.task_id if delta.HasField("task_id") else None,
        agent_id=delta.agent_id if delta.HasField("agent_id") else None,
        generation=delta.generation,
        offset=delta.offset,
        text=delta.text,
        timestamp=at,
    )


def _snapshot(run: RunKey, snapshot: event_pb2.MessageSnapshot, at: float) -> TextSnapshot:
    _check_length(len(snapshot.text), SNAPSHOT)
    return TextSnapshot(
        run_id=run.run_id,
        message_id=snapshot.message_id,
        task_id=snapshot.task_id if snapshot.HasField("task_id") else None,
        agent_id=snapshot.agent_id if snapshot.HasField("agent_id") else None,
        generation=snapshot.generation,
        text=snapshot.text,
        timestamp=at,
    )


def _check_length(length: int, type: str) -> None:
    if length > MOST_TEXT_CHARACTERS:
        raise InvalidArgument((f"event.event.{type}.text", f"must end within {MOST_TEXT_CHARACTERS} characters"))


def _set(timestamp: Timestamp, seconds: float) -> None:
    timestamp.seconds, milliseconds = divmod(round(seconds * 1_000), 1_000)
    timestamp.nanos = milliseconds * 1_000_000


def _seconds(timestamp: Timestamp) -> float:
    # Whole milliseconds, which are all that is told: the last of them must not become the year 10000.
    return timestamp.seconds + timestamp.nanos // 1_000_000 / 1_000
