"""A bulk written under the limits that are in force, by which the store optimises by itself meanwhile."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import figures
from tests.bench.memory_data import Corpus, a_collection
from tests.bench.memory_sizes import Optimizing, a_store, watch
from tests.e2e.polling import eventually

_SETTLES_SECONDS = 3600.0


@dataclass(frozen=True)
class Growth:
    """What was measured of one size and dimension."""

    size: int
    dimension: int
    put_seconds: float
    longest_put: float
    """Seconds that one call of 1,000 memories took at most."""
    settled_seconds: float
    """From the last call until nothing is optimised any more."""
    peak: Optimizing
    searched: list[float]
    """Milliseconds of searches between the calls."""


async def measure(size: int, dimension: int) -> Growth:
    """Write everything, a call and a search in turn, and wait until the store is quiet."""
    corpus = Corpus(a_collection(0, dimension), size)
    [query] = corpus.queries(1).tolist()
    seconds, longest, searched, peak = 0.0, 0.0, [], Optimizing()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / corpus.collection.name
        async with a_store(Path(name)) as store:
            await store.create(corpus.collection)
            assert store.pid is not None
            watching = asyncio.create_task(watch(store.pid, peak))
            for batch in corpus.batches():
                started = time.perf_counter()
                await store.put(corpus.collection, batch.pairs)
                taken = time.perf_counter() - started
                seconds, longest = seconds + taken, max(longest, taken)
                started = time.perf_counter()
                await store.nearest(corpus.collection, query, 10)
                searched.append(1000 * (time.perf_counter() - started))

            async def quiet() -> bool:
                return len(list(home.iterdir())) == 1

            started = time.perf_counter()
            await eventually(quiet, _SETTLES_SECONDS, "the end of the last optimisation")
            settled = time.perf_counter() - started
            watching.cancel()
            await asyncio.wait([watching])
    return Growth(size, dimension, seconds, longest, settled, peak, searched)


def table(measured: Sequence[Growth]) -> str:
    """What was measured."""
    rows = [
        (
            each.size,
            each.dimension,
            round(each.size / each.put_seconds),
            each.longest_put,
            figures.p50(each.searched),
            figures.p99(each.searched),
            each.settled_seconds,
            each.peak.peak_anonymous_mb,
            each.peak.peak_pss_mb,
        )
        for each in measured
    ]
    heads = ("memories", "dims", "put/s", "longest s", "search p50 ms", "p99", "settled s", "optimiser anon MB")
    return figures.table(
        "The same written under the default limits, optimised by itself meanwhile", (*heads, "both PSS MB"), rows
    )
