"""Between the orchestrator's model and its contract."""

from dataclasses import asdict
from datetime import datetime

from codelab.orchestrator.v1 import approval_pb2, event_pb2, message_pb2, run_pb2, session_pb2
from codelab.streams.v1 import publish_service_pb2

from services.orchestrator.model import Approval, Event, Message, Run, Session
from services.orchestrator.ports import Frame, Opening, Progress, Text
from services.runtime.messages import fill, timestamp


def session_message(session: Session) -> session_pb2.Session:
    """A session as the contract has it."""
    message = session_pb2.Session()
    fill(message, asdict(session))
    return message


def message_message(message: Message) -> message_pb2.Message:
    """A message of a session as the contract has it."""
    result = message_pb2.Message()
    fill(result, asdict(message))
    return result


def run_message(run: Run) -> run_pb2.Run:
    """A run as the contract has it."""
    message = run_pb2.Run()
    fill(message, asdict(run))
    return message


def approval_message(approval: Approval) -> approval_pb2.Approval:
    """An approval as the contract has it."""
    message = approval_pb2.Approval()
    fill(message, asdict(approval))
    return message


def event_message(event: Event, session_id: str, run_id: str) -> event_pb2.Event:
    """A committed event as the contract has it; its id is set once it is published."""
    message = event_pb2.Event(
        id=event.id,
        session_id=session_id,
        run_id=run_id,
        timestamp=timestamp(event.timestamp),
        final=event.final,
    )
    fill(message, {event.type: event.payload})
    return message


def frame_message(frame: Frame, opening: Opening, now: datetime) -> publish_service_pb2.PublishRequest:
    """A frame of a publishing stream."""
    if isinstance(frame, Event):
        event = event_message(frame, opening.session_id, opening.run_id)
        return publish_service_pb2.PublishRequest(event=publish_service_pb2.PublishEvent(n=frame.n, event=event))
    event = event_pb2.Event(session_id=opening.session_id, run_id=opening.run_id, timestamp=timestamp(now))
    match frame:
        case Progress():
            fill(event, {frame.type: frame.payload})
        case Text(snapshot=True):
            event.message_snapshot.CopyFrom(
                event_pb2.MessageSnapshot(
                    message_id=frame.message_id,
                    task_id=frame.task_id,
                    agent_id=frame.agent_id,
                    generation=frame.generation,
                    text=frame.text,
                )
            )
        case Text():
            event.message_delta.CopyFrom(
                event_pb2.MessageDelta(
                    message_id=frame.message_id,
                    task_id=frame.task_id,
                    agent_id=frame.agent_id,
                    generation=frame.generation,
                    offset=frame.offset,
                    text=frame.text,
                )
            )
    return publish_service_pb2.PublishRequest(event=publish_service_pb2.PublishEvent(event=event))
