"""What it costs that runs survive: `python -m tests.bench.durability`, by hand; about a minute.

The same executor, with agents that answer at once and streams that take everything, over three stores in one process:
dictionaries, SQLite, and PostgreSQL where it is installed, as both are set in production: SQLite's commits reach the
system's cache, PostgreSQL's the disk. First whole runs: callers send one message after another, each waits for its
answer, and what was published is recorded before the clock stops. Then the steps of a run alone, one after the other,
with nothing beside them.

CPU is user and system time of this process, which holds callers, executor and driver, and SQLite itself; for
PostgreSQL, beside it, that of every process of its server. The stores take turns, and a ratio is the median of those
to the dictionaries' turn just before: trust ratios and CPU more than times.
"""

import argparse
import asyncio
import os
import random
import shlex
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orchestrator.direct import Direct
from services.orchestrator.executor import Executor, Work
from services.orchestrator.graph import begun
from services.orchestrator.leases import Ending, Lease, NewRun, RunLimits
from services.orchestrator.limits import WorkLimits
from services.orchestrator.model import Agent, Event, Failure, Message, Mode, OnBusy, Owner, RunState, TaskState, Usage
from services.orchestrator.ports import (
    Assignment,
    Choice,
    Completed,
    Delta,
    Frame,
    Happening,
    Opening,
    Proposal,
    Rejected,
    Result,
)
from services.orchestrator.sql_approval_store import SqlApprovalStore
from services.orchestrator.sql_run_store import SqlRunStore
from services.orchestrator.sql_session_store import SqlSessionStore
from services.orchestrator.store import ApprovalStore, RunStore, SessionStore
from services.orchestrator.tables import metadata
from services.orchestrator.teller import Teller
from services.orchestrator.waiting import Waiting
from services.runtime.database import Database
from services.runtime.ids import new_id, utc_now
from tests import databases, postgres
from tests.bench import figures
from tests.bench.dict_stores import DictApprovalStore, DictRunStore, DictSessionStore, Rows
from tests.postgres import PostgresServer

AGENT = Agent(new_id(), "CodeAssistant")
USAGE = Usage(prompt_tokens=120, completion_tokens=150, model_calls=1)
LEASE_SECONDS = 30.0
EVENTS_A_RUN = 3
# Its history stays of an ordinary length.
RUNS_A_SESSION = 5
CALLERS = (1, 10, 50)
ROUNDS = 4
RENEWED = 50
_STEPS = ("accept", "advance", "renew", "end", "acknowledge")


def answer_to(content: str) -> str:
    """What the agents make of a message."""
    return f"{content[:20]} {content.swapcase() * 3}"


class Agents:
    """Implements `Agents`: answers in two pieces, at once."""

    async def resolve(self, user_id: str, project_id: str, target: str, timeout: float) -> Agent:
        return AGENT

    async def execute(self, assignment: Assignment) -> AsyncGenerator[Happening, None]:
        output = answer_to(assignment.task.instruction)
        yield Delta(0, output[:20])
        yield Delta(20, output[20:])
        yield Completed(output, USAGE)

    async def propose(
        self, lease: Lease, request: str, history: Sequence[Message], max_tasks: int, rejected: Rejected | None
    ) -> Proposal:
        raise AssertionError("direct runs need no plan")

    async def choose(self, lease: Lease, request: str) -> Choice:
        raise AssertionError("direct runs need no plan")

    async def combine(
        self,
        lease: Lease,
        request: str,
        history: Sequence[Message],
        results: Sequence[Result],
        failed: Sequence[tuple[str, Failure]],
    ) -> AsyncGenerator[Happening, None]:
        raise AssertionError("direct runs have one result")
        yield


