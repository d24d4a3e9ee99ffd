"""One suite, the faults that it lives through, and what is checked after each."""

import asyncio
import contextlib
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from tests import postgres, redis_server
from tests.e2e.client import Api, signed_in
from tests.e2e.conftest import settings
from tests.e2e.faults import invariants
from tests.e2e.faults.deciding import EXPIRES_SECONDS
from tests.e2e.faults.errands import PARTS, Part
from tests.e2e.faults.faults import LEASE_SECONDS, Fault
from tests.e2e.faults.ledger import (
    Ledger,
    PostgresLedger,
    RunRow,
    SqliteLedger,
    TaskRow,
    events_of,
    runs_of,
    tasks_of,
)
from tests.e2e.faults.load import Load
from tests.e2e.faults.planned import part_of
from tests.e2e.faults.tally import Tally
from tests.e2e.faults.transactions import NotHit
from tests.e2e.polling import eventually
from tests.e2e.suite import SECOND, Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_server import FakeModel
from tests.fakes.qdrant_description import described
from tests.fakes.qdrant_server import FakeQdrant
from tests.postgres import PostgresServer
from tests.redis_server import RedisServer

USERS = 2
WAVES = 20
# On top of two leases: looking every half lease, reading the run and its history, writing, on a machine that does all
# of the suite and its tests on two cores.
MACHINE_SECONDS = 6.0
TAKEOVER_SECONDS = 2 * LEASE_SECONDS + MACHINE_SECONDS
_STRIKES_WITHIN = 0.4
_TAKEN = ("agent_started", "approval_required", "approval_resolved")
QUICK = {
    "CODELAB_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    # Nobody who is only slow, or was frozen for a while, is to be taken for dead.
    "CODELAB_MODEL_TIMEOUT_SECONDS": "15",
    "CODELAB_DRAIN_SECONDS": "2",
    "CODELAB_APPROVAL_SECONDS": f"{EXPIRES_SECONDS:g}",
}


@dataclass
class Strike:
    """One fault as it happens."""

    suite: Suite
    ledger: Ledger
    postgres: PostgresServer | None
    redis: RedisServer | None
    random: random.Random
    load: Load
    in_flight: list[RunRow] = field(default_factory=list)
    tasks: dict[str, list[TaskRow]] = field(default_factory=dict)
    """Of those in flight, as they were then."""
    at: float | None = None
    """When it struck, in Unix time."""
    hit: asyncio.Event = field(default_factory=asyncio.Event)

    def struck(self) -> None:
        self.at = self.at or time.time()
        self.hit.set()

    async def look(self) -> None:
        """See what is in flight."""
        self.in_flight = await runs_of(self.ledger, [chat.session_id for chat in self.load.chats])
        self.tasks = await tasks_of(self.ledger, [run.id for run in self.in_flight])

    def at_work(self, run: RunRow) -> bool:
        """Whether its owner was at a task, or about to be: who takes it over begins with that."""
        return run.leased and (not run.planned or part_of(run, self.tasks.get(run.id, [])) == "working")

    @property
    def parts(self) -> Counter[Part]:
        """What the planned runs in flight are at."""
        parts = [part_of(run, self.tasks.get(run.id, [])) for run in self.in_flight]
        return Counter(part for part in parts if part is not None)

    async def sees_runs(self, part: Part) -> bool:
        """Whether there are some to strike, and a planned one that is at this; at its tasks, with one done already."""
        await self.look()
        there = [run for run in self.in_flight if part_of(run, self.tasks.get(run.id, [])) == part]
        if part == "working":
            there = [run for run in there if any(task.state == "SUCCEEDED" for task in self.tasks[run.id])]
        return sum(1 for run in self.in_flight if not run.over) >= 3 and bool(there)

    async def pause(self, at_least: float, at_most: float) -> None:
        await asyncio.sleep(self.random.uniform(at_least, at_most))

    def either(self, service: str) -> str:
        """One of the service's two replicas."""
        return service + self.random.choice(["", SECOND])

    async def kill(self, name: str) -> None:
        process = self.suite.processes[name]
        process.kill()
        self.struck()
        await process.wait()

    async def terminate(self, name: str) -> None:
        process = self.suite.processes[name]
        process.terminate()
        self.struck()
        async with asyncio.timeout(30):
            code = await process.wait()
        if code != 0:
            raise AssertionError(f"{name} ended with {code} after SIGTERM")

    async def taken_over(self) -> None:
        """Wait until no run is left whose owner may be the dead one, but not longer than a takeover may take."""
        before = {run.id: run.epoch for run in self.in_flight if run.leased}
        sessions = {run.session_id for run in self.in_flight}
        deadline = time.monotonic() + TAKEOVER_SECONDS
        while time.monotonic() < deadline:
            runs = {run.id: run for run in await runs_of(self.ledger, sessions)}
            if all(not runs[each].leased or runs[each].epoch > epoch for each, epoch in before.items()):
                return
            await asyncio.sleep(0.05)


