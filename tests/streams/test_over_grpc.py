"""The streams service as its callers meet it: over a socket."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from codelab.orchestrator.v1 import event_pb2
from codelab.orchestrator.v1.message_pb2 import Message
from codelab.streams.v1 import event_service_pb2, publish_service_pb2
from codelab.streams.v1.event_service_pb2_grpc import EventServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from codelab_client.errors import ApiError
from services.runtime.ids import new_id
from services.streams.frames import MOST_EVENT_BYTES, MOST_TEXT_CHARACTERS
from services.streams.service import StreamLimits
from services.streams.store import NewEvent, RunKey, SessionKey
from services.streams.subscription import EndReason, Filter
from tests.streams.world import ANN, BOB, World, a_world, delta, event, in_tunnels, read, snapshot


async def refused(call: Any) -> ApiError:
    """The error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rest(call)
    return ApiError.of(caught.value)


async def rest(call: Any) -> list[Any]:
    """All events up to the end of the stream."""
    events = []
    while (response := await call.read()) is not grpc.aio.EOF:
        events.append(response.event if isinstance(response, event_service_pb2.SubscribeResponse) else response)
    return events


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come soon."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# Publishing and reading


async def test_an_event_reaches_its_reader_with_the_id_that_was_acknowledged(world: World) -> None:
    watch = world.subscribe()
    cursor = await read(watch)
    assert cursor.WhichOneof("payload") == "heartbeat"
    assert cursor.id.endswith("-0")
    begun = int(time.time())
    async with world.publishing() as publishing:
        id = await publishing.send(event("agent_started", agent_name="CodeAssistant"), n=1)
        await publishing.send(event("agent_working", task_id="t"))
        # While it is open: a call that is cancelled may take with it what was not acknowledged.
        state, progress = await read(watch), await read(watch)
    assert (state.id, state.session_id, state.run_id) == (id, world.session_id, world.run_id)
    assert state.agent_started.agent_name == "CodeAssistant"
    assert begun <= state.timestamp.seconds <= time.time()
    assert progress.WhichOneof("payload") == "agent_working"
    assert int(progress.id.rpartition("-")[2]) == 2


async def test_an_event_that_cannot_be_written_harms_its_readers_alone(tmp_path: Path) -> None:
    async with (
        a_world(tmp_path, StreamLimits(sweep_seconds=0.02), in_tunnels) as world,
        world.watching() as watch,
        world.publishing() as publishing,
    ):
        session, run = SessionKey(ANN, world.project_id, world.session_id), RunKey(world.run_id, 1)
        # As from a store that was damaged.
        await world.service._store.publish(session, run, NewEvent("agent_started", False, b"\xff"), 1)
        assert await publishing.send(event("agent_started"), 2)
        assert (await refused(watch)).code is grpc.StatusCode.INTERNAL
        await until(lambda: world.service.open_streams == 1)


async def test_text_is_passed_from_its_publisher_to_its_reader_without_waking_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        a_world(tmp_path, StreamLimits(), in_tunnels) as world,
        world.watching() as watch,
        world.publishing() as publishing,
    ):
        await publishing.settle(1)
        await read(watch)
        # What a task would publish that was woken for it.
        monkeypatch.setattr(world.service._store, "publish_text", None)
        for offset, text in enumerate("abc"):
            await publishing.send(delta(offset, text))
        assert [(await read(watch)).message_delta.text for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "wrong",
    [event("heartbeat"), event_pb2.Event(), event("message_delta", final=True)],
    ids=["of the service", "empty", "final without a number"],
)
async def test_what_nobody_may_publish_is_refused_behind_text_that_passed(world: World, wrong: event_pb2.Event) -> None:
    async with world.watching() as watch, world.publishing() as publishing:
        for sent in (delta(0, "ab"), delta(2, "c"), wrong):
            await publishing.send(sent)
        assert (await refused(publishing.call)).code is grpc.StatusCode.INVALID_ARGUMENT
        assert [(await read(watch)).message_delta.text for _ in range(2)] == ["ab", "c"]


def _at(seconds: int, made: event_pb2.Event) -> event_pb2.Event:
    made.timestamp.seconds = seconds
    return made


