"""The streams service over gRPC."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import grpc
from codelab.streams.v1 import event_service_pb2, publish_service_pb2
from codelab.streams.v1.publish_service_pb2_grpc import PublishServiceStub

from services.orchestrator.ports import Frame, Opening
from services.orchestrator.watches import Watches
from services.orchestrator.wire import frame_message
from services.runtime.channels import Peers
from services.runtime.errors import Unavailable
from services.runtime.ids import Clock
from services.runtime.status import from_rpc_error

_CLOSE_TIMEOUT_SECONDS = 10.0
_LAST_FRAME_SECONDS = 1.0


class StreamsClient:
    """`Streams` by the service's PublishService; `watches` are by its EventService."""

    def __init__(self, peers: Peers, clock: Clock) -> None:
        publish = publish_service_pb2.DESCRIPTOR.services_by_name["PublishService"]
        events = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
        channel = peers.channel("streams", publish, events)
        self._peers = peers
        self._clock = clock
        self._publish = PublishServiceStub(channel)
        self.watches = Watches(channel)

    async def publish(
        self, opening: Opening, frames: AsyncGenerator[Frame, None], acknowledged: Callable[[int, str], None]
    ) -> None:
        call = self._publish.Publish(metadata=self._peers.metadata(opening.user_id, None))
        writer = asyncio.create_task(self._write(call, opening, frames), name=f"write {opening.run_id}")
        try:
            async for response in call:
                acknowledged(response.n, response.event_id)
            # The server may end the stream before the writer hears that its own end has arrived.
            await asyncio.wait([writer], timeout=_LAST_FRAME_SECONDS)
            if not writer.done():
                raise Unavailable("the streams service closed the stream")
            writer.result()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "streams") from None
        finally:
            call.cancel()
            writer.cancel()
            await asyncio.wait([writer])

    async def close_sessions(self, user_id: str, project_id: str, session_ids: list[str]) -> None:
        request = publish_service_pb2.CloseSessionsRequest(project_id=project_id, session_ids=session_ids)
        metadata = self._peers.metadata(user_id, _CLOSE_TIMEOUT_SECONDS)
        try:
            await self._publish.CloseSessions(request, timeout=_CLOSE_TIMEOUT_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, "streams") from None

    async def _write(
        self,
        call: "grpc.aio.StreamStreamCall[publish_service_pb2.PublishRequest, publish_service_pb2.PublishResponse]",
        opening: Opening,
        frames: AsyncGenerator[Frame, None],
    ) -> None:
        first = publish_service_pb2.PublishOpen(
            project_id=opening.project_id,
            session_id=opening.session_id,
            run_id=opening.run_id,
            epoch=opening.epoch,
        )
        async with aclosing(frames):
            try:
                await call.write(publish_service_pb2.PublishRequest(open=first))
                async for frame in frames:
                    await call.write(frame_message(frame, opening, self._clock()))
                await call.done_writing()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return  # The call is over: who reads it hears why.
