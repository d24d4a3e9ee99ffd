"""A client that leaves and returns: its reconnect loop, written after the contract alone."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.events import Event
from tests.e2e.torture.knowledge import Knowledge, Wanted
from tests.e2e.torture.published import Place
from tests.e2e.torture.transports import PASSING, Ask, CutOff, Doors, Refused, Session, Transport

SHORTEST, LONGEST = 0.05, 2.0
"""Seconds that a client stays, or is away."""
_AGAIN_AFTER_SECONDS = 0.1
_RESUMABLE = ("token_expired", "shutdown", "slow_reader", "rotated")
_LASTING_TOKEN_SECONDS = 3_600
# What a gateway or a service says that has just died, or stops, has passed by the next try; 401 is of a token that
# has ended on its way.
_EXPIRED = ("401", "UNAUTHENTICATED")


@dataclass
class Manner:
    """How a client behaves."""

    transport: Transport
    from_start: bool = False
    """It begins with the oldest that is kept; the others from now on, once they have loaded what was."""
    token_seconds: float = _LASTING_TOKEN_SECONDS
    with_ticket: bool = False
    closes_to_reload: bool = False
    """After a resync it comes back with `latest_id`; the others read on in the same connection."""
    pause_seconds: float = 0.0
    """Between two frames: it reads slowly, and does not leave by itself."""
    stalls_until: asyncio.Event | None = None
    """After its first frame it reads nothing until then."""
    runs: Sequence[str] = ()
    """Runs that it follows, one after the other; empty: the whole session."""


@dataclass
class Client:
    """Follows a session until it has come to its end. See Knowledge for what it has, and what was wrong."""

    session: Session
    manner: Manner
    knowledge: Knowledge
    doors: Doors
    mint: Callable[[str, float], str]
    """A token of the user that lives so many seconds."""
    is_over: Callable[[str], bool]
    """Whether a run of the test's own is: what HTTP tells of others."""
    random: random.Random
    seen: Counter[str]
    end: "asyncio.Future[Place]"
    """Where the session's stream will end, once that is known."""
    connects: int = 0
    connected: bool = False
    done: bool = False
    _token: tuple[str, float] = ("", 0.0)
    _ticket: tuple[str, float] = ("", 0.0)
    _runs: list[str] = field(default_factory=list)
    _to_reload: bool = False
    """What it had is out of date: it loads before anything else, also when it left before it could."""

    async def follow(self) -> None:
        self._runs = list(self.manner.runs)
        if self._runs:
            self.knowledge.ask_for(Wanted(run_id=self._runs[0]))
        while not self._finished():
            try:
                async with asyncio.timeout(self._stay()):
                    await self._connection()
            except TimeoutError:
                pass  # It leaves, whatever was under way.
            except CutOff as cut:
                self.seen[f"cut off: {cut}"] += 1
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            except Refused as refused:
                self._refused(refused)
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
            finally:
                self.connected = False
            if not self.end.done() and not self.manner.pause_seconds:
                await asyncio.sleep(self._draw())
        self.done = True

    def _stay(self) -> float | None:
        slow = self.manner.pause_seconds or self.manner.stalls_until is not None
        return None if slow or self.end.done() else self._draw()

    def _draw(self) -> float:
        return (
            self.random.uniform(SHORTEST, LONGEST) if self.random.random() < 0.5 else self.random.uniform(SHORTEST, 0.4)
        )

    def _finished(self) -> bool:
        if self.manner.runs:
            return not self._runs
        spans = self.knowledge.spans
        if not self.end.done() or not spans:
            return False
        end, passed = self.end.result(), spans[-1].passed
        return passed.epoch == end.epoch and passed.seq >= end.seq

    async def _connection(self) -> None:
        """One connection, until it ends or nothing more is to come. Raise Refused or CutOff."""
        if self._to_reload:
            await self._reload()
            if self._ran_out():
                return
        after = self.knowledge.last_id or ("start" if self.manner.from_start else None)
        ask = Ask(self.session, await self._fresh_token(), after, self.knowledge.wanted, await self._fresh_ticket())
        address = self.random.choice(self.doors.addresses)
        self.connects += 1
        thin = self.manner.stalls_until is not None
        async with self.doors.open(self.manner.transport, ask, address, thin=thin) as frames:
            self.knowledge.connected()
            async for frame in frames:
                self.connected = True
                new = not self.knowledge.spans
                self._to_reload |= self.knowledge.take(frame)
                self._to_reload |= new and bool(self.knowledge.spans) and after is None
                if self._to_reload:
                    if self.manner.closes_to_reload:
                        return
                    await self._reload()
                    if self._ran_out():
                        return
                if self._finished():
                    return
                await self._dawdle()
        self._ended()

    async def _dawdle(self) -> None:
        if self.manner.pause_seconds:
            await asyncio.sleep(self.manner.pause_seconds)
        if self.manner.stalls_until is not None and self.knowledge.spans:
            await self.manner.stalls_until.wait()

    def _ran_out(self) -> bool:
        """Whether the run that is followed is over, by what was just reloaded: then the turn is the next one's that is
        not. Its stream would not say so if its end was lost."""
        followed = len(self._runs)
        while self._runs and (self.is_over(self._runs[0]) or self._runs[0] in self.knowledge.over):
            self._next_run()
        return len(self._runs) < followed

    def _next_run(self) -> None:
        self._runs.pop(0)
        if self._runs:
            self.knowledge.ask_for(Wanted(run_id=self._runs[0]))

    def _ended(self) -> None:
        ended = self.knowledge.ended
        if ended is None:
            self.knowledge.wrong.append(f"{self.knowledge.name}: the stream ended without a word")
            return
        self.seen[f"ended: {ended['reason']}"] += 1
        expected = {
            "token_expired": True,
            "shutdown": True,
            "slow_reader": True,
            "rotated": True,
            "run_finished": False,
        }
        if expected.get(ended["reason"]) != ended["resumable"]:
            self.knowledge.wrong.append(f"{self.knowledge.name}: the stream ended with {ended}")
        if ended["reason"] == "run_finished":
            self._next_run()

    def _refused(self, refused: Refused) -> None:
        expires = self.manner.token_seconds < _LASTING_TOKEN_SECONDS
        if not refused.passing and not (expires and refused.code in _EXPIRED):
            self.knowledge.wrong.append(f"{self.knowledge.name} was refused: {refused}")
        self.seen[f"refused: {refused.code}"] += 1
        self._token = self._ticket = ("", 0.0)

    async def _fresh_token(self) -> str:
        token, until = self._token
        if time.time() >= until - 1:
            seconds = self.manner.token_seconds
            self._token = token, _ = self.mint(self.session.user_id, seconds), time.time() + seconds
        return token

    async def _fresh_ticket(self) -> str | None:
        if not self.manner.with_ticket:
            return None
        if not self._ticket[0]:
            made = await self._ask("POST", f"{self.session.path}/events:ticket")
            self._ticket = made["ticket"], 0.0
        return self._ticket[0]

    async def _reload(self) -> None:
        """What the contract says of a resync: load runs and messages by HTTP."""
        project = f"/my/projects/{self.session.project_id}"
        runs = await self._insist("GET", f"{project}/runs?session_id={self.session.session_id}&page_size=100")
        said = await self._insist("GET", f"{project}/chat/sessions/{self.session.session_id}/messages?page_size=100")
        self.knowledge.reload(runs["runs"], said["messages"])
        self._to_reload = False

    async def _insist(self, method: str, path: str) -> Event:
        while True:
            try:
                return await self._ask(method, path)
            except Refused as refused:
                if not refused.passing:
                    raise
                self.seen[f"reload refused: {refused.code}"] += 1
            except CutOff as cut:
                self.seen[f"reload cut off: {cut}"] += 1
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)

    async def _ask(self, method: str, path: str) -> Event:
        headers = {"Authorization": f"Bearer {await self._fresh_token()}"}
        content: dict[str, Any] = {} if method == "GET" else {"json": {}}
        try:
            response = await self.doors.http.request(method, path, headers=headers, timeout=20, **content)
        except httpx.TransportError as error:
            raise CutOff(type(error).__name__) from None
        if response.status_code != 200:
            raise Refused(str(response.status_code), response.text, passing=response.status_code in PASSING)
        told: Event = response.json()
        return told