UNREADABLE = [
    ("event.event.timestamp", _at(2**63 - 1, event("agent_started"))),
    ("event.event.timestamp", _at(253_402_300_800, delta(0, "a"))),
    ("event.event.timestamp", _at(-(2**63), snapshot("a"))),
    (
        "event.event.message_received.message.timestamp",
        event_pb2.Event(
            message_received=event_pb2.MessageReceived(message=Message(timestamp=Timestamp(seconds=2**63 - 1)))
        ),
    ),
    ("event.event.message_delta.offset", delta(-1, "a")),
    ("event.event.message_delta.text", delta(MOST_TEXT_CHARACTERS, "a")),
    ("event.event.message_snapshot.text", snapshot("a" * (MOST_TEXT_CHARACTERS + 1))),
    ("event.event", event("tool_completed", output="x" * MOST_EVENT_BYTES)),
]


async def test_what_no_reader_could_be_told_is_refused_and_not_kept(world: World) -> None:
    for field, unreadable in UNREADABLE:
        async with world.publishing() as publishing:
            await publishing.send(unreadable)
            error = await refused(publishing.call)
            assert (error.code, error.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    async with world.publishing() as publishing:
        ids = [await publishing.settle(1)]
        async with world.watching(after="start") as watch:
            ids.append(await publishing.settle(2))
            # No text, either, which would come between them.
            assert [(await read(watch)).id for _ in ids] == ids


async def test_longest_event_and_text_reach_who_comes_later_and_the_last_moment_stays_one(tmp_path: Path) -> None:
    async with a_world(tmp_path, StreamLimits(), in_tunnels) as world, world.publishing() as publishing:
        await publishing.send(event("tool_completed", output="x" * (MOST_EVENT_BYTES - 100)), n=1)
        await publishing.send(snapshot("🦜" * (MOST_TEXT_CHARACTERS - 1)))
        end = _at(253_402_300_799, delta(MOST_TEXT_CHARACTERS - 1, "🦜"))
        end.timestamp.nanos = 999_999_999
        await publishing.send(end)
        await publishing.settle(2)
        async with world.watching(after="start") as watch:
            longest, _, whole = await read(watch), await read(watch), await read(watch)
    assert len(longest.tool_completed.output) == MOST_EVENT_BYTES - 100
    assert len(whole.message_snapshot.text) == MOST_TEXT_CHARACTERS
    assert whole.timestamp.seconds == 253_402_300_799


async def test_who_returns_gets_what_was_missed(world: World) -> None:
    async with world.publishing() as publishing:
        ids = [await publishing.send(event("agent_started"), n) for n in range(1, 6)]
    async with world.watching(after=ids[1]) as watch:
        assert [(await read(watch)).id for _ in range(3)] == ids[2:]
    async with world.watching(after="start") as watch:
        assert [(await read(watch)).id for _ in range(5)] == ids


@pytest.mark.parametrize(
    ("after", "reason"),
    [("nonsense\r\nid: 7", "unknown_cursor"), ("abc-1", "epoch_changed"), ("", "unknown_cursor")],
)
async def test_who_cannot_be_told_what_was_missed_is_told_so(world: World, after: str, reason: str) -> None:
    async with world.publishing() as publishing:
        id = await publishing.send(event("agent_started"), n=1)
        watch = world.subscribe(after=after)
        resync, cursor = await read(watch), await read(watch)
        assert (resync.HasField("id"), resync.resync_required.reason) == (False, reason)
        assert resync.resync_required.latest_id == cursor.id == id
        later = await publishing.send(event("agent_started"), n=2)
        assert (await read(watch)).id == later


async def test_a_reader_who_joins_in_mid_answer_gets_its_text_and_then_the_rest(world: World) -> None:
    async with world.publishing() as publishing:
        await publishing.send(snapshot(""))
        await publishing.send(delta(0, "a🦜é"))
        await publishing.settle(1)
        async with world.watching() as watch:
            whole = await read(watch)
            await publishing.send(delta(3, "𐍈"))
            more = await read(watch)
    assert (whole.message_snapshot.text, whole.run_id, whole.HasField("id")) == ("a🦜é", world.run_id, False)
    assert (more.message_delta.offset, more.message_delta.text, more.HasField("id")) == (3, "𐍈", False)


async def test_a_run_stream_ends_after_its_final_event(world: World) -> None:
    async with world.watching(run_id=world.run_id) as watch, world.publishing() as publishing:
        await publishing.send(event("agent_completed", final=True), n=1)
        assert (await read(watch)).final
        ended = (await read(watch)).stream_ended
        assert (ended.reason, ended.resumable) == ("run_finished", False)
        assert await watch.read() is grpc.aio.EOF
        assert await watch.code() is grpc.StatusCode.OK


async def test_only_the_types_asked_for_come_and_unknown_ones_are_refused(world: World) -> None:
    async with world.watching(type=["message_delta"]) as watch, world.publishing() as publishing:
        await publishing.send(event("agent_started"), n=1)
        await publishing.send(snapshot("a"))
        assert (await read(watch)).message_snapshot.text == "a"
    error = await refused(world.subscribe(type=["agent_started", "agent_stopped"]))
    assert (error.code, error.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, "type[1]")


async def test_an_event_published_again_is_acknowledged_again_and_not_sent_twice(world: World) -> None:
    async with world.watching() as watch:
        async with world.publishing() as publishing:
            first = await publishing.send(event("agent_started"), n=1)
        async with world.publishing() as publishing:
            assert await publishing.send(event("agent_started"), n=1) == first
            second = await publishing.send(event("agent_started"), n=2)
        assert [(await read(watch)).id, (await read(watch)).id] == [first, second]


async def test_a_superseded_owner_is_refused(world: World) -> None:
    async with world.publishing(epoch=1) as old, world.publishing(epoch=2):
        await old.call.write(
            publish_service_pb2.PublishRequest(
                event=publish_service_pb2.PublishEvent(n=1, event=event("agent_started"))
            )
        )
        error = await refused(old.call)
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "RUN_SUPERSEDED")


