"""What a direct call costs beyond its model: `python -m tests.bench.direct_call`.

In one run, for one process and five on SQLite, and five on PostgreSQL where it is installed: the seconds from start to
ready, the idle memory, and at 1, 10 and 50 callers the platform's overhead and CPU a call. Overhead is what the caller
waited minus what the model itself took for that very call, as the model measured it. Callers, model and PostgreSQL
share the machine with the suite, whose CPU alone is counted: the figures are pessimistic.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from tests import postgres
from tests.bench import figures
from tests.e2e.client import AGENT, Api, Chat, answer, signed_in
from tests.e2e.suite import ROOT, Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_script import NamedScript, Script
from tests.fakes.openai_server import Exchange
from tests.postgres import PostgresServer

ANSWER = "A sentence of the answer. " * 8
STARTS = 3
IDLE_SECONDS = 5
# A conversation gets a new session after so many messages, so that its history stays of an ordinary length.
MESSAGES_A_SESSION = 5


def model_of(pieces: int) -> Script:
    """A quick model: 0.2 s to the first piece, then 80 a second."""
    return Script(answer=ANSWER, chunks=pieces, first_token_seconds=0.2, token_seconds=0.0125)


AIMS = {"overhead_ms_p50": 15.0, "cpu_ms": 10.0, "start_seconds": 3.0, "idle_pss_mb": 200.0}


@dataclass(frozen=True)
class Load:
    """What calls cost while so many callers send one message after another. Times are milliseconds."""

    callers: int
    calls: int
    pieces: int
    """Pieces that the model streams its answer in: each costs CPU all the way to the watchers."""
    model_ms_p50: float
    overhead_ms_p50: float
    overhead_ms_p95: float
    first_text_ms_p50: float
    """From the model's first token to the caller's, over SSE."""
    cpu_ms: float
    """User and system time of all of the suite's processes, a call."""
    cpu_ms_by_process: dict[str, float]


@dataclass(frozen=True)
class Report:
    layout: str
    start_seconds: float
    idle_pss_mb: float
    idle_cpu_ms: float
    """User and system time that the suite takes in a second in which nobody calls."""
    loads: list[Load]


