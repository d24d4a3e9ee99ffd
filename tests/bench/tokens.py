"""What a token costs on its way from the model to its reader: `python -m tests.bench.tokens`.

In one run, for one process and five, on SQLite: a scripted model streams answers of 80 tokens a second, each token a
piece of its own, to agents, orchestrator, streams, gateway, and a client of Server-Sent Events. First one answer after
the other: how long after the model's first token its reader has it. Then ten at once: CPU a token, by process, while
all are being written, without what sending a message costs. Then more and more at once, until the answers, the median,
take over 10 % longer than their model did, or the median first token comes over 250 ms late; the last that held is what
the machine carries, with the model and the client beside the suite, which are processes of their own and not counted.
Memories are embedded by `hashing`, which costs nearly nothing.
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
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import figures
from tests.bench.direct_call import ModelProcess, let_work_at_once
from tests.bench.load_process import LoadProcess
from tests.e2e.client import AGENT, Api, Chat, signed_in
from tests.e2e.suite import Layout, Suite, running
from tests.fakes.openai_script import Script
from tests.fakes.openai_server import Exchange

AIMS = {"first_token_ms": 10.0, "answers": 40}
PIECE = "token "
TOKEN_SECONDS = 1 / 80
FIRST_SECONDS = 0.2
LONGEST_OF_MODEL = 1.1
LATEST_FIRST_MS = 250.0
LEVELS = (20, 30, 40, 50, 60, 80, 100, 120, 160)
APART_SECONDS = 1.5
"""In which a crowd's messages are sent, evenly: all at once they would wait for each other's sending."""
# A user may have 50 runs, and an agent 100 tasks.
ANSWERS_A_USER = 25


@dataclass(frozen=True)
class Answer:
    """One answer, as its reader had it. Times are seconds of the machine's monotonic clock."""

    model: Exchange
    texts: list[tuple[float, int]]
    """When so many characters more had come."""

    @property
    def first_ms(self) -> float:
        """From the model's first token to the reader's."""
        assert self.model.first_piece_at is not None
        return 1000 * (self.texts[0][0] - self.model.first_piece_at)

    @property
    def of_model(self) -> float:
        """What it took from the model's being asked to its last token's arrival, in the model's own time."""
        return (self.texts[-1][0] - self.model.received_at) / self.model.model_seconds

    @property
    def tokens_a_second(self) -> float:
        """Of the model, which its script does not quite keep to."""
        assert self.model.first_piece_at is not None
        return self.model.pieces_sent / (self.model.model_seconds - FIRST_SECONDS)

    def tokens_between(self, begin: float, end: float) -> float:
        return sum(count for at, count in self.texts if begin <= at < end) / len(PIECE)


@dataclass(frozen=True)
class Crowd:
    """So many answers at once."""

    at_once: int
    refused: int
    first_ms_p50: float
    first_ms_p99: float
    of_model_p50: float
    tokens_a_second: float
    """Of each model, the median: below 80 as far as the machine lets the scripted one wait."""
    cpu_us: float
    """Of the suite, a token, while all are being written."""
    cpu_us_by_process: dict[str, float]
    cores: float
    """How many the suite had to itself meanwhile."""

    @property
    def held(self) -> bool:
        return not self.refused and self.of_model_p50 <= LONGEST_OF_MODEL and self.first_ms_p50 <= LATEST_FIRST_MS


@dataclass(frozen=True)
class Report:
    first_ms_p50: float
    """Of one answer after the other."""
    first_ms_p99: float
    few: Crowd
    carried: int
    """The most answers at once that held."""
    crowds: list[Crowd]


@dataclass(frozen=True)
class User:
    """A user, with a project whose agent takes all that comes."""

    api: Api
    token: str
    project_id: str