class Streams:
    """Implements `Streams`: takes every frame, and tells when so many events were taken."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = asyncio.Event()

    async def publish(
        self, opening: Opening, frames: AsyncGenerator[Frame, None], acknowledged: Callable[[int, str], None]
    ) -> None:
        async with aclosing(frames):
            async for frame in frames:
                if isinstance(frame, Event):
                    self._taken += 1
                    acknowledged(frame.n, f"1-{self._taken}")
                    self._changed.set()

    async def took(self, events: int) -> None:
        """Return when so many more events were taken."""
        async with asyncio.timeout(60):
            while self._taken < events:
                self._changed.clear()
                await self._changed.wait()
        self._taken -= events

    async def close_sessions(self, user_id: str, project_id: str, session_ids: list[str]) -> None:
        raise AssertionError("nothing is deleted here")


LIMITS = RunLimits(active=1000, queued=1000)
WORK_LIMITS = WorkLimits(tasks=12, model_calls=1000, tokens=1_000_000, seconds=3600.0)


class Counting:
    """A database that counts its transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.counted: Counter[str] = Counter()

    def read(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        self.counted["read"] += 1
        return self._database.read(urgent=urgent)

    def write(self, *, urgent: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        self.counted["write"] += 1
        return self._database.write(urgent=urgent)

    def migrate(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.migrate()

    def listening(self, channel: str, heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        return self._database.listening(channel, heard)

    async def close(self) -> None:
        await self._database.close()


@dataclass
class House:
    """An executor over stores of one kind, at work."""

    kind: str
    sessions: SessionStore
    runs: RunStore
    approvals: ApprovalStore
    counted: Counter[str] = field(default_factory=Counter)
    server: PostgresServer | None = None

    def __post_init__(self) -> None:
        self.streams, self.waiting = Streams(), Waiting()
        self.teller = Teller(self.runs, self.streams, utc_now)
        works: dict[Mode, Work] = {Mode.DIRECT: Direct(Agents())}
        self.executor = Executor(
            self.runs, self.approvals, works, WORK_LIMITS, self.teller, self.waiting, utc_now, new_id(), 300.0
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator["House"]:
        async with self.teller.working(LEASE_SECONDS), self.executor.working(LEASE_SECONDS):
            yield self

    def clocks(self) -> tuple[float, float, float]:
        """Wall, CPU of this process, CPU of the database server; all in seconds."""
        return time.perf_counter(), time.process_time(), 0.0 if self.server is None else _cpu_seconds(self.server.pid)

    async def a_project(self) -> Owner:
        owner = Owner(new_id(), new_id())
        await self.sessions.admit_project(owner)
        return owner

    async def a_session(self, owner: Owner) -> str:
        return (await self.sessions.create_session(owner, new_id(), None, None, utc_now())).id

    async def converse(self, owner: Owner, session_id: str, contents: Sequence[str]) -> list[tuple[str, str]]:
        """Send one message after the other, each when the one before is answered; returns the runs and messages."""
        sent = []
        for content in contents:
            new = a_message(session_id, content)
            with self.waiting.for_run(new.id) as ended:
                await self.executor.accept(owner, new, None)
                async with asyncio.timeout(60):
                    await ended.wait()
            sent.append((new.id, content))
        return sent


@dataclass(frozen=True)
class Cost:
    """What one run, or one step, costs; milliseconds. Transactions are the database's."""

    wall: float
    cpu: float
    server_cpu: float
    writes: float = 0.0
    reads: float = 0.0

    @property
    def all_cpu(self) -> float:
        return self.cpu + self.server_cpu


def a_message(session_id: str, content: str) -> NewRun:
    return NewRun(new_id(), new_id(), new_id(), session_id, content, AGENT, OnBusy.QUEUE)


def an_ending(lease: Lease) -> Ending:
    """How the lease's run ends."""
    output = answer_to(lease.task.instruction)
    task = replace(lease.task, state=TaskState.SUCCEEDED, output=output, usage=USAGE, finished_at=utc_now())
    return Ending(answer=output, agent_id=task.agent_id, tasks=(task,), spent=USAGE)


@asynccontextmanager
async def houses(folder: Path, kinds: Sequence[str]) -> AsyncIterator[list[House]]:
    """One of each kind; the first is what the others are compared with."""
    async with AsyncExitStack() as stack:
        rows = Rows()
        opened = [House("dictionaries", DictSessionStore(rows), DictRunStore(rows, LEASE_SECONDS), DictApprovalStore())]
        if "sqlite" in kinds:
            opened.append(await _on_database(stack, "SQLite", folder))
        if "postgresql" in kinds and (programs := postgres.programs()) is not None:
            server = stack.enter_context(postgres.running(programs, fsync="on"))
            opened.append(await _on_database(stack, "PostgreSQL", folder, server))
        yield [await stack.enter_async_context(house.working()) for house in opened]


async def _on_database(stack: AsyncExitStack, kind: str, folder: Path, server: PostgresServer | None = None) -> House:
    place = await stack.enter_async_context(databases.place(folder, server))
    database = Counting(await place.with_tables(metadata))
    runs, approvals = SqlRunStore(database, LEASE_SECONDS, LIMITS), SqlApprovalStore(database, LEASE_SECONDS)
    return House(kind, SqlSessionStore(database), runs, approvals, database.counted, server)


async def whole_runs(house: House, callers: int, contents: Sequence[str]) -> Cost:
    """Let so many callers send these messages, each in a session of its own, and check what became of them."""
    owner = await house.a_project()
    shares = [contents[caller::callers] for caller in range(callers)]
    chats = [[await house.a_session(owner) for _ in share[::RUNS_A_SESSION]] for share in shares]

    async def caller(chat: list[str], share: Sequence[str]) -> list[tuple[str, str]]:
        parts = [share[first : first + RUNS_A_SESSION] for first in range(0, len(share), RUNS_A_SESSION)]
        sent = [await house.converse(owner, session, part) for session, part in zip(chat, parts, strict=True)]
        return [each for part in sent for each in part]

    async def all_of_it() -> list[list[tuple[str, str]]]:
        sent = await asyncio.gather(*map(caller, chats, shares))
        await house.streams.took(EVENTS_A_RUN * len(contents))
        await house.teller.record()
        return sent

    cost, sent = await _measured(house, len(contents), all_of_it)
    for run_id, content in (each for share in sent for each in share):
        outcome = await house.runs.get_outcome(owner, run_id)
        assert outcome.state is RunState.SUCCEEDED
        assert outcome.answer is not None
        assert outcome.answer.content == answer_to(content)
    said = [(await house.sessions.get_session(owner, each)).message_count for chat in chats for each in chat]
    assert sum(said) == 2 * len(contents), "one answer each"
    return cost


async def single_steps(house: House, contents: Sequence[str]) -> dict[str, Cost]:
    """Take as many runs through each of their steps, by hand, past the executor."""
    owner, runs, process = await house.a_project(), house.runs, new_id()
    news = [a_message(await house.a_session(owner), content) for content in contents]
    count = len(news)
    costs = {}
    costs["accept"], accepted = await _measured(
        house, count, lambda: _each(news, lambda new: runs.accept(owner, new, None, process, utc_now()))
    )
    leases = [each.lease for each in accepted if each.lease is not None]
    costs["advance"], leases = await _measured(
        house,
        count,
        lambda: _each(leases, lambda it: runs.advance(it, process, [begun(it.task, utc_now())], Usage(), utc_now())),
    )
    ids = [lease.run_id for lease in leases]
    batches = [ids[first : first + RENEWED] for first in range(0, count, RENEWED)]
    costs["renew"], kept = await _measured(
        house, len(batches), lambda: _each(batches, lambda batch: runs.renew(process, batch))
    )
    assert set().union(*kept) == set(ids)
    costs["end"], _ = await _measured(
        house,
        count,
        lambda: _each(leases, lambda it: runs.end(it, process, an_ending(it), utc_now())),
    )
    told = [[(run_id, n, f"1-{n}") for n in range(1, EVENTS_A_RUN + 2)] for run_id in ids]
    costs["acknowledge"], _ = await _measured(house, count, lambda: _each(told, runs.acknowledge))
    assert await runs.unpublished(utc_now(), 1, ()) == []
    return costs


async def _each(items: Sequence[Any], work: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    return [await work(item) for item in items]


async def _measured(house: House, times: int, work: Callable[[], Awaitable[Any]]) -> tuple[Cost, Any]:
    """What the work costs, a time, and what it returns."""
    before, counted = house.clocks(), house.counted.copy()
    result = await work()
    wall, cpu, server_cpu = (1000 * (now - then) / times for then, now in zip(before, house.clocks(), strict=True))
    more = house.counted - counted
    return Cost(wall, cpu, server_cpu, more["write"] / times, more["read"] / times), result


def _cpu_seconds(postmaster: int) -> float:
    """User and system time of a PostgreSQL server so far: its processes, and those of its that have ended."""
    living = figures.precise_cpu_seconds(postmaster, *figures.children(postmaster))
    return living + figures.children_cpu_seconds(postmaster)


def ratio(costs: Sequence[Cost], bases: Sequence[Cost], what: Callable[[Cost], float]) -> float:
    """The median of what each costs, in its base's."""
    return statistics.median(what(cost) / what(base) for cost, base in zip(costs, bases, strict=True))


def row(head: Sequence[figures.Cell], costs: Sequence[Cost], bases: Sequence[Cost]) -> list[figures.Cell]:
    def middle(what: Callable[[Cost], float]) -> float:
        return statistics.median(map(what, costs))

    wall, cpu, server = middle(lambda it: it.wall), middle(lambda it: it.cpu), middle(lambda it: it.server_cpu)
    ratios = [ratio(costs, bases, lambda it: it.wall), ratio(costs, bases, lambda it: it.all_cpu)]
    return [*head, wall, cpu, server, *ratios]


async def measure(runs: int, seed: int, kinds: Sequence[str], callers: Sequence[int], rounds: int) -> str:
    """Two tables: of whole runs by how many callers there are, and of steps."""
    chance = random.Random(seed)
    contents = ["".join(chance.choices("abcdefgh ", k=chance.randint(20, 400))) for _ in range(runs)]
    by_callers: dict[tuple[int, str], list[Cost]] = {}
    by_step: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with houses(Path(folder), kinds) as opened:
            for number in range(rounds + 1):
                for house in opened:
                    played = {many: await whole_runs(house, many, contents) for many in callers}
                    steps = await single_steps(house, contents)
                    # The first time everything is compiled, connected and cached.
                    if number:
                        for many, cost in played.items():
                            by_callers.setdefault((many, house.kind), []).append(cost)
                        for step, cost in steps.items():
                            by_step.setdefault((step, house.kind), []).append(cost)
            names = [house.kind for house in opened]
    return f"{runs_table(by_callers, callers, names)}\n{steps_table(by_step, names)}"


HEADS = ("ms", "CPU", "server's CPU", "ratio", "CPU ratio")


def runs_table(costs: dict[tuple[int, str], list[Cost]], callers: Sequence[int], kinds: Sequence[str]) -> str:
    rows = []
    for many in callers:
        for kind in kinds:
            own, base = costs[many, kind], costs[many, kinds[0]]
            writes = statistics.median(cost.writes for cost in own)
            more = statistics.median(cost.all_cpu - other.all_cpu for cost, other in zip(own, base, strict=True))
            counted = [writes, statistics.median(cost.reads for cost in own), more / writes if writes else None]
            rows.append([*row([many, kind], own, base), *counted])
    heads = ("callers", "store", *HEADS, "commits", "reads", "CPU a commit")
    return figures.table("A run, in ms; what its store's commits cost more than dictionaries, in ms each", heads, rows)


def steps_table(costs: dict[tuple[str, str], list[Cost]], kinds: Sequence[str]) -> str:
    rows = [row([step, kind], costs[step, kind], costs[step, kinds[0]]) for step in _STEPS for kind in kinds]
    title = f"A step, in ms; renew is of {RENEWED} runs at once, acknowledge of all events of one"
    return figures.table(title, ("step", "store", *HEADS), rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=120, help="runs of each store, number of callers and round")
    parser.add_argument("--seed", type=int, default=1, help="of the messages")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    sys.stdout.write(f"$ python -m tests.bench.durability {shlex.join(sys.argv[1:])}\n")
    started = time.monotonic()
    sys.stdout.write(await measure(asked.runs, asked.seed, ("sqlite", "postgresql"), CALLERS, ROUNDS))
    load, cores = os.getloadavg()[0], os.cpu_count()
    sys.stdout.write(f"({time.monotonic() - started:.0f} s, {cores} cores, load {load:.1f})\n")


if __name__ == "__main__":
    asyncio.run(main())
