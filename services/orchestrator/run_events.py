"""What a caller is told of one run, from its first event to its last."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from codelab.orchestrator.v1 import event_pb2

from services.orchestrator.cursors import seen_of
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
            async for event in self._told_again(owner, run, after):
                yield event
            return
        begun = False
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
                        after = event.id
                    yield event
                    if event.HasField("stream_ended"):
                        return
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
            async for event in self._told_again(owner, run, after):
                yield event
            return
        # This process stops: the run goes on in the next one.
        yield self._stream_ended(run, "shutdown", resumable=True)

    async def _told_again(self, owner: Owner, run: Run, after: str) -> AsyncGenerator[event_pb2.Event, None]:
        """The run's timeline after the cursor."""
        events = [event_message(event, run.session_id, run.id) async for event in self._runs.timeline(owner, run.id)]
        seen = seen_of([event.id for event in events], after)
        now = timestamp(self._clock())
        cursor = after if seen else None
        yield event_pb2.Event(
            id=cursor, session_id=run.session_id, run_id=run.id, timestamp=now, heartbeat=event_pb2.Heartbeat()
        )
        for event in events[seen:]:
            yield event
        yield self._stream_ended(run, "run_finished", resumable=False)

    def _stream_ended(self, run: Run, reason: str, *, resumable: bool) -> event_pb2.Event:
        ended = event_pb2.StreamEnded(reason=reason, resumable=resumable)
        return event_pb2.Event(
            session_id=run.session_id, run_id=run.id, timestamp=timestamp(self._clock()), stream_ended=ended
        )
