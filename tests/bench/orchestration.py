"""How near planned runs come to the time that their model alone would take: `python -m tests.bench.orchestration`.

In one run, for one process and five on SQLite, and five on PostgreSQL where it is installed: a graph of ten tasks, one
run after the other; then runs of five tasks, alone and many at once, each in a session of its own. Whoever sends waits
for the answer. A run's critical path is what the model itself took, as it measured it: for the plan, for the dearest
chain of tasks, and for making one answer of the results. What a run takes more is the platform's, and the machine's:
senders, model and PostgreSQL share it with the suite. The agents' concurrency limits are raised, else tasks would wait
for each other by design.
"""

import argparse
import asyncio
import json
import os
import secrets
import shlex
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests import postgres
from tests.bench import figures
from tests.bench.direct_call import ModelProcess, cpu_seconds
from tests.e2e.client import Api, Chat, answer, signed_in
from tests.e2e.plans import Errand, Step
from tests.e2e.suite import Layout, Suite, clean_environment, run_codelab, running
from tests.fakes.openai_script import NamedScript, Script
from tests.fakes.openai_server import Exchange
from tests.postgres import PostgresServer

AIMS = {"of_critical_path": 1.05, "ten_at_once_of_alone": 1.3}
AGENTS = ("CodeAssistant", "DataAnalyst", "DocumentWriter")
MOST_AT_ONCE = 100
"""The highest concurrency limit that an agent may have."""
WAITS_SECONDS = 120
PIECES = 20
TASK = "Read what customers wrote in the second quarter, and list the three complaints that come up most often."
"""With the errand's marker and the name of a script, an instruction of about 40 tokens: it is embedded."""
Shape = Mapping[str, tuple[float, str]]
"""Seconds of each task, and what it builds on."""
TEN: Shape = {
    "a": (0.8, ""),
    "b": (0.4, ""),
    "c": (0.4, ""),
    "d": (0.8, "a"),
    "e": (0.5, "ab"),
    "f": (0.4, "bc"),
    "g": (0.7, "de"),
    "h": (0.5, "f"),
    "i": (0.7, "gh"),
    "j": (0.4, "h"),
}
"""3 s by a, d, g and i; two ends."""
FIVE: Shape = {
    "a": (0.5, ""),
    "b": (0.7, "a"),
    "c": (0.4, "a"),
    "d": (0.6, "bc"),
    "e": (0.5, "c"),
}


@dataclass(frozen=True)
class Load:
    """What runs took that were sent so many at once. Times are seconds unless they say otherwise."""

    tasks: int
    at_once: int
    runs: int
    critical_p50: float
    took_p50: float
    took_worst: float
    of_critical_p50: float
    """What a run took, in its own critical path."""
    of_critical_worst: float
    worst_of_alone: float | None
    """What the slowest took, in what one takes alone; None where they were alone."""
    begins_ms_p50: float
    """From the model's last byte of what a call waits for to its first of that call."""
    cpu_ms: float
    """User and system time of all of the suite's processes, a run."""


@dataclass(frozen=True)
class Bench:
    """A suite, its model, and a project whose agents take all that comes."""

    suite: Suite
    api: Api
    model: ModelProcess
    project_id: str
    slowness: float
    """What the model's seconds are multiplied by."""

    async def load(
        self, shape: Mapping[str, tuple[float, str]], at_once: int, rounds: int, alone: float | None
    ) -> Load:
        chats = [await self.api.new_chat(self.project_id) for _ in range(at_once)]
        await self.model.calls()
        sent: list[tuple[Errand, float]] = []
        cpu = sum(cpu_seconds(self.suite).values())
        for _ in range(rounds):
            sent += await asyncio.gather(*(send(chat, errand_of(shape, self.slowness)) for chat in chats))
        cpu = sum(cpu_seconds(self.suite).values()) - cpu
        asked = await self.model.calls()
        calls = [calls_for(errand, asked) for errand, _ in sent]
        took = [seconds for _, seconds in sent]
        critical = [critical_seconds(errand, own) for (errand, _), own in zip(sent, calls, strict=True)]
        ratios = [seconds / least for seconds, least in zip(took, critical, strict=True)]
        waits = [1000 * wait for (errand, _), own in zip(sent, calls, strict=True) for wait in begins(errand, own)]
        return Load(
            tasks=len(shape),
            at_once=at_once,
            runs=len(took),
            critical_p50=round(statistics.median(critical), 3),
            took_p50=round(statistics.median(took), 3),
            took_worst=round(max(took), 3),
            of_critical_p50=round(statistics.median(ratios), 3),
            of_critical_worst=round(max(ratios), 3),
            worst_of_alone=None if alone is None else round(max(took) / alone, 3),
            begins_ms_p50=round(statistics.median(waits), 1),
            cpu_ms=round(1000 * cpu / len(took), 1),
        )


