"""What a caller is told of one run, from its first event to its last."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from codelab.orchestrator.v1 import event_pb2

from services.orchestrator.cursors import Reached
from services.orchestrator.model import FINISHED, Owner, Run
from services.orchestrator.service import RunService
from services.orchestrator.watches import Watches
from services.orchestrator.wire import event_message
from services.runtime.errors import CodelabError, NotFound, Unauthenticated
from services.runtime.ids import Clock
from services.runtime.messages import timestamp


class RunEvents:
    """The events of runs: live while they run; from their timelines when they are over and their streams may be
    forgotten."""

    def __init__(self, runs: RunService, watches: Watches, clock: Clock) -> None:
        self._runs = runs
        self._watches = watches
        self._clock = clock

    async def of(self, owner: Owner, run: Run, after: str) -> AsyncGenerator[event_pb2.Event, None]:
        """The run's events after the id `after`, or from their `start`; the last is `stream_ended`.

        Raise what Subscribe raises, before the first event; the run goes on, and the error names it.
        """
        if run.state in FINISHED:
            async for event in self._told_again(owner, run, Reached(after)):
                yield event
            return
        reached, begun = Reached(after), False
        live = self._watches.watch(owner, run.session_id, run.id, after)
        try:
            async with aclosing(live):
                async for event in live:
                    begun = True
                    if event.HasField("resync_required"):
                        run = await self._runs.get(owner, run.id)
                        # What was missed may be its end, which is not told twice.
                        if run.state in FINISHED:
                            break
                    if event.HasField("id"):
                        reached.told(event.id)
                    yield event
                    if event.HasField("stream_ended"):
                        return
                    if event.HasField("heartbeat") and (told := await self._told(owner, run.id)) is not None:
                        # Its end stands in the stream, or was lost with it before this one began, and never comes.
                        run = told
                        break
        except CodelabError as error:
            if not begun:
                error.metadata.setdefault("run_id", run.id)
                raise
            # What may have happened while the stream was away.
            if isinstance(error, Unauthenticated):
                yield self._stream_ended(run, "token_expired", resumable=True)
            elif isinstance(error, NotFound):
                yield self._stream_ended(run, "deleted", resumable=False)
            else:
                raise
            return
        if run.state in FINISHED:
            async for event in self._told_again(owner, run, reached):
                yield event
            return
        # This process stops: the run goes on in the next one.
        yield self._stream_ended(run, "shutdown", resumable=True)

    async def _told(self, owner: Owner, run_id: str) -> Run | None:
        """The run, if it is over and all its events have had their place in the stream."""
        run = await self._runs.get(owner, run_id)
        if run.state not in FINISHED:
            return None
        return run if all([event.id is not None async for event in self._runs.timeline(owner, run_id)]) else None

    async def _told_again(self, owner: Owner, run: Run, reached: Reached) -> AsyncGenerator[event_pb2.Event, None]:
        """The run's timeline after what the reader has seen of it."""
        events = [event_message(event, run.session_id, run.id) async for event in self._runs.timeline(owner, run.id)]
        seen, cursor = reached.among([event.id or None for event in events])
        heartbeat = event_pb2.Event(
            id=str(cursor) if seen else None,
            session_id=run.session_id,
            run_id=run.id,
            timestamp=timestamp(self._clock()),
            heartbeat=event_pb2.Heartbeat(),
        )
        yield heartbeat
        for event in events[seen:]:
            yield event
        yield self._stream_ended(run, "run_finished", resumable=False)

    def _stream_ended(self, run: Run, reason: str, *, resumable: bool) -> event_pb2.Event:
        ended = event_pb2.StreamEnded(reason=reason, resumable=resumable)
        return event_pb2.Event(
            session_id=run.session_id, run_id=run.id, timestamp=timestamp(self._clock()), stream_ended=ended
        )