@dataclass
class Game:
    """A suite in its layout, and the users who stay signed in through everything."""

    layout: Layout
    suite: Suite
    model: FakeModel
    ledger: Ledger
    """The orchestrator's."""
    agents: Ledger
    """The agents service's."""
    postgres: PostgresServer | None
    redis: RedisServer | None
    apis: list[Api]
    tally: Tally
    seed: int
    _watched: list[Load] = field(default_factory=list)
    _telling: list["asyncio.Task[list[str]]"] = field(default_factory=list)

    async def play(self, fault: Fault, number: int) -> list[str]:
        """Let one fault strike under load, and return what was wrong afterwards.

        With replicas, whose streams live, what is told late is waited for beside the next faults: see `told`.
        """
        drawn = f"{self.seed} {self.layout} {number}"
        load = Load(random.Random(f"{drawn} load"), self.tally.seen)
        self._watched.append(load)
        await load.open(self.apis)
        chance = random.Random(f"{drawn} strike")
        strike = Strike(self.suite, self.ledger, self.postgres, self.redis, chance, load)
        label = f"seed {self.seed}, fault {number}, {fault.name}"
        wrong = await self._strike(fault, strike, load, PARTS[number % len(PARTS)])
        self.tally.faults[fault.name] += 1
        wrong += await invariants.every_run_ends(self.ledger, load)
        if not wrong:
            await load.decided()
            done = invariants.all_was_done_once(
                *(self.ledger, load, self.model, self.tally.seen), before=strike.tasks, spares_runs=fault.spares_runs
            )
            wrong += await _found(done)
            wrong += await invariants.all_was_done_as_decided(
                self.ledger, self.agents, self.suite.workspaces, load, self.tally.seen
            )
            wrong += await self._takeovers(fault, strike)
        wrong = self._noted(label, wrong + load.violations)
        told = asyncio.create_task(self._told(fault, load, label), name=label)
        if self.layout is Layout.REPLICAS:
            self._telling.append(told)
        else:
            wrong += await told
        if wrong:
            wrong.append(f"{label}: in flight were {'; '.join(map(str, strike.in_flight))}")
        return wrong

    async def told(self) -> list[str]:
        """What was wrong with what watchers were told, of all faults so far."""
        telling, self._telling = self._telling, []
        return [wrong for each in await asyncio.gather(*telling) for wrong in each]

    async def close(self) -> None:
        """End what still watches or waits; after a failure that is more than nothing."""
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        for load in list(self._watched):
            await self._unwatch(load)

    async def _unwatch(self, load: Load) -> None:
        self._watched.remove(load)
        await load.close()

    async def _strike(self, fault: Fault, strike: Strike, load: Load, part: Part) -> list[str]:
        seen, healed = asyncio.Event(), asyncio.Event()
        until = {"until seen": seen, "until struck": strike.hit, "until healed": healed}[fault.load]
        working = asyncio.create_task(self._work(load, until), name="load")
        await eventually(lambda: strike.sees_runs(part), what=f"a load, and a run in its part {part}")
        seen.set()
        await strike.pause(0, _STRIKES_WITHIN)
        await strike.look()
        wrong: list[str] = []
        try:
            await fault.strike(strike)
        except NotHit as missed:
            wrong.append(f"it missed: {missed}")
        except AssertionError as error:
            wrong.append(f"it did not heal: {error}")
        finally:
            strike.hit.set()
            healed.set()
        self.tally.in_flight[fault.name] += sum(1 for run in strike.in_flight if not run.over)
        self.tally.parts[fault.name] += strike.parts
        # A replica that a failed fault left dead or frozen must not fail the next.
        await self.suite.restore()
        await working
        return wrong

    async def _work(self, load: Load, until: asyncio.Event) -> None:
        for _ in range(WAVES):
            await load.wave()
            if until.is_set():
                return

    async def _takeovers(self, fault: Fault, strike: Strike) -> list[str]:
        """How long runs that were leased at the strike waited for the next who works on them."""
        leased = {run.id: run.epoch for run in strike.in_flight if strike.at_work(run)}
        events = await events_of(self.ledger, leased)
        taken = []
        for run_id, epoch in leased.items():
            later = [each for each in events[run_id] if each.epoch > epoch and each.type in _TAKEN]
            # What its user decides is no takeover, and comes when they like.
            if later and strike.at is not None and later[0].type == "agent_started":
                taken.append(later[0].at - strike.at)
        self.tally.takeovers[fault.name] += taken
        late = [seconds for seconds in taken if seconds > TAKEOVER_SECONDS]
        return [f"taken over after {late} s, not within {TAKEOVER_SECONDS:g} s"] if fault.hands_over and late else []

    async def _told(self, fault: Fault, load: Load, label: str) -> list[str]:
        wrong = await _found(invariants.all_was_told_once(self.ledger, load, streams_lived=not fault.streams_die))
        await self._unwatch(load)
        return self._noted(label, wrong)

    def _noted(self, label: str, wrong: list[str]) -> list[str]:
        noted = [f"{label}: {each}" for each in wrong]
        self.tally.violations += noted
        return noted