def errand_of(shape: Shape, slowness: float) -> Errand:
    """A message with this plan, its tasks shared out among the agents; planning and combining take 0.3 s each."""
    steps = [
        Step(id, tuple(after), task_script(id, seconds * slowness), AGENTS[place % len(AGENTS)], says=TASK)
        for place, (id, (seconds, after)) in enumerate(shape.items())
    ]
    quick = 0.3 * slowness
    combining = model_of("combining", quick, "All of it, in short. ")
    return Errand(steps, combining, Script(first_token_seconds=quick), marker=secrets.token_hex(4))


def task_script(id: str, seconds: float) -> NamedScript:
    return model_of(f"{id} {seconds:g}", seconds, f"What {id} found. ")


def model_of(name: str, seconds: float, sentence: str) -> NamedScript:
    """It streams for so long, a third of which passes before the first piece."""
    first = seconds / 3
    pause = (seconds - first) / (PIECES - 1)
    return NamedScript(sentence * 8, chunks=PIECES, first_token_seconds=first, token_seconds=pause, name=name)


async def send(chat: Chat, errand: Errand) -> tuple[Errand, float]:
    """Send the message without naming an agent; returns it with the seconds until its answer."""
    body = {"content": errand.content}
    started = time.monotonic()
    message = await answer(chat.http.post(f"{chat.path}/message", json=body, timeout=WAITS_SECONDS))
    waited = time.monotonic() - started
    assert errand.combining is not None
    assert message["content"] == errand.combining.answer
    return errand, waited


def calls_for(errand: Errand, asked: Sequence[Exchange]) -> dict[str, Exchange]:
    """The model's calls for a message: `planning`, `combining`, and those of its tasks by their ids."""
    instructions = {task["instruction"]: task["id"] for task in errand.plan["tasks"]}
    own = [each for each in asked if errand.marker in each.user_text]
    return {instructions[each.user_text] if each.kind == "task" else each.kind: each for each in own}


def critical_seconds(errand: Errand, calls: Mapping[str, Exchange]) -> float:
    """The shortest that a run can take that made these calls: the model's own time, as it measured it."""
    done: dict[str, float] = {}
    for step in errand.steps:
        done[step.id] = max((done[id] for id in step.depends_on), default=0.0) + calls[step.id].model_seconds
    return calls["planning"].model_seconds + max(done.values()) + calls["combining"].model_seconds


def begins(errand: Errand, calls: Mapping[str, Exchange]) -> list[float]:
    """Seconds from when each call but the first could be made until it was."""
    waited_for = {step.id: tuple(step.depends_on) or ("planning",) for step in errand.steps}
    waited_for["combining"] = tuple(step.id for step in errand.steps)
    ended = {name: call.received_at + call.model_seconds for name, call in calls.items()}
    return [calls[name].received_at - max(ended[each] for each in before) for name, before in waited_for.items()]