async def test_what_only_this_service_says_cannot_be_published(world: World) -> None:
    for made in (event("heartbeat"), event("resync_required"), event("stream_ended")):
        async with world.publishing() as publishing:
            await publishing.send(made)
            assert (await refused(publishing.call)).code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("made", "n"), [(snapshot("a"), 1), (event("agent_started"), 0), (event("run_failed", final=True), None)]
)
async def test_state_events_are_counted_from_1_and_text_is_not(world: World, made: Any, n: int | None) -> None:
    async with world.publishing() as publishing:
        frame = publish_service_pb2.PublishEvent(event=made, n=n)
        await publishing.call.write(publish_service_pb2.PublishRequest(event=frame))
        error = await refused(publishing.call)
        assert (error.code, error.violations[0][0]) == (grpc.StatusCode.INVALID_ARGUMENT, "event.n")


async def test_publishing_begins_with_open(world: World) -> None:
    call = world.publisher.Publish(metadata=world.internal(), timeout=30)
    frame = publish_service_pb2.PublishEvent(event=event("agent_started"))
    await call.write(publish_service_pb2.PublishRequest(event=frame))
    assert (await refused(call)).code is grpc.StatusCode.INVALID_ARGUMENT


async def test_heartbeats_come_every_15_s(world: World) -> None:
    async with world.watching() as watch:
        for _ in range(2):
            world.clock.ahead += 15
            beat = await read(watch)
            assert (beat.WhichOneof("payload"), beat.HasField("id")) == ("heartbeat", False)


# Who may


async def test_a_token_is_needed_and_publishing_is_for_services(world: World) -> None:
    nobody = await refused(world.subscribe(metadata=(("x", "y"),)))
    assert nobody.code is grpc.StatusCode.UNAUTHENTICATED
    ann = await refused(world.publisher.Publish(metadata=world.user(), timeout=30))
    assert ann.code is grpc.StatusCode.PERMISSION_DENIED


async def test_anothers_session_the_wrong_project_and_a_missing_one_look_the_same(world: World) -> None:
    async with world.publishing() as publishing:
        await publishing.send(event("agent_started"), n=1)
    world.orchestrator.sessions.clear()
    errors = [
        await refused(world.subscribe(metadata=world.user(BOB), after="start")),
        await refused(world.subscribe(project_id=new_id(), after="start")),
        await refused(world.subscribe(metadata=world.user(BOB), project_id=new_id())),
        await refused(world.subscribe(session_id="7")),
    ]
    missing = new_id()
    errors.append(await refused(world.subscribe(session_id=missing)))
    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")}
    details = [error.detail.replace(world.session_id, "ID").replace(missing, "ID") for error in errors]
    assert set(details) == {"session ID does not exist", "session 7 does not exist"}


async def test_anothers_publishing_does_not_reach_a_session_of_the_same_id(world: World) -> None:
    async with world.watching() as watch, world.publishing(user_id=BOB) as bobs, world.publishing() as anns:
        await bobs.send(event("agent_started", agent_name="Bob's"), n=1)
        id = await anns.send(event("agent_started", agent_name="Ann's"), n=1)
        received = await read(watch)
    assert (received.id, received.agent_started.agent_name) == (id, "Ann's")