async def _found(check: Awaitable[list[str]]) -> list[str]:
    """What the check found; that it could not ask, or got no answer, is a finding too."""
    try:
        return await check
    except AssertionError as error:
        return [str(error)]


@contextlib.asynccontextmanager
async def playing(layout: Layout, model: FakeModel, folder: Path, tally: Tally, seed: int) -> AsyncIterator[Game]:
    """A game on a suite of its own, with a PostgreSQL and a Redis of its own where there are replicas."""
    async with contextlib.AsyncExitStack() as stack:
        chosen = {**settings(Layout.FIVE, model), **QUICK}
        server: PostgresServer | None = None
        redis: RedisServer | None = None
        ledger: Ledger = SqliteLedger(folder / "data" / "orchestrator.db")
        agents: Ledger = SqliteLedger(folder / "data" / "agents.db")
        if layout is Layout.REPLICAS:
            programs = postgres.programs()
            assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
            server = stack.enter_context(postgres.running(programs))
            url = await server.create_database("faults")
            ledger, agents = PostgresLedger(url), PostgresLedger(url, "agents")
            # Two replicas of agents need a memory that both see, and one queue for each agent.
            qdrant = stack.enter_context(FakeQdrant(described()))
            redis = stack.enter_context(redis_server.running())
            chosen |= {"DATABASE_URL": url, "QDRANT_URL": qdrant.url, "REDIS_URL": redis.url}
            migrated = await run_codelab("migrate", environment=clean_environment(**chosen), folder=folder)
            assert migrated.code == 0, migrated.output
        suite = await stack.enter_async_context(running(layout, folder, **chosen))
        users = random.Random(seed)
        ids = [str(uuid.UUID(int=users.getrandbits(128), version=4)) for _ in range(USERS)]
        apis = [await stack.enter_async_context(signed_in(suite.url, await suite.token(user_id))) for user_id in ids]
        game = Game(layout, suite, model, ledger, agents, server, redis, apis, tally, seed)
        stack.push_async_callback(game.close)
        yield game
