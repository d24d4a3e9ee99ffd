"""Faults without end, on every layout in turn: `python -m tests.e2e.faults.soak --faults 200 --seed 1`.

Each fault is chosen, and strikes, as the seed and its number say. What broke an invariant is printed with all that is
needed to play it again (`--seed S --first N --faults 1`), then the tally; the exit code says whether anything did.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

# As in tests.conftest: read when grpc is imported, which the modules of the game do.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from tests import postgres
from tests.e2e.faults.faults import OF_LAYOUT, Fault
from tests.e2e.faults.game import playing
from tests.e2e.faults.tally import Tally
from tests.e2e.suite import Layout
from tests.fakes.openai_server import FakeModel

ON_ONE_SUITE = 12
"""Faults before the next layout's turn."""
ORDER = (Layout.REPLICAS, Layout.FIVE, Layout.REPLICAS, Layout.ONE)
"""The replicas most of the time: there the most can go wrong."""


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first fault")
    arguments = parser.parse_args()
    # Who is only terminated would leave its servers behind.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    tally = Tally()
    number, end = arguments.first, arguments.first + arguments.faults
    try:
        while number < end:
            turn = number // ON_ONE_SUITE
            stop = min(end, (turn + 1) * ON_ONE_SUITE)
            await play(ORDER[turn % len(ORDER)], range(number, stop), arguments.seed, tally)
            number = stop
    finally:
        say(tally.text())
    sys.exit(1 if tally.violations else 0)


async def play(layout: Layout, numbers: range, seed: int, tally: Tally) -> None:
    """Play these faults on one suite; after a violation say so at once, and what its processes said."""
    with FakeModel() as model, tempfile.TemporaryDirectory() as folder:
        async with playing(layout, model, Path(folder), tally, seed) as game:
            for number in numbers:
                fault = chosen(layout, seed, number)
                started = time.monotonic()
                wrong = await game.play(fault, number)
                say(f"{number:4} {fault.name}: {time.monotonic() - started:.1f} s{', VIOLATED' if wrong else ''}")
                if wrong:
                    say("\n".join([*wrong, game.suite.logs(last_lines=60)]))
            if late := await game.told():
                say("\n".join([*late, game.suite.logs(last_lines=200)]))


def chosen(layout: Layout, seed: int, number: int) -> Fault:
    """On one suite every fault comes, in an order of its own, before one comes again."""
    turn, place = divmod(number, ON_ONE_SUITE)
    faults = list(OF_LAYOUT[layout])
    rounds, place = divmod(place, len(faults))
    random.Random(f"{seed} {turn} {rounds}").shuffle(faults)
    return faults[place]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if postgres.programs() is None or shutil.which("redis-server") is None:
        sys.exit("PostgreSQL or Redis is not installed: apt-get install postgresql redis-server")
    asyncio.run(main())