class ModelProcess:
    """The fake model in a process of its own, so that its clock does not wait for the callers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url.removesuffix("/v1"), timeout=30)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["ModelProcess"]:
        command = (sys.executable, "-m", "tests.fakes.openai_server")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, env=clean_environment(), cwd=ROOT
        )
        assert process.stdout is not None
        model = cls((await process.stdout.readline()).decode().strip())
        try:
            yield model
        finally:
            await model._http.aclose()
            process.kill()
            await process.wait()

    async def calls(self) -> list[Exchange]:
        """What was asked since the last time, oldest first."""
        listed = (await self._http.get("/control/exchanges")).json()
        await self._http.delete("/control/exchanges")
        return [Exchange(**each) for each in listed]

    async def learn(self, scripts: Iterable[NamedScript]) -> None:
        """Give it scripts that requests may name."""
        named = {each.name: {k: v for k, v in asdict(each).items() if k != "name"} for each in scripts}
        (await self._http.post("/control/scripts", json=named)).raise_for_status()

    async def exchanges(self) -> dict[str, Exchange]:
        """What was asked since the last time, by the marker in its message."""
        return {each.user_text.split()[0]: each for each in await self.calls()}


async def measure(layout: Layout, calls: int, embedding: str, server: PostgresServer | None = None) -> Report:
    async with ModelProcess.running() as model:
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-bench", "CODELAB_LOG_LEVEL": "warning"}
        settings["EMBEDDING_MODEL"] = embedding
        with tempfile.TemporaryDirectory() as folder:
            if server is not None:
                settings["DATABASE_URL"] = await server.create_database("bench")
                await run_codelab("migrate", environment=clean_environment(**settings), folder=Path(folder))
            async with running(layout, Path(folder), **settings) as suite:
                starts = []
                for _ in range(STARTS):
                    await suite.stop()
                    starts.append(await suite.start())
                token = await suite.token(str(uuid.uuid4()))
                await asyncio.sleep(2)
                idle = figures.pss_mb(suite.pids())
                before = cpu_seconds(suite)
                await asyncio.sleep(IDLE_SECONDS)
                idle_cpu = (sum(cpu_seconds(suite).values()) - sum(before.values())) / IDLE_SECONDS
                async with signed_in(suite.url, token) as api:
                    await load(suite, api, model, callers=1, calls=5, pieces=20)
                    loads = [
                        await load(suite, api, model, 1, calls, pieces=1),
                        await load(suite, api, model, 1, calls, pieces=20),
                        await load(suite, api, model, 10, 2 * calls, pieces=20),
                        await load(suite, api, model, 50, 5 * calls, pieces=20),
                    ]
    database = "SQLite" if server is None else "PostgreSQL"
    return Report(
        f"{layout} on {database}, {embedding}",
        round(statistics.median(starts), 2),
        round(idle, 1),
        round(1000 * idle_cpu, 1),
        loads,
    )


async def load(suite: Suite, api: Api, model: ModelProcess, callers: int, calls: int, pieces: int) -> Load:
    project = await api.new_project()
    await let_work_at_once(api, project["id"], callers)
    rounds = calls // callers
    sessions = -(-rounds // MESSAGES_A_SESSION)
    chats = [[await api.new_chat(project["id"]) for _ in range(sessions)] for _ in range(callers)]
    await model.exchanges()
    cpu_before = cpu_seconds(suite)
    waited = dict(
        itertools.chain.from_iterable(await asyncio.gather(*(converse(own, rounds, model_of(pieces)) for own in chats)))
    )
    cpu = {name: 1000 * (seconds - cpu_before[name]) for name, seconds in cpu_seconds(suite).items()}
    own = await model.exchanges()
    overhead = sorted(1000 * (seconds - own[marker].model_seconds) for marker, seconds in waited.items())
    # CLOCK_MONOTONIC is one clock for all processes of a machine.
    seen = await asyncio.gather(*(first_text(each[0], 2, model_of(pieces)) for each in chats))
    own_first = await model.exchanges()
    first = [1000 * (at - first_piece(own_first[marker])) for each in seen for marker, at in each]
    return Load(
        callers=callers,
        calls=len(waited),
        pieces=pieces,
        model_ms_p50=milliseconds([1000 * own[marker].model_seconds for marker in waited]),
        overhead_ms_p50=milliseconds(overhead),
        overhead_ms_p95=round(overhead[max(0, round(0.95 * len(overhead)) - 1)], 1),
        first_text_ms_p50=milliseconds(first),
        cpu_ms=round(sum(cpu.values()) / len(waited), 1),
        cpu_ms_by_process={name: round(each / len(waited), 1) for name, each in cpu.items()},
    )


def first_piece(exchange: Exchange) -> float:
    assert exchange.first_piece_at is not None
    return exchange.first_piece_at


def milliseconds(values: list[float]) -> float:
    return round(statistics.median(values), 1)


async def converse(chats: list[Chat], rounds: int, model: Script) -> list[tuple[str, float]]:
    """Send one message after another; returns each one's marker and the seconds until its answer."""
    waited = []
    for number in range(rounds):
        chat, marker = chats[number // MESSAGES_A_SESSION], uuid.uuid4().hex
        started = time.monotonic()
        message = await answer(chat.send(f"{marker} {model.directive()}"))
        waited.append((marker, time.monotonic() - started))
        assert message["content"] == ANSWER
    return waited


async def first_text(chat: Chat, rounds: int, model: Script) -> list[tuple[str, float]]:
    """Stream one message after another; returns each one's marker and when its first text came."""
    seen = []
    for _ in range(rounds):
        marker = uuid.uuid4().hex
        async with chat.stream(f"{marker} {model.directive()}") as stream:
            await stream.until("message_delta", "message_snapshot")
            seen.append((marker, time.monotonic()))
            await stream.to_end()
    return seen


async def let_work_at_once(api: Api, project_id: str, callers: int) -> None:
    """Raise the agent's limit, else callers would wait for each other by design."""
    agents = await answer(api.http.get(f"/my/projects/{project_id}/agents"))
    [agent] = [each for each in agents["agents"] if each["name"] == AGENT]
    path, config = f"/my/projects/{project_id}/agents/{agent['id']}", {"concurrency_limit": min(100, 2 * callers)}
    await answer(api.http.patch(path, json={"config": config}))


def cpu_seconds(suite: Suite) -> dict[str, float]:
    """User and system time of each process so far; of those they started, which keep memories, together."""
    names = {process.pid: name for name, process in suite.processes.items()}
    seconds = dict.fromkeys([*names.values(), "memory"], 0.0)
    for pid in suite.pids():
        seconds[names.get(pid, "memory")] += figures.cpu_seconds(pid)
    return seconds


def table(reports: list[Report]) -> str:
    rows = []
    for report in reports:
        rows.append(
            f"{report.layout}: ready after {report.start_seconds:.2f} s (aim {AIMS['start_seconds']:g}), "
            f"idle {report.idle_pss_mb:.0f} MB PSS (aim {AIMS['idle_pss_mb']:g}) and {report.idle_cpu_ms:.0f} ms/s CPU"
        )
        rows.append("  callers  calls  pieces  model  overhead p50    p95  first text  CPU a call   [ms]")
        rows += [
            f"  {each.callers:7}  {each.calls:5}  {each.pieces:6}  {each.model_ms_p50:5.0f}"
            f"  {each.overhead_ms_p50:12.1f}  {each.overhead_ms_p95:5.1f}  {each.first_text_ms_p50:10.1f}"
            f"  {each.cpu_ms:10.1f}"
            for each in report.loads
        ]
    rows.append(f"aims at 1 caller: overhead {AIMS['overhead_ms_p50']:g} ms, CPU {AIMS['cpu_ms']:g} ms")
    return "\n".join(rows)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--calls", type=int, default=40, help="calls at 1 caller; 10 callers make 2 times as many, 50 5"
    )
    parser.add_argument(
        "--embedding", default="minilm", help="minilm (default), or hashing, which costs nearly nothing"
    )
    arguments = parser.parse_args()
    calls, embedding = arguments.calls, arguments.embedding
    reports = [await measure(layout, calls, embedding) for layout in (Layout.ONE, Layout.FIVE)]
    if (programs := postgres.programs()) is not None:
        with postgres.running(programs) as server:
            reports.append(await measure(Layout.FIVE, calls, embedding, server))
    sys.stdout.write(table(reports) + "\n")
    sys.stdout.write(json.dumps({"aims": AIMS, "reports": [asdict(report) for report in reports]}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
