"""What waiting costs: `python -m tests.bench.parking`, by hand; some minutes.

In one run, for one process and five on SQLite, and five on PostgreSQL where it is installed: a thousand runs in which
an agent writes a file, each in a session of its own. First the project's policy permits that; then it asks, so that a
thousand runs wait for their user, who approves them all in the end. Between these the suite is left alone, and what it
holds and does at rest is read: as it was before, after the runs that asked nobody, and with all of the others waiting.

A waiting run holds no call to the model, no place at its agent, no lease: that is counted, not assumed. What runs leave
behind in caches they leave whether they wait or not: a waiting run's memory is what it adds to that. CPU is user and
system time of the suite's processes, and of PostgreSQL's; senders and model share the machine with them: trust ratios
more than times. The agents' concurrency limits are raised, and the limit of a user's runs.
"""

import argparse
import asyncio
import json
import os
import shlex
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests import postgres
from tests.bench import figures
from tests.bench.direct_call import ModelProcess
from tests.bench.orchestration import let_work_at_once
from tests.e2e.approving import approve, asking, call, permit
from tests.e2e.client import AGENT, Api, Chat, answer, signed_in
from tests.e2e.faults.ledger import Ledger, PostgresLedger, SqliteLedger
from tests.e2e.polling import eventually
from tests.e2e.suite import Layout, Suite, clean_environment, run_codelab, running
from tests.postgres import PostgresServer

MOST_SECONDS = 600.0
"""How long any of the steps may take."""
AT_ONCE = 20
"""Requests of the user that are under way at a time."""
PAGE = 200
SETTLES_SECONDS = 3.0
"""From the last that was to be done until the suite is at rest: longer than whatever it does a moment later."""
POSTGRES = "postgres"


@dataclass(frozen=True)
class Rest:
    """What the processes, by their names, are and do while nobody asks anything."""

    cpu_ms_a_minute: dict[str, float]
    anonymous_mb: dict[str, float]
    pss_mb: float
    """Of all together."""
    sockets: dict[str, float]

    @property
    def cpu(self) -> float:
        return sum(self.cpu_ms_a_minute.values())

    @property
    def anonymous(self) -> float:
        return sum(self.anonymous_mb.values())


@dataclass(frozen=True)
class Phase:
    """Runs, or decisions: the time that all of them took, and the CPU of each by process."""

    seconds: float
    cpu_ms_by_process: dict[str, float]

    @property
    def cpu_ms(self) -> float:
        return sum(self.cpu_ms_by_process.values())


@dataclass(frozen=True)
class Held:
    """What runs that wait hold. All of it should be none."""

    leases: int
    model_calls: int
    busy_agents: int
    untold_events: int


@dataclass(frozen=True)
class Report:
    runs: int
    before: Rest
    after_as_many: Rest
    """After as many runs that asked nobody."""
    waiting: Rest
    held: Held
    unasked: Phase
    """Runs that need no approval."""
    until_waiting: Phase
    deciding: Phase
    """From the first decision to the last run's end."""
    decided_seconds: float
    """Until the last decision was answered."""
    succeeded: int
    """Of all runs, those that were asked about and the others."""

    @property
    def cpu_of_waiting(self) -> float:
        """CPU at rest with all of them waiting, in that after as many runs."""
        return self.waiting.cpu / self.after_as_many.cpu

    @property
    def cpu_of_approval(self) -> float:
        """CPU of a run with an approval, in that of one without."""
        return (self.until_waiting.cpu_ms + self.deciding.cpu_ms) / self.unasked.cpu_ms


