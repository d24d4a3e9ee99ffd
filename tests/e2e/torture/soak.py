"""The torture of streams in full size, on seeds of its own: `python -m tests.e2e.torture.soak --rounds 3 --seed 1`.

A round plays three: two replicas on Redis while one streams and the orchestrator that owns runs are killed; the same
while Redis comes back empty, comes back as it was, is silent and is away for 10 s; and five processes without Redis,
whose only streams service is killed. It ends with 1 if anything was wrong.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# As in tests.conftest: read when grpc is imported, which the modules of the torture do.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tests import postgres
from tests.e2e.conftest import settings
from tests.e2e.suite import Layout, Suite, running
from tests.e2e.torture.blows import KILL_ONE_STREAMS, KILL_ONLY_STREAMS, KILL_ORCHESTRATOR, Blow, blows_to
from tests.e2e.torture.replicas import QUICK, STREAMS, replicas
from tests.e2e.torture.torture import FULL, Size, torturing
from tests.e2e.torture.verdict import judge
from tests.fakes.openai_server import FakeModel

AWAY_SECONDS = 10.0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--clients", type=int, default=FULL.clients)
    parser.add_argument("--sessions", type=int, default=FULL.sessions)
    parser.add_argument("--events", type=int, default=FULL.events)
    parser.add_argument("--answers", type=int, default=FULL.answers)
    parser.add_argument("--only", choices=["replicas", "redis", "five"], help="this one of the three")
    arguments = parser.parse_args()
    # Who is only terminated would leave its servers behind.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    size = Size(
        arguments.clients,
        arguments.sessions,
        arguments.events,
        answers=arguments.answers,
        answer_seconds=FULL.answer_seconds,
    )
    wrong = 0
    for seed in range(arguments.seed, arguments.seed + arguments.rounds):
        if arguments.only != "five":
            wrong += await on_replicas(size, seed, arguments.only)
        if arguments.only in (None, "five"):
            wrong += await on_five(size, seed)
    sys.exit(1 if wrong else 0)


async def on_replicas(size: Size, seed: int, only: str | None) -> int:
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        async with replicas(Path(folder), model) as (suite, redis):
            wrong = 0
            if only != "redis":
                wrong += await played(suite, model, size, seed, [KILL_ORCHESTRATOR, KILL_ONE_STREAMS], STREAMS)
            if only != "replicas":
                blows = [*blows_to(redis, AWAY_SECONDS).values()]
                wrong += await played(suite, model, size, seed, blows, STREAMS)
            return wrong


async def on_five(size: Size, seed: int) -> int:
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        chosen = {**settings(Layout.FIVE, model), **QUICK}
        async with running(Layout.FIVE, Path(folder), **chosen) as suite:
            return await played(suite, model, size, seed, [KILL_ORCHESTRATOR, KILL_ONLY_STREAMS], STREAMS[:1])


async def played(
    suite: Suite, model: FakeModel, size: Size, seed: int, blows: Sequence[Blow], streams: Sequence[str]
) -> int:
    """Play, say what came of it, and return how much was wrong."""
    async with torturing(suite, model, size, seed, streams) as torture:
        started = time.monotonic()
        torture.say = lambda what: say(f"{time.monotonic() - started:6.1f} s: {what}")
        await torture.play(blows)
        await judge(torture)
    say(f"{suite.layout}, {'; '.join(blow.name for blow in blows)}\n{torture.tally.text()}")
    if torture.tally.violations:
        say(suite.logs(last_lines=60))
    return len(torture.tally.violations)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if postgres.programs() is None or shutil.which("redis-server") is None:
        sys.exit("PostgreSQL or Redis is not installed: apt-get install postgresql redis-server")
    asyncio.run(main())