async def measure(
    layout: Layout,
    embedding: str,
    repeats: int,
    crowds: Sequence[int],
    slowness: float = 1.0,
    server: PostgresServer | None = None,
) -> list[Load]:
    """Ten tasks alone, five alone, then five in each of these crowds."""
    async with ModelProcess.running() as model:
        for shape in (TEN, FIVE):
            errand = errand_of(shape, slowness)
            scripts = [step.script for step in errand.steps] + [errand.combining]
            await model.learn(each for each in scripts if isinstance(each, NamedScript))
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-bench", "CODELAB_LOG_LEVEL": "warning"}
        settings["EMBEDDING_MODEL"] = embedding
        with tempfile.TemporaryDirectory() as folder:
            if server is not None:
                settings["DATABASE_URL"] = await server.create_database("bench")
                await run_codelab("migrate", environment=clean_environment(**settings), folder=Path(folder))
            async with running(layout, Path(folder), **settings) as suite:
                token = await suite.token(str(uuid.uuid4()))
                async with signed_in(suite.url, token) as api:
                    project_id = (await api.new_project())["id"]
                    await let_work_at_once(api, project_id)
                    bench = Bench(suite, api, model, project_id, slowness)
                    # The first time everything is compiled, connected and loaded.
                    await bench.load(FIVE, 3, 1, None)
                    ten = await bench.load(TEN, 1, repeats, None)
                    five = await bench.load(FIVE, 1, repeats, None)
                    return [ten, five, *[await bench.load(FIVE, crowd, 1, five.took_p50) for crowd in crowds]]


async def let_work_at_once(api: Api, project_id: str) -> None:
    agents = await answer(api.http.get(f"/my/projects/{project_id}/agents"))
    for agent in agents["agents"]:
        path = f"/my/projects/{project_id}/agents/{agent['id']}"
        await answer(api.http.patch(path, json={"config": {"concurrency_limit": MOST_AT_ONCE}}))


HEADS = (
    *("tasks", "at once", "runs", "critical s", "took s", "worst s", "of critical", "worst"),
    *("worst of alone", "begins ms", "CPU ms"),
)


def table(title: str, loads: Sequence[Load]) -> str:
    """The figures, and whether the aims are met."""
    rows = [
        [
            *(str(load.tasks), str(load.at_once), str(load.runs), load.critical_p50, load.took_p50, load.took_worst),
            *(f"{load.of_critical_p50:.3f}", f"{load.of_critical_worst:.3f}", load.worst_of_alone),
            *(load.begins_ms_p50, load.cpu_ms),
        ]
        for load in loads
    ]
    return figures.table(title, HEADS, rows) + "".join(f"  {line}\n" for line in judged(loads))


def judged(loads: Sequence[Load]) -> list[str]:
    lines = []
    for load in loads:
        if load.tasks == len(TEN):
            aim = AIMS["of_critical_path"]
            met = f"{'met' if load.of_critical_p50 <= aim else 'MISSED'}, {load.of_critical_p50:.3f}"
            lines.append(f"{load.tasks} tasks within {aim:g} × of their critical path: {met}")
        elif load.at_once == 10 and load.worst_of_alone is not None:
            aim = AIMS["ten_at_once_of_alone"]
            met = f"{'met' if load.worst_of_alone <= aim else 'MISSED'}, {load.worst_of_alone:.3f}"
            lines.append(f"none of 10 at once later than {aim:g} × alone: {met}")
    return lines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of what is alone")
    parser.add_argument(
        "--embedding", default="minilm", help="minilm (default), or hashing, which costs nearly nothing"
    )
    asked = parser.parse_args()
    sys.stdout.write(f"$ python -m tests.bench.orchestration {shlex.join(sys.argv[1:])}\n")
    reports: dict[str, list[Load]] = {}

    async def report(layout: Layout, server: PostgresServer | None = None) -> None:
        name = f"{layout} on {'SQLite' if server is None else 'PostgreSQL'}, {asked.embedding}"
        before = os.getloadavg()[0]
        reports[name] = await measure(layout, asked.embedding, asked.repeats, (10, 50), server=server)
        load = f"{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
        sys.stdout.write(table(f"{name} ({load})", reports[name]))
        sys.stdout.flush()

    await report(Layout.ONE)
    await report(Layout.FIVE)
    if (programs := postgres.programs()) is not None:
        with postgres.running(programs) as server:
            await report(Layout.FIVE, server)
    told = {name: [asdict(load) for load in loads] for name, loads in reports.items()}
    sys.stdout.write(json.dumps({"aims": AIMS, "reports": told}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