@dataclass
class Bench:
    """A suite, its model, and a user whose agents take all that comes."""

    suite: Suite
    api: Api
    model: ModelProcess
    ledger: Ledger
    project_id: str
    rest_seconds: float
    server: PostgresServer | None
    _succeeded: int = field(default=0, init=False)

    async def measure(self, runs: int) -> Report:
        chats = await each(range(2 * runs + AT_ONCE), lambda _: self.api.new_chat(self.project_id))
        # The first time everything is compiled, connected and loaded.
        warm, unasked, asked = chats[:AT_ONCE], chats[AT_ONCE : AT_ONCE + runs], chats[AT_ONCE + runs :]
        await permit(warm[0], {"tool": "write_file", "decision": "auto"})
        await self._run(warm)
        before = await self._rest()
        unasked_phase = await self._measured(runs, self._run(unasked))
        after = await self._rest()
        await permit(warm[0])
        until_waiting = await self._measured(runs, self._start(asked, "WAITING_APPROVAL", runs))
        waiting, held = await self._rest(), await self._held()
        answered_at: list[float] = []
        started = time.monotonic()
        deciding = await self._measured(runs, self._approve_all(warm[0], answered_at, runs))
        return Report(
            *(runs, before, after, waiting, held, unasked_phase, until_waiting, deciding),
            decided_seconds=round(answered_at[0] - started, 2),
            succeeded=await self._count("SUCCEEDED") - len(warm),
        )

    async def _run(self, chats: Sequence[Chat]) -> None:
        self._succeeded += len(chats)
        await self._start(chats, "SUCCEEDED", self._succeeded)

    async def _start(self, chats: Sequence[Chat], state: str, count: int) -> None:
        """Start a run in each session, and return when there are so many runs in this state."""
        await each(chats, insist)
        await self._are(state, count)

    async def _approve_all(self, chat: Chat, answered_at: list[float], runs: int) -> None:
        """Approve whatever waits, page by page, and return when all have succeeded."""
        decided = 0
        while decided < runs:
            page = await answer(chat.http.get(f"{chat.project_path}/approvals", params={"page_size": PAGE}))
            assert page["approvals"], f"only {decided} of {runs} were asked about"
            await each(page["approvals"], lambda approval: answer(approve(chat, approval)))
            decided += len(page["approvals"])
        answered_at.append(time.monotonic())
        self._succeeded += runs
        await self._are("SUCCEEDED", self._succeeded)

    async def _are(self, state: str, count: int) -> None:
        async def there() -> bool:
            await asyncio.sleep(0.2)
            return await self._count(state) == count

        await eventually(there, MOST_SECONDS, f"{count} runs in {state}")

    async def _count(self, state: str) -> int:
        [row] = await self.ledger.rows(f"SELECT COUNT(*) AS found FROM runs WHERE UPPER(state) = '{state}'")
        return int(row["found"])

    async def _held(self) -> Held:
        waits = "UPPER(state) = 'WAITING_APPROVAL'"
        query = f"SELECT COUNT(*) AS found FROM runs WHERE {waits} AND (owner IS NOT NULL OR lease_until <> 0)"
        [leases] = await self.ledger.rows(query)
        [untold] = await self.ledger.rows("SELECT COUNT(*) AS found FROM run_events WHERE published IS NULL")
        agents = await answer(self.api.http.get(f"/my/projects/{self.project_id}/agents"))
        return Held(
            leases=int(leases["found"]),
            model_calls=sum(call.outcome == "open" for call in await self.model.calls()),
            busy_agents=sum(agent["status"] != "ready" for agent in agents["agents"]),
            untold_events=int(untold["found"]),
        )

    async def _measured(self, count: int, work: Awaitable[None]) -> Phase:
        started, cpu = time.monotonic(), self._cpu()
        await work
        more = {name: round(1000 * (now - cpu[name]) / count, 2) for name, now in self._cpu().items()}
        return Phase(round(time.monotonic() - started, 2), more)

    async def _rest(self) -> Rest:
        await asyncio.sleep(SETTLES_SECONDS)
        started, cpu = time.monotonic(), self._cpu()
        await asyncio.sleep(self.rest_seconds)
        minutes = (time.monotonic() - started) / 60
        more = {name: 1000 * (now - cpu[name]) / minutes for name, now in self._cpu().items()}
        return Rest(
            {name: round(ms, 1) for name, ms in more.items()},
            {name: round(mb, 1) for name, mb in self._by_process(figures.anonymous_mb).items()},
            round(figures.pss_mb(self.suite.pids()), 1),
            self._by_process(sockets),
        )

    def _cpu(self) -> dict[str, float]:
        """User and system time of each process so far, and of PostgreSQL's together."""
        seconds = self._by_process(figures.precise_cpu_seconds)
        if self.server is not None:
            postmaster = self.server.pid
            living = figures.precise_cpu_seconds(postmaster, *figures.children(postmaster))
            seconds[POSTGRES] = living + figures.children_cpu_seconds(postmaster)
        return seconds

    def _by_process(self, read: Callable[[int], float]) -> dict[str, float]:
        """What is read of each process; of those they started, which keep memories, together."""
        names = {process.pid: name for name, process in self.suite.processes.items()}
        found = dict.fromkeys([*names.values(), "memory"], 0.0)
        for pid in self.suite.pids():
            found[names.get(pid, "memory")] += read(pid)
        return found


async def insist(chat: Chat) -> None:
    """Start a run, also where the suite has more to do than it can at once, and says so."""
    body = {"session_id": chat.session_id, "content": writing(chat.session_id), "target_agent": AGENT}
    body["request_id"] = str(uuid.uuid4())

    async def started() -> bool:
        response = await chat.http.post(f"{chat.project_path}/runs", json=body)
        assert response.status_code in (201, 503), response.text
        return response.status_code == 201

    await eventually(started, MOST_SECONDS, "a run")


def writing(session_id: str) -> str:
    """A message at which an agent writes a file, one of a few: each write looks through all that there are."""
    return asking([call("write_file", path=f"{session_id[0]}.txt", content="Done.\n")], answer="It is written.")


def sockets(pid: int) -> float:
    """Open sockets of a process: one for each connection, whatever streams there are on it."""
    return float(sum(each.is_socket() for each in Path(f"/proc/{pid}/fd").iterdir()))


