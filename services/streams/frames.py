"""Between what the streams service handles and the frames of its contract."""

from codelab.orchestrator.v1 import event_pb2
from codelab.streams.v1 import event_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

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
# What nobody publishes: this service says it to one reader.
_OWN_TYPES = frozenset({"resync_required", "stream_ended", "heartbeat"})


def from_proto(session: SessionKey, run: RunKey, event: event_pb2.Event, n: int | None, now: float) -> NewEvent | Text:
    """What a publisher sends, placed in its session and run. Raise InvalidArgument if it is nothing to publish."""
    type = event.WhichOneof("payload")
    if type is None or type in _OWN_TYPES:
        raise InvalidArgument(("event.event", "must hold a payload that publishers may send"))
    if n is not None and (n < 1 or type in (DELTA, SNAPSHOT)):
        raise InvalidArgument(("event.n", "must count state events from 1; text has none"))
    # The end of a run must not be lost or come twice.
    if n is None and event.final:
        raise InvalidArgument(("event.n", "is required of a final event"))
    if not event.HasField("timestamp"):
        event.timestamp.CopyFrom(_timestamp(now))
    match type:
        case "message_delta":
            return _delta(run, event.message_delta, _seconds(event.timestamp))
        case "message_snapshot":
            return _snapshot(run, event.message_snapshot, _seconds(event.timestamp))
    event.ClearField("id")
    event.session_id = session.session_id
    event.run_id = run.run_id
    return NewEvent(type, event.final, event.SerializeToString())


def to_wire(session: SessionKey, frame: Frame, now: float) -> bytes:
    """The SubscribeResponse of a frame, serialised: what all readers are sent alike is made once."""
    if isinstance(frame, StoredEvent | TextDelta | TextSnapshot):
        if frame.frame is None:
            frame.frame = _wire(_shared(session, frame))
        return frame.frame
    return _wire(_own(session, frame, now))


def _shared(session: SessionKey, frame: StoredEvent | Text) -> event_pb2.Event:
    if isinstance(frame, StoredEvent):
        event = event_pb2.Event.FromString(frame.payload)
        event.id = str(frame.id)
        return event
    event = event_pb2.Event(session_id=session.session_id, run_id=frame.run_id, timestamp=_timestamp(frame.timestamp))
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
    return event


def _own(session: SessionKey, frame: Heartbeat | ResyncRequired | StreamEnded, now: float) -> event_pb2.Event:
    event = event_pb2.Event(session_id=session.session_id, timestamp=_timestamp(now))
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
    return event


def _wire(event: event_pb2.Event) -> bytes:
    return event_service_pb2.SubscribeResponse(event=event).SerializeToString()


def _delta(run: RunKey, delta: event_pb2.MessageDelta, at: float) -> TextDelta:
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
    return TextSnapshot(
        run_id=run.run_id,
        message_id=snapshot.message_id,
        task_id=snapshot.task_id if snapshot.HasField("task_id") else None,
        agent_id=snapshot.agent_id if snapshot.HasField("agent_id") else None,
        generation=snapshot.generation,
        text=snapshot.text,
        timestamp=at,
    )


def _timestamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds), nanos=int(seconds % 1 * 1_000) * 1_000_000)


def _seconds(timestamp: Timestamp) -> float:
    return timestamp.seconds + timestamp.nanos / 1_000_000_000
