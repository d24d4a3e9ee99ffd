"""What an agent's memory costs in the embedded engine: `python -m tests.bench.memory`, by hand.

In one run: writing, searching and space by size and dimension, before and after optimising; a crowd of agents that
remember little; a direct call while another agent's memory is imported and optimised; and the bundled embedding model.
Everything is seeded, in a temporary folder that is removed. The machine is shared with whatever else runs: trust CPU
and ratios more than times. Each table is printed when it is measured.

`--full` adds 100,000 memories and a second optimisation beside calls: half an hour on two cores. `--million` measures a
million memories and nothing else: most of an hour, unless `--exact` leaves out the optimising.
"""

import argparse
import asyncio
import os
import shlex
import sys
import time
from collections.abc import Awaitable, Callable

import structlog

from services.agents.memory.edge.protocol import EdgeLimits
from tests.bench import memory_calls, memory_crowd, memory_embedding, memory_growth, memory_sizes

SIZES = (1_000, 20_000)
FULL_SIZES = (*SIZES, 100_000)
DIMENSIONS = (384, 1536)
SEARCHES = 200
CALLS = 200
CROWD = (300, 50)
PARTS = ("embedding", "crowd", "sizes", "calls")


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=_names, default=PARTS, help=f"of {','.join(PARTS)}; default: all")
    parser.add_argument("--sizes", type=_numbers, help="memories of a collection; default: 1000,20000")
    parser.add_argument("--dimensions", type=_numbers, default=DIMENSIONS, help="default: 384,1536")
    parser.add_argument("--searches", type=int, default=SEARCHES, help="searches of each kind; 100 of them for recall")
    parser.add_argument("--calls", type=int, default=CALLS, help="direct calls in each condition")
    parser.add_argument("--vectors", choices=("topics", "noise"), default="topics", help="see memory_data.py")
    parser.add_argument("--full", action="store_true", help="everything that is promised")
    parser.add_argument("--exact", action="store_true", help="by size: do not optimise, which takes the longest")
    parser.add_argument("--million", action="store_true", help="a million memories, and nothing else")
    return parser.parse_args()


async def main() -> None:
    """Measure and print, part by part."""
    asked = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    _print(f"$ python -m tests.bench.memory {shlex.join(sys.argv[1:])}")
    _print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; vectors: {asked.vectors}\n")
    if asked.million:
        for dimension in asked.dimensions:
            measured = await memory_sizes.measure(1_000_000, dimension, 50, asked.vectors, asked.exact)
            _print(memory_sizes.tables([measured]))
        return
    for part in asked.parts:
        started = time.monotonic()
        _print(await _parts(asked)[part]())
        _print(f"({part}: {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f})\n")


def _parts(asked: argparse.Namespace) -> dict[str, Callable[[], Awaitable[str]]]:
    async def embedding() -> str:
        return memory_embedding.tables(await memory_embedding.measure())

    async def crowd() -> str:
        return memory_crowd.tables(await memory_crowd.measure(*CROWD, dimension=384))

    async def sizes() -> str:
        chosen = asked.sizes or (FULL_SIZES if asked.full else SIZES)
        pairs = [(size, dimension) for size in chosen for dimension in asked.dimensions]
        tables = [
            memory_sizes.tables([await memory_sizes.measure(*pair, asked.searches, asked.vectors, asked.exact)])
            for pair in pairs
        ]
        large = [pair for pair in pairs if pair[0] >= EdgeLimits().optimize_from and not asked.exact]
        grown = [await memory_growth.measure(*pair) for pair in large]
        return "\n".join([*tables, *([memory_growth.table(grown)] if grown else [])])

    async def calls() -> str:
        return memory_calls.tables(await memory_calls.measure(384, asked.calls, rounds=2 if asked.full else 1))

    return {"embedding": embedding, "crowd": crowd, "sizes": sizes, "calls": calls}


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - {*PARTS}:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