async def test_the_orchestrator_is_asked_in_the_callers_name_and_once(world: World) -> None:
    token = world.user()
    for _ in range(2):
        watch = world.subscribe(metadata=token)
        await read(watch)
        watch.cancel()
    assert world.orchestrator.asked == [token[0][1]]


async def test_without_the_orchestrator_known_sessions_can_be_watched_and_others_later(world: World) -> None:
    async with world.publishing():
        pass
    await world.orchestrator_server.stop(None)
    async with world.watching():
        pass
    error = await refused(world.subscribe(session_id=new_id()))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SESSIONS_UNAVAILABLE")
    assert "orchestrator" in error.detail


# How streams end


async def test_a_stream_ends_with_its_readers_token(world: World) -> None:
    watch = world.subscribe(metadata=world.user(lifetime_seconds=60))
    await read(watch)
    world.clock.ahead += 61
    frames = await rest(watch)
    assert (frames[-1].stream_ended.reason, frames[-1].stream_ended.resumable) == ("token_expired", True)
    assert await watch.code() is grpc.StatusCode.OK


async def test_a_deleted_session_ends_for_good_and_stays_away(world: World) -> None:
    async with world.watching() as watch, world.publishing() as publishing:
        await publishing.send(event("agent_started"), n=1)
        await read(watch)
        await world.close_session()
        await world.close_session()
        ended = (await read(watch)).stream_ended
        assert (ended.reason, ended.resumable) == ("deleted", False)
        late = publish_service_pb2.PublishEvent(n=2, event=event("agent_started"))
        await publishing.call.write(publish_service_pb2.PublishRequest(event=late))
        assert (await refused(publishing.call)).reason == "SESSION_NOT_FOUND"
    # The orchestrator of this test still says yes, as one may that is a moment behind.
    assert (await refused(world.subscribe())).reason == "SESSION_NOT_FOUND"


async def test_a_reader_who_leaves_costs_nothing_any_more(world: World) -> None:
    async with world.watching(), world.watching(), world.publishing():
        assert world.service.open_streams == 3
    await until(lambda: world.service.open_streams == 0)


async def test_a_slow_reader_is_closed_alone_and_can_go_on(tmp_path: Path) -> None:
    limits = StreamLimits(queue_frames=10, sweep_seconds=0.02, stalled_seconds=60, stop_seconds=0.1)
    async with a_world(tmp_path, limits) as world, world.publishing() as publishing:
        # A channel of its own, whose window is soon full.
        async with grpc.aio.insecure_channel(world.address, options=SMALL_WINDOW) as narrow, world.watching() as quick:
            request = event_service_pb2.SubscribeRequest(project_id=world.project_id, session_id=world.session_id)
            slow = EventServiceStub(narrow).Subscribe(request, metadata=world.user(), timeout=30)
            await read(slow)
            ids = []
            for n in range(1, 61):
                ids.append(await publishing.send(event("tool_completed", output="x" * 20_000), n))
                assert (await read(quick)).id == ids[-1]
            received = await rest(slow)
            assert (received[-1].stream_ended.reason, received[-1].stream_ended.resumable) == ("slow_reader", True)
            got = [each.id for each in received[:-1]]
            assert 0 < len(got) < 60
        async with world.watching(after=got[-1]) as again:
            got += [(await read(again)).id for _ in range(60 - len(got))]
        assert got == ids


async def test_a_reader_who_has_stopped_reading_is_cut_off(tmp_path: Path) -> None:
    limits = StreamLimits(queue_frames=10, sweep_seconds=0.02, stalled_seconds=0.1)
    async with (
        a_world(tmp_path, limits) as world,
        world.publishing() as publishing,
        grpc.aio.insecure_channel(world.address, options=SMALL_WINDOW) as narrow,
    ):
        # gRPC offers no way to reset a call whose write is blocked, but what waits for it is freed.
        stalled = await _stall(world, publishing, narrow)
        await until(lambda: world.service.open_streams == 1)
        assert not stalled.done()
        # Who reads on after all is not left waiting for what will never come.
        assert (await refused(stalled)).reason == "READER_STALLED"


async def test_a_service_that_stops_ends_its_streams_and_waits_for_nobody(tmp_path: Path) -> None:
    limits = StreamLimits(queue_frames=1_000, sweep_seconds=0.02, stop_seconds=0.3)
    async with (
        a_world(tmp_path, limits) as world,
        grpc.aio.insecure_channel(world.address, options=SMALL_WINDOW) as narrow,
        world.publishing() as publishing,
        world.watching() as quick,
    ):
        stalled = await _stall(world, publishing, narrow)
        begun = time.monotonic()
        await world.service.stop()
        assert time.monotonic() - begun < 8
        assert not stalled.done()
        stalled.cancel()
        # gRPC has nothing to wait for, least of all for the 10 s that it is given.
        await world.stop()
        assert time.monotonic() - begun < 8
        frames = await rest(quick)
        assert (frames[-1].stream_ended.reason, frames[-1].stream_ended.resumable) == ("shutdown", True)
        assert (await refused(publishing.call)).code is grpc.StatusCode.UNAVAILABLE


