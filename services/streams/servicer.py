"""codelab.streams.v1 over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
from codelab.streams.v1 import event_service_pb2, publish_service_pb2, publish_service_pb2_grpc
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.auth import TokenMinter, current_caller
from services.runtime.calls.served import ServedCall
from services.runtime.errors import InvalidArgument
from services.runtime.tickets import resources_of
from services.streams.errors import ReaderStalled
from services.streams.frames import EVENT_TYPES, TEXT_TYPES, from_proto, to_wire
from services.streams.service import Publication, StreamService
from services.streams.store import NewEvent, RunKey, SessionKey
from services.streams.subscription import Filter, Frame

Context = grpc.aio.ServicerContext[Any, Any]


class EventServicer:
    """EventService. Register it with `add_event_servicer_to_server`."""

    def __init__(
        self, service: StreamService, clock: Callable[[], float], minter: TokenMinter, ticket_seconds: float
    ) -> None:
        """`ticket_seconds` is how long tickets live."""
        self._service = service
        self._clock = clock
        self._minter = minter
        self._ticket_seconds = ticket_seconds

    async def CreateTicket(
        self, request: event_service_pb2.CreateTicketRequest, context: Context
    ) -> event_service_pb2.CreateTicketResponse:
        await self._service.admit(_session(request.project_id, request.session_id))
        ticket, expires_at = self._minter.ticket(current_caller(), resources_of(request), self._ticket_seconds)
        return event_service_pb2.CreateTicketResponse(ticket=ticket, expires_at=Timestamp(seconds=expires_at))

    async def Subscribe(self, request: event_service_pb2.SubscribeRequest, context: Context) -> None:
        """Write SubscribeResponses, serialised already: all readers of an event share its bytes."""
        caller = current_caller()
        session = _session(request.project_id, request.session_id)
        after = request.after if request.HasField("after") else None
        task, is_cut_off = _this_task(), False

        def cut() -> None:
            nonlocal is_cut_off
            is_cut_off = True
            task.cancel()

        try:
            async with self._service.subscribe(
                session, after, _filter(request), caller.expires_at, cut
            ) as subscription:
                if isinstance(context, ServedCall):
                    subscription.pass_to(partial(self._write_now, context.write_now, session))
                async for frame in subscription:
                    # Waits here for a reader that takes nothing. Yielding would leave a call that is cut off meanwhile
                    # without an end: who reads on later would wait for ever.
                    await context.write(to_wire(session, frame, self._clock()))
        except asyncio.CancelledError:
            if not is_cut_off:
                raise
            task.uncancel()
            raise ReaderStalled from None

    def _write_now(self, write: Callable[[bytes], bool], session: SessionKey, frame: Frame) -> bool:
        try:
            data = to_wire(session, frame, self._clock())
        except (ValueError, DecodeError):
            # Not the publisher's affair, nor other readers': this reader's task will come upon it, too.
            return False
        return write(data)


class PublishServicer(publish_service_pb2_grpc.PublishServiceServicer):
    """PublishService."""

    def __init__(self, service: StreamService, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock

    async def Publish(
        self, request_iterator: AsyncIterator[publish_service_pb2.PublishRequest], context: Context
    ) -> AsyncIterator[publish_service_pb2.PublishResponse]:
        opening = await anext(request_iterator, None)
        if opening is None or opening.WhichOneof("frame") != "open":
            raise InvalidArgument(("open", "must come first"))
        session = _session(opening.open.project_id, opening.open.session_id)
        run = RunKey(opening.open.run_id, opening.open.epoch)
        async with self._service.publish(session, run) as publication:
            # Tells the publisher that it was admitted, which may not have anything to send yet.
            await context.send_initial_metadata(())
            pass_to = getattr(request_iterator, "pass_to", None)
            if pass_to is not None and publication.at_once:
                pass_to(partial(self._publish_now, publication, session, run))
            async for request in request_iterator:
                if request.WhichOneof("frame") != "event":
                    raise InvalidArgument(("event", "must come after the first frame"))
                n = request.event.n if request.event.HasField("n") else None
                event = from_proto(session, run, request.event.event, n, self._clock())
                if not isinstance(event, NewEvent):
                    await publication.text(event)
                    continue
                id = await publication.event(event, n)
                if n is not None:
                    yield publish_service_pb2.PublishResponse(n=n, event_id=str(id))

    def _publish_now(
        self, publication: Publication, session: SessionKey, run: RunKey, request: publish_service_pb2.PublishRequest
    ) -> bool:
        """Publish text that came while no other request is being handled. What is refused is not: Publish says why."""
        event = request.event.event
        if request.event.HasField("n") or event.WhichOneof("payload") not in TEXT_TYPES:
            return False
        try:
            text = from_proto(session, run, event, None, self._clock())
        except InvalidArgument:
            return False
        return not isinstance(text, NewEvent) and publication.text_now(text)

    async def CloseSessions(
        self, request: publish_service_pb2.CloseSessionsRequest, context: Context
    ) -> publish_service_pb2.CloseSessionsResponse:
        await self._service.close([_session(request.project_id, id) for id in request.session_ids])
        return publish_service_pb2.CloseSessionsResponse()


def add_event_servicer_to_server(servicer: EventServicer, server: grpc.aio.Server) -> None:
    """What the generated function does, but for a Subscribe that writes bytes."""
    create_ticket: grpc.RpcMethodHandler[
        event_service_pb2.CreateTicketRequest, event_service_pb2.CreateTicketResponse
    ] = grpc.unary_unary_rpc_method_handler(
        servicer.CreateTicket,
        request_deserializer=event_service_pb2.CreateTicketRequest.FromString,
        response_serializer=event_service_pb2.CreateTicketResponse.SerializeToString,
    )
    behaviour: Any = servicer.Subscribe
    subscribe: grpc.RpcMethodHandler[event_service_pb2.SubscribeRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        behaviour,
        request_deserializer=event_service_pb2.SubscribeRequest.FromString,
        response_serializer=None,
    )
    name = event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Subscribe": subscribe, "CreateTicket": create_ticket}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _session(project_id: str, session_id: str) -> SessionKey:
    return SessionKey(current_caller().user_id, project_id, session_id)


def _filter(request: event_service_pb2.SubscribeRequest) -> Filter:
    unknown = [
        (f"type[{index}]", f"{type!r} is not an event type")
        for index, type in enumerate(request.type)
        if type not in EVENT_TYPES
    ]
    if unknown:
        raise InvalidArgument(*unknown)
    return Filter(request.run_id if request.HasField("run_id") else None, frozenset(request.type))


def _this_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not in a task")
    return task