async def each(items: Iterable[Any], work: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Do the work for each, so many at once; what they return, in the order of the items."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(item: Any) -> Any:
        async with turns:
            return await work(item)

    return await asyncio.gather(*map(one, items))


async def measure(layout: Layout, runs: int, rest_seconds: float, server: PostgresServer | None = None) -> Report:
    """What so many waiting runs cost on a suite of its own."""
    async with ModelProcess.running() as model:
        settings = {
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "sk-bench",
            "EMBEDDING_MODEL": "hashing",
            "CODELAB_LOG_LEVEL": "warning",
            "CODELAB_APPROVAL_SECONDS": "86400",
            "CODELAB_USER_ACTIVE_RUNS": str(3 * runs + AT_ONCE),
        }
        with tempfile.TemporaryDirectory() as folder:
            ledger: Ledger = SqliteLedger(Path(folder) / "data" / "orchestrator.db")
            if server is not None:
                settings["DATABASE_URL"] = await server.create_database("bench")
                ledger = PostgresLedger(settings["DATABASE_URL"])
                await run_codelab("migrate", environment=clean_environment(**settings), folder=Path(folder))
            async with running(layout, Path(folder), **settings) as suite:
                token = await suite.token(str(uuid.uuid4()))
                async with signed_in(suite.url, token) as api:
                    project_id = (await api.new_project())["id"]
                    await let_work_at_once(api, project_id)
                    return await Bench(suite, api, model, ledger, project_id, rest_seconds, server).measure(runs)


HEADS = (
    *("process", "CPU ms/min before", "after as many", "waiting"),
    *("anonymous MB before", "after as many", "waiting", "sockets before", "waiting"),
    *("CPU ms a run unasked", "until it waits", "decided"),
)


def table(title: str, report: Report) -> str:
    rests = (report.before, report.after_as_many, report.waiting)
    phases = (report.unasked, report.until_waiting, report.deciding)
    names = [*report.before.cpu_ms_a_minute, "all"]

    def of(values: dict[str, float], name: str) -> float | None:
        return sum(values.values()) if name == "all" else values.get(name)

    rows: list[list[figures.Cell]] = [
        [
            name,
            *(of(rest.cpu_ms_a_minute, name) for rest in rests),
            *(of(rest.anonymous_mb, name) for rest in rests),
            *(of(rest.sockets, name) for rest in (report.before, report.waiting)),
            *(of(phase.cpu_ms_by_process, name) for phase in phases),
        ]
        for name in names
    ]
    return figures.table(title, HEADS, rows) + "".join(f"  {line}\n" for line in told(report))


def told(report: Report) -> list[str]:
    held = report.held
    more = (report.waiting.anonymous - report.after_as_many.anonymous) * 1024 / report.runs
    return [
        f"{report.runs} waiting runs hold {held.leases} leases, {held.model_calls} calls to the model,"
        f" {held.busy_agents} busy agents, {held.untold_events} untold events",
        f"CPU at rest: {report.cpu_of_waiting:.2f} × that after as many runs; memory: {more:.1f} KB more a waiting run;"
        f" PSS {report.before.pss_mb:.0f}, {report.after_as_many.pss_mb:.0f} and {report.waiting.pss_mb:.0f} MB",
        f"CPU of a run with an approval: {report.cpu_of_approval:.2f} × that of one without",
        f"as many without approval took {report.unasked.seconds:.1f} s; {report.until_waiting.seconds:.1f} s until all"
        f" waited; all decided in {report.decided_seconds:.1f} s, all over in {report.deciding.seconds:.1f} s;"
        f" {report.succeeded} of {2 * report.runs} succeeded",
    ]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="runs that wait at once")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds in which the suite is left alone")
    parser.add_argument("--layouts", default="one,five,postgres", help="which of these, comma-separated")
    asked = parser.parse_args()
    sys.stdout.write(f"$ python -m tests.bench.parking {shlex.join(sys.argv[1:])}\n")
    reports: dict[str, Report] = {}

    async def report(layout: Layout, server: PostgresServer | None = None) -> None:
        name = f"{layout} on {'SQLite' if server is None else 'PostgreSQL'}"
        before = os.getloadavg()[0]
        reports[name] = await measure(layout, asked.runs, asked.rest, server)
        load = f"{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
        sys.stdout.write(table(f"{name} ({load})", reports[name]))
        sys.stdout.flush()

    wanted = asked.layouts.split(",")
    if "one" in wanted:
        await report(Layout.ONE)
    if "five" in wanted:
        await report(Layout.FIVE)
    if "postgres" in wanted and (programs := postgres.programs()) is not None:
        with postgres.running(programs) as server:
            await report(Layout.FIVE, server)
    sys.stdout.write(json.dumps({name: asdict(each) for name, each in reports.items()}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
