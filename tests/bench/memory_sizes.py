"""The store by size and dimension: writing, searching before and after it is optimised, memory and disk."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.agents.memory.edge.protocol import EdgeLimits
from services.agents.memory.edge.store import EdgeMemoryStore
from services.agents.memory.model import Found
from tests.bench import figures
from tests.bench.memory_data import Corpus, Kind, Similarities, a_collection, number_of

PAGE = 51
_LOOK_SECONDS = 0.1
# Nothing is optimised but when it is asked for.
_UNOPTIMIZED = EdgeLimits(optimize_from=10**9)
# More than any default has, so that a bulk of a million is written by one call after the other.
_DEADLINE_SECONDS = 300.0


@dataclass
class Cost:
    """What calls of one kind took and found."""

    milliseconds: list[float] = field(default_factory=list)
    cpu_milliseconds: float = 0.0
    """Of this process and the store's, all calls together."""
    recalled: list[float] = field(default_factory=list)
    """Which part of the ten most similar memories each search found."""

    @property
    def recall(self) -> float | None:
        return sum(self.recalled) / len(self.recalled) if self.recalled else None


@dataclass
class Space:
    """What the store's process and folder take, in MB."""

    pss: float
    anonymous: float
    disk: float


@dataclass
class Optimizing:
    """What it takes to optimise once."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_anonymous_mb: float = 0.0
    """Of the optimiser alone."""
    peak_pss_mb: float = 0.0
    """Of the store's process and the optimiser together."""


@dataclass
class Sized:
    """What was measured of one size and dimension."""

    size: int
    dimension: int
    put_seconds: float
    put_cpu_seconds: float
    spaces: list[Space]
    """Before it was optimised and, where it was, after."""
    costs: Sequence[Mapping[str, Cost]]
    """Before it was optimised and, where it was, after; by kind of call."""
    optimizing: Optimizing | None


@contextlib.asynccontextmanager
async def a_store(folder: Path, limits: EdgeLimits | None = None) -> AsyncIterator[EdgeMemoryStore]:
    """A store, open while the block runs."""
    store = EdgeMemoryStore(folder, limits, deadline_seconds=_DEADLINE_SECONDS)
    try:
        yield store
    finally:
        await store.close()


async def measure(size: int, dimension: int, searches: int, kind: Kind, exact: bool = False) -> Sized:
    """Fill a store, search it and, unless searches are to stay `exact`, optimise it and search it again."""
    corpus = Corpus(a_collection(0, dimension), size, kind=kind)
    queries = corpus.queries(searches)
    similarities = Similarities(corpus, queries[:100])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with a_store(folder, _UNOPTIMIZED) as store:
            await store.create(corpus.collection)
            seconds = cpu = 0.0
            for batch in corpus.batches():
                with _Clock(store) as clock:
                    await store.put(corpus.collection, batch.pairs)
                seconds, cpu = seconds + clock.seconds, cpu + clock.cpu_seconds
                similarities.add(batch.matrix)
            best = {filter: similarities.best(filter) for filter in corpus.filters}
            del similarities
            costs = [await _searched(store, corpus, queries.tolist(), best)]
            spaces = [space_of(store, folder)]
            if exact:
                return Sized(size, dimension, seconds, cpu, spaces, costs, None)
            optimizing = await _optimized(store, corpus)
            costs.append(await _searched(store, corpus, queries.tolist(), best))
            spaces.append(space_of(store, folder))
    return Sized(size, dimension, seconds, cpu, spaces, costs, optimizing)


