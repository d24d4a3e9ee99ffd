"""The torture itself: clients that come and go, events, answers, and processes that die in the middle."""

import asyncio
import contextlib
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import httpx

from services.runtime.auth import Keys, TokenMinter
from services.runtime.settings import Settings
from tests.e2e.client import answer
from tests.e2e.polling import eventually
from tests.e2e.suite import Suite
from tests.e2e.torture.asking import Asker, script_of
from tests.e2e.torture.blows import Blow
from tests.e2e.torture.client import Client, Manner
from tests.e2e.torture.knowledge import Knowledge, RunKnowledge, Wanted
from tests.e2e.torture.published import Place, Published
from tests.e2e.torture.publishing import SyntheticRun, split
from tests.e2e.torture.tally import Tally
from tests.e2e.torture.transports import PASSING, Doors, Session, Transport
from tests.fakes.openai_server import FakeModel

EVENTS_OF_A_RUN = 15
WITHIN = 120.0
"""Seconds for whatever must come true: on a machine that does all of this on a core or two, with others."""


@dataclass(frozen=True)
class Size:
    clients: int = 40
    sessions: int = 4
    events: int = 300
    rate: float = 20.0
    """Events a second in each session."""
    answers: int = 6
    answer_seconds: float = 2.5
    flood: int = 1_300
    """Events in one more session, as fast as they go: whoever does not read is cut off. 0: there is none."""


FULL = Size(clients=200, sessions=10, events=3_000, answers=20, answer_seconds=5.0)
SMALL = Size(clients=12, sessions=2, events=120, answers=6, flood=0)
"""Where it is the blows that count."""


@dataclass
class Room:
    """A session, and all that is known of it."""

    session: Session
    published: Published = field(default_factory=Published)
    runs: list[SyntheticRun] = field(default_factory=list)
    end: "asyncio.Future[Place]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass
class Torture:
    suite: Suite
    model: FakeModel
    doors: Doors
    minter: TokenMinter
    size: Size
    seed: int
    tally: Tally
    rooms: list[Room] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    askers: list[Asker] = field(default_factory=list)
    flooded: asyncio.Event = field(default_factory=asyncio.Event)
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    say: Callable[[str], object] = lambda _: None
    """Is told what happens."""
    epochs: int = 1
    blows: list[tuple[float, float]] = field(default_factory=list)
    """From when until when each struck, until all was well again. Monotonic."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def play(self, blows: Sequence[Blow]) -> None:
        """Let all of it happen. What was wrong is in the tally."""
        await self._furnish()
        following = [asyncio.create_task(each.follow(), name=each.knowledge.name) for each in self.clients]
        try:
            async with asyncio.TaskGroup() as publishing:
                for room in self.rooms[:-1]:
                    publishing.create_task(self._publish(room))
                publishing.create_task(self._flood(self.rooms[-1]))
                publishing.create_task(self._strike(blows))
            self.say("all is published")
            await asyncio.gather(*(self._close(room) for room in self.rooms))
            self.say("the ends are known")
            _, late = await asyncio.wait(following, timeout=WITHIN)
            for task in following:
                if task.done():
                    task.result()
            self.tally.violations += [f"never came to the end: {self._state(each.get_name())}" for each in late]
        finally:
            for task in following:
                task.cancel()
            await asyncio.wait(following)

    def _state(self, name: str) -> str:
        [client] = [each for each in self.clients if each.knowledge.name == name]
        knowledge, end = client.knowledge, client.end.result() if client.end.done() else None
        where = f"{'connected' if client.connected else 'away'} at {knowledge.last_id} of {end}"
        return f"{name}, {where}, which wants {knowledge.wanted}; ended {knowledge.ended}"

    # -- what there is --------------------------------------------------------------------------------------------

    async def _furnish(self) -> None:
        self.rooms = await asyncio.gather(*(self._room() for _ in range(self.size.sessions + 1)))
        *usual, flooded = self.rooms
        for room in usual:
            for count in split(self.size.events // self.size.sessions, EVENTS_OF_A_RUN):
                room.runs.append(self._synthetic(room, count))
        for number in range(self.size.clients):
            room = usual[number % len(usual)]
            self._client(room, number, self._manner(room, number))
        if not self.size.flood:
            return
        flooded.runs.append(self._synthetic(flooded, self.size.flood, bulk="x" * 16_000))
        for number, transport in enumerate(Transport, start=self.size.clients):
            self._client(flooded, number, Manner(transport, stalls_until=self.flooded))
        self._client(flooded, self.size.clients + 3, Manner(Transport.GRPC, from_start=True))

    def _manner(self, room: Room, number: int) -> Manner:
        """Each kind of client over each transport: the numbers of kinds, transports and sessions are no multiples."""
        turn = number // self.size.sessions
        transport = list(Transport)[turn % 3]
        kind = self.random.randrange(8)
        return Manner(
            transport,
            from_start=bool(self.random.getrandbits(1)) or kind == 5,
            token_seconds=3 if kind == 6 else 3_600,
            with_ticket=kind == 7,
            closes_to_reload=bool(self.random.getrandbits(1)),
            pause_seconds=0.02 if kind == 3 else 0.0,
            runs=[run.id for run in room.runs] if kind == 5 else (),
        )

    def _client(self, room: Room, number: int, manner: Manner) -> None:
        wanted = Wanted()
        if not manner.runs and self.random.random() < 0.2:
            wanted = Wanted(types=("tool_completed", "agent_completed", "message_delta", "message_snapshot"))
        name = f"client {number} over {manner.transport}"
        knowledge = Knowledge(name, room.published, wanted)
        self.clients.append(
            Client(
                room.session,
                manner,
                knowledge,
                self.doors,
                lambda user, seconds: self.minter.user_token(user, seconds),
                lambda run_id: any(run.id == run_id and run.over for run in room.runs),
                random.Random(f"{self.seed} {name}"),
                self.tally.seen,
                room.end,
            )
        )

    async def _room(self) -> Room:
        user = self._uuid()
        headers = {"Authorization": f"Bearer {self.minter.user_token(user, 3_600)}"}
        http = self.doors.http
        project = await answer(http.post("/my/projects", json={"name": "Torture"}, headers=headers), 201)
        path = f"/my/projects/{project['id']}/chat/sessions"
        session = await answer(http.post(path, json={}, headers=headers), 201)
        return Room(Session(user, project["id"], session["id"]))

    def _synthetic(self, room: Room, count: int, bulk: str = "") -> SyntheticRun:
        return SyntheticRun(
            self._uuid(),
            room.session,
            room.published,
            count,
            lambda: self.minter.service_token("orchestrator", room.session.user_id, 60),
            random.Random(self.random.random()),
            bulk,
        )

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # -- what happens ---------------------------------------------------------------------------------------------

    async def _publish(self, room: Room) -> None:
        """One run after the other; the last third of them when everything has struck."""
        *earlier, last = [room.runs[: -len(room.runs) // 3 or -1], room.runs[-len(room.runs) // 3 or -1 :]]
        for runs in (*earlier, last):
            if runs is last:
                await self.struck.wait()
            for run in runs:
                await run.publish(self.doors, self.size.rate)

    async def _flood(self, room: Room) -> None:
        if not self.size.flood:
            return
        stalled = [each for each in self.clients if each.session is room.session]
        await eventually(lambda: all(each.knowledge.spans for each in stalled), WITHIN, "a cursor for all who stall")
        [run] = room.runs
        await run.publish(self.doors, None)
        self.flooded.set()

    async def _strike(self, blows: Sequence[Blow]) -> None:
        """Ask for as many answers for each blow, and let it strike when they are half written."""
        shares = split(self.size.answers, self.size.answers // len(blows))
        try:
            for blow, share in zip(blows, shares, strict=True):
                askers = [self._asker(number) for number in range(len(self.askers), len(self.askers) + share)]
                async with asyncio.TaskGroup() as asking:
                    for asker in askers:
                        asking.create_task(asker.ask())
                    await eventually(lambda askers=askers: self._half_written(askers), WITHIN, "half an answer")
                    began = time.monotonic()
                    await blow.strike(self)
                    self.epochs += blow.epochs
                    self.blows.append((began, time.monotonic()))
                    self.tally.seen[f"{blow.name}: {time.monotonic() - began:.1f} s"] += 1
                    self.say(f"{blow.name}, and healed")
                await eventually(lambda askers=askers: self._over(askers), WITHIN, "the end of the runs")
        finally:
            self.struck.set()

    def _asker(self, number: int) -> Asker:
        room = self.rooms[number % self.size.sessions]
        marker = f"m-{self.random.getrandbits(64):016x}"
        transport = (None, Transport.SSE, Transport.GRPC, None, Transport.NDJSON)[number % 5]
        asker = Asker(
            room.session,
            script_of(marker, self.size.answer_seconds, self.random),
            marker,
            self.suite.grpc_address("orchestrator"),
            transport,
            self.doors,
            RunKnowledge(f"asker {number} over {transport}", room.published),
            lambda user, seconds: self.minter.user_token(user, seconds),
            random.Random(self.random.random()),
            self.tally.seen,
        )
        self.askers.append(asker)
        return asker

    def _half_written(self, askers: Sequence[Asker]) -> bool:
        """Whether the victim has an answer half written."""
        return any(
            exchange.pieces_sent >= 4
            for asker in askers
            if asker.transport in (None, Transport.GRPC)
            for exchange in self.model.open_now(asker.marker)
        )

    async def _over(self, askers: Sequence[Asker]) -> bool:
        runs = [await self.get(asker.session, f"runs/{asker.run_id}") for asker in askers if asker.run_id is not None]
        return len(runs) == len(askers) and all(run is not None and run["finished_at"] is not None for run in runs)

    async def get(self, session: Session, path: str) -> dict[str, object] | None:
        """What HTTP answers; None while something is away."""
        headers = {"Authorization": f"Bearer {self.minter.user_token(session.user_id, 3_600)}"}
        try:
            response = await self.doors.http.get(f"/my/projects/{session.project_id}/{path}", headers=headers)
        except httpx.TransportError:
            return None
        if response.status_code in PASSING:
            return None
        assert response.status_code == 200, f"{path} answered {response.status_code} {response.text}"
        told: dict[str, object] = response.json()
        return told

    async def _close(self, room: Room) -> None:
        """Say where the stream ends: after one more run, which comes last."""
        for asker in self.askers:
            if asker.session is room.session:
                await eventually(lambda asker=asker: self._recorded(asker), WITHIN, f"the record of run {asker.run_id}")
        closing = self._synthetic(room, 2)
        await closing.publish(self.doors, None)
        epoch = [*room.published.heads][-1]
        room.end.set_result(Place(epoch, max(each.seq for each in room.published.acknowledged if each.epoch == epoch)))

    async def _recorded(self, asker: Asker) -> bool:
        page = await self.get(asker.session, f"runs/{asker.run_id}:events?page_size=100")
        return page is not None and all(event["id"] for event in page["events"])  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def torturing(
    suite: Suite, model: FakeModel, size: Size, seed: int, streams: Sequence[str] = ("streams",)
) -> AsyncIterator[Torture]:
    """A torture of a suite that runs; its tally is whole when the block ends."""
    settings = Settings.load({**suite.environment, "CODELAB_DATA_DIR": str(suite.folder / "test")})
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    narrow = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    async with (
        httpx.AsyncClient(base_url=suite.url, timeout=30, limits=limits) as http,
        httpx.AsyncClient(base_url=suite.url, timeout=30, transport=narrow) as thin,
    ):
        doors = Doors(http, thin, [suite.grpc_address(name) for name in streams])
        try:
            yield Torture(suite, model, doors, TokenMinter(Keys.of(settings)), size, seed, Tally(seed))
        finally:
            await doors.close()