async def test_a_stream_that_grows_old_ends_and_who_returns_has_lost_nothing(tmp_path: Path) -> None:
    limits = StreamLimits(sweep_seconds=0.02, heartbeat_seconds=1e6, rotate_seconds=1000)
    async with a_world(tmp_path, limits) as world, world.publishing() as publishing:
        async with world.watching(type=["agent_completed"]) as watch:
            held_back = await publishing.send(event("agent_started"), 1)
            await publishing.send(snapshot("Half of "))
            world.clock.ahead = 1101
            cursor, ended = await rest(watch)
            assert (cursor.WhichOneof("payload"), cursor.id) == ("heartbeat", held_back)
            assert (ended.stream_ended.reason, ended.stream_ended.resumable) == ("rotated", True)
            assert await watch.code() is grpc.StatusCode.OK
        missed = await publishing.send(event("agent_started"), 2)
        async with world.watching(after=cursor.id) as again:
            assert [(await read(again)).id, (await read(again)).message_snapshot.text] == [missed, "Half of "]


async def test_streams_that_began_together_do_not_end_together(tmp_path: Path) -> None:
    limits = StreamLimits(sweep_seconds=1e6, rotate_seconds=1000)
    async with a_world(tmp_path, limits) as world, world.publishing(), AsyncExitStack() as streams:
        session = SessionKey(ANN, world.project_id, world.session_id)
        opened = [
            await streams.enter_async_context(
                world.service.subscribe(session, None, Filter(), math.inf, cut=lambda: None)
            )
            for _ in range(60)
        ]
        ended = []
        for world.clock.ahead in (890, 950, 1000, 1050, 1101):
            await world.service.sweep()
            ended.append(sum(each.ended is EndReason.ROTATED for each in opened))
    assert ended[0] == 0 < ended[1] < ended[2] < ended[3] < ended[4] == 60


async def test_a_user_has_so_many_streams_and_no_more_whichever_way_they_end(tmp_path: Path) -> None:
    limits = StreamLimits(sweep_seconds=0.02, user_streams=2, rotate_seconds=100)
    async with a_world(tmp_path, limits) as world, world.publishing() as publishing:

        async def full() -> None:
            """Two are open and a third is not; what is refused before it begins takes no place."""
            assert (await refused(world.subscribe(type=["x"]))).code is grpc.StatusCode.INVALID_ARGUMENT
            assert (await refused(world.subscribe(session_id=new_id()))).reason == "SESSION_NOT_FOUND"
            async with world.watching(), world.watching(), world.watching(world.user(BOB)):
                for metadata in (world.user(), world.internal()):
                    error = await refused(world.subscribe(metadata))
                    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
                    assert error.retry_after
            # A call that is cancelled is over here before it is over there.
            await until(lambda: world.service.open_streams == 1)

        await full()
        async with world.watching(world.user(lifetime_seconds=30)) as expiring, world.watching() as rotated:
            world.clock.ahead += 40
            await rest(expiring)
            world.clock.ahead += 80
            await rest(rotated)
        await full()
        async with world.watching(run_id=world.run_id) as finished, world.watching() as deleted:
            await publishing.send(event("agent_completed", final=True), 1)
            await rest(finished)
            await world.close_session()
            await rest(deleted)
        world.session_id = new_id()
        world.orchestrator.sessions.add((world.project_id, world.session_id))
        await full()


SMALL_WINDOW = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]


async def _stall(world: World, publishing: Any, narrow: grpc.aio.Channel) -> Any:
    """A reader who read the cursor and then nothing, with more waiting than its window holds."""
    others = world.service.open_streams
    request = event_service_pb2.SubscribeRequest(project_id=world.project_id, session_id=world.session_id)
    stalled = EventServiceStub(narrow).Subscribe(request, metadata=world.user(), timeout=60)
    await read(stalled)
    # Before it stalls: after that it may be cut off at any time.
    assert world.service.open_streams == others + 1
    for n in range(1, 61):
        await publishing.send(event("tool_completed", output="x" * 20_000), n)
    return stalled