class _Clock:
    """The time that the block takes, and the CPU of this process and the store's meanwhile."""

    seconds = 0.0
    cpu_seconds = 0.0

    def __init__(self, store: EdgeMemoryStore) -> None:
        self._store = store

    def __enter__(self) -> "_Clock":
        self._cpu, self._started = self._cpu_so_far(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = self._cpu_so_far() - self._cpu

    def _cpu_so_far(self) -> float:
        child = self._store.pid
        assert child is not None
        return time.process_time() + figures.precise_cpu_seconds(child)


async def _searched(
    store: EdgeMemoryStore, corpus: Corpus, queries: Sequence[list[float]], best: Mapping[str, list[set[int]]]
) -> dict[str, Cost]:
    """Ask for everything in turn, so that what disturbs the machine disturbs all kinds alike."""
    collection, filters = corpus.collection, corpus.filters
    questions = corpus.questions(len(queries))
    costs = {name: Cost() for name in (*(f"nearest, {filter}" for filter in filters), "matching", "newest page")}

    async def found(name: str, call: Awaitable[list[Found]]) -> list[Found]:
        with _Clock(store) as clock:
            answer = await call
        costs[name].milliseconds.append(1000 * clock.seconds)
        costs[name].cpu_milliseconds += 1000 * clock.cpu_seconds
        return answer

    async def page() -> list[Found]:
        # As ListMemories does.
        await store.count(collection)
        return [Found(each, 0) for each in await store.newest(collection, PAGE)]

    # The first ones read what is not in memory yet.
    for vector, words in zip(queries[:10], questions, strict=False):
        await store.nearest(collection, vector, 10)
        await store.matching(collection, words, 10)
        await page()
    for number, (vector, words) in enumerate(zip(queries, questions, strict=True)):
        for name, filter in filters.items():
            kind = f"nearest, {name}"
            answer = await found(kind, store.nearest(collection, vector, 10, filter))
            if number < len(best[name]):
                numbers = {number_of(each.memory) for each in answer}
                costs[kind].recalled.append(len(numbers & best[name][number]) / len(best[name][number]))
        await found("matching", store.matching(collection, words, 10))
        await found("newest page", page())
    return costs


async def _optimized(store: EdgeMemoryStore, corpus: Corpus) -> Optimizing:
    child, seen = store.pid, Optimizing()
    assert child is not None
    cpu = figures.children_cpu_seconds(child)
    watching = asyncio.create_task(watch(child, seen))
    started = time.perf_counter()
    try:
        await store.optimize(corpus.collection)
        seen.seconds = time.perf_counter() - started
        seen.cpu_seconds = figures.children_cpu_seconds(child) - cpu
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return seen


async def watch(child: int, seen: Optimizing) -> None:
    """Look at a store's process and its optimiser until cancelled, and keep the most that they take."""
    while True:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            seen.peak_pss_mb = max(seen.peak_pss_mb, figures.pss_mb([child, *figures.children(child)]))
        for optimizer in figures.children(child):
            # It may have ended since it was listed.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                seen.peak_anonymous_mb = max(seen.peak_anonymous_mb, figures.anonymous_mb(optimizer))
        await asyncio.sleep(_LOOK_SECONDS)


def space_of(store: EdgeMemoryStore, folder: Path) -> Space:
    """What a store takes now."""
    assert store.pid is not None
    return Space(figures.pss_mb([store.pid]), figures.anonymous_mb(store.pid), figures.disk_mb(folder))


def tables(measured: Sequence[Sized]) -> str:
    """What was measured, in two tables."""
    writing = [
        (
            each.size,
            each.dimension,
            round(each.size / each.put_seconds),
            1e6 * each.put_cpu_seconds / each.size,
            *_taking(each.spaces[0]),
            *(_taking(each.spaces[1]) if each.optimizing else (None,) * 3),
            *(_optimizing(each.optimizing) if each.optimizing else (None,) * 4),
        )
        for each in measured
    ]
    space = ("PSS MB", "anon", "disk MB")
    heads = ("memories", "dims", "put/s", "CPU µs", *space, *(f"→ {head}" for head in space))
    optimizing = ("optimise s", "CPU s", "its anon MB", "both PSS MB")
    searching = [
        (each.size, each.dimension, name, *_searching(cost), *_searched_again(cost, each, name))
        for each in measured
        for name, cost in each.costs[0].items()
    ]
    search = ("p50 ms", "p99", "CPU ms", "recall@10")
    return "\n".join(
        [
            figures.table(
                "Writing through EdgeMemoryStore.put, 1,000 a call; what the store takes, before → after optimising, "
                "and the most while optimising",
                (*heads, *optimizing),
                writing,
            ),
            figures.table(
                "Searching for 10, before → after optimising (ratio: of the p50s); CPU of both processes; filters fit"
                f" a tenth; a page is count + newest {PAGE}",
                ("memories", "dims", "what", *search, *(f"→ {head}" for head in search), "ratio"),
                searching,
            ),
        ]
    )


def _taking(space: Space) -> tuple[figures.Cell, ...]:
    return (space.pss, space.anonymous, space.disk)


def _optimizing(seen: Optimizing) -> tuple[figures.Cell, ...]:
    return (seen.seconds, seen.cpu_seconds, seen.peak_anonymous_mb, seen.peak_pss_mb)


def _searched_again(before: Cost, measured: Sized, name: str) -> tuple[figures.Cell, ...]:
    if measured.optimizing is None:
        return (None,) * 5
    after = measured.costs[1][name]
    return (*_searching(after), figures.p50(after.milliseconds) / figures.p50(before.milliseconds))


def _searching(cost: Cost) -> tuple[figures.Cell, ...]:
    calls = len(cost.milliseconds)
    return (
        figures.p50(cost.milliseconds),
        figures.p99(cost.milliseconds),
        cost.cpu_milliseconds / calls,
        None if cost.recall is None else f"{cost.recall:.3f}",
    )
