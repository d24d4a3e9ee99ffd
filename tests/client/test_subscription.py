"""A session's events, each once and in order, whatever happens to the connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from codelab_client import ApiError, Client, subscription
from services.runtime.claims import TokenExpired
from services.runtime.errors import DeadlineExceeded, NotFound, ResourceExhausted
from services.runtime.ids import new_id
from services.streams.errors import TooManyStreams
from tests.client.conftest import Scripted
from tests.cutting import Cut
from tests.streams.world import ANN, World, event

PROJECT, SESSION = new_id(), new_id()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "FIRST_PAUSE_SECONDS", 0.001)


@contextlib.asynccontextmanager
async def watching(
    client: Client, project_id: str = PROJECT, session_id: str = SESSION, **fields: Any
) -> AsyncIterator[Any]:
    async with asyncio.timeout(30), contextlib.aclosing(client.subscribe(project_id, session_id, **fields)) as events:
        yield events


def numbered(n: int, **fields: Any) -> Any:
    made = event("agent_started", agent_name=str(n), **fields)
    made.id = f"e-{n}"
    return made


def ended(reason: str, resumable: bool) -> Any:
    return event("stream_ended", reason=reason, resumable=resumable)


def beat(id: str | None = None) -> Any:
    made = event("heartbeat")
    if id is not None:
        made.id = id
    return made


# Against the service itself


async def test_every_event_comes_once_and_in_order_however_often_the_connection_is_cut(world: World, cut: Cut) -> None:
    token = world.minter.user_token(ANN, 3600)
    seen: list[Any] = []
    async with Client(cut.address, token=token) as client, world.publishing() as publishing:
        ids = [await publishing.send(event("agent_started", agent_name="0"), 1)]
        async with watching(client, world.project_id, world.session_id, after="start") as events:
            for n in range(1, 60):
                seen.append(await anext(events))
                if n % 10 == 0:
                    cut.cut()
                ids.append(await publishing.send(event("agent_started", agent_name=str(n)), n + 1))
            seen.append(await anext(events))
    assert [each.agent_started.agent_name for each in seen] == [str(n) for n in range(60)]
    assert [each.id for each in seen] == ids
    assert cut.connections >= 6


async def test_token_that_expires_in_mid_stream_is_replaced(world: World) -> None:
    issued: list[str] = []

    def issue() -> str:
        # The first ends soon; one that says no time would not be renewed before it is refused.
        issued.append(world.minter.user_token(ANN, 3600 if issued else 1))
        return issued[-1]

    async with Client(world.address, token=issue) as client, world.publishing() as publishing:
        events = client.subscribe(world.project_id, world.session_id, after="start")
        async with asyncio.timeout(30), contextlib.aclosing(events):
            await publishing.send(event("agent_started", agent_name="before"), 1)
            assert (await anext(events)).agent_started.agent_name == "before"
            pending = asyncio.ensure_future(anext(events))
            while len(issued) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await publishing.send(event("agent_started", agent_name="after"), 2)
            assert (await pending).agent_started.agent_name == "after"


async def test_deleted_session_ends_it_and_a_run_that_is_over_too(world: World) -> None:
    async with Client(world.address, token=world.minter.user_token(ANN, 3600)) as client:
        async with world.publishing() as publishing:
            await publishing.send(event("agent_completed", final=True), 1)
        async with watching(
            client, world.project_id, world.session_id, after="start", run_id=world.run_id, types=["agent_completed"]
        ) as events:
            kinds = [each.WhichOneof("payload") async for each in events]
        assert kinds == ["agent_completed", "stream_ended"]
        async with watching(client, world.project_id, world.session_id, after="start") as events:
            await anext(events)
            await world.close_session()
            [last] = [each async for each in events]
        assert (last.stream_ended.reason, last.stream_ended.resumable) == ("deleted", False)


async def test_what_is_not_there_is_said_at_once(world: World) -> None:
    async with Client(world.address, token=world.minter.user_token(ANN, 3600)) as client:
        async with watching(client, world.project_id, new_id()) as events:
            with pytest.raises(ApiError) as caught:
                await anext(events)
        assert caught.value.reason == "SESSION_NOT_FOUND"
        async with watching(client, world.project_id, world.session_id, types=["nonsense"]) as events:
            with pytest.raises(ApiError) as caught:
                await anext(events)
        assert caught.value.violations[0][0] == "type[0]"


# Against one that does what is asked of it


async def names(events: Any, count: int) -> list[str]:
    return [(await anext(events)).agent_started.agent_name for _ in range(count)]


async def test_goes_on_from_the_last_id_whether_it_was_an_events_or_a_heartbeats(scripted: Scripted) -> None:
    scripted.streams = [
        [beat("e-0"), numbered(1)],
        [beat("e-1"), numbered(2), beat("e-5"), ended("shutdown", True)],
        [beat(), ended("slow_reader", True)],
        [beat("e-5"), ended("rotated", True)],
        [ResourceExhausted("full")],
        [beat("e-5"), numbered(6)],
    ]
    async with Client(scripted.address, token="t") as client, watching(client) as events:
        assert await names(events, 3) == ["1", "2", "6"]
    assert scripted.afters == [None, "e-1", "e-5", "e-5", "e-5", "e-5"]


async def test_until_there_is_a_cursor_it_begins_from_where_it_was_told(scripted: Scripted) -> None:
    scripted.streams = [[ResourceExhausted("full")], [ended("shutdown", True)], [numbered(1)]]
    async with Client(scripted.address, token="t") as client, watching(client, after="start") as events:
        assert await names(events, 1) == ["1"]
    assert scripted.afters == ["start"] * 3


async def test_lost_events_are_told_of_and_what_follows_is_not_lost(scripted: Scripted) -> None:
    scripted.streams = [
        [event("resync_required", reason="epoch_changed", latest_id="f-7")],
        [beat("f-7"), numbered(8)],
    ]
    async with Client(scripted.address, token="t") as client, watching(client, after="e-9") as events:
        assert (await anext(events)).resync_required.latest_id == "f-7"
        assert await names(events, 1) == ["8"]
    assert scripted.afters == ["e-9", "f-7"]


async def test_refused_token_is_replaced_once_and_again_after_it_was_good(scripted: Scripted) -> None:
    tokens = iter("abcdefgh")
    scripted.streams = [[numbered(1)], [numbered(2)], []]
    scripted.failures = [TokenExpired(), None, TokenExpired(), None, TokenExpired(), TokenExpired()]
    async with Client(scripted.address, token=lambda: next(tokens)) as client, watching(client) as events:
        assert await names(events, 2) == ["1", "2"]
        with pytest.raises(ApiError, match="TOKEN_EXPIRED"):
            await anext(events)
    assert scripted.tokens == list("abbccd")


async def test_waits_ever_longer_while_nobody_answers_and_as_long_as_it_is_asked_to(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    sleep, test = asyncio.sleep, asyncio.current_task()

    async def note(seconds: float) -> None:
        if asyncio.current_task() is not test:
            await sleep(seconds)  # Something else in this process.
            return
        paused.append(seconds)
        await sleep(0)

    monkeypatch.setattr(subscription.asyncio, "sleep", note)
    scripted.streams = [[ResourceExhausted("x")] for _ in range(15)]
    scripted.streams += [[ResourceExhausted("x", retry_after=60)], [numbered(1)], [numbered(2)], []]
    async with Client(scripted.address, token="t") as client, watching(client) as events:
        assert await names(events, 2) == ["1", "2"]
    assert paused[0] <= 0.0015
    assert paused[4] >= 0.016
    assert max(paused[:15]) <= 15
    assert 60 <= paused[15] <= 90
    assert paused[16] <= 0.0015, "who was answered begins anew"


async def test_who_has_too_many_streams_is_told_each_time_and_how_long_it_waits(scripted: Scripted) -> None:
    waits: list[tuple[ApiError, float]] = []
    full = TooManyStreams(3)
    full.retry_after = 0.1
    # A stream that ends early is no refusal: it is resumed.
    scripted.streams = [[full], [full], [numbered(1), ended("rotated", True)], [full], [numbered(2)], []]

    def note(error: ApiError, seconds: float) -> None:
        waits.append((error, seconds))

    async with Client(scripted.address, token="t") as client, watching(client, on_wait=note) as events:
        assert await names(events, 2) == ["1", "2"]
    assert [(error.reason, error.metadata["limit"]) for error, _ in waits] == [("TOO_MANY_STREAMS", "3")] * 3
    assert all(0.1 <= seconds <= 0.15 for _, seconds in waits)


async def test_who_does_not_want_to_wait_ends_the_subscription(scripted: Scripted) -> None:
    def give_up(error: ApiError, seconds: float) -> None:
        raise error

    scripted.streams = [[TooManyStreams(3)]]
    async with Client(scripted.address, token="t") as client, watching(client, on_wait=give_up) as events:
        with pytest.raises(ApiError, match="TOO_MANY_STREAMS"):
            await anext(events)


async def test_who_asks_for_nothing_finds_a_reached_limit_in_the_log(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    full = TooManyStreams(3)
    full.retry_after = None
    scripted.streams = [[DeadlineExceeded("slow")], [full], [numbered(1)], []]
    async with Client(scripted.address, token="t") as client, watching(client) as events:
        assert await names(events, 1) == ["1"]
    [warning] = [each for each in caplog.records if each.name == "codelab_client"]
    assert warning.levelname == "WARNING"
    assert f"TOO_MANY_STREAMS: {full.detail}" in warning.getMessage()


async def test_connection_that_says_nothing_is_given_up(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "SILENCE_SECONDS", 0.5)
    async with Client(scripted.address, token="t") as client, watching(client) as events:
        scripted.streams = [[beat("e-1")], [beat("e-2")], [numbered(3)]]
        scripted.silent = True
        assert await names(events, 1) == ["3"]
    assert scripted.afters == [None, "e-1", "e-2"]


@pytest.mark.parametrize("how", ["closed", "cancelled", "abandoned", "client closed"])
async def test_who_leaves_ends_the_call(scripted: Scripted, how: str) -> None:
    scripted.streams = [[numbered(1)]]
    client = Client(scripted.address, token="t")
    events = client.subscribe(PROJECT, SESSION)
    await anext(events)
    match how:
        case "closed":
            await events.aclose()
        case "cancelled":
            reading = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            reading.cancel()
        case "abandoned":
            del events
        case "client closed":
            await client.close()
    async with asyncio.timeout(30):
        await scripted.cancelled.wait()
    await client.close()


async def test_what_trying_again_does_not_mend_is_raised(scripted: Scripted) -> None:
    scripted.streams = [[numbered(1), NotFound("gone")]]
    async with Client(scripted.address, token="t") as client, watching(client) as events:
        await anext(events)
        with pytest.raises(ApiError) as caught:
            await anext(events)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