@dataclass(frozen=True)
class Bench:
    """A suite, its model and its clients."""

    suite: Suite
    model: ModelProcess
    readers: LoadProcess
    users: list[User]

    async def first_tokens(self, count: int) -> list[Answer]:
        """One short answer after the other."""
        return [answer for _ in range(count) for answer in await self.answers(await self.questions(1, 10), 10)]

    async def crowd(self, at_once: int, tokens: int) -> Crowd:
        """So many answers at once, of so many tokens each."""
        asked = await self.questions(at_once, tokens)
        answers, (begin, end, cpu) = await asyncio.gather(
            self.answers(asked, tokens, APART_SECONDS / at_once),
            # When the last has begun, and the first not ended.
            self._cpu_between(APART_SECONDS + FIRST_SECONDS + 0.5, tokens * TOKEN_SECONDS),
        )
        count = sum(answer.tokens_between(begin, end) for answer in answers)
        by_process = {name: round(1e6 * seconds / count, 1) for name, seconds in cpu.items()}
        return Crowd(
            at_once=at_once,
            refused=at_once - len(answers),
            first_ms_p50=round(figures.p50([answer.first_ms for answer in answers]), 1),
            first_ms_p99=round(figures.p99([answer.first_ms for answer in answers]), 1),
            of_model_p50=round(figures.p50([answer.of_model for answer in answers]), 3),
            tokens_a_second=round(figures.p50([answer.tokens_a_second for answer in answers]), 1),
            cpu_us=round(sum(by_process.values()), 1),
            cpu_us_by_process=by_process,
            cores=round(sum(cpu.values()) / (end - begin), 2),
        )

    async def questions(self, count: int, tokens: int) -> dict[str, str]:
        """Requests by their markers, each in a session of its own, for answers of so many tokens."""
        script = Script(
            answer=PIECE,
            repeat=tokens,
            chunks=tokens,
            first_token_seconds=FIRST_SECONDS,
            token_seconds=TOKEN_SECONDS,
        )
        requests = {}
        for number in range(count):
            user, marker = self.users[number // ANSWERS_A_USER], uuid.uuid4().hex
            chat = await user.api.new_chat(user.project_id)
            requests[marker] = post(chat, user.token, f"{marker} {script.directive()}")
        await self.model.exchanges()
        return requests

    async def answers(self, questions: dict[str, str], tokens: int, apart: float = 0.0) -> list[Answer]:
        """Ask these, `apart` seconds one after the other. An overloaded machine refuses some."""
        door = {"host": "127.0.0.1", "port": self.suite.http_port}
        told = await self.readers.do("answers", **door, requests=list(questions.values()), apart=apart)
        own = await self.model.exchanges()
        if len(refused := [each["refused"] for each in told if each["refused"]]) == len(told):
            raise RuntimeError(refused[0])
        answers = [
            Answer(own[marker], each["texts"])
            for marker, each in zip(questions, told, strict=True)
            if not each["refused"]
        ]
        whole = len(PIECE) * tokens
        assert all(sum(count for _, count in answer.texts) == whole for answer in answers), "an answer is not whole"
        return answers

    async def _cpu_between(self, begin: float, end: float) -> tuple[float, float, dict[str, float]]:
        """The suite's CPU by process, from so many seconds from now to so many, and these two moments."""
        names = {process.pid: name for name, process in self.suite.processes.items()}
        started = time.monotonic()
        await asyncio.sleep(begin)
        begun_at, before = time.monotonic(), {pid: figures.precise_cpu_seconds(pid) for pid in names}
        await asyncio.sleep(started + end - time.monotonic())
        cpu = {name: figures.precise_cpu_seconds(pid) - before[pid] for pid, name in names.items()}
        return begun_at, time.monotonic(), cpu


def post(chat: Chat, token: str, content: str) -> str:
    """A request that sends a message and streams what becomes of it."""
    body = json.dumps({"content": content, "target_agent": AGENT})
    head = (
        *(f"POST {chat.path}/message:stream HTTP/1.1", "Host: bench", "Accept: text/event-stream"),
        *(f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(body)}"),
    )
    return "\r\n".join([*head, "", body])


async def measure(
    layout: Layout, levels: Sequence[int] = LEVELS, tokens: int = 400, alone: int = 20, few: int = 10
) -> Report:
    """So many alone, one after the other, a few at once, then these levels until one does not hold."""
    settings = {"CODELAB_LOG_LEVEL": "warning", "EMBEDDING_MODEL": "hashing", "OPENAI_API_KEY": "sk-bench"}
    with tempfile.TemporaryDirectory() as folder:
        async with (
            ModelProcess.running() as model,
            running(layout, Path(folder), OPENAI_BASE_URL=model.url, **settings) as suite,
            LoadProcess.running("tests.bench.sse_readers") as readers,
            AsyncExitStack() as clients,
        ):
            users = [await _user(suite, clients) for _ in range(-(-max(5, few, *levels) // ANSWERS_A_USER))]
            bench = Bench(suite, model, readers, users)
            # The first time everything is compiled, connected and loaded.
            await bench.answers(await bench.questions(5, 10), 10)
            first = [answer.first_ms for answer in await bench.first_tokens(alone)]
            ordinary = await bench.crowd(few, tokens)
            crowds: list[Crowd] = []
            for level in levels:
                crowds.append(await bench.crowd(level, tokens))
                if not crowds[-1].held:
                    break
            carried = max((each.at_once for each in (ordinary, *crowds) if each.held), default=0)
            first_p50, first_p99 = figures.p50(first), figures.p99(first)
            return Report(round(first_p50, 2), round(first_p99, 2), ordinary, carried, crowds)


async def _user(suite: Suite, clients: AsyncExitStack) -> User:
    token = await suite.token(str(uuid.uuid4()))
    api = await clients.enter_async_context(signed_in(suite.url, token))
    project_id = (await api.new_project())["id"]
    await let_work_at_once(api, project_id, ANSWERS_A_USER)
    return User(api, token, project_id)


HEADS = ("at once", "refused", "first ms", "p99", "of model", "tokens/s", "CPU µs a token", "by process", "cores", "")


def table(title: str, report: Report) -> str:
    """The figures, and whether the aims are met."""
    rows = [
        [
            *(
                each.at_once,
                each.refused,
                each.first_ms_p50,
                each.first_ms_p99,
                f"{each.of_model_p50:.3f}",
                each.tokens_a_second,
            ),
            *(each.cpu_us, ", ".join(f"{name} {value:g}" for name, value in each.cpu_us_by_process.items())),
            *(each.cores, "held" if each.held else "did not hold"),
        ]
        for each in (report.few, *report.crowds)
    ]
    first, most = AIMS["first_token_ms"], AIMS["answers"]
    lines = [
        f"first token within {first:g} ms of its model's, alone: "
        f"{'met' if report.first_ms_p50 <= first else 'MISSED'}, {report.first_ms_p50:g} (p99 {report.first_ms_p99:g})",
        f"{most:g} answers at once: {'met' if report.carried >= most else 'MISSED'}, {report.carried}",
    ]
    return figures.table(title, HEADS, rows) + "".join(f"  {line}\n" for line in lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=400, help="of each answer of a crowd")
    parser.add_argument("--levels", type=int, nargs="*", default=LEVELS, help="how many answers at once")
    asked = parser.parse_args()
    sys.stdout.write(f"$ python -m tests.bench.tokens {shlex.join(sys.argv[1:])}\n")
    reports: dict[str, Any] = {}
    for layout in (Layout.ONE, Layout.FIVE):
        before = os.getloadavg()[0]
        report = await measure(layout, asked.levels, asked.tokens)
        reports[layout.value] = asdict(report)
        load = f"{os.cpu_count()} cores, load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
        sys.stdout.write(table(f"{layout} on SQLite, hashing ({load})", report))
        sys.stdout.flush()
    sys.stdout.write(json.dumps({"aims": AIMS, "reports": reports}) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
